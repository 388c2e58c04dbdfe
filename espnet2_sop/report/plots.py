"""The figures of scores: cpWER by system, number of talkers and overlap, talker counts, speed."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import LogLocator, NullFormatter

from espnet2_sop.report.experiment import Experiment, Result
from espnet2_sop.report.figures import PANEL, Figure, Look, Panel, upper_limit
from espnet2_sop.report.lines import CPWER, Lines, draw_lines, heights, shared_limits
from espnet2_sop.report.prompt_plots import prompt_figure
from espnet2_sop.scoring.tables.markdown import SMALLEST_GROUP
from espnet2_sop.scoring.tables.results import set_labels

SHARES = LinearSegmentedColormap.from_list("shares", [(0.10, 0.42, 0.70, 0.03), (0.10, 0.42, 0.70, 1.0)])
GROUPS = 5  # of equally many mixtures along the overlap ratio


def score_figures(experiment: Experiment, looks: dict[str, Look]) -> Iterator[Figure]:
    """Every figure of scores for which there is something to show.

    Args:
        experiment: What was scored.
        looks: Colour and marker of every system.

    Yields:
        The figures.
    """
    systems = experiment.systems
    for make in (cpwer_figure, talker_figure, overlap_figure, prompt_figure, count_figure, speed_figure):
        figure = make(experiment, systems, looks)
        if figure.panels:
            yield figure


def cpwer_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """cpWER with its interval, a row for each system and a panel for each test set.

    Args:
        experiment: What was scored.
        systems: Those to show, in order.
        looks: Colour and marker of every system.

    Returns:
        The figure, without panels where there is nothing to show.
    """
    size = (PANEL[0], 0.9 + 0.28 * len(systems))
    labels = set_labels(experiment.records)

    def totals_of(results: list[Result]) -> dict[str, dict]:
        totals = {result.system: result.record["metrics"]["cpwer"] for result in results}
        return {name: total for name, total in totals.items() if total["rate"] is not None}

    ends = shared_limits(
        experiment,
        {name: [limit for total in totals_of(results).values() for limit in total["interval"]]
         for name, results in experiment.test_sets.items()},
    )  # fmt: skip

    def draw(axes: Axes, test_set: str, results: list[Result]) -> None:
        totals, end = totals_of(results), ends[test_set]
        for row, name in enumerate(systems):
            if name not in totals:
                left = {"transform": axes.get_yaxis_transform(), "fontsize": 8, "color": "#666666"}
                axes.text(0.02, row, "not scored", va="center", **left)
                continue
            rate, (low, high), look = totals[name]["rate"], totals[name]["interval"], looks[name]
            if rate > end:
                axes.text(end, row, f"{rate:.0f} % \N{RIGHTWARDS ARROW}", ha="right", va="center", color=look.colour)
                continue
            bars = [[max(0, rate - low)], [max(0, high - rate)]]
            axes.errorbar(rate, row, xerr=bars, fmt=look.marker, color=look.colour, capsize=3)
        axes.set(xlabel=CPWER, xlim=(0, end), ylim=(len(systems) - 0.5, -0.5))
        axes.set_yticks(range(len(systems)), systems)
        axes.grid(axis="y", visible=False)

    panels = [
        Panel(labels[name], lambda axes, name=name, results=results: draw(axes, name, results), size)
        for name, results in experiment.test_sets.items()
    ]
    caption = "Bars: 95 % bootstrap intervals over mixtures. Test sets of as many talkers share their axis."
    return Figure("cpwer", "cpWER by system", caption, panels)


def talker_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """cpWER against the number of talkers, a panel for each condition.

    Args:
        experiment: What was scored.
        systems: Those to show, in order.
        looks: Colour and marker of every system.

    Returns:
        The figure, without panels where there is nothing to show.
    """
    pooled: dict[str, dict[int, dict[str, dict[tuple[str, str], tuple[int, int]]]]] = {}
    for result in experiment.results:
        errors = result.errors
        for key, row in result.record["per_mixture"].items():
            counts = pooled.setdefault(result.record["condition"], {}).setdefault(row["talkers"][0], {})
            counts.setdefault(result.system, {})[result.test_set.name, key] = errors[key]

    panels_of: dict[str, Lines] = {}
    for condition, counts in pooled.items():
        if len(counts) > 1:
            most = {number: max(map(len, of_number.values())) for number, of_number in counts.items()}
            panels_of[condition] = {
                name: [
                    (number, list(counts[number][name].values()))
                    for number in sorted(counts)
                    if len(counts[number].get(name, {})) == most[number]
                ]
                for name in systems
            }
    end = upper_limit([height for lines in panels_of.values() for height in heights(lines)])

    def draw(axes: Axes, condition: str) -> None:
        draw_lines(axes, panels_of[condition], looks, dodge=0.04, end=end)
        axes.set(xlabel="number of talkers", xticks=sorted(pooled[condition]))
        axes.margins(x=0.08)

    panels = [Panel(condition, lambda axes, condition=condition: draw(axes, condition)) for condition in panels_of]
    caption = "All test sets of a condition; a system has a point where it was scored on all mixtures of that number."
    return Figure("talkers", "cpWER against the number of talkers", caption, panels, systems)


def overlap_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """cpWER against the overlap ratio, a panel for each test set.

    Args:
        experiment: What was scored.
        systems: Those to show, in order.
        looks: Colour and marker of every system.

    Returns:
        The figure, without panels where there is nothing to show.
    """

    lines: dict[str, Lines] = {}
    for test_set, results in experiment.test_sets.items():
        overlap = results[0].test_set.overlap
        groups = overlap_groups(results)
        middles = [float(np.mean([overlap[key] for key in group])) for group in groups]
        ordered = sorted(results, key=lambda result: systems.index(result.system)) if groups else []
        for result in ordered:
            errors = result.errors
            points = [(x, [errors[key] for key in group]) for x, group in zip(middles, groups, strict=True)]
            lines.setdefault(test_set, {})[result.system] = points
    ends = shared_limits(experiment, {name: heights(of_set) for name, of_set in lines.items()})
    labels = set_labels(experiment.records)

    def draw(axes: Axes, test_set: str) -> None:
        x = [x for points in lines[test_set].values() for x, _ in points]
        draw_lines(axes, lines[test_set], looks, dodge=0.012 * (max(x) - min(x)), end=ends[test_set])
        axes.set(xlabel="overlap ratio")

    panels = [Panel(labels[name], lambda axes, name=name: draw(axes, name)) for name in lines]
    caption = (
        "Mixtures sorted by overlap ratio (time with two or more talkers over time with one or more) in "
        f"{GROUPS} groups of equally many; each at its mean. Test sets of as many talkers share their axis."
    )
    return Figure("overlap", "cpWER against overlap", caption, panels, systems)


def overlap_groups(results: list[Result]) -> list[list[str]]:
    """Ids in groups of rising overlap ratio; none where it is unknown, always the same, or mixtures are few."""
    overlap = results[0].test_set.overlap
    ids = sorted((key for key in results[0].record["per_mixture"] if key in overlap), key=overlap.__getitem__)
    number = min(GROUPS, len(ids) // SMALLEST_GROUP)
    if number < 2 or overlap[ids[0]] == overlap[ids[-1]]:
        return []
    return [list(map(str, group)) for group in np.array_split(np.array(ids, dtype=object), number)]


def count_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """Talkers of the hypothesis against those of the reference, a panel for each system.

    Args:
        experiment: What was scored.
        systems: Those to show, in order.
        looks: Colour and marker of every system.

    Returns:
        The figure, without panels where there is nothing to show.
    """
    tables: dict[str, dict[tuple[int, int], int]] = {}
    for result in experiment.results:
        table = tables.setdefault(result.system, {})
        for ref, row in result.record["count_confusion"].items():
            for hyp, number in row.items():
                table[int(ref), int(hyp)] = table.get((int(ref), int(hyp)), 0) + number
    most = min(max((max(pair) for table in tables.values() for pair in table), default=0), 6)
    least = min((min(pair) for table in tables.values() for pair in table), default=0)
    numbers = list(range(least, most + 1))
    labels = [*map(str, numbers[:-1]), f"{most}"]

    def draw(axes: Axes, table: dict[tuple[int, int], int]) -> None:
        cells = np.zeros((len(numbers), len(numbers)))
        for (ref, hyp), number in table.items():
            cells[min(ref, most) - least, min(hyp, most) - least] += number
        rows = cells.sum(axis=1, keepdims=True)
        shares = np.divide(cells, rows, out=np.zeros_like(cells), where=rows > 0)
        axes.imshow(shares, cmap=SHARES, vmin=0, vmax=1, aspect="auto")
        for (row, column), number in np.ndenumerate(cells):
            if number:
                colour = "white" if shares[row, column] > 0.6 else "black"
                axes.text(column, row, f"{number:.0f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(numbers)), labels)
        axes.set_yticks(range(len(numbers)), labels)
        axes.set(xlabel="talkers, hypothesis", ylabel="talkers, reference")
        axes.grid(visible=False)

    size = (2.85, 2.45)
    panels = [Panel(name, lambda axes, table=tables[name]: draw(axes, table), size) for name in systems]
    caption = f"Mixtures of all test sets. {most} also holds more." if most == 6 else "Mixtures of all test sets."
    return Figure("counts", "Talker counts", caption, panels)


def speed_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """Real-time factors, a row for each system and a mark for each test set.

    Args:
        experiment: What was scored.
        systems: Those to show, in order.
        looks: Colour and marker of every system.

    Returns:
        The figure, without panels where there is nothing to show.
    """
    factors: dict[str, list[float]] = {}
    for result in experiment.results:
        if (factor := result.speed.get("real_time_factor", 0)) > 0:
            factors.setdefault(result.system, []).append(factor)
    timed = [name for name in systems if name in factors]

    def draw(axes: Axes) -> None:
        for row, name in enumerate(timed):
            axes.plot(factors[name], [row] * len(factors[name]), looks[name].marker, color=looks[name].colour)
        values = [factor for row in factors.values() for factor in row]
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="seconds per second of audio (log axis)", ylim=(len(timed) - 0.5, -0.5))
        axes.set_xlim(min(values) / 1.6, max(values) * 1.6)
        axes.set_yticks(range(len(timed)), timed)

    panels = [Panel("all test sets", draw, (PANEL[0], 0.9 + 0.28 * len(timed)))] if timed else []
    caption = "Seconds of decoding per second of audio; a mark for each test set. Lower is faster."
    return Figure("speed", "Real-time factor", caption, panels)

"""The figures of scores: cpWER by system, number of talkers and overlap, prompts, talker counts, speed."""

import functools
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from espnet2_sop.report.experiment import Experiment, Result
from espnet2_sop.report.figures import COLOURS, PANEL, Figure, Look, Panel, name_outside, upper_limit
from espnet2_sop.scoring.bootstrap import interval

CPWER = "cpWER (%)"
MOST_BARS = 6  # with more systems intervals only hide each other
GROUPS = 5  # of equally many mixtures along the overlap ratio
SMALLEST_GROUP = 10
QUALITY_EDGES = (0, 10, 25, 50, 100)  # of the prompt's cpWER in percent: without error, up to 10, ..., above 100


def score_figures(experiment: Experiment, looks: dict[str, Look]) -> Iterator[Figure]:
    """Every figure for which there is something to show."""
    systems = experiment.systems
    for make in (cpwer_figure, talker_figure, overlap_figure, prompt_figure, count_figure, speed_figure):
        figure = make(experiment, systems, looks)
        if figure.panels:
            yield figure


def rate_of(pairs: Sequence[tuple[int, int]]) -> float:
    """Total errors over total words in percent."""
    return 100 * sum(errors for errors, _ in pairs) / sum(words for _, words in pairs)


@functools.cache
def bars_of(pairs: tuple[tuple[int, int], ...]) -> list[float]:
    """Distances in percent from the rate down and up to the limits of its 95 % interval.

    Remembered, as every panel is drawn twice: for the page and for its file.
    """
    low, high = interval([errors for errors, _ in pairs], [words for _, words in pairs])
    return [max(0, rate_of(pairs) - 100 * low), max(0, 100 * high - rate_of(pairs))]


def cpwer_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """A row for each system, with its interval."""
    size = (PANEL[0], 0.9 + 0.28 * len(systems))

    def draw(axes: Axes, results: list[Result]) -> None:
        totals = {result.system: result.record["metrics"]["cpwer"] for result in results}
        totals = {name: total for name, total in totals.items() if total["rate"] is not None}
        end = upper_limit([limit for total in totals.values() for limit in total["interval"]])
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
        Panel(name, lambda axes, results=results: draw(axes, results), size)
        for name, results in experiment.test_sets.items()
    ]
    return Figure("cpwer", "cpWER by system", "Bars: 95 % bootstrap intervals over mixtures.", panels)


def talker_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """cpWER against the number of talkers, a panel for each condition."""
    pooled: dict[str, dict[int, dict[str, dict[tuple[str, str], tuple[int, int]]]]] = {}
    for result in experiment.results:
        errors = result.errors
        for key, row in result.record["per_mixture"].items():
            counts = pooled.setdefault(result.record["condition"], {}).setdefault(row["talkers"][0], {})
            counts.setdefault(result.system, {})[result.test_set.name, key] = errors[key]

    def draw(axes: Axes, counts: dict[int, dict]) -> None:
        numbers = sorted(counts)
        lines = {}
        for name in systems:
            points = []
            for number in numbers:
                pairs = counts[number].get(name, {})
                if len(pairs) == max(map(len, counts[number].values())):
                    points.append((number, list(pairs.values())))
            lines[name] = points
        draw_lines(axes, lines, looks, dodge=0.04)
        axes.set(xlabel="number of talkers", xticks=numbers)
        axes.margins(x=0.08)

    panels = [
        Panel(condition, lambda axes, counts=counts: draw(axes, counts))
        for condition, counts in pooled.items()
        if len(counts) > 1
    ]
    caption = "All test sets of a condition; a system has a point where it was scored on all mixtures of that number."
    return Figure("talkers", "cpWER against the number of talkers", caption, panels, systems)


def overlap_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """cpWER against overlap, a panel for each test set."""

    def draw(axes: Axes, results: list[Result], groups: list[list[str]]) -> None:
        overlap = results[0].test_set.overlap
        middles = [float(np.mean([overlap[key] for key in group])) for group in groups]
        lines = {}
        for result in sorted(results, key=lambda result: systems.index(result.system)):
            errors = result.errors
            lines[result.system] = [
                (x, [errors[key] for key in group]) for x, group in zip(middles, groups, strict=True)
            ]
        draw_lines(axes, lines, looks, dodge=0.012 * (middles[-1] - middles[0]))
        axes.set(xlabel="overlap ratio")

    panels = [
        Panel(name, lambda axes, results=results, groups=groups: draw(axes, results, groups))
        for name, results in experiment.test_sets.items()
        if (groups := overlap_groups(results))
    ]
    caption = (
        "Mixtures sorted by overlap ratio (time with two or more talkers over time with one or more) in "
        f"{GROUPS} groups of equally many; each at its mean."
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


def draw_lines(axes: Axes, lines: dict[str, list], looks: dict[str, Look], dodge: float = 0.0) -> None:
    """Error rates with intervals, a line for each system.

    Args:
        lines: {system: [(x, [(errors, words) of each mixture]), ...]}; points without words are left out.
        dodge: Distance of systems along x where intervals are drawn, so that they stand side by side.
    """
    lines = {name: [p for p in points if sum(words for _, words in p[1])] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if points}
    rates = {name: [rate_of(pairs) for _, pairs in points] for name, points in lines.items()}
    end = upper_limit([rate for values in rates.values() for rate in values])
    outside = {name: min(values) for name, values in rates.items() if min(values) > end}
    for index, (name, points) in enumerate(lines.items()):
        look = looks[name]
        x = [value for value, _ in points]
        if len(lines) > MOST_BARS:
            size = 1.0 if name in COLOURS else 0.7
            axes.plot(x, rates[name], color=look.colour, marker=look.marker, linewidth=1.6 * size, markersize=5 * size)
            continue
        x = [value + dodge * (index - (len(lines) - 1) / 2) for value in x]
        bars = np.transpose([bars_of(tuple(pairs)) for _, pairs in points])
        axes.errorbar(x, rates[name], bars, color=look.colour, marker=look.marker, elinewidth=0.9, capsize=2)
        if name not in outside:
            end = max(end, 1.02 * max(bars[1] + rates[name]))
    axes.set(ylabel=CPWER, ylim=(0, end))
    name_outside(axes, outside)


def prompt_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """Errors of the final output against those of its prompt, a panel for each system that reads one."""

    def draw(axes: Axes, points: Counter[tuple[float, float]], name: str) -> None:
        x, y = np.array(list(points)).T
        end = upper_limit([*x, *y])
        sizes = 9 * np.sqrt(list(points.values()))
        axes.plot([0, end], [0, end], color="#999999", linewidth=1, linestyle="--")
        # as pixels: a thousand dots are the most of a page as vectors
        axes.scatter(x, y, sizes, color=looks[name].colour, alpha=0.45, linewidth=0, rasterized=True)
        below = sum(n for (a, b), n in points.items() if b < a)
        above = sum(n for (a, b), n in points.items() if b > a)
        total = sum(points.values())
        # in the corners that the diagonal leaves free
        style = {"transform": axes.transAxes, "fontsize": 8, "color": "#444444"}
        axes.text(0.02, 0.98, f"final worse: {100 * above / total:.0f} %", va="top", **style)
        axes.text(0.98, 0.03, f"final better: {100 * below / total:.0f} %", ha="right", **style)
        if outside := sum(n for pair, n in points.items() if max(pair) > end):
            axes.text(0.98, 0.12, f"{outside} outside", ha="right", **style)
        start = -0.02 * end
        axes.set(xlabel="prompt, cpWER (%)", ylabel="final output, cpWER (%)", xlim=(start, end), ylim=(start, end))

    panels = []
    lines = {}
    for name in systems:
        pairs = prompted_pairs(experiment, name)
        points = Counter((100 * prompt, 100 * (errors / words)) for prompt, (errors, words) in pairs)
        if points:
            panels.append(Panel(name, lambda axes, points=points, name=name: draw(axes, points, name)))
            lines[name] = quality_groups(pairs)

    def draw_groups(axes: Axes) -> None:
        draw_lines(axes, lines, looks)
        end = max(axes.get_xlim()[1], axes.get_ylim()[1])
        axes.plot([0, end], [0, end], color="#999999", linewidth=1, linestyle="--", zorder=0)
        axes.set(xlabel="prompt, cpWER (%)", ylabel="final output, cpWER (%)", xlim=(-0.02 * end, end), ylim=(0, end))

    if lines:
        panels.append(Panel("by quality of the prompt", draw_groups))
    caption = (
        "Every mixture of every test set, larger dots for several. Below the dashed line the LLM mends the prompt, "
        "above it spoils it. By quality: mixtures whose prompt has no error, up to 10 %, 25 %, 50 %, 100 % and more."
    )
    return Figure("prompt", "Prompt against final output", caption, panels, list(lines))


def prompted_pairs(experiment: Experiment, system: str) -> list[tuple[float, tuple[int, int]]]:
    """Error rate of the prompt, and (errors, words) of the final output, of every mixture of a system."""
    return [
        (prompt.errors / prompt.words, result.errors[key])
        for result in experiment.results
        if result.system == system
        for key, prompt in result.prompt_errors.items()
        if prompt.words
    ]


def quality_groups(pairs: list[tuple[float, tuple[int, int]]]) -> list[tuple[float, list[tuple[int, int]]]]:
    """Mixtures by error rate of the prompt: the group's mean in percent, and the final outputs; small groups go."""
    groups: dict[int, list] = {}
    for rate, final in pairs:
        groups.setdefault(bisect_left(QUALITY_EDGES, 100 * rate), []).append((rate, final))
    return [
        (100 * float(np.mean([rate for rate, _ in group])), [final for _, final in group])
        for _, group in sorted(groups.items())
        if len(group) >= SMALLEST_GROUP
    ]


def count_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """Talkers of the hypothesis against those of the reference, a table for each system."""
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
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
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
    """Real-time factors, a dot for each test set."""
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
        axes.set(xlabel="seconds per second of audio", ylim=(len(timed) - 0.5, -0.5))
        axes.set_xlim(min(values) / 1.6, max(values) * 1.6)
        axes.set_yticks(range(len(timed)), timed)

    panels = [Panel("all test sets", draw, (PANEL[0], 0.9 + 0.28 * len(timed)))] if timed else []
    caption = "Seconds of decoding per second of audio; a mark for each test set. Lower is faster."
    return Figure("speed", "Real-time factor", caption, panels)

"""The figures of scores: cpWER by system, number of talkers and overlap, prompts, talker counts, speed."""

import functools
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import LogLocator, NullFormatter

from espnet2_sop.report.experiment import Experiment, Result
from espnet2_sop.report.figures import COLOURS, PANEL, Figure, Look, Panel, name_outside, upper_limit
from espnet2_sop.scoring.bootstrap import interval
from espnet2_sop.scoring.tables.markdown import SMALLEST_GROUP
from espnet2_sop.scoring.tables.results import set_labels

CPWER = "cpWER (%)"
SHARES = LinearSegmentedColormap.from_list("shares", [(0.10, 0.42, 0.70, 0.03), (0.10, 0.42, 0.70, 1.0)])
MOST_BARS = 6  # with more systems intervals only hide each other
GROUPS = 5  # of equally many mixtures along the overlap ratio
QUALITY_EDGES = (0, 10, 25, 50, 100)  # of the prompt's cpWER in percent: without error, up to 10, ..., above 100


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


def shared_limits(experiment: Experiment, values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Ends of the axes of error rates: test sets of as many talkers have the same one.

    Args:
        experiment: Says how many talkers a test set has.
        values: {test set: what its panel shows, in percent}.

    Returns:
        {test set: end of its axis in percent}.
    """
    talkers = {name: experiment.test_sets[name][0].record["num_talkers"] for name in values}
    return {
        name: upper_limit([value for other in values if talkers[other] == talkers[name] for value in values[other]])
        for name in values
    }


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


Lines = dict[str, list[tuple[float, list[tuple[int, int]]]]]
"""{system: [(x, [(errors, words) of each mixture]), ...]}"""


def with_words(lines: Lines) -> Lines:
    """The lines without points that have no words, and without lines that have no points."""
    kept = {name: [p for p in points if sum(words for _, words in p[1])] for name, points in lines.items()}
    return {name: points for name, points in kept.items() if points}


def heights(lines: Lines) -> list[float]:
    """What an axis should hold: all rates in percent, and where intervals are drawn their upper ends."""
    lines = with_words(lines)
    rates = {name: [rate_of(pairs) for _, pairs in points] for name, points in lines.items()}
    every = [rate for values in rates.values() for rate in values]
    end = upper_limit(every)
    if len(lines) > MOST_BARS:
        return every
    inside = [name for name in lines if min(rates[name]) <= end]
    return every + [rate_of(pairs) + bars_of(tuple(pairs))[1] for name in inside for _, pairs in lines[name]]


def draw_lines(axes: Axes, lines: Lines, looks: dict[str, Look], dodge: float = 0.0, end: float | None = None) -> None:
    """Draws error rates with intervals, a line for each system.

    Args:
        axes: Where to.
        lines: What to draw; points without words are left out.
        looks: Colour and marker of every system.
        dodge: Distance of systems along x where intervals are drawn, so that they stand side by side.
        end: Upper end of the axis in percent; None: what the lines need.
    """
    lines = with_words(lines)
    rates = {name: [rate_of(pairs) for _, pairs in points] for name, points in lines.items()}
    end = end or upper_limit(heights(lines))
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
    axes.set(ylabel=CPWER, ylim=(0, end))
    name_outside(axes, {name: min(values) for name, values in rates.items() if min(values) > end})


def prompt_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """Errors of the final output against those of its prompt, a panel for each system that reads one.

    Args:
        experiment: What was scored.
        systems: Those to show.
        looks: Colour and marker of every system.

    Returns:
        The figure, without panels where no system reads a prompt. Shares of better and worse mixtures stand beside
        those of the control, which saw no prompt.
    """

    def draw(axes: Axes, pairs: Pairs, name: str, control: str | None) -> None:
        points = Counter((100 * prompt, 100 * (errors / words)) for prompt, (errors, words) in pairs)
        x, y = np.array(list(points)).T
        end = upper_limit([*x, *y])
        sizes = 9 * np.sqrt(list(points.values()))
        axes.plot([0, end], [0, end], color="#999999", linewidth=1, linestyle="--")
        # as pixels: a thousand dots as vectors would make up most of the page
        axes.scatter(x, y, sizes, color=looks[name].colour, alpha=0.45, linewidth=0, rasterized=True)
        worse, better = changes(pairs)
        beside = ["", ""]
        if control:
            beside = [f" (control: {share:.0f} %)" for share in changes(prompted_pairs(experiment, name, control))]
        # in the corners that the diagonal leaves free
        style = {"transform": axes.transAxes, "fontsize": 8, "color": "#444444"}
        axes.text(0.02, 0.98, f"final worse: {worse:.0f} %{beside[0]}", va="top", **style)
        axes.text(0.98, 0.03, f"final better: {better:.0f} %{beside[1]}", ha="right", **style)
        if outside := sum(n for pair, n in points.items() if max(pair) > end):
            axes.text(0.98, 0.12, f"{outside} outside", ha="right", **style)
        start = -0.02 * end
        axes.set(xlabel="prompt, cpWER (%)", ylabel="final output, cpWER (%)", xlim=(start, end), ylim=(start, end))

    panels = []
    lines: Lines = {}
    controls: dict[str, str] = {}  # {control: the first system that it is beside}
    for name in systems:
        if pairs := prompted_pairs(experiment, name, name):
            control = control_of(experiment, name)
            panels.append(Panel(name, lambda axes, p=pairs, n=name, c=control: draw(axes, p, n, c)))
            lines[name] = quality_groups(pairs)
            if control and controls.setdefault(control, name) == name:
                lines[control] = quality_groups(prompted_pairs(experiment, name, control))

    def draw_groups(axes: Axes) -> None:
        draw_lines(axes, lines, looks)
        end = max(axes.get_xlim()[1], axes.get_ylim()[1])
        axes.plot([0, end], [0, end], color="#999999", linewidth=1, linestyle="--", zorder=0)
        axes.set(xlabel="prompt, cpWER (%)", ylabel="final output, cpWER (%)", xlim=(-0.02 * end, end), ylim=(0, end))

    if lines:
        panels.append(Panel("by quality of the prompt", draw_groups))
    caption = (
        "Every mixture of every test set, larger dots for several. Below the dashed line the final output has fewer "
        "errors than the prompt. By quality: mixtures whose prompt has no error, up to 10, 25, 50, 100 % and more."
    )
    for control, name in controls.items():
        caption += f" The control {control} saw no prompt (here that of {name}): only what goes beyond it is mended."
    return Figure("prompt", "Prompt against final output", caption, panels, list(lines))


Pairs = list[tuple[float, tuple[int, int]]]
"""Error rate of the prompt, and (errors, words) of a text, of each mixture"""


def control_of(experiment: Experiment, system: str) -> str | None:
    """The system that wrote without the prompt of another one.

    Args:
        experiment: What was scored.
        system: The system with the prompt.

    Returns:
        The control of `espnet2-sop analyse`, otherwise `sot_continued`; None if it was not scored on the same sets.
    """
    own = [result for result in experiment.results if result.system == system and result.prompt_errors]
    named = [result.quality["control"]["system"] for result in own if result.quality.get("control")]
    control = named[0] if named else "sot_continued"
    scored = {result.test_set.name for result in experiment.results if result.system == control}
    return control if control != system and {result.test_set.name for result in own} <= scored else None


def changes(pairs: Pairs) -> tuple[float, float]:
    """Share of mixtures in percent where the text has more errors than the prompt, and where it has fewer."""
    if not pairs:
        return 0.0, 0.0
    worse = sum(errors / words > prompt for prompt, (errors, words) in pairs)
    better = sum(errors / words < prompt for prompt, (errors, words) in pairs)
    return 100 * worse / len(pairs), 100 * better / len(pairs)


def prompted_pairs(experiment: Experiment, system: str, writer: str) -> Pairs:
    """Errors of the prompts of a system beside those of a text.

    Args:
        experiment: What was scored.
        system: Whose prompts.
        writer: Whose text: the system itself, or its control.

    Returns:
        A pair for each mixture whose reference has words.
    """
    texts = {result.test_set.name: result.errors for result in experiment.results if result.system == writer}
    return [
        (prompt.errors / prompt.words, texts[result.test_set.name][key])
        for result in experiment.results
        if result.system == system and result.test_set.name in texts
        for key, prompt in result.prompt_errors.items()
        if prompt.words and key in texts[result.test_set.name]
    ]


def quality_groups(pairs: Pairs) -> list[tuple[float, list[tuple[int, int]]]]:
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

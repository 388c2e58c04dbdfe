"""Lines of error rates with their intervals, and axes that panels share."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from espnet2_sop.report.experiment import Experiment
from espnet2_sop.report.figures import COLOURS, Look, name_outside, upper_limit
from espnet2_sop.scoring.bootstrap import interval

CPWER = "cpWER (%)"
MOST_BARS = 6  # with more systems intervals only hide each other
Lines = dict[str, list[tuple[float, list[tuple[int, int]]]]]
"""{system: [(x, [(errors, words) of each mixture]), ...]}"""


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

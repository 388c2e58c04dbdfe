"""Scores of parts of a set: by number of talkers, condition, overlap, onset gap, duration and talker slot."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from espnet2_sop.scoring.bootstrap import intervals
from espnet2_sop.scoring.mixture_metadata import MixtureMetadata
from espnet2_sop.scoring.rates import ErrorCount, percent
from espnet2_sop.scoring.score import SetScore

OVERLAP = (0.2, 0.5, 1.0)  # upper ends, as in the tables of SACTC and GLAD
ONSET_GAP = (0.5, 1.0, 1.5, 2.0)  # seconds
DURATION = (3.0, 5.0, 10.0, 15.0, 20.0)  # seconds
DIMENSIONS = {
    "talkers": "number of talkers",
    "condition": "condition",
    "overlap": "overlap ratio (mixtures of two or more talkers)",
    "onset_gap": "smallest onset gap in seconds (mixtures of two or more talkers)",
    "duration": "duration in seconds",
    "slot": "talker slot: the i-th talker to start, with the errors of its partner in cpWER",
}
SURPLUS = "surplus"  # hypothesis talkers without a partner
Group = dict[Any, ErrorCount]
"""{mixture id: errors}; mixtures outside of the group are left out."""


def bin_of(value: float, ends: Sequence[float]) -> str:
    """The bin of a value; an upper end belongs to its bin.

    Args:
        value: The value.
        ends: Upper ends of the bins in rising order.

    Returns:
        The name of the bin: `<= 0.2`, `0.2 - 0.5`, `> 2`.
    """
    for low, high in zip((None, *ends), ends, strict=False):
        if value <= high:
            return f"<= {high:g}" if low is None else f"{low:g} - {high:g}"
    return f"> {ends[-1]:g}"


def bins(ends: Sequence[float]) -> list[str]:
    """All bins in order."""
    return [*(bin_of(end, ends) for end in ends), f"> {ends[-1]:g}"]


def group_rank(name: str) -> tuple[float, str]:
    """Sorts the groups of one dimension: numbers and bins by value, `surplus` last, names by name."""
    first, *_ = name.split() or [""]
    if first in ("<=", ">"):
        return (-1.0 if first == "<=" else float("inf"), name)
    try:
        return (float(first), name)
    except ValueError:
        return (float("inf"), name)


def summaries(groups: Sequence[Group], ids: Iterable[Any]) -> list[dict[str, Any]]:
    """Totals of several groups of mixtures of one set.

    Args:
        groups: Errors of the mixtures of each group.
        ids: All mixtures of the set, which are resampled together.

    Returns:
        For each group rate and 95 % interval in percent, and the counts behind them.
    """
    column = {key: number for number, key in enumerate(ids)}
    errors, words = np.zeros((2, len(groups), len(column)), dtype=int)
    for row, group in enumerate(groups):
        for key, count in group.items():
            errors[row, column[key]], words[row, column[key]] = count.errors, count.words
    rows = []
    for group, limits in zip(groups, intervals(errors, words), strict=True):
        total = sum(group.values(), ErrorCount())
        interval = limits and [percent(limit) for limit in limits]
        rows.append({"rate": percent(total.rate), "interval": interval, "errors": total.errors, **asdict(total)})
    return rows


def summary(counts: Sequence[ErrorCount]) -> dict[str, Any]:
    """Total of all mixtures: rate and 95 % interval in percent, and the counts behind them."""
    return summaries([dict(enumerate(counts))], range(len(counts)))[0]


def members(score: SetScore, metadata: dict[str, MixtureMetadata]) -> dict[str, dict[str, list[str]]]:
    """The mixtures of every group of every dimension except the slot.

    Args:
        score: What was counted.
        metadata: {mixture id: its metadata}; a mixture whose value is unknown is in no group of the dimension.

    Returns:
        {dimension: {group: mixture ids}}.
    """
    several = {key: metadata[key] for key, (talkers, _) in score.talkers.items() if talkers > 1}
    most = max(talkers for talkers, _ in score.talkers.values())
    found: dict[str, dict[str, list[str]]] = {
        "talkers": grouped([str(n) for n in range(most + 1)], score.talkers, lambda key: str(score.talkers[key][0])),
        "condition": grouped(sorted({f.condition for f in metadata.values() if f.condition}), metadata,
                             lambda key: metadata[key].condition),
    }  # fmt: skip
    for name, ends, keys in (
        ("overlap", OVERLAP, several),
        ("onset_gap", ONSET_GAP, several),
        ("duration", DURATION, metadata),
    ):
        values = {key: value for key in keys if (value := getattr(metadata[key], name)) is not None}
        found[name] = grouped(bins(ends), values, lambda key, values=values, ends=ends: bin_of(values[key], ends))
    return found


def grouped(names: Iterable[str], ids: Iterable[str], name_of: Callable[[str], str | None]) -> dict[str, list[str]]:
    """Sorts mixtures into groups.

    Args:
        names: The groups in order.
        ids: The mixtures.
        name_of: The group of a mixture.

    Returns:
        {group: mixture ids} in the order of `names`; groups without mixtures are left out.
    """
    groups: dict[str | None, list[str]] = {}
    for key in ids:
        groups.setdefault(name_of(key), []).append(key)
    return {name: groups[name] for name in names if name in groups}


def slot_groups(score: SetScore) -> dict[str, Group]:
    """The parts of cpWER of every talker slot, and of the hypothesis talkers that no reference talker is left for."""
    groups: dict[str, Group] = {}
    most = max(talkers for talkers, _ in score.talkers.values())
    for slot in range(most):
        groups[str(slot + 1)] = {key: p[slot] for key, p in score.slots.items() if slot < score.talkers[key][0]}
    surplus = {key: sum(p[score.talkers[key][0] :], ErrorCount()) for key, p in score.slots.items()}
    groups[SURPLUS] = {key: count for key, count in surplus.items() if count.errors}
    return {name: group for name, group in groups.items() if group}


def break_down(score: SetScore, metadata: dict[str, MixtureMetadata]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores of a whole set and of its parts.

    Args:
        score: What was counted.
        metadata: {mixture id: its metadata}.

    Returns:
        {metric: summary} of the set, and {dimension: {group: {"mixtures": number, metric: summary, "count_accuracy":
        percent, "right_order": percent}}}; slots have cpWER alone. Dimensions that are unknown are left out.
    """
    metrics = list(next(iter(score.counts.values())))
    parts = members(score, metadata)
    places: list[tuple[str, str, str]] = [("", "", metric) for metric in metrics]
    groups: list[Group] = [{key: count[metric] for key, count in score.counts.items()} for metric in metrics]
    result: dict[str, Any] = {name: {} for name in DIMENSIONS}
    for dimension, names in parts.items():
        for name, ids in names.items():
            result[dimension][name] = {"mixtures": len(ids)}
            places += [(dimension, name, metric) for metric in metrics]
            groups += [{key: score.counts[key][metric] for key in ids} for metric in metrics]
    for name, group in slot_groups(score).items():
        result["slot"][name] = {"mixtures": len(group)}
        places.append(("slot", name, "cpwer"))
        groups.append(group)
    whole = {}
    for (dimension, name, metric), row in zip(places, summaries(groups, score.counts), strict=True):
        (result[dimension][name] if dimension else whole)[metric] = row
    for dimension, names in parts.items():
        for name, ids in names.items():
            for share, holds in (("count_accuracy", score.right_count), ("right_order", score.in_order)):
                result[dimension][name][share] = percent(sum(map(holds, ids)) / len(ids))
    return whole, {dimension: names for dimension, names in result.items() if names}

"""How well the CTC peaks of the prompt tell when each talker starts.

The estimate of a talker's onset is the time of the first peak of the prompt talker that cpWER assigns to it, the truth
is the onset of its source in the manifest. An error is the estimate less the truth: positive is late. Recordings begin
with a little silence and a peak stands somewhere in its word, so a small positive bias is natural.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from espnet2_sop.scoring.alignment import Aligned
from espnet2_sop.scoring.bootstrap import interval
from espnet2_sop.scoring.rates import percent

TOLERANCE_MS = 200


@dataclass(frozen=True)
class OnsetErrors:
    """Onset errors of one mixture.

    Attributes:
        errors: For each reference talker the error in ms, None if the prompt has no such talker.
        extra: Prompt talkers that no reference talker is assigned to.
    """

    errors: list[float | None]
    extra: int


def onset_errors(prompt: Aligned, estimates: Sequence[float], onsets: Sequence[float]) -> OnsetErrors:
    """Compares the onsets of one mixture.

    Args:
        prompt: The prompt, aligned with the reference.
        estimates: Onset in seconds of each prompt talker.
        onsets: Onset in seconds of each reference talker.

    Returns:
        Their errors.
    """
    errors = [
        None if partner is None else 1000 * (estimates[partner] - onset)
        for partner, onset in zip(prompt.partners, onsets, strict=True)
    ]
    return OnsetErrors(errors, len(prompt.extra))


def summarize_onsets(mixtures: Sequence[OnsetErrors]) -> dict[str, Any]:
    """Totals of a set: `summary` over all talkers, "extra" talkers, and "by_slot": `summary` of each reference talker.

    Returns:
        Times in ms; counts; shares in percent.
    """
    slots = range(max((len(mixture.errors) for mixture in mixtures), default=0))
    return {
        **summary([mixture.errors for mixture in mixtures]),
        "extra": sum(mixture.extra for mixture in mixtures),
        "by_slot": {
            str(slot + 1): summary([mixture.errors[slot : slot + 1] for mixture in mixtures]) for slot in slots
        },
    }


def summary(errors: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """Statistics over the talkers of all mixtures.

    Args:
        errors: For each mixture the errors of its talkers, None for those missed.
    """
    found = [[error for error in row if error is not None] for row in errors]
    flat = np.array([error for row in found for error in row])
    talkers = sum(map(len, errors))
    record: dict[str, Any] = {"talkers": talkers, "missed": talkers - len(flat)}
    names = ("bias", "median", "mean_absolute", "median_absolute", "percentile_90", "within_200_ms")
    if not len(flat):
        return record | dict.fromkeys(names) | {"intervals": dict.fromkeys(("bias", "mean_absolute", "within_200_ms"))}
    size = np.abs(flat)
    values = (flat.mean(), np.median(flat), size.mean(), np.median(size), np.percentile(size, 90))
    record |= {name: round(float(value), 1) for name, value in zip(names, values, strict=False)}
    record["within_200_ms"] = percent(float((size <= TOLERANCE_MS).mean()))
    counts = list(map(len, found))
    bias = interval([sum(row) for row in found], counts)
    mean = interval([sum(map(abs, row)) for row in found], counts)
    within = interval([sum(abs(error) <= TOLERANCE_MS for error in row) for row in found], counts)
    record["intervals"] = {
        "bias": [round(end, 1) for end in bias],
        "mean_absolute": [round(end, 1) for end in mean],
        "within_200_ms": [percent(end) for end in within],
    }
    return record

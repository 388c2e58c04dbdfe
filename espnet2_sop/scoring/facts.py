"""What is known about every mixture of a reference beside its words: overlap, onset gap, duration, condition."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet2_sop.errors import UserError
from espnet2_sop.files import open_text, read_kaldi
from espnet2_sop.scoring.transcripts import Session


@dataclass(frozen=True)
class Facts:
    """One mixture; None is unknown.

    Attributes:
        overlap: Time with two or more active talkers over time with one or more.
        onset_gap: Seconds between the starts of two talkers, the smallest of the mixture; None for one talker.
        duration: Seconds.
        condition: Such as clean or noisy.
    """

    overlap: float | None = None
    onset_gap: float | None = None
    duration: float | None = None
    condition: str | None = None


def read_facts(ref: Path, sessions: dict[str, Session], condition: str) -> dict[str, Facts]:
    """Facts of all mixtures: from the tables of a data directory, otherwise from the times of the sessions.

    Args:
        ref: Data directory or file.
        sessions: What `read_transcripts` read from it.
        condition: Condition of the whole set; "both" is looked up for each mixture in `mixtures.jsonl`.

    Raises:
        UserError: A table is malformed.
    """
    if not ref.is_dir():
        return {key: of_times(session) for key, session in sessions.items()}
    overlaps, durations, onsets = (numbers(ref / name) for name in ("utt2overlap", "utt2dur", "onsets"))
    conditions = conditions_of(ref / "mixtures.jsonl") if condition == "both" else dict.fromkeys(sessions, condition)
    return {
        key: Facts(
            next(iter(overlaps.get(key, ())), None),
            smallest_gap(onsets.get(key, ())),
            next(iter(durations.get(key, ())), None),
            conditions.get(key),
        )
        for key in sessions
    }


def numbers(path: Path) -> dict[str, list[float]]:
    """Reads a table of numbers; {} if there is none."""
    table = read_kaldi(path) if path.is_file() else {}
    try:
        return {key: [float(value) for value in values.split()] for key, values in table.items()}
    except ValueError as error:
        raise UserError(f"{path}: {error}; prepare the directory again") from None


def conditions_of(path: Path) -> dict[str, str]:
    """{id: clean or noisy} of a mixture manifest; nothing about recordings, whose noise is in them."""
    conditions = {}
    if path.is_file():
        with open_text(path) as f:
            for number, line in enumerate(f, 1):
                try:
                    mixture = json.loads(line)
                    if mixture.get("noise") or "recording" not in mixture:
                        conditions[mixture["id"]] = "noisy" if mixture.get("noise") else "clean"
                except (ValueError, AttributeError, KeyError):
                    raise UserError(f"{path}, line {number}: not a mixture; prepare the directory again") from None
    return conditions


def smallest_gap(onsets: Sequence[float]) -> float | None:
    """Smallest difference between two onsets; None for fewer than two."""
    return min((round(b - a, 3) for a, b in itertools.pairwise(sorted(onsets))), default=None)


def of_times(session: Session) -> Facts:
    """Facts of a session whose utterances have times."""
    if not session or any(utterance.start is None for utterance in session):
        return Facts()
    onsets: dict[str, float] = {}
    for utterance in session:
        onsets.setdefault(utterance.talker, utterance.start)
    duration = max(utterance.end for utterance in session)
    return Facts(round(overlap_ratio(session), 4), smallest_gap([*onsets.values()]), round(duration, 3))


def overlap_ratio(session: Session) -> float:
    """Time with two or more active talkers over time with one or more."""
    edges = sorted((time, step, u.talker) for u in session for time, step in ((u.start, 1), (u.end, -1)))
    active: dict[str, int] = {}
    speech = overlap = last = 0.0
    for time, step, talker in edges:
        talkers = sum(count > 0 for count in active.values())
        speech += (time - last) * (talkers >= 1)
        overlap += (time - last) * (talkers >= 2)
        active[talker], last = active.get(talker, 0) + step, time
    return overlap / speech if speech else 0.0

"""What is known about every mixture of a reference beside its words: overlap, onset gap, duration, condition."""

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import open_text, read_kaldi
from espnet2_sop.io.json_shapes import is_number, misfit, parse_json
from espnet2_sop.scoring.transcripts import Session

ADVICE = "; prepare the directory again"


@dataclass(frozen=True)
class MixtureMetadata:
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


def read_metadata(ref: Path, sessions: dict[str, Session], condition: str) -> dict[str, MixtureMetadata]:
    """Metadata of all mixtures: from the tables of a data directory, otherwise from the times of the sessions.

    Args:
        ref: Data directory or file.
        sessions: What `read_transcripts` read from it.
        condition: Condition of the whole set; "both" is looked up for each mixture in `mixtures.jsonl`.

    Returns:
        {mixture id: its metadata} in the order of the sessions.

    Raises:
        UserError: A table is malformed.
    """
    if not ref.is_dir():
        return {key: of_times(session) for key, session in sessions.items()}
    overlaps, durations, onsets = (numbers(ref / name) for name in ("utt2overlap", "utt2dur", "onsets"))
    conditions = conditions_of(ref / "mixtures.jsonl") if condition == "both" else dict.fromkeys(sessions, condition)
    return {
        key: MixtureMetadata(
            next(iter(overlaps.get(key, ())), None),
            smallest_gap(onsets.get(key, ())),
            next(iter(durations.get(key, ())), None),
            conditions.get(key),
        )
        for key in sessions
    }


def numbers(path: Path) -> dict[str, list[float]]:
    """Reads a table of numbers; {} if there is none."""
    table: dict[str, list[float]] = {}
    for number, (key, values) in enumerate((read_kaldi(path) if path.is_file() else {}).items(), 1):
        with contextlib.suppress(ValueError):
            table[key] = [float(value) for value in values.split()]
        if not all(map(is_number, table.get(key, [None]))):
            raise UserError(f"{path}, line {number}: {values!r} are no numbers{ADVICE}")
    return table


def conditions_of(path: Path) -> dict[str, str]:
    """{id: clean or noisy} of a mixture manifest; nothing about recordings, whose noise is in them."""
    conditions = {}
    if path.is_file():
        with open_text(path) as f:
            for number, line in enumerate(f, 1):
                mixture = parse_json(line, f"{path}, line {number}", ADVICE)
                if misfit(mixture, {"id": str}):
                    raise UserError(f"{path}, line {number}: not a mixture{ADVICE}")
                if mixture.get("noise") or "recording" not in mixture:
                    conditions[mixture["id"]] = "noisy" if mixture.get("noise") else "clean"
    return conditions


def smallest_gap(onsets: Sequence[float]) -> float | None:
    """Smallest difference between two onsets; None for fewer than two."""
    return min((round(b - a, 3) for a, b in itertools.pairwise(sorted(onsets))), default=None)


def of_times(session: Session) -> MixtureMetadata:
    """Metadata of a session whose utterances have times."""
    if not session or any(utterance.start is None for utterance in session):
        return MixtureMetadata()
    onsets: dict[str, float] = {}
    for utterance in session:
        onsets.setdefault(utterance.talker, utterance.start)
    duration = max(utterance.end for utterance in session)
    return MixtureMetadata(round(overlap_ratio(session), 4), smallest_gap([*onsets.values()]), round(duration, 3))


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

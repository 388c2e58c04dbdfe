"""References and hypotheses of all formats: Kaldi-style `text` with serialized texts, SegLST JSON and STM."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.io.json_shapes import LARGEST, misfit, read_json
from espnet2_sop.scoring.rates import Talkers
from espnet2_sop.text.serialized import SC, normalize, split_talkers
from espnet2_sop.text.stm import stm_segments


@dataclass(frozen=True)
class Utterance:
    """What one talker says without a break.

    Attributes:
        talker: Name of the talker, unique in the session.
        words: The normalised words.
        start, end: Seconds, None where there are no times.
    """

    talker: str
    words: list[str]
    start: float | None = None
    end: float | None = None


Session = list[Utterance]
"""The utterances of one mixture or recording, in order of start where all have one, otherwise of the file."""


def of_text(text: str) -> Session:
    """Serialized text as a session: the transcript of each talker is one utterance."""
    return [Utterance(str(n), normalize(talker).split()) for n, talker in enumerate(split_talkers(text), 1)]


def words_of_talkers(session: Session) -> Talkers:
    """Words of each talker, talkers in order of their first utterance; those without words are dropped."""
    talkers: Talkers = []
    numbers: dict[str, int] = {}
    for utterance in session:
        if utterance.words and numbers.setdefault(utterance.talker, len(talkers)) == len(talkers):
            talkers.append([*utterance.words])
        elif utterance.words:
            talkers[numbers[utterance.talker]] += utterance.words
    return talkers


def shown(session: Session) -> str:
    """The words that are scored as serialized text."""
    return f" {SC} ".join(map(" ".join, words_of_talkers(session)))


def read_transcripts(path: Path) -> dict[str, Session]:
    """Reads a reference or a hypothesis: `.json` is SegLST, `.stm` is STM, other files are Kaldi-style text.

    Args:
        path: A file, or a folder with `text`.

    Returns:
        {mixture id: session} in the order of the file.

    Raises:
        UserError: With file and line (or segment): missing, broken, an id comes twice, or times are not numbers.
    """
    if path.is_dir():
        path = path / "text"
    if path.suffix not in READERS:
        return {key: of_text(text) for key, text in read_kaldi(path).items()}
    sessions: dict[str, Session] = {}
    for key, utterance in READERS[path.suffix](path):
        sessions.setdefault(key, []).append(utterance)
    for session in sessions.values():
        if all(utterance.start is not None for utterance in session):
            session.sort(key=lambda utterance: utterance.start)
    return sessions


def make(where: str, talker: Any, words: Any, start: Any, end: Any) -> Utterance:
    """Checks a segment and normalises its words.

    Args:
        where: File and line or segment, for messages.
        talker: Name of the talker.
        words: What was said.
        start, end: Seconds; None where there are no times.

    Returns:
        The utterance.

    Raises:
        UserError: The words are not the text of one talker, or the times are not 0 <= start <= end.
    """
    if not isinstance(words, str):
        raise UserError(f"{where}: words must be one string, got {words!r}")
    if SC in words:
        raise UserError(f"{where}: {SC} in the words; give each talker segments of its own, or Kaldi-style text")
    if start is None or end is None:
        return Utterance(str(talker), normalize(words).split())
    try:
        low, high = float(start), float(end)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: start and end must be seconds, got {start!r} and {end!r}") from None
    if not 0 <= low <= high <= LARGEST:
        raise UserError(f"{where}: start {start} and end {end}: needed is 0 <= start <= end")
    return Utterance(str(talker), normalize(words).split(), low, high)


def segments_of_json(path: Path) -> Iterator[tuple[str, Utterance]]:
    """The segments of a SegLST file: objects with session_id, speaker, words and, if known, start_time and end_time."""
    segments = read_json(path)
    if not isinstance(segments, list):
        raise UserError(f"{path}: expected SegLST, a JSON list of segments")
    for number, segment in enumerate(segments, 1):
        where, keys = f"{path}, segment {number}", ("session_id", "speaker", "words")
        named = {"session_id": (str, int), "speaker": (str, int), "words": object}
        if misfit(segment, named):
            raise UserError(f"{where}: a segment of SegLST is an object with {', '.join(keys)}, got {segment!r}")
        _, talker, words = (segment[key] for key in keys)
        times = segment.get("start_time"), segment.get("end_time")
        yield str(segment["session_id"]), make(where, talker, words, *times)


def segments_of_stm(path: Path) -> Iterator[tuple[str, Utterance]]:
    """The segments of an STM file: `recording channel speaker start end [<labels>] words`; `;;` starts a comment."""
    for where, _, recording, speaker, start, end, words in stm_segments(path):
        yield recording, make(where, speaker, words, start, end)


READERS = {".json": segments_of_json, ".stm": segments_of_stm}

"""Utterances as parts of recordings, as described by Kaldi, lhotse and STM files."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.json_shapes import LARGEST
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader, num_samples
from espnet2_sop.mixture.kaldi_audio import audio_exists
from espnet2_sop.mixture.simulation.pool import Utterance, level_db
from espnet2_sop.text.normalize import has_digits, librispeech_style
from espnet2_sop.text.serialized import words_of_talker

TEXT_STYLES = ("as_is", "librispeech")
SHOWN = 10  # names in a message
OVERSHOOT = 0.1  # seconds by which a rounded end may be behind the end of the recording
CACHE_BYTES = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class Span:
    """One utterance of one speaker in a recording.

    Attributes:
        id: Name of the utterance.
        path: The recording.
        speaker: Name of the speaker.
        text: What is said, may be empty.
        start: Seconds; None with `end`: the whole recording.
        end: Seconds.
        where: "file, line n", for messages.
    """

    id: str
    path: str
    speaker: str
    text: str
    start: float | None
    end: float | None
    where: str


def seconds(start: str | float, end: str | float, where: str) -> tuple[float, float]:
    """Start and end of an utterance as numbers.

    Args:
        start: Seconds.
        end: Seconds.
        where: "file, line n", for messages.

    Returns:
        Start and end in seconds.

    Raises:
        UserError: They are not numbers, or not 0 <= start < end.
    """
    try:
        low, high = float(start), float(end)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: start and end must be seconds, got {start!r} and {end!r}") from None
    if not 0 <= low < high <= LARGEST:
        raise UserError(f"{where}: start {start} and end {end}: needed is 0 <= start < end")
    return low, high


def listed(names: Sequence[str]) -> str:
    """Names for a message: all, or the first ten and the number of others."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def require_files(where: str | Path, paths: Iterable[str], hint: str) -> None:
    """Requires audio files to exist.

    Args:
        where: File that names them, for the message.
        paths: Audio files.
        hint: End of the message: what to check.

    Raises:
        UserError: Names all missing files.
    """
    if missing := [path for path in dict.fromkeys(paths) if not audio_exists(path)]:
        raise UserError(f"{where}: {len(missing)} audio file(s) are missing: {listed(missing)}; {hint}")


def style_texts(spans: Sequence[Span], style: str) -> list[Span]:
    """Brings texts into one style and leaves out spans without words.

    Args:
        spans: As read.
        style: "as_is" only reduces blanks to single spaces; "librispeech" gives upper-case words and apostrophes.

    Returns:
        The spans that have words.

    Raises:
        UserError: No span has words, `<sc>` is in a text, or a text has digits in style "librispeech".
    """
    changed = [dataclasses.replace(span, text=words_of_talker(span.text, span.where)) for span in spans]
    if style == "librispeech":
        changed = [dataclasses.replace(span, text=librispeech_style(span.text)) for span in changed]
    kept = [span for span in changed if span.text]
    if style == "librispeech" and (digits := [span for span in kept if has_digits(span.text)]):
        raise UserError(
            f"{digits[0].where}: {len(digits)} texts have digits, such as {digits[0].text!r};"
            " spell numbers out as they are spoken, or use --text_style as_is"
        )
    if not kept:
        raise UserError(f"{spans[0].where if spans else 'no utterances'}: no utterance has words")
    return kept


def sample_range(span: Span, total: int) -> tuple[int, int]:
    """Place of a span in its recording.

    Args:
        span: Utterance.
        total: Samples of the recording.

    Returns:
        First sample, and the sample behind the last.

    Raises:
        UserError: The span starts behind the end of the recording, or ends more than 0.1 s behind it.
    """
    if span.start is None or span.end is None:
        return 0, total
    start, end = round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE)
    if end > total + OVERSHOOT * SAMPLE_RATE or start >= total:
        raise UserError(
            f"{span.where}: {span.id} is from {span.start:g} to {span.end:g} s, but {span.path} has only"
            f" {total / SAMPLE_RATE:.2f} s"
        )
    return start, min(end, total)


def lengths(spans: Iterable[Span]) -> Mapping[str, int]:
    """{path: samples} of each recording, from its header."""
    return {path: num_samples(path) for path in dict.fromkeys(span.path for span in spans)}


def pool_of_spans(spans: Sequence[Span]) -> list[Utterance]:
    """Utterances to draw mixtures from.

    Returns:
        The utterances, sorted by id.

    Raises:
        UserError: A recording cannot be used, a span is silent or ends behind its recording, or an id is duplicated.
    """
    reader, total, pool = AudioReader(CACHE_BYTES), lengths(spans), {}
    for span in sorted(spans, key=lambda span: (span.path, span.start or 0)):  # one recording after the other
        if span.id in pool:
            raise UserError(f"{span.where}: id {span.id!r} came before; ids must be unique")
        start, end = sample_range(span, total[span.path])
        level = level_db(reader.read(span.path, start, end), f"{span.path} ({span.id})")
        offset = None if span.start is None else start
        pool[span.id] = Utterance(span.id, span.path, span.speaker, span.text, end - start, level, offset)
    return [pool[name] for name in sorted(pool)]

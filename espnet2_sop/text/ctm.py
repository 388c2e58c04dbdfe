"""Words with times in the CTM format of NIST and Kaldi: `<id> <channel> <start> <duration> <word> <confidence>`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, open_text
from espnet2_sop.io.json_shapes import is_number


class TimedWord(NamedTuple):
    """One word of one talker.

    Attributes:
        talker: Talker slot from 1, the channel of the CTM.
        start: Seconds from the start of the mixture.
        duration: Seconds.
        word: The word, without blanks.
        confidence: 0 to 1.
    """

    talker: int
    start: float
    duration: float
    word: str
    confidence: float

    @property
    def middle(self) -> float:
        """The middle of the word in seconds."""
        return self.start + self.duration / 2


def write_ctm(path: str | Path, rows: Iterable[tuple[str, Sequence[TimedWord]]]) -> None:
    """Writes a CTM file.

    Args:
        path: File to write.
        rows: (mixture id, words) in the order of the lines; a mixture without words has no line.
    """
    with atomic_write(path) as f:
        for key, words in rows:
            for talker, start, duration, word, confidence in words:
                f.write(f"{key} {talker} {start:.3f} {duration:.3f} {word} {confidence:.2f}\n")


def read_ctm(path: str | Path) -> dict[str, list[TimedWord]]:
    """Reads words with times.

    Returns:
        {mixture id: words in the order of the file}; mixtures without words are absent.

    Raises:
        UserError: The file is missing, or a line does not have the six fields, or a number in it is negative.
    """
    table: dict[str, list[TimedWord]] = {}
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            try:
                key, talker, start, duration, word, confidence = line.split()
                timed = TimedWord(int(talker), float(start), float(duration), word, float(confidence))
                numbers = (timed.talker, timed.start, timed.duration, timed.confidence)
                if timed.talker < 1 or not all(is_number(value) and value >= 0 for value in numbers):
                    raise ValueError
            except ValueError:
                raise UserError(
                    f"{path}, line {number}: expected `id channel start duration word confidence`, got {line.strip()!r}"
                ) from None
            table.setdefault(key, []).append(timed)
    return table

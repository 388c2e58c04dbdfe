"""Segments in the STM format of NIST: `<recording> <channel> <speaker> <start> <end> [<labels>] <words>`."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import open_text
from espnet2_sop.text.serialized import SC

RTTM = ("SPEAKER", "SPKR-INFO", "LEXEME", "NON-LEX", "SEGMENT")  # first words of the lines of an RTTM file
NOT_SCORED = "ignore_time_segment_in_scoring"


class Segment(NamedTuple):
    """One line of an STM file; times are not parsed.

    Attributes:
        where: "file, line n", for messages.
        line: Number of the line, from 1.
        recording, speaker, words: As in the file, without labels such as `<o,f0,female>`.
        start, end: Seconds as text, not checked.
    """

    where: str
    line: int
    recording: str
    speaker: str
    start: str
    end: str
    words: str


def stm_segments(path: str | Path) -> Iterator[Segment]:
    """Reads an STM file; comments (`;;`) and segments that are not to be scored are left out.

    Yields:
        The segments in the order of the file.

    Raises:
        UserError: The file is missing, an RTTM file, or has a line with too few columns.
    """
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            where, fields = f"{path}, line {number}", line.split(maxsplit=5)
            if not fields or line.startswith(";;"):
                continue
            if fields[0] in RTTM and len(line.split()) in (9, 10):
                raise UserError(
                    f"{where}: this is RTTM, which has speakers and times, but no words; give an STM file"
                    " (recording channel speaker start end words), or a Kaldi directory with segments and text"
                )
            if len(fields) < 5:
                raise UserError(f"{where}: expected 'recording channel speaker start end words', got {line.strip()!r}")
            recording, _, speaker, start, end, words = [*fields, ""][:6]
            if words.startswith("<") and not words.startswith(("<unk", SC)):
                words = words.partition(">")[2]
            if words.strip().lower() != NOT_SCORED:
                yield Segment(where, number, recording, speaker, start, end, words.strip())

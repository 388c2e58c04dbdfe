"""STM files: who said what, and when, in long recordings."""

from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import is_name, open_text
from espnet2_sop.mixture.corpora.spans import Span, listed, seconds
from espnet2_sop.mixture.simulation.pool import audio_files

RTTM = ("SPEAKER", "SPKR-INFO", "LEXEME", "NON-LEX", "SEGMENT")  # first words of the lines of an RTTM file
NOT_SCORED = "ignore_time_segment_in_scoring"


def _recordings(folder: Path) -> dict[str, str]:
    """{name: path} of the audio files below a folder, named without their extension."""
    recordings: dict[str, str] = {}
    for path in audio_files(folder):
        if path.stem in recordings:
            raise UserError(f"{path}: a second recording named {path.stem!r}, beside {recordings[path.stem]}")
        recordings[path.stem] = str(path)
    return recordings


def read_stm(path: str | Path, audio: str | Path) -> list[Span]:
    """Reads an STM file: `recording channel speaker start end [<labels>] words` a line, `;;` starts a comment.

    Segments that are marked as not to be scored are left out.

    Args:
        path: The STM file.
        audio: Folder with the recordings, each named as in the STM, with an extension.

    Raises:
        UserError: A line with too few columns or wrong times, an RTTM file, or recordings that are missing (all are
            named).
    """
    path, files, spans = Path(path), _recordings(Path(audio)), []
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
            if not is_name(fields[0]):
                raise UserError(f"{where}: recording {fields[0]!r} has characters that cannot be seen")
            start, end = seconds(fields[3], fields[4], where)
            words = fields[5] if len(fields) > 5 else ""
            if words.startswith("<") and not words.startswith("<unk"):
                words = words.partition(">")[2]
            if words.strip().lower() != NOT_SCORED:
                name = f"{fields[0]}-{number}"
                spans.append(Span(name, files.get(fields[0], fields[0]), fields[2], words, start, end, where))
    if missing := sorted({span.path for span in spans} - set(files.values())):
        raise UserError(f"{path}: {len(missing)} recording(s) are not below {audio}: {listed(missing)}")
    if not spans:
        raise UserError(f"{path}: no segments in it")
    return spans

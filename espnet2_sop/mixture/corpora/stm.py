"""STM files: segments of long recordings with speaker, times and words."""

from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import is_name
from espnet2_sop.mixture.corpora.spans import Span, listed, seconds
from espnet2_sop.mixture.simulation.pool import audio_files
from espnet2_sop.text.stm import stm_segments


def _recordings(folder: Path) -> dict[str, str]:
    """{name: path} of the audio files below a folder, named without their extension."""
    recordings: dict[str, str] = {}
    for path in audio_files(folder):
        if path.stem in recordings:
            raise UserError(f"{path}: a second recording named {path.stem!r}, beside {recordings[path.stem]}")
        recordings[path.stem] = str(path)
    return recordings


def read_stm(path: str | Path, audio: str | Path) -> list[Span]:
    """Reads an STM file with lines `recording channel speaker start end [<labels>] words`; `;;` starts a comment.

    Segments that are marked as not to be scored are left out.

    Args:
        path: The STM file.
        audio: Folder with the recordings, each named as in the STM, with an extension.

    Returns:
        One utterance for each segment, in the order of the file.

    Raises:
        UserError: A line with too few columns or wrong times, an RTTM file, or recordings missing (all are named).
    """
    path, files, spans = Path(path), _recordings(Path(audio)), []
    for where, line, recording, speaker, start, end, words in stm_segments(path):
        if not is_name(recording):
            raise UserError(f"{where}: recording {recording!r} has characters that cannot be seen")
        times = seconds(start, end, where)
        spans.append(Span(f"{recording}-{line}", files.get(recording, recording), speaker, words, *times, where))
    if missing := sorted({span.path for span in spans} - set(files.values())):
        raise UserError(f"{path}: {len(missing)} recording(s) are not below {audio}: {listed(missing)}")
    if not spans:
        raise UserError(f"{path}: no segments in it")
    return spans

"""Audio of a wav.scp that is not in a file of its own: entries of Kaldi archives, and output of commands."""

import io
import os
import re
import subprocess
from typing import TYPE_CHECKING

from espnet2_sop.io.errors import UserError

if TYPE_CHECKING:  # commands that read no audio need none of it
    import soundfile

ENTRY = re.compile(r"(.+\.ark):(\d+)")
AUDIO = (b"RIFF", b"fLaC", b"AUDIO")  # how an entry with audio starts; others are matrices, or objects that run code


class Command(str):
    """A command of a wav.scp, such as `sph2pipe -f wav a.sph |`, whose standard output is an audio file.

    Only objects of this class are run. A path in a manifest is never run, even if it looks like a command.
    """

    __slots__ = ()

    def output(self) -> bytes:
        """Runs the command and returns what it writes to standard output.

        Raises:
            UserError: The command fails or writes nothing.
        """
        done = subprocess.run(self.rstrip(" |"), shell=True, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode or not done.stdout:
            said = done.stderr.decode(errors="replace").split("\n")
            reason = next((line.strip() for line in reversed(said) if line.strip()), "no output")
            raise UserError(f"{self}: the command failed with status {done.returncode} ({reason})")
        return done.stdout


def file_of(path: str) -> str:
    """The archive of `FILE.ark:OFFSET`; any other path is returned unchanged."""
    entry = ENTRY.fullmatch(path)
    return entry[1] if entry and not os.path.exists(path) else path


def audio_exists(path: str) -> bool:
    """Whether an audio file, or the archive of `FILE.ark:OFFSET`, exists."""
    return os.path.isfile(file_of(path))


def open_entry(path: str) -> "soundfile.SoundFile":
    """Opens `FILE.ark:OFFSET`, WAV or FLAC in an archive of Kaldi or ESPnet, in memory.

    Raises:
        UserError: There is no audio at this place of the archive, or it is broken.
    """
    import kaldiio
    import soundfile

    archive, offset = ENTRY.fullmatch(path).groups()
    buffer = io.BytesIO()
    try:
        with open(archive, "rb") as f:
            f.seek(int(offset))
            start = f.read(20)
            if not start.startswith(AUDIO):
                raise ValueError("no audio at this place of the archive")
            _, riff, header = start.partition(b"RIFF")  # as it is, or behind `AUDIO` and the length of the entry
            end = int(offset) + start.find(b"RIFF") + 8 + int.from_bytes(header[:4], "little")
            if riff and end > os.fstat(f.fileno()).st_size:
                raise ValueError("the archive is cut off; copy it again")
        rate, samples = kaldiio.load_mat(path)
        kind = "PCM_16" if samples.dtype == "int16" else "FLOAT"
        soundfile.write(buffer, samples, rate, format="WAV", subtype=kind)
    except Exception as error:  # the readers of the formats have no base in common
        raise UserError(f"{path}: not a readable audio file ({error or type(error).__name__})") from None
    buffer.seek(0)
    return soundfile.SoundFile(buffer)

"""The recordings that are named on the command line: audio files and wav.scp."""

from collections.abc import Iterable
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import is_name
from espnet2_sop.mixture.corpora.kaldi import read_wav_scp


def find_recordings(inputs: Iterable[str | Path]) -> dict[str, str]:
    """Names recordings: audio files by their stems (blanks become `_`), those of an `.scp` as it says.

    Args:
        inputs: Audio files and Kaldi tables `id path` that end in `.scp`; their paths are relative to the working
            directory.

    Returns:
        {id: audio file, `FILE.ark:OFFSET` or `Command`} in the order given.

    Raises:
        UserError: Two recordings have one name, one has none that can be seen, a table is broken or has no recordings,
            or a folder is given.
    """
    found: dict[str, str] = {}
    for item in map(Path, inputs):
        if item.is_dir():
            raise UserError(f"{item}: is a folder; give audio files, or a wav.scp")
        named = read_wav_scp(item) if item.suffix == ".scp" else {"_".join(item.stem.split()): str(item)}
        for name, path in named.items():
            if name in found:
                raise UserError(f"{found[name]} and {path}: both would be named {name}; name them in a wav.scp")
            if "/" in name or name.startswith("."):
                raise UserError(f"{item}: {name} is no name for a file; take one without / and without a dot in front")
            if not is_name(name):
                raise UserError(f"{item}: {name!r} is no name that can be written; name the recording in a wav.scp")
            found[name] = path
    if not found:
        raise UserError(f"{', '.join(map(str, inputs))}: no recordings in it")
    return found

"""Mixtures stored as WAV files, for trainings that read them instead of mixing them in every epoch."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import is_name
from espnet2_sop.mixture.audio import AudioReader, write_wav
from espnet2_sop.mixture.manifest import Mixture, Recording
from espnet2_sop.mixture.parallel import run
from espnet2_sop.mixture.render import render

INDEX = ".stored"  # in the folder of the WAVs: "id digest" of each complete file


def _digest(mixture: Mixture) -> str:
    return hashlib.sha256(json.dumps(mixture.to_dict(), sort_keys=True).encode()).hexdigest()[:32]


def _stored(folder: Path) -> dict[str, str]:
    """{id: digest of the mixture} of the WAVs that are in a folder; the last line of an id counts."""
    index = folder / INDEX
    lines = index.read_text(encoding="utf-8", errors="replace").splitlines() if index.is_file() else []
    present = {path.stem for path in folder.glob("*.wav")}
    pairs = (line.rpartition(" ") for line in lines)
    return {name: digest for name, _, digest in pairs if name in present}


def _store(mixture: Mixture, folder: Path) -> str:
    write_wav(folder / f"{mixture.id}.wav", render(mixture, AudioReader()))
    return f"{mixture.id} {_digest(mixture)}\n"


def store_mixtures(mixtures: Sequence[Mixture], folder: str | Path, nj: int = 1) -> list[Mixture]:
    """Renders mixtures to `folder/ID.wav`, 16 bits.

    Called again after an interruption, it renders only files that are missing or belong to a changed mixture.

    Args:
        mixtures: Mixtures with unique ids.
        folder: Folder of the WAVs of one data directory.
        nj: Number of processes.

    Returns:
        The mixtures with their recording.

    Raises:
        UserError: A mixture cannot be rendered, or a file cannot be written or named.
    """
    folder = Path(folder)
    if outside := [mixture.id for mixture in mixtures if not is_name(mixture.id) or "/" in mixture.id]:
        raise UserError(f"{folder}: id {outside[0]!r} cannot be the name of a WAV file; rename it")
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob(".*.part"):  # of a run that was killed
        part.unlink()
    stored = _stored(folder)
    missing = [mixture for mixture in mixtures if stored.get(mixture.id) != _digest(mixture)]
    with open(folder / INDEX, "a", encoding="utf-8", buffering=1) as index:
        for line in run(functools.partial(_store, folder=folder), missing, nj, str(folder)):
            index.write(line)
    return [
        dataclasses.replace(mixture, recording=Recording(str(folder / f"{mixture.id}.wav"))) for mixture in mixtures
    ]

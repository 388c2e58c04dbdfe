"""If these fail, two trainings write into one folder, or a killed one keeps the next from going on."""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_path, atomic_write
from espnet2_sop.io.locks import locked

FORK = multiprocessing.get_context("fork")
HOLDER = """
import multiprocessing, sys, time
from espnet2_sop.io.locks import locked
with locked(sys.argv[1], "training", ""):
    if sys.argv[2] == "with a child":
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)).start()
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["alone", "with a child"])
def test_the_second_is_refused_and_a_killed_one_lets_go(tmp_path, kind):
    """Even while a process that reads data, which inherits all open files, outlives the one that was killed."""
    folder = tmp_path / "run"
    argv = [sys.executable, "-c", HOLDER, str(folder), kind]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as holder:
        try:
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(UserError) as refused, locked(folder, "training", "give another --output_dir"):
                pass
            told = str(refused.value)
            assert told.startswith(f"{folder}: training of process {holder.pid} on {socket.gethostname()}, since ")
            assert (
                told.endswith("wait until it has ended, or end it, or give another --output_dir") and "\n" not in told
            )
            os.kill(holder.pid, signal.SIGKILL)
            os.waitpid(holder.pid, 0)
            with locked(folder, "training", ""):
                assert (folder / ".lock").read_text().startswith(f"training of process {os.getpid()} on ")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(holder.pid, signal.SIGKILL)
    with locked(folder, "decoding", ""):
        assert (folder / ".lock").read_text().count("\n") == 1


def hold(folder, seconds, log):
    with locked(folder, "caching", "", wait=True):
        for word, wait in (("in", seconds), ("out", 0)):
            with open(log, "a") as f:
                f.write(f"{word}\n")
            time.sleep(wait)


def test_those_who_may_wait_take_turns(tmp_path):
    """Trainings side by side that share a cache start to fill it together."""
    both = [FORK.Process(target=hold, args=(tmp_path / "cache", 0.2, tmp_path / "log")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert (tmp_path / "log").read_text().split() == ["in", "out", "in", "out"]


def test_a_waiting_one_says_for_whom(tmp_path, capfd):
    with locked(tmp_path / "cache", "caching", ""):
        waits = FORK.Process(target=hold, args=(tmp_path / "cache", 0, tmp_path / "log"))
        waits.start()
        deadline = time.monotonic() + 30
        while not (said := capfd.readouterr().err) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said.startswith(f"{tmp_path / 'cache'}: waiting for caching of process {os.getpid()} on ")
        assert waits.is_alive()
    waits.join()
    assert (tmp_path / "log").read_text().split() == ["in", "out"]


def write(path, text, times):
    for _ in range(times):
        with atomic_write(path) as f:
            for word in text:
                f.write(word * 1000)
                f.flush()


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    """Both use the same temporary name."""
    path = tmp_path / "file"
    writers = [FORK.Process(target=write, args=(path, text, 60)) for text in ("aaaa", "bbbb", "cccc")]
    for process in writers:
        process.start()
    seen = set()
    while any(process.is_alive() for process in writers):
        if path.exists():
            seen.add(path.read_text())
    assert all(process.exitcode == 0 for process in writers)
    assert seen <= {letter * 4000 for letter in "abc"} and seen
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_writer_has_left_is_written_over(tmp_path):
    (tmp_path / ".file.part").write_text("half")
    with atomic_path(tmp_path / "file") as part:
        part.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole" and [p.name for p in tmp_path.iterdir()] == ["file"]

"""Runs commands in processes that can be killed at any moment, or right before they change a file.

Each command runs in a fork of this process, which has imported everything: so a kill hits its work, not its start.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
POLL = 0.002  # seconds


def warm_up() -> None:
    """Imports what the commands need; a fork then starts at once."""
    import matplotlib.pyplot  # noqa: F401
    import torch

    import espnet2_sop.decoding.decoder
    import espnet2_sop.mixture.prepare
    import espnet2_sop.report.page
    import espnet2_sop.scoring.record
    import espnet2_sop.scoring.tables.results
    import espnet2_sop.training.espnet_sot
    import espnet2_sop.training.frame_cache.fill
    import espnet2_sop.training.task  # noqa: F401

    torch.set_num_threads(1)


class Victim:
    """One command in a process group of its own.

    Args:
        argv: Arguments of `espnet2-sop`.
        work: Working directory; changes of files below it are counted.
        log: File that its output is added to.
        last_change: It kills itself and its children right before so many changes (from 1); None: never.
    """

    def __init__(self, argv: list[str], work: Path, log: Path, last_change: int | None = None):
        self.start = time.monotonic()
        self.counts, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.counts)
            _live(argv, work, log, last_change, write)
        os.close(write)

    def wait(self, seconds: float | None = None) -> int | None:
        """Waits until the command has ended, killing it and its children after so many seconds.

        Returns:
            Its exit status; None if it was killed.
        """
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if seconds is not None and time.monotonic() - self.start >= seconds:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                _, status = os.waitpid(self.pid, 0)
                break
            time.sleep(POLL)
        self.seconds = time.monotonic() - self.start
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # children that outlive it
        with open(self.counts, "rb") as pipe:
            said = pipe.read()
        self.changes = int(said) if said else None
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return None
        return os.waitstatus_to_exitcode(status)


def _live(argv: list[str], work: Path, log: Path, last_change: int | None, write: int) -> None:
    """What the forked process does; never returns."""
    status = 70
    try:
        os.setsid()
        os.chdir(work)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        print("$", *argv)
        changes = Changes(work, last_change)
        sys.addaudithook(changes)
        from espnet2_sop.bin import cli

        status = cli.run(argv[0], argv[1:])
        os.write(write, str(changes.seen).encode())
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


class Changes:
    """Audit hook: counts what this process does to the files of a folder, and ends it before one of the changes."""

    def __init__(self, work: Path, last: int | None):
        self.work = str(work)
        self.last = last
        self.seen = 0
        self.pid = os.getpid()

    def __call__(self, event: str, args: tuple) -> None:
        if event == "open":
            if not isinstance(args[2], int) or not args[2] & WRITING:
                return
        elif event not in CHANGES:
            return
        if isinstance(args[0], int) or os.getpid() != self.pid:
            return
        path = os.fsdecode(args[0])
        if path.startswith("/") and not path.startswith(self.work):
            return
        self.seen += 1
        if self.seen == self.last:
            os.killpg(0, signal.SIGKILL)

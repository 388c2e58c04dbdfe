"""One process at a time: locks that the kernel takes back when their holder ends, however it ends."""

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from espnet2_sop.io.errors import UserError

NAME = ".lock"
UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # file systems without locks


def _acquire(lock: FileLock, wait: bool) -> bool:
    """Takes a lock; False if another process has it. Where the file system has no locks, nothing is locked."""
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
    return True


@contextlib.contextmanager
def locked(folder: str | Path, doing: str, other: str, wait: bool = False) -> Iterator[None]:
    """Lets one process at a time work in a folder, across the machines that share it (`flock`).

    Network file systems must pass locks on (NFS does since Linux 2.6.12, unless it is mounted with `nolock` or
    `local_lock`); where there are none, nothing is locked.

    Args:
        folder: Made if it is missing. Its `.lock` names the process that works in it, and stays.
        doing: What the holder does, such as `training`.
        other: Advice for the message, such as `give another --out`.
        wait: Wait for the holder, and say so, instead of refusing.

    Yields:
        Nothing; the lock is held in the block.

    Raises:
        UserError: Another process works in the folder.
    """
    path = Path(folder) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)
    try:
        if not _acquire(lock, wait=False):
            holder = path.read_text(errors="replace")[:500].strip() or "another process"
            if not wait:
                raise UserError(f"{folder}: {holder} works here; wait until it has ended, or end it, or {other}")
            print(f"{folder}: waiting for {holder}", file=sys.stderr, flush=True)
            _acquire(lock, wait=True)
        with contextlib.suppress(OSError):  # a full disk is no reason not to begin
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            path.write_text(f"{doing} of process {os.getpid()} on {socket.gethostname()}, since {since}\n")
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def claimed(part: Path) -> Iterator[None]:
    """Reserves the name of a temporary file for this process; waits while another process writes it.

    A file left by a process that was killed is taken over.
    """
    while True:
        handles: list[int] = []
        lock = FileLock(part, fallback_to_soft=False, on_acquired=handles.append)
        try:
            _acquire(lock, wait=True)
            if not handles or _is_at(handles[0], part):  # else the other has finished: its file has another name now
                yield
                return
        finally:
            lock.release()


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one that has this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False

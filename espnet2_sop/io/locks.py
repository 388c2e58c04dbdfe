"""One process at a time: locks that the kernel takes back when their holder ends, however it ends."""

import contextlib
import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from espnet2_sop.io.errors import UserError

NAME = ".lock"
UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # file systems without locks

_held: set[int] = set()


def _forget() -> None:
    """A forked child, such as a process that reads data, must not keep the lock of a parent that was killed."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)


def _flock(handle: int, wait: bool) -> bool:
    """Locks an open file; False if another has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
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
        folder: Is made if it is missing; its `.lock` says who works in it, and stays.
        doing: What the holder does, such as `training`.
        other: What to do instead of it, for the message.
        wait: Wait for the holder, and say so, instead of refusing.

    Raises:
        UserError: Another process works in the folder.
    """
    path = Path(folder) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held.add(handle)
    try:
        if not _flock(handle, wait=False):
            holder = os.pread(handle, 500, 0).decode(errors="replace").strip() or "another process"
            if not wait:
                raise UserError(f"{folder}: {holder} works here; wait until it has ended, or end it, or {other}")
            print(f"{folder}: waiting for {holder}", file=sys.stderr, flush=True)
            _flock(handle, wait=True)
        with contextlib.suppress(OSError):  # a full disk is no reason not to begin
            os.ftruncate(handle, 0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            holder = f"{doing} of process {os.getpid()} on {socket.gethostname()}, since {since}\n"
            os.pwrite(handle, holder.encode(), 0)
        yield
    finally:
        if handle in _held:  # not in a forked child
            _held.discard(handle)
            os.close(handle)


@contextlib.contextmanager
def claimed(part: Path) -> Iterator[None]:
    """Makes a temporary file for this process alone; waits while another writes it, takes over what a dead one left."""
    while True:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _held.add(handle)
        _flock(handle, wait=True)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(part)):
                break
        _held.discard(handle)  # the other has finished it, and it has another name now
        os.close(handle)
    try:
        yield
    finally:
        if handle in _held:
            _held.discard(handle)
            os.close(handle)

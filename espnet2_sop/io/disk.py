"""Errors of a disk that is full, broken or not to be written to, as one line with advice."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from espnet2_sop.io.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_WRITING = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
# torch and soundfile do not say why they cannot write, safetensors says it in words
OF_TORCH = re.compile(r"PytorchStreamWriter|inline_container|File .* cannot be opened")
OF_SOUNDFILE = re.compile(r"^(Error opening .*: )?System error\.?$")
OF_RUST = re.compile(r"\(os error (\d+)\)")


def reason(error: BaseException) -> str | None:
    """Why something cannot be written, in words, and what to do; None if the error has another cause."""
    if isinstance(error, OSError):
        code = error.errno
    elif found := OF_RUST.search(str(error)):
        code = int(found[1])
    elif OF_TORCH.search(str(error)) or OF_SOUNDFILE.search(str(error)):
        return "is the disk full, or the folder read-only?"
    else:
        return None
    if code not in NO_WRITING:
        return None
    then = "; make room, then the same command goes on" if code in FULL else ""
    return os.strerror(code) + then


@contextlib.contextmanager
def written_to(path: str | Path, part: str | Path | None = None) -> Iterator[None]:
    """Turns a refused write in the block into a UserError that names `path`.

    Args:
        path: File or folder that the user knows.
        part: Temporary name of it; `path` is named instead.

    Yields:
        Nothing.

    Raises:
        UserError: The disk is full or broken, or the folder cannot be written to.
    """
    try:
        yield
    except Exception as error:
        name = getattr(error, "filename", None)
        if (name is None or str(name) == str(part)) and (why := reason(error)):
            raise UserError(f"{path}: cannot be written ({why})") from error
        raise


def one_line(error: OSError) -> str | None:
    """An error of the operating system about a file, in one line; None if it names no file."""
    if error.filename is None and error.errno not in FULL:
        return None
    name = error.filename if error.filename is not None else "output"
    why = "is no folder" if isinstance(error, FileExistsError | NotADirectoryError) else reason(error) or error.strerror
    return f"{name}: {why}"


def sync(path: str | Path) -> None:
    """Waits until a file is on the disk; some file systems say only now that they are full."""
    with open(Path(path), "rb+") as f:
        os.fsync(f.fileno())

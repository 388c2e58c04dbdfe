"""Errors of a full memory, or of a process that the kernel killed for it, as one line with advice."""

import argparse
import contextlib
import re
import traceback
from collections.abc import Iterator

from espnet2_sop.io.errors import UserError

FULL = re.compile(r"\bOutOfMemoryError\b|out of memory|not enough memory|can't allocate memory|\bMemoryError\b")

# what torch says of a process that reads data and was killed
KILLED = re.compile(r"DataLoader worker \(pid[^)]*\) (?:is killed by signal: (\w[\w ]*)|exited unexpectedly)")


def advice(error: BaseException, args: argparse.Namespace) -> UserError | None:
    """Advice for an error in training.

    Args:
        error: May have the traceback of a spawned process in its text.
        args: Options of the training.

    Returns:
        The error to raise instead; None if memory is not the cause.
    """
    told = text_of(error)
    if killed := KILLED.search(told):
        by = f" by signal {killed[1]}" if killed[1] else ""
        room = "; or raise the limit of shared memory (/dev/shm)" if "out of shared memory" in told else ""
        return UserError(
            f"a process that reads data was killed{by}, often for want of memory: lower num_workers (now "
            f"{args.num_workers}) or batch_bins (now {args.batch_bins}){room}; the same command goes on"
        )
    if not FULL.search(told):
        return None
    if "validate_one_epoch" in told:
        return UserError(f"out of memory in validation: lower valid_batch_bins (now {args.valid_batch_bins})")
    if "fill_one" in told:
        now = args.valid_batch_bins or args.batch_bins
        return UserError(f"out of memory: lower valid_batch_bins (now {now})")
    ways = [
        f"lower batch_bins (now {args.batch_bins}) and raise accum_grad (now {args.accum_grad}) by the same factor: "
        "the updates stay as they are"
    ]
    parts = ("encoder", "llm") if hasattr(args, "llm_conf") else ()
    off = [f"{name}_conf.gradient_checkpointing" for name in parts
           if not getattr(args, f"{name}_conf").get("gradient_checkpointing")]  # fmt: skip
    if off:
        ways.append(f"set {' and '.join(off)} to true")
    return UserError(f"out of memory: {'; or '.join(ways)}")


def text_of(error: BaseException) -> str:
    """The traceback of an error and of its causes."""
    return "".join(traceback.format_exception(error))


@contextlib.contextmanager
def within_memory(*limits: str) -> Iterator[None]:
    """Turns an error of a full memory in recognition into advice to lower one of these limits.

    Raises:
        UserError: The memory is full.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or FULL.search(text_of(error)):
            raise UserError(f"out of memory: give a smaller {', '.join(limits[:-1])} or {limits[-1]}") from None
        raise


@contextlib.contextmanager
def in_one_line(args: argparse.Namespace) -> Iterator[None]:
    """Turns an error of a full memory in training into a UserError with advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError, as is that of the CPU
        if told := advice(error, args):
            raise told from None
        raise

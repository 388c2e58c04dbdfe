"""The same work on many things in several processes."""

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm

from espnet2_sop.io.errors import UserError

CHUNK = 8  # things a process gets at once


def _prepare_process() -> None:
    """An interruption is for the first process to handle; when that one is killed, this one ends as well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def run[Item, Result](work: Callable[[Item], Result], items: Sequence[Item], nj: int, title: str) -> Iterator[Result]:
    """Does `work` on each item, with a progress bar.

    Args:
        work: A function of a module (it has to be pickled if nj > 1).
        items: What to work on.
        nj: Number of processes; 1 works in this one.
        title: Name of the progress bar.

    Yields:
        The results in the order of the items.

    Raises:
        UserError: From `work`, or a process was killed.
    """
    bar = functools.partial(tqdm, total=len(items), desc=title, unit="file", mininterval=1.0, disable=not items)
    if nj <= 1 or len(items) <= CHUNK:
        yield from bar(map(work, items))
        return
    pool = ProcessPoolExecutor(nj, multiprocessing.get_context("spawn"), _prepare_process)
    try:
        yield from bar(pool.map(work, items, chunksize=CHUNK))
    except BrokenProcessPool:
        raise UserError(f"{title}: a process was killed, perhaps for want of memory; use a smaller --nj") from None
    finally:
        pool.shutdown(cancel_futures=True)

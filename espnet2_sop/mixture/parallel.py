"""A function applied to many items in several processes."""

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

CHUNK = 8  # items that a process gets at once


def _prepare_process() -> None:
    """Ctrl-C is handled by the parent process; when the parent is killed, this process ends as well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def run[Item, Result](work: Callable[[Item], Result], items: Sequence[Item], nj: int, title: str) -> Iterator[Result]:
    """Applies a function to each item, with a progress bar.

    Args:
        work: Function of one item; defined in a module, because it is pickled if nj > 1.
        items: Items in order.
        nj: Number of processes; 1 uses the present one.
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

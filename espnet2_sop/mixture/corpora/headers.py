"""Lengths of many audio files."""

import contextlib
import csv
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from espnet2_sop.io.files import atomic_write
from espnet2_sop.mixture.audio import num_samples

THREADS = 16  # on network folders most of the time is waiting
CHUNK = 256  # files a thread reads at once


def _known(cache: Path) -> dict[tuple[str, int, int], int]:
    """{(path, bytes, time of change in ns): samples}; broken lines are ignored."""
    table = {}
    if cache.is_file():
        with (
            open(cache, encoding="utf-8", errors="surrogateescape", newline="") as f,
            contextlib.suppress(csv.Error),
        ):
            for row in csv.reader(f, delimiter="\t"):
                if len(row) == 4 and all(number.isdecimal() and len(number) < 20 for number in row[1:]):
                    table[row[0], int(row[1]), int(row[2])] = int(row[3])
    return table


def _read(paths: Sequence[str]) -> list[int]:
    return [num_samples(path) for path in paths]


def read_lengths(paths: Iterable[str], cache: str | Path | None = None) -> dict[str, int]:
    """Samples in each of many mono 16 kHz files, from their headers.

    Args:
        paths: Audio files.
        cache: File that keeps lengths by path, size and time of change, so that headers are read only once.

    Returns:
        {path: samples}.

    Raises:
        UserError: A file cannot be used.
    """
    paths = list(dict.fromkeys(paths))
    if cache is None:
        return dict(zip(paths, _threads(paths), strict=True))
    cache, keys = Path(cache), {}
    for path in paths:
        status = os.stat(path)
        keys[path] = (os.path.abspath(path), status.st_size, status.st_mtime_ns)
    known = _known(cache)
    new = [path for path in paths if keys[path] not in known]
    if new:
        known |= {keys[path]: length for path, length in zip(new, _threads(new), strict=True)}
        with atomic_write(cache) as f:
            csv.writer(f, delimiter="\t", lineterminator="\n").writerows((*key, n) for key, n in known.items())
    return {path: known[keys[path]] for path in paths}


def _threads(paths: Sequence[str]) -> list[int]:
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    pool = ThreadPoolExecutor(THREADS)
    try:
        return [length for lengths in pool.map(_read, chunks) for length in lengths]
    finally:
        pool.shutdown(cancel_futures=True)

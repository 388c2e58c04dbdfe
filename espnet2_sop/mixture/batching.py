"""Batches of recordings that are recognised together."""

import math
from collections.abc import Iterator

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE


def check_batch_limits(batch_size: int, batch_seconds: float) -> None:
    """Refuses limits below 1 or not finite.

    Args:
        batch_size: Most recordings in a batch.
        batch_seconds: Most seconds of audio in a batch, padding included.

    Raises:
        UserError: Names the limit.
    """
    for name, value in (("batch_size", batch_size), ("batch_seconds", batch_seconds)):
        if not (value >= 1 and value * SAMPLE_RATE < math.inf):
            raise UserError(f"{name}: {value} is no limit of a batch; give a finite number, at least 1")


def sorted_batches[K](lengths: dict[K, int], samples: int, size: int) -> Iterator[list[K]]:
    """Cuts ids into batches.

    Args:
        lengths: {id: samples}, in order of length.
        samples: Most samples in a batch, padding included.
        size: Most ids in a batch.

    Yields:
        Ids of one batch. One that is longer than `samples` is a batch of its own.
    """
    batch: list[K] = []
    for name, length in lengths.items():
        if batch and (len(batch) == size or length * (len(batch) + 1) > samples):
            yield batch
            batch = []
        batch.append(name)
    if batch:
        yield batch

"""Batches of recordings that are recognised together."""

from collections.abc import Iterator


def sorted_batches[K](lengths: dict[K, int], samples: int, size: int) -> Iterator[list[K]]:
    """Cuts ids, sorted by length, into batches of at most `size` mixtures and `samples` samples with padding."""
    batch: list[K] = []
    for name, length in lengths.items():
        if batch and (len(batch) == size or length * (len(batch) + 1) > samples):
            yield batch
            batch = []
        batch.append(name)
    if batch:
        yield batch

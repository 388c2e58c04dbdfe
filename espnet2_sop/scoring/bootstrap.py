"""Bootstrap over mixtures: mixtures are drawn with replacement, rates are total errors over total words."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
SEED = 0
TAILS = (2.5, 97.5)  # percentiles of a 95 % interval


@dataclass(frozen=True)
class Difference:
    """Rate of A minus rate of B on the same mixtures (negative: A is better), as fractions."""

    value: float
    low: float
    high: float
    p: float


def resample(counts: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Totals of bootstrap samples.

    Args:
        counts: (K, N) counts, one column per mixture.
        resamples: Number of samples R, each of N mixtures.
        seed: Of the random numbers.

    Returns:
        (R, K) sums over the mixtures of each sample.
    """
    times = draw(counts.shape[1], resamples, seed)
    columns = counts.T.astype(float)  # exact up to 2^53, and BLAS adds it up
    return np.concatenate([block.astype(float) @ columns for block in np.array_split(times, 1 + times.size // 2**20)])


@functools.lru_cache(maxsize=4)  # test sets of one experiment often have the same size
def draw(size: int, resamples: int, seed: int) -> np.ndarray:
    """Draws mixtures with replacement.

    Args:
        size: Number of mixtures N.
        resamples: Number of samples R.
        seed: Of the random numbers.

    Returns:
        (R, N) how often each mixture is in each sample.
    """
    rng = np.random.default_rng(seed)
    drawn = (np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(resamples))
    return np.stack([times.astype(np.uint16) for times in drawn])


def intervals(
    errors: np.ndarray, words: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED
) -> list[tuple[float, float] | None]:
    """95 % percentile intervals of several rates, each total errors over total words, from the same samples.

    Args:
        errors, words: (K, N) counts of each rate and mixture; a mixture outside the group of a rate has zeros.
        resamples: Number of bootstrap samples.
        seed: Of the random numbers.

    Returns:
        (low, high) as fractions for each rate; None where there are no words. Samples without words are left out.
    """
    totals = resample(np.concatenate([errors, words]), resamples, seed)
    found: list[tuple[float, float] | None] = []
    for error, word in zip(*np.split(totals.T, 2), strict=True):
        rates = error[word > 0] / word[word > 0]
        found.append(tuple(np.percentile(rates, TAILS).tolist()) if len(rates) else None)
    return found


def interval(
    errors: Sequence[float], words: Sequence[int], resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float] | None:
    """The interval of one rate, see `intervals`.

    Args:
        errors, words: (N,) counts per mixture.
        resamples: Number of bootstrap samples.
        seed: Of the random numbers.

    Returns:
        (low, high) as fractions; None where there are no words.
    """
    if not sum(words):
        return None
    return intervals(np.array([errors]), np.array([words]), resamples, seed)[0]


def paired_difference(
    errors_a: Sequence[int],
    errors_b: Sequence[int],
    words: Sequence[int],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Difference | None:
    """Rate of A minus rate of B, both on the same resampled mixtures.

    Args:
        errors_a, errors_b, words: (N,) counts per mixture, in the same order.
        resamples: Number of bootstrap samples.
        seed: Of the random numbers.

    Returns:
        The difference with its 95 % interval and the two-sided p (twice the smaller share of samples on one side of
        zero, never below 2 / (resamples + 1)); None where there are no words.
    """
    if not sum(words):
        return None
    totals = resample(np.array([errors_a, errors_b, words]), resamples, seed)
    totals = totals[totals[:, 2] > 0]
    samples = (totals[:, 0] - totals[:, 1]) / totals[:, 2]
    low, high = np.percentile(samples, TAILS)
    one_side = min((samples <= 0).sum(), (samples >= 0).sum())
    value = (sum(errors_a) - sum(errors_b)) / sum(words)
    return Difference(value, float(low), float(high), min(1.0, 2 * float(one_side + 1) / (len(samples) + 1)))

"""Bootstrap over mixtures: mixtures are drawn with replacement, rates are total errors over total words."""

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

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """In percent, with a star where zero is excluded: `-2.10 [-3.05, -1.20] *`."""
        value, low, high = (format(100 * rate, "+.2f") for rate in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]" + " *" * self.excludes_zero


def resample(counts: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Totals of bootstrap samples.

    Args:
        counts: (K, N) counts, one column per mixture.
        resamples: Number of samples R, each of N mixtures.

    Returns:
        (R, K) sums over the mixtures of each sample.
    """
    rng = np.random.default_rng(seed)
    size = counts.shape[1]
    samples = (counts.take(rng.integers(size, size=size), axis=1) for _ in range(resamples))
    return np.stack([sample.sum(axis=1) for sample in samples])


def interval(
    errors: Sequence[int], words: Sequence[int], resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float] | None:
    """95 % percentile interval of total errors over total words.

    Args:
        errors, words: (N,) counts per mixture.

    Returns:
        (low, high) as fractions; None where no sample has words. Samples without words are left out.
    """
    if not sum(words):
        return None
    totals = resample(np.array([errors, words]), resamples, seed)
    totals = totals[totals[:, 1] > 0]
    low, high = np.percentile(totals[:, 0] / totals[:, 1], TAILS)
    return float(low), float(high)


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

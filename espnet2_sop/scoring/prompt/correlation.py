"""Correlation of two series, one value of each per mixture."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from espnet2_sop.scoring.bootstrap import RESAMPLES, SEED, TAILS


def pearson(pairs: np.ndarray) -> float | None:
    """Pearson's correlation of the rows of (2, N); None where one of them is constant."""
    if not pairs.size or (pairs == pairs[:, :1]).all(axis=1).any():
        return None
    centred = pairs - pairs.mean(axis=1, keepdims=True)
    x, y = centred / np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return float(x @ y)


def spearman(pairs: np.ndarray) -> float | None:
    """Spearman's rank correlation of the rows of (2, N); equal values share the mean of their ranks."""
    return pearson(np.stack([mean_ranks(row) for row in pairs]))


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 of (N,) values; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def bootstrap_interval(
    pairs: np.ndarray, correlation: Callable[[np.ndarray], float | None], resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float] | None:
    """95 % percentile interval of a correlation; mixtures are drawn with replacement, as for rates.

    Args:
        pairs: (2, N), one column per mixture.
        correlation: From (2, N) to a number, or None where it is not defined; such samples are left out.
        resamples: Number of bootstrap samples.
        seed: Of the random numbers.

    Returns:
        (low, high); None where no sample has the correlation.
    """
    rng = np.random.default_rng(seed)
    size = pairs.shape[1]
    draws = (correlation(pairs.take(rng.integers(size, size=size), axis=1)) for _ in range(resamples if size else 0))
    known = [draw for draw in draws if draw is not None]
    if not known:
        return None
    low, high = np.percentile(known, TAILS)
    return float(low), float(high)


CORRELATIONS: dict[str, Callable[[np.ndarray], float | None]] = {"pearson": pearson, "spearman": spearman}


def correlations(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """Both correlations of two series.

    Args:
        x, y: (N,) values, one of each per mixture.

    Returns:
        {"mixtures": N, "pearson": {"value", "interval"}, "spearman": {"value", "interval"}}, with 95 % bootstrap
        intervals; None where a series is constant.
    """
    pairs = np.array([x, y], dtype=float)
    record: dict[str, Any] = {"mixtures": pairs.shape[1]}
    for name, correlation in CORRELATIONS.items():
        value, limits = correlation(pairs), None
        if value is not None:
            limits = bootstrap_interval(pairs, correlation)
        record[name] = {
            "value": None if value is None else round(value, 3),
            "interval": limits and [round(limit, 3) for limit in limits],
        }
    return record

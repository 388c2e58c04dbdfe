import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.scoring.prompt.correlation import bootstrap_interval, correlations, mean_ranks, pearson, spearman

VALUES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=30)


@given(VALUES)
def test_against_scipy(rows):
    """Many ties, as error rates of short mixtures have them."""
    pairs = np.array(rows, dtype=float).T / 7
    if any(len(set(row)) == 1 for row in pairs.tolist()):
        assert pearson(pairs) is None and spearman(pairs) is None
    else:
        assert pearson(pairs) == pytest.approx(scipy.stats.pearsonr(*pairs).statistic, abs=1e-9)
        assert spearman(pairs) == pytest.approx(scipy.stats.spearmanr(*pairs).statistic, abs=1e-9)
    assert mean_ranks(pairs[0]) == pytest.approx(scipy.stats.rankdata(pairs[0]))


def test_interval_against_a_slow_loop():
    rng = np.random.default_rng(5)
    x = rng.normal(size=40)
    pairs = np.stack([x, x + rng.normal(size=40)])
    draws, rng = [], np.random.default_rng(0)
    for _ in range(200):
        chosen = rng.integers(40, size=40)
        draws.append(np.corrcoef([pairs[0, i] for i in chosen], [pairs[1, i] for i in chosen])[0, 1])
    expected = np.percentile(draws, [2.5, 97.5])
    assert bootstrap_interval(pairs, pearson, resamples=200) == pytest.approx(tuple(expected))


def test_record():
    record = correlations([0, 0.1, 0.5, 0.2, 0.9], [0.1, 0.1, 0.4, 0.3, 0.8])
    assert record["mixtures"] == 5
    for name in ("pearson", "spearman"):
        low, high = record[name]["interval"]
        assert low <= record[name]["value"] <= high <= 1
    for x, y in (([], []), ([0.1], [0.2]), ([0, 0, 0], [1, 2, 3])):  # nothing, one mixture, perfect prompts
        assert correlations(x, y)["pearson"] == {"value": None, "interval": None}

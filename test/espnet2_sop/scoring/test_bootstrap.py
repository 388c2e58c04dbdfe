"""If these fail, differences are called real that are not, or the other way round."""

import numpy as np
import pytest

from espnet2_sop.scoring.bootstrap import SEED, interval, intervals, paired_difference

RNG = np.random.default_rng(1)
WORDS = RNG.integers(0, 30, 60).tolist()
ERRORS = [int(RNG.integers(0, words + 1)) for words in WORDS]


def drawn(resamples: int):
    """The mixtures of every sample, as lists."""
    rng = np.random.default_rng(SEED)
    return [rng.integers(len(WORDS), size=len(WORDS)).tolist() for _ in range(resamples)]


def test_interval_against_a_loop():
    rates = [sum(ERRORS[i] for i in sample) / sum(WORDS[i] for i in sample) for sample in drawn(300)]
    assert interval(ERRORS, WORDS, resamples=300) == pytest.approx(tuple(np.percentile(rates, [2.5, 97.5])))


def test_interval_holds_the_rate_and_is_repeatable():
    low, high = interval(ERRORS, WORDS)
    assert low < sum(ERRORS) / sum(WORDS) < high
    assert interval(ERRORS, WORDS) == (low, high)


def test_several_rates_have_the_intervals_that_each_has_alone():
    """A group has zeros elsewhere; all groups of a set are resampled together."""
    half = [(errors, words) if i % 2 else (0, 0) for i, (errors, words) in enumerate(zip(ERRORS, WORDS, strict=True))]
    nothing = [0] * len(WORDS)
    errors, words = ([*map(list, zip(*half, strict=True))][side] for side in (0, 1))
    both = intervals(np.array([ERRORS, errors, nothing]), np.array([WORDS, words, nothing]))
    assert both == [interval(ERRORS, WORDS), interval(errors, words), None]
    rates = [sum(errors[i] for i in s) / sum(words[i] for i in s) for s in drawn(300)]
    assert interval(errors, words, resamples=300) == pytest.approx(tuple(np.percentile(rates, [2.5, 97.5])))


def test_large_sets_are_cut_into_blocks():
    words = [7] * 3000
    errors = RNG.binomial(7, 0.2, 3000).tolist()
    rng = np.random.default_rng(SEED)
    rates = [np.take(errors, rng.integers(3000, size=3000)).sum() / 21000 for _ in range(2000)]
    assert interval(errors, words) == pytest.approx(tuple(np.percentile(rates, [2.5, 97.5])))


def test_interval_agrees_with_the_normal_approximation():
    words = [10] * 400
    errors = RNG.binomial(10, 0.3, 400)
    low, high = interval(errors.tolist(), words)
    half = 1.96 * errors.std() / 10 / np.sqrt(400)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_paired_difference_against_a_loop():
    other = [max(0, errors - 1) for errors in ERRORS]
    result = paired_difference(ERRORS, other, WORDS, resamples=300)
    values = [
        sum(ERRORS[i] for i in sample) / sum(WORDS[i] for i in sample)
        - sum(other[i] for i in sample) / sum(WORDS[i] for i in sample)
        for sample in drawn(300)
    ]
    assert (result.low, result.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert result.value == pytest.approx((sum(ERRORS) - sum(other)) / sum(WORDS))
    assert result.p == pytest.approx(2 / 301)
    assert result.low > 0


def test_a_system_does_not_differ_from_itself():
    result = paired_difference(ERRORS, ERRORS, WORDS)
    assert (result.value, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_pairing_sees_what_two_separate_intervals_do_not():
    other = [errors + (index % 3 == 0) for index, errors in enumerate(ERRORS)]
    assert interval(ERRORS, WORDS)[1] > interval(other, WORDS)[0]
    assert paired_difference(ERRORS, other, WORDS).high < 0


def test_difference_is_antisymmetric():
    other = RNG.permutation(ERRORS).tolist()
    ab, ba = paired_difference(ERRORS, other, WORDS), paired_difference(other, ERRORS, WORDS)
    assert (ab.value, ab.low, ab.high, ab.p) == pytest.approx((-ba.value, -ba.high, -ba.low, ba.p))


def test_chance_differences_are_rarely_significant():
    words = [20] * 50
    hits = sum(paired_difference(*RNG.binomial(20, 0.3, (2, 50)).tolist(), words, 200).p < 0.05 for _ in range(100))
    assert hits <= 15


def test_no_words():
    assert interval([1, 2], [0, 0]) is interval([], []) is None
    assert paired_difference([1], [2], [0]) is None
    assert interval([1, 0], [0, 5]) == (0, 0.2)  # samples without words are left out

"""If these fail, every rate of every table is wrong."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.scoring.rates import ErrorCount, percent, word_errors

COUNT = st.builds(ErrorCount, *[st.integers(0, 100)] * 4)
WORDS = st.lists(st.sampled_from("abcde"), max_size=8)


@given(st.lists(COUNT))
def test_counts_add_up_in_every_field(counts):
    total = sum(counts, ErrorCount())
    for field in ("substitutions", "deletions", "insertions", "words", "errors"):
        assert getattr(total, field) == sum(getattr(count, field) for count in counts)


@given(COUNT, COUNT, COUNT)
def test_addition_is_associative_and_sum_needs_no_start(a, b, c):
    assert (a + b) + c == a + (b + c) == c + b + a == sum([a, b, c])
    assert a + ErrorCount() == a


def test_rate_is_total_errors_over_total_words_not_a_mean_of_rates():
    counts = [ErrorCount(1, 0, 0, words=1), ErrorCount(0, 0, 0, words=9)]
    assert sum(counts).rate == 0.1  # the mean of both rates would be 0.5
    assert ErrorCount(insertions=2).rate is None
    assert percent(0.123456) == 12.35 and percent(None) is None


def test_only_counts_can_be_added():
    with pytest.raises(TypeError):
        ErrorCount() + 1
    with pytest.raises(TypeError):
        sum([ErrorCount()], 1)


@given(WORDS.filter(bool), WORDS)
def test_word_errors_against_jiwer(ref, hyp):
    count, other = word_errors(ref, hyp), jiwer.process_words(" ".join(ref), " ".join(hyp))
    assert count.errors == other.substitutions + other.deletions + other.insertions
    assert count.words == len(ref)
    assert count.insertions - count.deletions == len(hyp) - len(ref)


def test_empty_sides():
    assert word_errors([], []) == ErrorCount()
    assert word_errors(["a"], []) == ErrorCount(deletions=1, words=1)
    assert word_errors([], ["a"]) == ErrorCount(insertions=1)

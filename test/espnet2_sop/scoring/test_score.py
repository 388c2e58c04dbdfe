"""If these fail, a set's totals, talker counts or order shares do not say what happened in its mixtures."""

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.scoring.score import name_ids, score_set, talker_words

REF = {"a": "ONE TWO <sc> THREE", "b": "FOUR <sc> FIVE", "c": "SIX"}


def test_totals_are_sums_over_mixtures():
    score = score_set(REF, {"a": "one two <sc> three", "b": "five <sc> four", "c": "seven, eight"})
    assert score.counts["b"]["cpwer"] == ErrorCount(words=2)
    assert score.counts["b"]["slot_wer"] == ErrorCount(substitutions=2, words=2)
    assert score.total("cpwer") == ErrorCount(substitutions=1, insertions=1, words=6)
    assert score.total("cpwer").rate == pytest.approx(2 / 6)
    assert score.missing == []


def test_counts_confusion_and_order():
    score = score_set(REF, {"a": "one two three", "b": "five<sc>four", "c": "six <sc> . <sc>"})
    assert score.talkers == {"a": (2, 1), "b": (2, 2), "c": (1, 1)}  # a talker of punctuation is none
    assert score.confusion == {1: {1: 1}, 2: {1: 1, 2: 1}}
    assert score.count_accuracy == pytest.approx(2 / 3)
    assert score.right_order == pytest.approx(2 / 3)  # b is swapped


def test_ties_count_as_right_order():
    assert score_set({"a": "x <sc> x"}, {"a": "x <sc> x"}).right_order == 1
    assert score_set({"a": "x <sc> y"}, {"a": "u <sc> v"}).right_order == 1


def test_missing_hypothesis_is_named_and_deleted():
    score = score_set(REF, {"a": REF["a"], "c": ""})
    assert score.missing == ["b"]
    assert score.counts["b"]["cpwer"] == score.counts["b"]["order_wer"] == ErrorCount(deletions=2, words=2)
    assert score.talkers["c"] == (1, 0)


def test_talker_words_drops_who_says_nothing():
    assert talker_words("One, two<sc> . <sc> three") == [["one", "two"], ["three"]] and talker_words("") == []


def test_ids_must_fit():
    with pytest.raises(UserError, match="2 mixtures .x, y. not in the reference"):
        score_set(REF, {"a": "one", "x": "", "y": ""})
    for hyp in ({}, {"x": "one"}):
        with pytest.raises(UserError, match="no mixture has both"):
            score_set(REF, hyp)


def test_empty_reference():
    score = score_set({"a": ""}, {"a": "one"})
    assert score.total("cpwer") == ErrorCount(insertions=1)
    assert score.total("cpwer").rate is None


def test_many_ids_are_cut():
    assert name_ids(["a"]) == "1 mixture (a)"
    assert name_ids(list("abcd"), limit=2) == "4 mixtures (a, b, ...)"

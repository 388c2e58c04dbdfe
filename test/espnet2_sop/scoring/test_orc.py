"""If these fail, our ORC-WER is not that of meeteval."""

import itertools
import random
import sys

import meeteval
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.scoring.orc import MOST_UTTERANCES, TooMany, orc_wer
from espnet2_sop.scoring.rates import ErrorCount, word_errors

SIDE = st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=3)


def random_case(rng: random.Random, most_utterances: int, most_talkers: int):
    """Unrelated sides, or the utterances spread over the talkers with wrong and lost words."""
    ref = [rng.choices("abcdef", k=rng.randint(0, 5)) for _ in range(rng.randint(0, most_utterances))]
    hyp = [rng.choices("abcdef", k=rng.randint(0, 5)) for _ in range(rng.randint(0, most_talkers))]
    if hyp and rng.random() < 0.6:
        hyp = [[] for _ in hyp]
        for words in ref:
            rng.choice(hyp).extend(rng.choice([word, word, word, "x"]) for word in words if rng.random() < 0.9)
    return ref, hyp


def of_meeteval(ref, hyp):
    return meeteval.wer.orc_word_error_rate(
        [" ".join(words) for words in ref],
        [" ".join(words) for words in hyp] or [""],  # it refuses an empty list
        reference_sort=False,
        hypothesis_sort=False,
    )


@pytest.mark.parametrize(("number", "utterances", "talkers"), [(3000, 3, 3), (1000, 6, 2), (200, 8, 4)])
def test_orc_wer_equals_meeteval(number, utterances, talkers):
    rng = random.Random(utterances)
    for _ in range(number):
        ref, hyp = random_case(rng, utterances, talkers)
        ours, theirs = orc_wer(ref, hyp), of_meeteval(ref, hyp)
        assert (ours.errors, ours.words) == (theirs.errors, theirs.length), (ref, hyp)
        assert ours.insertions - ours.deletions == theirs.insertions - theirs.deletions


@given(SIDE, SIDE)
def test_orc_wer_against_all_assignments(ref, hyp):
    streams = hyp or [[]]

    def errors(assignment):
        groups = [[] for _ in streams]
        for words, talker in zip(ref, assignment, strict=True):
            groups[talker] += words
        return sum(word_errors(*pair).errors for pair in zip(groups, streams, strict=True))

    least = min(map(errors, itertools.product(range(len(streams)), repeat=len(ref))))
    assert orc_wer(ref, hyp).errors == least


def test_empty_sides():
    assert orc_wer([], []) == orc_wer([[]], [[]]) == ErrorCount()
    assert orc_wer([["a", "b"]], []) == ErrorCount(deletions=2, words=2)
    assert orc_wer([], [["a"], ["b"]]) == ErrorCount(insertions=2)


def test_two_talkers_in_one_stream_cost_nothing():
    """What sets it apart from cpWER: who said it is not scored."""
    assert orc_wer([["a", "b"], ["c"]], [["a", "b", "c"]]).errors == 0
    assert orc_wer([["a", "b"], ["c"]], [["c", "a", "b"]]).errors == 2  # but the order in a stream is


def test_many_utterances_take_the_way_of_meeteval():
    rng = random.Random(1)
    for _ in range(100):
        ref, hyp = random_case(rng, 14, 2)
        ref += [["a"]] * max(0, MOST_UTTERANCES + 1 - len([words for words in ref if words]))
        assert orc_wer(ref, hyp).errors == of_meeteval(ref, hyp).errors


def test_what_would_take_too_much_is_left(monkeypatch):
    ref, hyp = [["a"]] * 20, [["a"] * 300] * 4
    with pytest.raises(TooMany, match="20 reference utterances and 4 long hypothesis talkers"):
        orc_wer(ref, hyp)
    assert orc_wer(ref[:MOST_UTTERANCES], hyp).words == MOST_UTTERANCES  # no limit on what is said
    monkeypatch.setitem(sys.modules, "meeteval.wer.matching.mimo_matching", None)
    with pytest.raises(TooMany, match="install meeteval"):
        orc_wer(ref, [["a"]])

"""Aligned words. If these fail, the examples show other errors than the tables count."""

from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.report.alignment import CORRECT, DELETED, SUBSTITUTED, align_talkers, align_words
from espnet2_sop.scoring.metrics import cpwer

WORDS = st.lists(st.sampled_from("abcd"), max_size=6)
TALKERS = st.lists(WORDS.filter(bool), max_size=4)


@given(WORDS, WORDS)
def test_nothing_is_lost(ref, hyp):
    talker = align_words(ref, hyp, 0)
    said = []
    for inserted, (what, word) in zip(talker.inserted, (*talker.words, (DELETED, "")), strict=True):
        said += [*inserted, *([] if what == DELETED else [word])]
    assert said == hyp
    assert all((what == CORRECT) == (word == given) for (what, word), given in zip(talker.words, ref, strict=True))


@given(TALKERS, TALKERS)
def test_errors_are_those_of_cpwer(ref, hyp):
    talkers = align_talkers(ref, hyp)
    total = cpwer(ref, hyp)
    assert sum(t.count(SUBSTITUTED) + t.count(DELETED) + t.insertions for t in talkers) == total.errors
    assert sum(len(t.words) for t in talkers) == total.words
    assert len(talkers) == max(len(ref), len(hyp))
    assert sorted(t.slot for t in talkers if t.slot is not None) == list(range(len(hyp)))


def test_who_is_who():
    swapped = align_talkers([["a", "b"], ["c", "d"]], [["c", "d"], ["a", "x", "b"]])
    assert [talker.slot for talker in swapped] == [1, 0]
    assert swapped[0].inserted == ((), ("x",), ()) and swapped[1].insertions == 0
    missing = align_talkers([["a"], ["b"]], [["b"]])
    assert [(talker.slot, talker.count(DELETED)) for talker in missing] == [(None, 1), (0, 0)]
    extra = align_talkers([], [["a", "b"]])
    assert extra[0].inserted == (("a", "b"),) and extra[0].words == ()
    assert align_talkers([], []) == []

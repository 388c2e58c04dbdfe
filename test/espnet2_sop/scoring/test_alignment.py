"""Who stands at whose place. If these fail, words are called repaired that were never wrong."""

from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.scoring.alignment import align
from espnet2_sop.scoring.metrics import cpwer

WORDS = st.lists(st.sampled_from("abcd"), max_size=7)
TALKERS = st.lists(WORDS.filter(bool), max_size=4)


@given(TALKERS, TALKERS)
def test_talkers_cost_the_cpwer(ref, hyp):
    """Every hypothesis word is at one place or inserted once, and the errors are those that are scored."""
    aligned = align(ref, hyp)
    found = [aligned.word(t, i) for t, words in enumerate(ref) for i in range(len(words))]
    words = [word for talker in ref for word in talker]
    wrong = sum(f is not None and f != w for f, w in zip(found, words, strict=True))
    inserted = [place for talker in (*range(len(ref)), None) for place in aligned.inserted(talker)]
    count = cpwer(ref, hyp)
    assert (wrong, found.count(None), len(inserted)) == (count.substitutions, count.deletions, count.insertions)
    assert len(set(inserted)) == len(inserted)
    assert len(inserted) + len(found) - found.count(None) == sum(map(len, hyp))


def test_swapped_missing_and_extra_talkers():
    a, b, c = ["a", "b"], ["c", "d", "e"], ["f"]
    swapped = align([a, b], [b, a])
    assert swapped.partners == [1, 0] and swapped.extra == [] and swapped.word(1, 2) == "e"
    missing = align([a, b], [b])
    assert missing.partners == [None, 0] and missing.word(0, 0) is None and missing.inserted(0) == []
    extra = align([b], [c, b])
    assert extra.partners == [1] and extra.extra == [0] and extra.inserted(None) == [(0, 0)]
    assert align([], [a]).inserted(None) == [(0, 0), (0, 1)]

"""Which word is at whose place. If these fail, words are called repaired that were never wrong."""

from hypothesis import example, given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from espnet2_sop.text.alignment import align_words

WORDS = st.lists(st.sampled_from("abcd"), max_size=7) | st.lists(
    st.text(max_size=3).filter(lambda s: s.split() == [s]), max_size=4
)


def places_by_operations(ref, hyp):
    """From the single operations of another library."""
    edits = Levenshtein.editops(ref, hyp)
    deleted = {edit.src_pos for edit in edits if edit.tag == "delete"}
    inserted = {edit.dest_pos for edit in edits if edit.tag == "insert"}
    rest = iter(i for i in range(len(hyp)) if i not in inserted)
    return [None if i in deleted else next(rest) for i in range(len(ref))]


@given(WORDS, WORDS)
@example([], [])
@example(["a"], [])
@example([], ["a"])
def test_places_are_those_of_the_edit_distance(ref, hyp):
    places = align_words(ref, hyp)
    assert places == places_by_operations(ref, hyp)
    placed = [place for place in places if place is not None]
    assert placed == sorted(set(placed)), "the alignment must not cross"
    wrong = sum(place is not None and hyp[place] != word for word, place in zip(ref, places, strict=True))
    assert wrong + places.count(None) + len(hyp) - len(placed) == Levenshtein.distance(ref, hyp)

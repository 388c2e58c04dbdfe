"""If these fail, training text, prompts and scores disagree about where one talker ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.text.serialized import SC, normalize, serialize, split_talkers

WORD = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="<>"), min_size=1, max_size=6)
TALKER = st.lists(WORD, max_size=5).map(" ".join)


@given(st.lists(TALKER, max_size=5))
def test_round_trip_keeps_every_talker_with_words(talkers):
    text = serialize(talkers)
    assert split_talkers(text) == [talker for talker in talkers if talker]
    assert text.count(SC) == text.count(f" {SC} ") == max(0, len(split_talkers(text)) - 1)
    assert serialize(split_talkers(text)) == text


@pytest.mark.parametrize(
    ("text", "talkers"),
    [
        ("", []),
        (" <sc> ", []),
        ("a b", ["a b"]),
        ("a b <sc> c", ["a b", "c"]),
        ("a b<sc>c", ["a b", "c"]),
        ("<sc>a  b <sc><sc>  c <sc>", ["a b", "c"]),
        ("a\tb\n<sc> c", ["a b", "c"]),
    ],
)
def test_split_tolerates_what_models_write(text, talkers):
    assert split_talkers(text) == talkers


def test_serialize_writes_exactly_one_form():
    assert serialize(["A  B ", "C", ""]) == "A B <sc> C"
    assert serialize(["", "C"]) == "C"
    assert serialize([]) == serialize(["", " "]) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DON'T Stop", "don't stop"),
        ("don\u2019t", "don't"),
        ("'tis the dogs' \"bone\"", "tis the dogs bone"),
        ("Well-known, e.g. this_one!", "well known e g this one"),
        ("\uff21\uff22\uff23 ﬁne", "abc fine"),  # full width, ligature
        ("cafe\u0301", "caf\u00e9"),
        ("नमस्ते", "नमस्ते"),  # marks belong to their letters
        ("100 %", "100"),
        (" ... ", ""),
    ],
)
def test_normalize(text, words):
    assert normalize(text) == words


@given(st.text())
def test_normalize_twice_is_normalize_once(text):
    assert normalize(normalize(text)) == normalize(text)

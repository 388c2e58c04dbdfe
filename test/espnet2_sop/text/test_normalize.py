"""If these fail, texts of other corpora do not get the style of LibriSpeech."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.text import normalize
from espnet2_sop.text.normalize import has_digits, librispeech_style


def test_examples_of_the_docstrings():
    results = doctest.testmod(normalize)
    assert results.attempted and not results.failed


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Don't -- stop!", "DON'T STOP"),
        ("rock 'n' roll_over", "ROCK N ROLL OVER"),
        ("it\u2019s O\u2019Neill\u2019s", "IT'S O'NEILL'S"),
        (" ... ", ""),
        ("''", ""),
        ("e\u0301te\u0301", "\u00c9T\u00c9"),
        ("TWENTY-ONE", "TWENTY ONE"),
    ],
)
def test_words_and_apostrophes_are_left(text, wanted):
    assert librispeech_style(text) == wanted


@given(st.text())
def test_normalising_again_changes_nothing(text):
    once = librispeech_style(text)
    assert librispeech_style(once) == once
    assert once == " ".join(once.split())


def test_digits_are_found():
    assert has_digits("ROOM 5")
    assert not has_digits("ROOM FIVE")

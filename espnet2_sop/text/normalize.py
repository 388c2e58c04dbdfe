"""Texts in the style of LibriSpeech."""

import re
import unicodedata

APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": "'"})


def librispeech_style(text: str) -> str:
    """Upper-case words with single spaces between them; apostrophes inside words are kept.

    Hyphens and all other signs become spaces. Digits are kept, because their spoken form depends on the language and
    the corpus; `has_digits` finds them.

    >>> librispeech_style("Well-known, it's the dogs\u2019 'home'... \u00e9t\u00e9!")
    "WELL KNOWN IT'S THE DOGS HOME \u00c9T\u00c9"
    """
    text = unicodedata.normalize("NFC", text).translate(APOSTROPHES).upper()
    words = (word.strip("'") for word in re.sub(r"[^\w']|_", " ", text).split())
    return " ".join(word for word in words if word)


def has_digits(text: str) -> bool:
    """Whether the text has digits, which should be spelled out."""
    return any(character.isdigit() for character in text)

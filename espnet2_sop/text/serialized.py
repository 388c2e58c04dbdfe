"""Serialized text: the transcripts of all talkers in order of onset, with `<sc>` at every speaker change."""

import unicodedata
from collections.abc import Iterable

from espnet2_sop.io.errors import UserError

SC = "<sc>"
NORMALIZATION = "lower case, Unicode NFKC, apostrophes inside words kept, other punctuation and symbols are spaces"


def split_talkers(text: str) -> list[str]:
    """Serialized text to one transcript per talker.

    Args:
        text: Serialized text; spaces around `<sc>` may be missing or doubled.

    Returns:
        The transcripts in order, words one space apart; talkers without words are dropped, so "" gives [].
    """
    talkers = (" ".join(segment.split()) for segment in text.split(SC))
    return [talker for talker in talkers if talker]


def serialize(talkers: Iterable[str]) -> str:
    """One transcript per talker to serialized text, the inverse of `split_talkers`.

    Args:
        talkers: Transcripts in order of onset; those without words are dropped.

    Returns:
        The transcripts joined by exactly " <sc> ".
    """
    return f" {SC} ".join(split_talkers(SC.join(talkers)))


def words_of_talker(text: str, where: object) -> str:
    """The words of one talker with single spaces between them.

    Args:
        text: Words of one talker.
        where: File and line, for the message.

    Returns:
        The text with single spaces.

    Raises:
        UserError: `<sc>` is in the text.
    """
    if SC in text:
        raise UserError(f"{where}: {SC} in the words of one talker: {text!r}; it stands between talkers only")
    return " ".join(text.split())


class _Punctuation(dict[int, str]):
    """Table for `str.translate`, filled on demand: one kind of apostrophe; other punctuation and symbols are spaces."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = " " if unicodedata.category(char)[0] in "PS" else char
        return self[code]


_PUNCTUATION = _Punctuation({ord(mark): "'" for mark in "'\u2019\u02bc"})


def normalize(text: str) -> str:
    """Normalises a transcript before scoring, reference and hypothesis alike; see `NORMALIZATION`.

    Args:
        text: Transcript of one talker, without `<sc>`, whose brackets would be removed.

    Returns:
        The words to be scored, one space between them. Normalising them again changes nothing.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    words = (word.strip("'") for word in text.translate(_PUNCTUATION).split())
    return " ".join(word for word in words if word)

"""Serialized text: the transcripts of all talkers in order of onset, with `<sc>` at every speaker change."""

import unicodedata
from collections.abc import Iterable

from espnet2_sop.io.errors import UserError

SC = "<sc>"
NORMALIZATION = "lower case, Unicode NFKC, apostrophes inside words kept, other punctuation and symbols are spaces"


def split_talkers(text: str) -> list[str]:
    """Serialized text to one transcript per talker.

    Args:
        text: Serialized text, possibly a model's, with spaces missing or doubled around `<sc>`.

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
    """The words of one talker, one space apart.

    Raises:
        UserError: `<sc>` is among them; `where` says where.
    """
    if SC in text:
        raise UserError(f"{where}: {SC} in the words of one talker: {text!r}; it stands between talkers only")
    return " ".join(text.split())


class _Punctuation(dict[int, str]):
    """Table for `str.translate`, filled as characters come: one apostrophe, no other punctuation or symbol."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = " " if unicodedata.category(char)[0] in "PS" else char
        return self[code]


_PUNCTUATION = _Punctuation({ord(mark): "'" for mark in "'\u2019\u02bc"})


def normalize(text: str) -> str:
    """The one normalisation that reference and hypothesis pass before they are scored, see `NORMALIZATION`.

    Args:
        text: Transcript of one talker (split first: `<sc>` would lose its brackets).

    Returns:
        The words to be scored, one space apart; applying it again changes nothing.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    words = (word.strip("'") for word in text.translate(_PUNCTUATION).split())
    return " ".join(word for word in words if word)

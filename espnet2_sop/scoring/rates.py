"""Word errors that add up, so that a rate is always total errors over total words."""

from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

Talkers = list[list[str]]
"""Words of each talker (or of each utterance) of one mixture."""


@dataclass(frozen=True)
class ErrorCount:
    """Word errors of one mixture or, added up, of many.

    >>> sum([ErrorCount(1, 0, 0, words=2), ErrorCount(0, 1, 0, words=8)]).rate
    0.2
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0

    def __add__(self, other: "ErrorCount") -> "ErrorCount":
        if not isinstance(other, ErrorCount):
            return NotImplemented
        return ErrorCount(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )

    def __radd__(self, other: object) -> "ErrorCount":
        return self if other == 0 else NotImplemented  # sum() starts from 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors over reference words as a fraction; None where there are no words."""
        return self.errors / self.words if self.words else None


def as_strings(*sides: Talkers) -> list[list[str]]:
    """Every word becomes one character, the same in all sides: strings are compared several times faster than lists.

    Args:
        sides: Any number of sides of one mixture.

    Returns:
        For each side one string per talker, as long as it has words.
    """
    codes: dict[str, str] = {}
    code = codes.setdefault
    return [["".join([code(word, chr(len(codes))) for word in talker]) for talker in side] for side in sides]


def edits(ref: str, hyp: str) -> ErrorCount:
    """Edit distance between two strings of `as_strings`, split into its kinds."""
    if ref == hyp:
        return ErrorCount(words=len(ref))
    tags = [edit[0] for edit in Levenshtein.editops(ref, hyp).as_list()]
    insertions = tags.count("insert")
    deletions = insertions + len(ref) - len(hyp)
    return ErrorCount(len(tags) - insertions - deletions, deletions, insertions, len(ref))


def word_errors(ref: list[str], hyp: list[str]) -> ErrorCount:
    """Edit distance between two lists of words.

    >>> word_errors("a b c".split(), "a x c d".split())
    ErrorCount(substitutions=1, deletions=0, insertions=1, words=3)
    """
    (ref_string,), (hyp_string,) = as_strings([ref], [hyp])
    return edits(ref_string, hyp_string)


def percent(fraction: float | None) -> float | None:
    """A fraction as it is written into results: percent with two decimals."""
    return None if fraction is None else round(100 * fraction, 2)

"""Word errors that add up, so that a rate is always total errors over total words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Editops
from rapidfuzz.distance.Levenshtein import editops

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
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors over reference words as a fraction; None where there are no words."""
        return self.errors / self.words if self.words else None


Kinds = tuple[int, int, int, int]
"""Substitutions, deletions, insertions and reference words."""


def kinds(edits: Editops) -> Kinds:
    """What the operations of an edit distance are; `len(edits)` is the distance."""
    surplus, operations = edits.dest_len - edits.src_len, edits.as_list()
    insertions = surplus if surplus == len(operations) else [edit[0] for edit in operations].count("insert")
    deletions = insertions - surplus
    return len(operations) - insertions - deletions, deletions, insertions, edits.src_len


def word_errors(ref: Sequence[str], hyp: Sequence[str]) -> ErrorCount:
    """Edit distance between two texts.

    >>> word_errors("a b c".split(), "a x c d".split())
    ErrorCount(substitutions=1, deletions=0, insertions=1, words=3)

    Args:
        ref, hyp: Lists of words, or strings of `as_strings`.

    Returns:
        The errors, and the reference words.
    """
    return ErrorCount(*kinds(editops(ref, hyp)))


def added(counts: Iterable[Kinds]) -> ErrorCount:
    """Sum of many counts; plain numbers are added several times faster than objects."""
    substitutions = deletions = insertions = words = 0
    for s, d, i, n in counts:
        substitutions, deletions, insertions, words = substitutions + s, deletions + d, insertions + i, words + n
    return ErrorCount(substitutions, deletions, insertions, words)


def as_strings(*sides: Talkers) -> list[list[str]]:
    """Every word becomes one character, the same in all sides: quicker where texts are joined and compared often.

    Args:
        sides: Any number of sides of one mixture.

    Returns:
        For each side one string per talker, as long as it has words.
    """
    codes: dict[str, str] = {}
    code = codes.setdefault
    return [["".join([code(word, chr(len(codes))) for word in talker]) for talker in side] for side in sides]


def percent(fraction: float | None) -> float | None:
    """A fraction as it is written into results: percent with two decimals."""
    return None if fraction is None else round(100 * fraction, 2)

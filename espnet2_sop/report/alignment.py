"""Words of a hypothesis under the words of the reference, as cpWER counts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rapidfuzz.distance import Levenshtein

from espnet2_sop.scoring.metrics import Talkers, assign
from espnet2_sop.scoring.rates import word_errors

CORRECT, SUBSTITUTED, DELETED = "correct", "substituted", "deleted"


@dataclass(frozen=True)
class AlignedTalker:
    """One talker of a hypothesis against its partner in the reference.

    Attributes:
        slot: Place of the talker in the hypothesis, from 0; None if the hypothesis has no such talker.
        words: For every reference word what became of it, and the word that stands there (empty if deleted).
        inserted: (reference words + 1) lists: what was inserted before each word, and after the last.
    """

    slot: int | None
    words: tuple[tuple[str, str], ...]
    inserted: tuple[tuple[str, ...], ...]

    def count(self, kind: str) -> int:
        """Words of the reference of a kind."""
        return sum(what == kind for what, _ in self.words)

    @property
    def insertions(self) -> int:
        """Words that only the hypothesis has."""
        return sum(map(len, self.inserted))


def align_words(ref: Sequence[str], hyp: Sequence[str], slot: int | None) -> AlignedTalker:
    """Aligns two lists of words with the fewest errors.

    >>> align_words("a b c".split(), "a x c d".split(), 0).words
    (('correct', 'a'), ('substituted', 'x'), ('correct', 'c'))
    """
    words = [(CORRECT, word) for word in ref]
    inserted: list[list[str]] = [[] for _ in range(len(ref) + 1)]
    for edit in Levenshtein.editops(ref, hyp):
        if edit.tag == "replace":
            words[edit.src_pos] = (SUBSTITUTED, hyp[edit.dest_pos])
        elif edit.tag == "delete":
            words[edit.src_pos] = (DELETED, "")
        else:
            inserted[edit.src_pos].append(hyp[edit.dest_pos])
    return AlignedTalker(slot, tuple(words), tuple(map(tuple, inserted)))


def align_talkers(ref: Talkers, hyp: Talkers) -> list[AlignedTalker]:
    """Aligns every talker of the reference with its partner in the assignment of cpWER.

    Returns:
        One for each talker of the reference, in order; then, where the hypothesis has more talkers, one for each of
        these, all of whose words are inserted.
    """
    pairs = list(zip_longest(ref, hyp, fillvalue=[]))  # as many rows as columns
    padded_ref, padded_hyp = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    columns = assign([[word_errors(r, h).errors for h in padded_hyp] for r in padded_ref])
    return [
        align_words(words, padded_hyp[column], column if column < len(hyp) else None)
        for words, column in zip(padded_ref, columns, strict=True)
    ]

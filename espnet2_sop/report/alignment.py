"""Words of a hypothesis under the words of the reference, as cpWER counts them."""

from collections.abc import Sequence
from dataclasses import dataclass

from espnet2_sop.scoring import alignment
from espnet2_sop.scoring.metrics import Talkers
from espnet2_sop.text import alignment as text_alignment

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

    Args:
        ref, hyp: The words.
        slot: Place of the talker in the hypothesis.

    Returns:
        The aligned talker.
    """
    return place_words(ref, hyp, text_alignment.align_words(ref, hyp), slot)


def place_words(
    ref: Sequence[str], hyp: Sequence[str], places: Sequence[int | None], slot: int | None
) -> AlignedTalker:
    """Says of every word whether it is correct, substituted, deleted or inserted.

    Args:
        ref, hyp: The words of a talker and of its partner.
        places: For each reference word the index of the hypothesis word at its place, None if deleted.
        slot: Place of the talker in the hypothesis; None without a partner.

    Returns:
        The aligned talker.
    """
    words = []
    inserted: list[list[str]] = [[] for _ in range(len(ref) + 1)]
    start = before = 0  # the next word of the hypothesis, and the reference word before which it is inserted
    for index, (word, place) in enumerate(zip(ref, places, strict=True), 1):
        if place is None:
            words.append((DELETED, ""))
            continue
        inserted[before] += hyp[start:place]
        words.append((CORRECT if hyp[place] == word else SUBSTITUTED, hyp[place]))
        start, before = place + 1, index
    inserted[before] += hyp[start:]
    return AlignedTalker(slot, tuple(words), tuple(map(tuple, inserted)))


def align_talkers(ref: Talkers, hyp: Talkers) -> list[AlignedTalker]:
    """Aligns every talker of the reference with its partner in the assignment of cpWER.

    Args:
        ref, hyp: Words of each talker.

    Returns:
        One for each talker of the reference, in order; then, where the hypothesis has more talkers, one for each of
        these, all of whose words are inserted.
    """
    found = alignment.align(ref, hyp)
    partners = [
        place_words(words, [] if slot is None else hyp[slot], places, slot)
        for words, places, slot in zip(ref, found.places, found.partners, strict=True)
    ]
    return partners + [place_words([], hyp[slot], [], slot) for slot in found.extra]

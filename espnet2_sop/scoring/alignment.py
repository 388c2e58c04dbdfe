"""Alignment of a hypothesis with the reference: talkers by the cpWER assignment, words by edit distance."""

from dataclasses import dataclass

from espnet2_sop.scoring.metrics import Talkers, assign
from espnet2_sop.scoring.rates import word_errors
from espnet2_sop.text.alignment import align_words


@dataclass(frozen=True)
class Aligned:
    """The hypothesis of one mixture and its place in the reference.

    Attributes:
        talkers: Words of each hypothesis talker.
        partners: For each reference talker the hypothesis talker assigned to it, None without one.
        places: For each reference talker and word the index of the hypothesis word at its place, None if deleted.
    """

    talkers: Talkers
    partners: list[int | None]
    places: list[list[int | None]]

    def word(self, talker: int, index: int) -> str | None:
        """The hypothesis word at the place of a reference word.

        Args:
            talker: Index of the reference talker.
            index: Index of the word of this talker.

        Returns:
            The word, None if the reference word is deleted.
        """
        place = self.places[talker][index]
        return None if place is None else self.talkers[self.partners[talker]][place]

    def inserted(self, talker: int | None) -> list[tuple[int, int]]:
        """Hypothesis words that stand at no reference word.

        Args:
            talker: Those of the partner of a reference talker, or None for all of the talkers without partner.

        Returns:
            (hypothesis talker, index of the word) in order.
        """
        if talker is None:
            return [(t, i) for t in self.extra for i in range(len(self.talkers[t]))]
        partner = self.partners[talker]
        if partner is None:
            return []
        placed = set(self.places[talker])
        return [(partner, i) for i in range(len(self.talkers[partner])) if i not in placed]

    @property
    def extra(self) -> list[int]:
        """Hypothesis talkers that no reference talker is assigned to."""
        return [talker for talker in range(len(self.talkers)) if talker not in self.partners]


def align(ref: Talkers, hyp: Talkers) -> Aligned:
    """Aligns a hypothesis with the reference as cpWER does.

    Args:
        ref, hyp: Words of each talker.

    Returns:
        The partner of each reference talker, and the place of each of its words.
    """
    size = max(len(ref), len(hyp))
    rows, columns = ref + [[]] * (size - len(ref)), hyp + [[]] * (size - len(hyp))
    chosen = assign([[word_errors(row, column).errors for column in columns] for row in rows])
    partners = [column if column < len(hyp) else None for column in chosen[: len(ref)]]
    places = [align_words(r, columns[column]) for r, column in zip(ref, chosen, strict=False)]
    return Aligned(hyp, partners, places)

"""Alignment of the words of a hypothesis with those of the reference."""

from collections.abc import Sequence

import jiwer


def align_words(ref: Sequence[str], hyp: Sequence[str]) -> list[int | None]:
    """Aligns two lists of words with the fewest errors.

    Args:
        ref: Words of the reference, without blanks in them.
        hyp: Words of the hypothesis, likewise.

    Returns:
        For each reference word the index of the hypothesis word that is aligned with it, equal or substituted; None for
        a deletion. Hypothesis words that are not in the list are insertions.

    >>> align_words("a b c".split(), "a x c d".split())
    [0, 1, 2]
    >>> align_words("a b c".split(), "a c".split())
    [0, None, 1]
    """
    places: list[int | None] = [None] * len(ref)
    for chunk in jiwer.process_words(" ".join(ref), " ".join(hyp)).alignments[0]:
        if chunk.type in ("equal", "substitute"):
            places[chunk.ref_start_idx : chunk.ref_end_idx] = range(chunk.hyp_start_idx, chunk.hyp_end_idx)
    return places

"""What the LLM changed in the prompt of a talker."""

from collections.abc import Sequence
from typing import NamedTuple

from espnet2_sop.report.alignment import align_words

ADDED = "added"


class Change(NamedTuple):
    """A word of the prompt beside its word in the final text.

    Attributes:
        kind: correct, substituted, deleted or added.
        word: The word of the final text; empty if it was deleted.
        prompt: The word of the prompt; empty if it was added.
    """

    kind: str
    word: str
    prompt: str


def changes(prompt: Sequence[str], final: Sequence[str]) -> list[Change]:
    """Aligns the words of the prompt with those of the final text.

    Args:
        prompt: Words of the prompt.
        final: Words of the final text.

    Returns:
        One change for each word of the prompt, and one for each word that was added, in order.

    >>> [change.kind for change in changes("a b c".split(), "a x c d".split())]
    ['correct', 'substituted', 'correct', 'added']
    """
    aligned = align_words(prompt, final, None)
    line = []
    for index, inserted in enumerate(aligned.inserted):
        line += [Change(ADDED, word, "") for word in inserted]
        if index < len(prompt):
            line.append(Change(*aligned.words[index], prompt[index]))
    return line

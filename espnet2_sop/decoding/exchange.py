"""Which mixtures of a set are decoded, and which of them reads the prompt of which other one.

Both follow a hash of the ids: neighbours in the order of names often share a talker or an utterance.
"""

import hashlib
from collections.abc import Collection, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from espnet2_sop.io.errors import UserError


class Prompt(NamedTuple):
    """What the LLM reads as serialized output prompt.

    Attributes:
        ids: Ids of the LLM's tokens, marks of doubtful words included.
        text: The words, talkers joined by ` <sc> `.
    """

    ids: list[int]
    text: str


def shuffled(name: str) -> str:
    """Sorts ids in an order that is always the same and has nothing to do with their names."""
    return hashlib.sha256(name.encode()).hexdigest()


def choose(names: Collection[str], number: int | None) -> set[str]:
    """The mixtures that are decoded; those of a smaller number are among those of a larger one.

    Args:
        names: Ids of all mixtures.
        number: Most mixtures; None for all.

    Returns:
        Their ids.
    """
    return set(sorted(names, key=shuffled)[:number])


def lend(prompts: Mapping[str, Prompt], talkers: Mapping[str, int], data: str | Path) -> dict[str, Prompt]:
    """Gives every mixture the prompt of another one, where possible of one with as many talkers.

    Args:
        prompts: {mixture id: its own prompt}.
        talkers: {mixture id: number of talkers}.
        data: Data directory, for the message.

    Returns:
        {mixture id: the prompt of the next one} among those with as many talkers, sorted by a hash of the id; the last
        reads that of the first. The only one with its number of talkers reads that of any other.

    Raises:
        UserError: There are fewer than two mixtures.
    """
    if len(prompts) < 2:
        raise UserError(f"{data}: --sop_source other needs two or more mixtures, of which each reads another's prompt")
    order = sorted(prompts, key=lambda name: (talkers[name], shuffled(name)))
    lent = {}
    for _, group in groupby(order, key=talkers.__getitem__):
        names = [*group]
        others = names[1:] + names[:1] if len(names) > 1 else [next(name for name in order if name != names[0])]
        lent |= {name: prompts[other] for name, other in zip(names, others, strict=True)}
    return lent

"""The talkers of a recording, as `Speech2Text` gives them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rapidfuzz.distance import Levenshtein

from espnet2_sop.decoding.hypotheses import WORD, Hypothesis
from espnet2_sop.text.ctm import TimedWord
from espnet2_sop.text.serialized import split_talkers

TALKER = {  # `misfit` of `Talker.to_dict`
    **{"text": str, "tokens": [str], "onset": (float, None), "confidence": float, "prompt": str},
    **{"words": [WORD], "slot": int, "start": float, "end": float},
}


@dataclass(frozen=True)
class Talker:
    """One talker of a recording, or of a segment of a long one.

    Attributes:
        text: The words.
        tokens: The tokens as the vocabulary of the LLM (mode `ctc`: of the heads) spells them.
        onset: Seconds from the start of the recording at which the talker starts, from CTC; None without CTC.
        confidence: Geometric mean of the probabilities of the tokens, 0 to 1.
        prompt: The words of the talker in the serialized output prompt; empty without one.
        words: The words of the prompt with their times in the recording, and their confidences; `talker` is the slot.
        slot: Number of the talker in the segment, from 1, in order of speaking start. The same slot of two segments
            may be two persons.
        start, end: Seconds from the start of the recording: the segment in which the talker was heard.
    """

    text: str
    tokens: tuple[str, ...]
    onset: float | None
    confidence: float
    prompt: str
    words: tuple[TimedWord, ...]
    slot: int
    start: float
    end: float

    @property
    def span(self) -> tuple[float, float]:
        """Start and end of the talker's words: from CTC if it heard the talker, else of the segment."""
        start = self.start if self.onset is None else self.onset
        end = max((word.start + word.duration for word in self.words), default=self.end)
        return start, min(max(end, start), self.end) if self.end > start else start

    def to_dict(self) -> dict[str, Any]:
        """All attributes, for JSON."""
        return {**asdict(self), "words": [word._asdict() for word in self.words]}

    @classmethod
    def of_dict(cls, values: dict[str, Any]) -> "Talker":
        """The inverse of `to_dict`."""
        words = tuple(TimedWord(**word) for word in values["words"])
        return cls(**{**values, "tokens": tuple(values["tokens"]), "words": words})


def talkers_of(hypothesis: Hypothesis, start: float, end: float) -> list[Talker]:
    """The talkers of a segment, in order of speaking start.

    Both the text and its prompt have their talkers in that order. Where the prompt has more of them than the text, each
    talker of the text gets the one whose words are nearest, in the same order; where it has fewer, some talkers of the
    text get none.

    Args:
        hypothesis: Output for the segment.
        start, end: Seconds of the segment in the recording.

    Returns:
        The talkers, their slots counted from 1.
    """
    heard = [list(words) for _, words in groupby(hypothesis.words, lambda word: word.talker)]
    said = [(words, talker) for talker in hypothesis.talkers if (words := " ".join(split_talkers(talker.text)))]
    partners = match([words.split() for words, _ in said], [[word.word for word in words] for words in heard])
    talkers = []
    for slot, ((text, talker), partner) in enumerate(zip(said, partners, strict=True), 1):
        own = heard[partner] if partner is not None else []
        words = tuple(word._replace(talker=slot, start=round(word.start + start, 3)) for word in own)
        onset = words[0].start if words else None
        prompt = " ".join(word.word for word in words)
        talkers.append(Talker(text, talker.tokens, onset, round(talker.confidence, 4), prompt, words, slot, start, end))
    return talkers


def match(texts: Sequence[list[str]], prompts: Sequence[list[str]]) -> list[int | None]:
    """Pairs talkers in order, as many as there are on the shorter side, with the fewest differing words.

    Args:
        texts: Words of each talker of the text.
        prompts: Words of each talker of the prompt.

    Returns:
        For each text the index of its prompt, or None.
    """
    if len(texts) > len(prompts):
        partners = dict(zip(match(prompts, texts), range(len(prompts)), strict=True))
        return [partners.get(i) for i in range(len(texts))]
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())] * (len(prompts) + 1)  # of the first j prompts
    for i, text in enumerate(texts):
        last, best = best, [(0, ())] * (i + 1)
        for j, prompt in enumerate(prompts[i:], i):
            pair = last[j][0] + Levenshtein.distance(text, prompt), (*last[j][1], j)
            best.append(pair if j == i else min(best[-1], pair))
    return list(best[-1][1])

"""Reads what is known about the prompts of a decoded set: words, times, and the reference they belong to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.manifest import Mixture, read_manifest
from espnet2_sop.scoring.alignment import Aligned, align
from espnet2_sop.scoring.metrics import Talkers
from espnet2_sop.scoring.prompt.error_propagation import Span
from espnet2_sop.scoring.score import talker_words
from espnet2_sop.text.ctm import TimedWord, read_ctm
from espnet2_sop.text.serialized import normalize, split_talkers


@dataclass(frozen=True)
class PromptedMixture:
    """The prompt of one mixture beside its reference.

    Attributes:
        ref: Words of each reference talker.
        spans: Start and end of each reference talker in seconds.
        prompt: The prompt, aligned with the reference.
        times: Middle of each prompt word in seconds, None where the folder has no `prompt.ctm`.
        onsets: Estimated start of each prompt talker in seconds, None where the folder has no `onsets`.
    """

    ref: Talkers
    spans: list[Span]
    prompt: Aligned
    times: list[list[float]] | None
    onsets: list[float] | None


def read_prompts(ref: Path, hyp: Path) -> dict[str, PromptedMixture]:
    """Reads the prompts of a hypothesis folder and the data directory that was decoded.

    Args:
        ref: Data directory with `text` and `mixtures.jsonl`.
        hyp: Hypothesis folder with `prompt` and, if it has them, `prompt.ctm` and `onsets`.

    Returns:
        {mixture id: its prompt} in the order of the reference; a mixture without prompt has an empty one.

    Raises:
        UserError: A file is missing or malformed, or files do not fit each other.
    """
    references, prompts = read_kaldi(ref / "text"), read_kaldi(hyp / "prompt")
    mixtures = {mixture.id: mixture for mixture in read_manifest(ref / "mixtures.jsonl")}
    timed = read_ctm(hyp / "prompt.ctm") if (hyp / "prompt.ctm").is_file() else None
    onsets = read_kaldi(hyp / "onsets") if (hyp / "onsets").is_file() else None
    advice = f"run `espnet2-sop validate {ref}`"
    rows = {}
    for key, text in references.items():
        if key not in mixtures:
            raise UserError(f"{ref / 'mixtures.jsonl'}: no {key}, which text has; {advice}")
        words, spans = reference_talkers(mixtures[key])
        if words != talker_words(text):
            raise UserError(f"{ref / 'mixtures.jsonl'}: {key} has other words than text; {advice}")
        prompt = prompts.get(key, "")
        try:
            times = None if timed is None else word_middles(prompt, timed.get(key, []))
        except ValueError:
            raise UserError(f"{hyp / 'prompt.ctm'}: {key} has other words than prompt; decode again") from None
        try:
            estimates = None if onsets is None else talker_onsets(prompt, onsets.get(key, ""))
        except ValueError:
            raise UserError(f"{hyp / 'onsets'}: {key} has not one number per talker of prompt; decode again") from None
        rows[key] = PromptedMixture(words, spans, align(words, talker_words(prompt)), times, estimates)
    return rows


def reference_talkers(mixture: Mixture) -> tuple[Talkers, list[Span]]:
    """Normalised words, start and end in seconds of each talker; talkers without words are dropped, as in scoring."""
    talkers = [
        (words, (start / SAMPLE_RATE, end / SAMPLE_RATE))
        for source, (start, end) in zip(mixture.sources, mixture.spans, strict=True)
        if (words := normalize(source.text).split())
    ]
    return [words for words, _ in talkers], [span for _, span in talkers]


def word_middles(prompt: str, timed: Sequence[TimedWord]) -> list[list[float]]:
    """Times of the words of a prompt.

    Args:
        prompt: The serialized text.
        timed: Its words with their times, from `prompt.ctm`.

    Returns:
        Middle in seconds of each normalised word of each prompt talker.

    Raises:
        ValueError: The words are not those of the prompt.
    """
    slots: dict[int, list[tuple[str, float]]] = {}
    for word in timed:
        slots.setdefault(word.talker, []).extend((part, word.middle) for part in normalize(word.word).split())
    talkers = [slots[number] for number in sorted(slots) if slots[number]]
    if [[word for word, _ in talker] for talker in talkers] != talker_words(prompt):
        raise ValueError
    return [[middle for _, middle in talker] for talker in talkers]


def talker_onsets(prompt: str, onsets: str) -> list[float]:
    """Onsets of the talkers of a prompt.

    Args:
        prompt: The serialized text.
        onsets: Seconds, one number for each of its talkers.

    Returns:
        Onset in seconds of each prompt talker that has words after normalisation.

    Raises:
        ValueError: Not one finite number per talker.
    """
    times = [float(word) for word in onsets.split()]
    if not all(map(math.isfinite, times)):
        raise ValueError
    pairs = zip(split_talkers(prompt), times, strict=True)
    return [onset for talker, onset in pairs if normalize(talker)]

"""The texts of a result as HTML: of each talker the final text, its differences from the prompt, and the prompt."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import groupby

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.demo.changes import ADDED, Change, changes
from espnet2_sop.demo.lanes import UNSURE, colour, lanes
from espnet2_sop.report.alignment import DELETED, SUBSTITUTED

DONE = {SUBSTITUTED: "replaced", DELETED: "dropped", ADDED: "added"}


def show(talkers: Sequence[Talker], mode: str, outline: Sequence[float], seconds: float, spent: float) -> str:
    """Everything that the page shows of a result.

    Args:
        talkers: Of Speech2Text, segment by segment.
        mode: In which they were transcribed: `sop`, `sot` or `ctc`.
        outline: Heights of the waveform, 0 to 1.
        seconds: Length of the recording.
        spent: Seconds that the model took.

    Returns:
        HTML; all texts are escaped.
    """
    parts = [list(own) for _, own in groupby(talkers, key=lambda talker: talker.start)]
    counts = Counter(change.kind for talker in talkers for change in compare(talker)) if mode == "sop" else Counter()
    notes = [f"{seconds:.1f} s of audio, transcribed in {spent:.1f} s. {summary(talkers, len(parts), mode, counts)}"]
    if not talkers:
        notes.append("No words: the model heard nobody speak.")
    notes.append(_legend(talkers, mode))
    if any(counts[kind] for kind in DONE):
        notes.append(
            '<span class="substituted"><del>was</del> replaced</span> <span class="added">added</span> '
            '<span class="deleted">dropped</span> by the LLM'
        )
    if len(parts) > 1:
        notes.append(
            "A long recording is cut at pauses. Talkers are counted anew in each part: the same number may be another "
            "person."
        )
    body = [f'<p class="soft">{note}</p>' for note in notes if note]
    body.insert(1, lanes(talkers, outline, seconds))
    for own in parts:
        if len(parts) > 1:
            body.append(f"<h3>{clock(own[0].start)} – {clock(own[0].end)}</h3>")
        body += [_article(talker, mode) for talker in own]
    return f'<div class="sop">{"".join(body)}</div>'


def complaint(text: str) -> str:
    """One line of HTML for what went wrong."""
    return f'<div class="sop"><p class="error" role="alert">{escape(text[:1].upper() + text[1:])}</p></div>'


def compare(talker: Talker) -> list[Change]:
    """The changes of a talker's prompt by the LLM."""
    return changes(talker.prompt.split(), talker.text.split())


def summary(talkers: Sequence[Talker], parts: int, mode: str, counts: Counter[str]) -> str:
    """Says in one sentence how many talkers there are and what the LLM changed.

    Args:
        talkers: Of all parts.
        parts: Number of parts into which the recording was cut.
        mode: In which it was transcribed.
        counts: Changes by kind.

    Returns:
        Text without markup.
    """
    slots = max((talker.slot for talker in talkers), default=0)
    who = f"{slots} talker{'' if slots == 1 else 's'}"
    if parts > 1:
        who = f"{parts} parts, up to {who}"
    if mode == "ctc":
        return f"{who}, by the CTC heads alone."
    if mode == "sot":
        return f"{who}, by the LLM from the speech without a prompt."
    done = ", ".join(f"{counts[kind]} {word}" for kind, word in DONE.items() if counts[kind])
    total = sum(len(talker.prompt.split()) for talker in talkers)
    return f"{who}; of {total} words of the prompt the LLM {'changed some: ' + done if done else 'kept all'}."


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75.25)
    '1:15.2'
    """
    tenths = int(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _legend(talkers: Sequence[Talker], mode: str) -> str:
    words = [word for talker in talkers for word in talker.words]
    if not words:
        return "Without a prompt there are no word times." if mode == "sot" else ""
    unsure = any(word.confidence < UNSURE for word in words)
    return "Words of the prompt at the times of their CTC peaks; a click moves the player there." + (
        " Dotted: the confidence of the CTC heads is low." if unsure else ""
    )


def _article(talker: Talker, mode: str) -> str:
    facts = [] if talker.onset is None else [f"starts at {talker.onset:.2f} s"]
    facts.append(f"confidence {talker.confidence:.2f}")
    text = " ".join(map(_word, compare(talker))) if mode == "sop" else escape(talker.text)
    prompt = f'<p class="soft"><b class="label">prompt</b> {escape(talker.prompt) or "none"}</p>'
    return (
        f'<article class="{colour(talker.slot)}"><h3><b class="chip">{talker.slot}</b> Talker {talker.slot} '
        f'<span class="soft">{", ".join(facts)}</span></h3><p class="final">{text}</p>'
        f"{prompt if mode == 'sop' else ''}</article>"
    )


def _word(change: Change) -> str:
    word, prompt = escape(change.word), escape(change.prompt)
    if change.kind == DELETED:
        return f'<del class="deleted" title="dropped by the LLM">{prompt}</del>'
    if change.kind == ADDED:
        return f'<ins class="added" title="added by the LLM">{word}</ins>'
    if change.kind == SUBSTITUTED:
        return f'<span class="substituted" title="instead of {prompt}"><del>{prompt}</del> <ins>{word}</ins></span>'
    return word

"""What the page shows of a transcript."""

from collections.abc import Sequence
from typing import Any

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.report.alignment import CORRECT, DELETED, SUBSTITUTED, align_words

ADDED = "added"


def describe(talkers: Sequence[Talker]) -> dict[str, Any]:
    """The talkers of one recording, each with its prompt, its text and the difference.

    Args:
        talkers: Of Speech2Text, segment by segment.

    Returns:
        "talkers": a list of number (the slot), segment (its start and end), onset, confidence, prompt, text, words (of
        the prompt: word, start, end, confidence) and changes (of the prompt by the LLM, see `changes`); "counts":
        changes by kind and words of the prompts, all talkers together.
    """
    rows = []
    for talker in talkers:
        words = [
            {"word": w.word, "start": w.start, "end": round(w.start + w.duration, 3), "confidence": w.confidence}
            for w in talker.words
        ]
        rows.append(
            {
                "number": talker.slot,
                "segment": [talker.start, talker.end],
                "onset": talker.onset,
                "confidence": talker.confidence,
                "prompt": talker.prompt,
                "text": talker.text,
                "words": words,
                "changes": changes(talker.prompt.split(), talker.text.split()),
            }
        )
    return {"talkers": rows, "counts": count(rows)}


def changes(prompt: Sequence[str], final: Sequence[str]) -> list[dict[str, Any]]:
    """The words of the prompt and of the final text in one line.

    Returns:
        Dictionaries of kind (correct, substituted, deleted, added), word (of the final text, "" if dropped), prompt
        (word of the prompt, "" if added) and at (its index in the prompt, None if added).

    >>> [change["kind"] for change in changes("a b c".split(), "a x c d".split())]
    ['correct', 'substituted', 'correct', 'added']
    """
    aligned = align_words(prompt, final, None)
    line = []
    for index, inserted in enumerate(aligned.inserted):
        line += [{"kind": ADDED, "word": word, "prompt": "", "at": None} for word in inserted]
        if index < len(prompt):
            kind, word = aligned.words[index]
            line.append({"kind": kind, "word": word, "prompt": prompt[index], "at": index})
    return line


def count(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Changes by kind, and the words of the prompt, over all talkers."""
    kinds = [change["kind"] for row in rows for change in row["changes"]]
    total = {kind: kinds.count(kind) for kind in (SUBSTITUTED, DELETED, ADDED)}
    return total | {"words": kinds.count(CORRECT) + total[SUBSTITUTED] + total[DELETED]}

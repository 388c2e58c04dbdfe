"""Subtitles: WebVTT and SubRip, a cue for each talker, so that cues overlap where talkers do.

The LLM's words have no times. A word that is also in the prompt of its talker gets the time of its CTC peak, and a word
that replaces one of the prompt gets the time of that word. The words between them are spread evenly; without a prompt,
all words are spread over the segment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.text.alignment import align_words

LONGEST_TEXT = 84  # characters: two lines of 42, the usual limit
LONGEST = 7.0  # seconds a cue is read at most, likewise
GAP = 1.5  # a pause in which nothing is shown
LINGER = 1.0  # seconds that a short cue is shown at least
LOOKALIKES = str.maketrans("<>", "\u2039\u203a")


@dataclass(frozen=True)
class Cue:
    """Words of one talker, shown from `start` to `end` in milliseconds."""

    start: int
    end: int
    slot: int
    text: str


def vtt(talkers: Sequence[Talker]) -> str:
    """WebVTT, talkers as voices; `&`, `<` and `>` are written as entities."""
    blocks = ["WEBVTT\n"]
    for cue in cues(talkers):
        words = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{stamp(cue.start, '.')} --> {stamp(cue.end, '.')}\n<v Talker {cue.slot}>{words}\n")
    return "\n".join(blocks)


def srt(talkers: Sequence[Talker]) -> str:
    """SubRip, talkers named before their words; as it has no entities, `<` and `>` become angle quotes."""
    return "\n".join(
        f"{number}\n{stamp(cue.start, ',')} --> {stamp(cue.end, ',')}\n"
        f"Talker {cue.slot}: {cue.text.translate(LOOKALIKES)}\n"
        for number, cue in enumerate(cues(talkers), 1)
    )


def stamp(milliseconds: int, mark: str) -> str:
    """Formats a time.

    Args:
        milliseconds: From the start of the recording.
        mark: Between seconds and milliseconds.

    Returns:
        Such as `00:01:02.345`.
    """
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{rest:03}"


def cues(talkers: Sequence[Talker]) -> list[Cue]:
    """The cues of all talkers in order of start; those of one talker slot do not overlap."""
    found: list[Cue] = []
    for slot in sorted({talker.slot for talker in talkers}):
        runs = [run for talker in talkers if talker.slot == slot for run in cut(timed(talker))]
        for number, run in enumerate(runs, 1):
            following = runs[number][0][0] if number < len(runs) else float("inf")
            start = round(1000 * run[0][0])
            end = min(start + round(1000 * LONGEST), round(1000 * min(max(run[-1][1], run[0][0] + LINGER), following)))
            found.append(Cue(start, max(end, start + 1), slot, " ".join(word for _, _, word in run)))
    return sorted(found, key=lambda cue: (cue.start, cue.slot))


def timed(talker: Talker) -> list[tuple[float, float, str]]:
    """The words of a talker with start and end in seconds, in order of time."""
    words, heard = talker.text.split(), talker.words
    places = align_words([word.word for word in heard], words)
    known = {place: word for place, word in zip(places, heard, strict=True) if place is not None}
    first, last = talker.span
    places, times = [*known, len(words)], [*(word.start for word in known.values()), last]
    if 0 not in known:
        places, times = [0, *places], [first, *times]
    starts = np.maximum.accumulate(np.interp(range(len(words) + 1), places, times)).tolist()
    ends = [known[i].start + known[i].duration if i in known else starts[i + 1] for i in range(len(words))]
    return list(zip(starts, ends, words, strict=False))


def cut(words: list[tuple[float, float, str]]) -> Iterator[list[tuple[float, float, str]]]:
    """Cuts timed words into groups that are shown together."""
    run: list[tuple[float, float, str]] = []
    for start, end, word in words:
        size = sum(len(other) + 1 for _, _, other in run) + len(word)
        if run and (size > LONGEST_TEXT or end - run[0][0] > LONGEST or start - run[-1][1] > GAP):
            yield run
            run = []
        run.append((start, end, word))
    if run:
        yield run

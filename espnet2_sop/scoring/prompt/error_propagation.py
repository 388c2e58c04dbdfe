"""What the LLM makes of the prompt's words: repaired, kept, broken, left wrong; inside and outside overlapped time.

A reference word is right in a hypothesis when the word at its place is the same. From the prompt to the final text

| | right in the final text | wrong in the final text |
|---|---|---|
| right in the prompt | kept | broken |
| wrong in the prompt | repaired | still_wrong |

`copied` are those still wrong where the final text has the very word of the prompt, or no word as the prompt. A word
that the prompt inserted is `inserted_kept` when the final text inserts the same word for the same reference talker (or,
for a talker without partner, also for one without partner), otherwise `inserted_removed`; what the final text inserts
beyond those kept is `inserted_new`, counted for all words only, as it has no time.

The time of a reference word is the middle of the prompt word at its place, put into the time in which its talker is
active; words without one are spread evenly between their neighbours or the talker's start and end. A word is
overlapped when another talker is active at that time, otherwise single. A talker is active from the onset of its source
to its end in the manifest. Words that the prompt inserted have their own time.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from espnet2_sop.scoring.alignment import Aligned
from espnet2_sop.scoring.bootstrap import interval
from espnet2_sop.scoring.metrics import Talkers
from espnet2_sop.scoring.rates import percent

OUTCOMES = ("kept", "repaired", "broken", "still_wrong")
NEW = "inserted_new"
INSERTED = ("inserted_kept", "inserted_removed", NEW)
RATES = {  # counts above and below the line
    "repair_rate": (("repaired",), ("repaired", "still_wrong")),
    "break_rate": (("broken",), ("kept", "broken")),
    "copy_rate": (("copied",), ("repaired", "still_wrong")),
    "removal_rate": (("inserted_removed",), ("inserted_removed", "inserted_kept")),
}
Span = tuple[float, float]


def outcome(right_before: bool, right_after: bool) -> str:
    """What became of a reference word from the prompt to the final text.

    Args:
        right_before: Whether the prompt has it right.
        right_after: Whether the final text has it right.

    Returns:
        One of `OUTCOMES`.
    """
    if right_before:
        return "kept" if right_after else "broken"
    return "repaired" if right_after else "still_wrong"


def count_propagation(
    ref: Talkers,
    prompt: Aligned,
    final: Aligned,
    spans: Sequence[Span] | None = None,
    times: Sequence[Sequence[float]] | None = None,
) -> dict[str, Counter[str]]:
    """Counts the outcomes of the words of one mixture.

    Args:
        ref: Words of each reference talker.
        prompt, final: Both aligned with `ref`.
        spans: Start and end of each reference talker in seconds.
        times: Middle in seconds of each word of each prompt talker.

    Returns:
        {"all": counts}, and with spans and times also "overlapped" and "single".
    """
    counts: dict[str, Counter[str]] = {"all": Counter()}
    if times is not None:
        counts |= {"overlapped": Counter(), "single": Counter()}

    def add(names: Iterable[str], time: float | None, talker: int | None) -> None:
        regions = ["all"]
        if time is not None:
            regions.append("overlapped" if others_active(spans, time, talker) else "single")
        for region in regions:
            counts[region].update(names)

    for talker, words in enumerate(ref):
        at = word_times(prompt, talker, spans[talker], times) if times is not None else [None] * len(words)
        for index, word in enumerate(words):
            before, after = prompt.word(talker, index), final.word(talker, index)
            name = outcome(before == word, after == word)
            add([name, "copied"] if name == "still_wrong" and before == after else [name], at[index], talker)
    for talker in (*range(len(ref)), None):
        left = Counter(final.talkers[t][i] for t, i in final.inserted(talker))
        for t, i in prompt.inserted(talker):
            word = prompt.talkers[t][i]
            name = "inserted_kept" if left[word] else "inserted_removed"
            left[word] -= bool(left[word])
            add([name], times[t][i] if times is not None else None, talker)
        counts["all"][NEW] += left.total()
    return counts


def word_times(prompt: Aligned, talker: int, span: Span, times: Sequence[Sequence[float]]) -> list[float]:
    """Times of the words of a reference talker, as the head of this file defines them.

    Args:
        prompt: The prompt, aligned with the reference.
        talker: Index of the reference talker.
        span: Its start and end in seconds.
        times: Middle in seconds of each word of each prompt talker.

    Returns:
        A time in seconds for each word.
    """
    places = prompt.places[talker]
    known = [(i, times[prompt.partners[talker]][place]) for i, place in enumerate(places) if place is not None]
    indices = [-0.5, *(i for i, _ in known), len(places) - 0.5]
    seconds = [span[0], *(min(max(time, span[0]), span[1]) for _, time in known), span[1]]
    return np.interp(range(len(places)), indices, seconds).tolist()


def others_active(spans: Sequence[Span], time: float, talker: int | None) -> bool:
    """Whether somebody else speaks at a time.

    Args:
        spans: Start and end of each reference talker in seconds.
        time: The time in seconds.
        talker: Index of the reference talker of the word; None for a word of no reference talker.

    Returns:
        Whether another talker is active; for a word of no reference talker, whether two are.
    """
    active = [start <= time < end for start, end in spans]
    return sum(active) > 1 if talker is None else any(a for i, a in enumerate(active) if i != talker)


def summarize_propagation(counts: Sequence[Counter[str]]) -> dict[str, Any]:
    """Totals over mixtures.

    Args:
        counts: Of each mixture.

    Returns:
        "words" (reference words), the counts, "shares" of OUTCOMES in percent of the words, RATES in percent, and the
        "intervals" of shares and rates.
    """
    total = sum(counts, Counter())
    words = sum(total[name] for name in OUTCOMES)
    names = [name for name in (*OUTCOMES, "copied", *INSERTED) if name != NEW or any(NEW in count for count in counts)]
    record: dict[str, Any] = {"words": words} | {name: total[name] for name in names}
    rates, limits = {}, {}
    for name, (above, below) in ({name: ((name,), OUTCOMES) for name in OUTCOMES} | RATES).items():
        top, bottom = ([sum(count[n] for n in names) for count in counts] for names in (above, below))
        rates[name] = percent(sum(top) / sum(bottom)) if sum(bottom) else None
        ends = interval(top, bottom)
        limits[name] = ends and [percent(end) for end in ends]
    shares = {name: rates.pop(name) for name in OUTCOMES}
    return record | {"shares": shares} | rates | {"intervals": limits}

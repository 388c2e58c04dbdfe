"""The time line of a result as HTML: waveform, and below it a lane of words for each talker.

Positions are shares of the width, so the time line fills wide windows; below its smallest width it scrolls. Words have
a fixed size, and rows within a lane keep them apart at the smallest width, hence at every width.
"""

import unicodedata
from collections.abc import Sequence
from html import escape
from itertools import groupby

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.demo.changes import ADDED, changes
from espnet2_sop.text.ctm import TimedWord

NARROW = 300  # px, the time line in the window of a phone
MOST_ROWS = 3  # of words in a lane; where more are needed, the time line becomes wider than a narrow window
MOST_SCALE = 400  # px per second
ROW = 26  # px, height of a row of words
CHARACTER, PADDING = 8.2, 14  # px: width of a character, and of what is left and right of a word
COLOURS = 6
PAUSE = 1.0  # seconds without a word that divide a talker's bar
UNSURE = 0.5  # words of lower confidence are underlined
MARKS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)  # seconds between the marks of the ruler
MARK_WIDTH = 48  # px


def lanes(talkers: Sequence[Talker], outline: Sequence[float], seconds: float) -> str:
    """Draws a result over time.

    Args:
        talkers: Of all segments; those without word times get no lane.
        outline: Heights of the waveform, 0 to 1, in equal parts of the recording.
        seconds: Length of the recording.

    Returns:
        HTML with ruler, waveform and onset flags, and one lane for each talker slot in order of speaking start.
    """
    timed = sorted((talker for talker in talkers if talker.words), key=lambda talker: talker.slot)
    slots = [(slot, list(own)) for slot, own in groupby(timed, key=lambda talker: talker.slot)]
    scale = smallest_scale([[word for talker in own for word in talker.words] for _, own in slots], seconds)
    ends = [word.start * scale + width(word) for talker in timed for word in talker.words]
    pixels = max([NARROW, seconds * scale, *ends])
    share = 100 * scale / pixels  # % of the width for a second
    starts = sorted({talker.start for talker in talkers})
    inner = [
        _ruler(seconds, scale, share),
        _waveform(outline, seconds * share, timed, share),
        *(_lane(slot, own, scale, share, len(starts) > 1) for slot, own in slots),
        *(f'<div class="border" style="left:{start * share:.3f}%"></div>' for start in starts[1:]),
    ]
    box = '<div class="timeline" tabindex="0" role="group" aria-label="Time line">'  # the arrow keys scroll it
    return f'{box}<div style="min-width:{pixels:.0f}px">{"".join(inner)}</div></div>'


def colour(slot: int) -> str:
    """The class that gives a talker slot, counted from 1, its colour."""
    return f"t{(slot - 1) % COLOURS}"


def width(word: TimedWord) -> float:
    """An upper estimate of the width of a word in px; East Asian characters count twice."""
    characters = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in word.word)
    return CHARACTER * characters + PADDING


def rows(words: Sequence[TimedWord], scale: float) -> list[int]:
    """Puts each word into the first row in which it has room.

    Args:
        words: Of one lane, in order of time.
        scale: Pixels per second.

    Returns:
        The row of each word, from 0.
    """
    ends: list[float] = []
    places = []
    for word in words:
        left = word.start * scale
        row = next((row for row, end in enumerate(ends) if end <= left), len(ends))
        ends[row : row + 1] = [left + width(word)]
        places.append(row)
    return places


def smallest_scale(lanes_of_words: Sequence[Sequence[TimedWord]], seconds: float) -> float:
    """The scale of the time line at its smallest width.

    Args:
        lanes_of_words: The words of each lane, in order of time.
        seconds: Length of the recording.

    Returns:
        Pixels per second: enough for `MOST_ROWS` rows in every lane, if that is not more than `MOST_SCALE`.
    """
    scale = NARROW / seconds
    while scale < MOST_SCALE and any(max(rows(words, scale)) >= MOST_ROWS for words in lanes_of_words):
        scale *= 1.1
    return scale


def _ruler(seconds: float, scale: float, share: float) -> str:
    step = next((step for step in MARKS if step * scale >= MARK_WIDTH), MARKS[-1])
    times = [i * step for i in range(int(seconds / step) + 1)]
    marks = [f'<span style="left:{t * share:.3f}%">{t:g} s</span>' for t in times if (seconds - t) * scale > 30]
    return f'<div class="ruler" aria-hidden="true">{"".join(marks)}</div>'


def _waveform(outline: Sequence[float], percent: float, talkers: Sequence[Talker], share: float) -> str:
    """The waveform, `percent` of the width, with a flag at the onset of each talker."""
    step = 1000 / len(outline)
    points = [((i + 0.5) * step, 46 * height) for i, height in enumerate(outline)]
    upper = [f"{x:.1f} {50 - y:.1f}" for x, y in points]
    lower = [f"{x:.1f} {50 + y:.1f}" for x, y in reversed(points)]
    flags = [
        f'<b class="flag {colour(slot)}" style="left:{start * share:.3f}%">{slot}</b>'
        for slot, start in ((talker.slot, talker.words[0].start) for talker in talkers)
    ]
    return (
        f'<div class="wave" aria-hidden="true"><svg viewBox="0 0 1000 100" preserveAspectRatio="none" '
        f'style="width:{percent:.3f}%"><path d="M0 50L{"L".join(upper)}L1000 50L{"L".join(lower)}Z"/></svg>'
        f"{''.join(flags)}</div>"
    )


def _lane(slot: int, talkers: Sequence[Talker], scale: float, share: float, several: bool) -> str:
    """The lane of a slot: its talker, or of a long recording those of all segments."""
    words = [word for talker in talkers for word in talker.words]
    places = rows(words, scale)
    kinds = [
        change.kind
        for talker in talkers
        for change in changes([word.word for word in talker.words], talker.text.split())
        if change.kind != ADDED
    ]
    bars = [
        f'<div class="bar" style="left:{first * share:.3f}%;width:{(last - first) * share:.3f}%"></div>'
        for first, last in stretches(words)
    ]
    spans = [
        f'<span class="word {kind}{" unsure" if word.confidence < UNSURE else ""}" data-at="{word.start:.3f}" '
        f'style="left:{word.start * share:.3f}%;top:{4 + row * ROW}px" '
        f'title="{word.start:.2f} s, confidence {word.confidence:.2f}">{escape(word.word)}</span>'
        for word, row, kind in zip(words, places, kinds, strict=True)
    ]
    when = "of each part" if several else f"starts at {words[0].start:.2f} s"
    return (
        f'<div class="lane {colour(slot)}" role="group" aria-label="Talker {slot}, {when}">'
        f'<div class="lane-title"><b class="chip">{slot}</b>{when}</div>'
        f'<div class="words" style="height:{(max(places) + 1) * ROW + 8}px">{"".join(bars)}{" ".join(spans)}</div>'
        "</div>"
    )


def stretches(words: Sequence[TimedWord]) -> list[tuple[float, float]]:
    """Start and end, in seconds, of the stretches of words (in order of time) without a pause of `PAUSE`."""
    found: list[tuple[float, float]] = []
    for word in words:
        end = word.start + word.duration
        if found and word.start - found[-1][1] < PAUSE:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((word.start, end))
    return found

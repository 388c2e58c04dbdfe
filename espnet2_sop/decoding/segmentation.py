"""Where somebody speaks, by energy: long recordings are cut at pauses.

The level of a frame of 20 ms is its root mean square in dB of full scale, after the mean of the recording is taken off.
A frame is active if its level reaches

    max(-70, loud - 35, min(quiet + 6, loud - 12))    with the 99th and the 10th percentile of the levels

With a clean background these are the frames within 35 dB of the loudest speech, with a noisy one those 6 dB above the
noise; where levels hardly differ, all frames. Nothing below -70 dB is speech.
"""

import math

import numpy as np

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE

FRAME = SAMPLE_RATE // 50
CLICK = 5  # frames: less activity than 0.1 s is a click
PAD = 10  # frames kept on either side of a region: 0.2 s
SMOOTH = 15  # frames: a forced cut is where 0.3 s are quietest
SHORTEST_LIMIT = 2.0  # seconds


def check_limits(max_seconds: float, pause_seconds: float) -> None:
    """Refuses limits of segments that are too small or not finite.

    Args:
        max_seconds: Longest segment.
        pause_seconds: Shortest pause between two segments.

    Raises:
        UserError: Names the limit.
    """
    for name, value in (("max_seconds", max_seconds), ("pause_seconds", pause_seconds)):
        if not abs(value) * SAMPLE_RATE < math.inf:
            raise UserError(f"{name}: {value} is no number of seconds; give a finite one")
    if max_seconds < SHORTEST_LIMIT:
        raise UserError(f"max_seconds: {max_seconds} is too short for a segment; at least {SHORTEST_LIMIT:g}")
    if pause_seconds < 0.1:
        raise UserError(f"pause_seconds: {pause_seconds} is no pause between words; at least 0.1")


def segments(wave: np.ndarray, max_seconds: float, pause_seconds: float) -> list[tuple[int, int]]:
    """The parts of a recording that are recognised one by one.

    A recording of at most `max_seconds` is one segment. A longer one is cut at every pause of at least `pause_seconds`,
    and what is still longer than `max_seconds` where it is quietest in the second half of that time. A region keeps
    0.2 s (at most half a pause) on either side. Silence is in no segment.

    Args:
        wave: (T,) float32, 16 kHz.
        max_seconds: Longest segment.
        pause_seconds: Shortest pause between two segments.

    Returns:
        [start, stop) in samples, in order, without overlap; none for a silent recording.
    """
    levels = frame_levels(wave)
    active = levels >= threshold(levels)
    if active.sum() < CLICK:
        return []
    if len(wave) <= max_seconds * SAMPLE_RATE:
        return [(0, len(wave))]
    limit, pause = int(max_seconds * SAMPLE_RATE / FRAME), round(pause_seconds * SAMPLE_RATE / FRAME)
    smooth = np.convolve(levels, np.ones(SMOOTH) / SMOOTH, mode="same")
    parts = [part for region in regions(active, pause) for part in cut(*region, smooth, limit)]
    return [(start * FRAME, min(stop * FRAME, len(wave))) for start, stop in parts]


def frame_levels(wave: np.ndarray) -> np.ndarray:
    """Levels (F,) in dB of full scale, the last frame filled up with zeros."""
    padded = np.pad(wave - wave.mean(), (0, -len(wave) % FRAME)).reshape(-1, FRAME)
    return 10 * np.log10(np.square(padded, dtype=np.float32).mean(1) + 1e-12)


def threshold(levels: np.ndarray) -> float:
    """The level in dB from which on a frame of levels (F,) is active (see the formula of this module)."""
    quiet, loud = np.percentile(levels, [10, 99])
    return max(-70.0, loud - 35, min(quiet + 6, loud - 12))


def regions(active: np.ndarray, pause: int) -> list[tuple[int, int]]:
    """Joins active frames to regions.

    Args:
        active: (F,) bool.
        pause: Shortest pause between two regions, in frames.

    Returns:
        [start, stop) in frames, with padding; regions of fewer than `CLICK` active frames are left out.
    """
    frames = np.flatnonzero(active)
    groups = np.split(frames, np.flatnonzero(np.diff(frames) > pause) + 1)
    pad = min(PAD, pause // 2)
    return [
        (max(int(group[0]) - pad, 0), min(int(group[-1]) + 1 + pad, len(active)))
        for group in groups
        if len(group) >= CLICK
    ]


def cut(start: int, stop: int, smooth: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """Cuts a region that is too long, where the second half of a part is quietest.

    Args:
        start: First frame of the region.
        stop: Frame behind its last one.
        smooth: (F,) levels, smoothed.
        limit: Most frames in a part.

    Returns:
        [start, stop) of the parts, in order.
    """
    parts = []
    while stop - start > limit:
        first, last = start + limit // 2, min(start + limit, stop - limit // 4)
        place = first + int(smooth[first : last + 1].argmin())
        parts.append((start, place))
        start = place
    return [*parts, (start, stop)]

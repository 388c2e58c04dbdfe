"""Real conversations as mixtures: recordings are cut at silences."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.corpora.spans import OVERSHOOT, Span, lengths, sample_range
from espnet2_sop.mixture.manifest import Mixture, Recording, Source

Part = tuple[int, int, Span]  # first sample, sample after the last, what is said


@dataclasses.dataclass(frozen=True)
class RegionConfig:
    """How recordings are cut.

    Attributes:
        max_pause: Utterances that overlap or are at most this many seconds apart belong to one region.
        max_duration: Longest region in seconds; longer ones are cut again.
        max_talkers: Regions with more talkers are left out.
    """

    max_pause: float
    max_duration: float
    max_talkers: int


def _check_speakers(parts: Sequence[Part]) -> None:
    last: dict[str, Part] = {}
    for part in parts:
        before = last.get(part[2].speaker)
        if before is not None and part[0] < before[1] - OVERSHOOT * SAMPLE_RATE:
            raise UserError(
                f"{part[2].where}: speaker {part[2].speaker} starts at {part[2].start:g} s, while the segment of"
                f" {before[2].where} of the same speaker goes on until {before[2].end:g} s; mend the times"
            )
        if before is None or part[1] > before[1]:
            last[part[2].speaker] = part


def _gaps(parts: Sequence[Part]) -> list[int]:
    """Silence before each part but the first in samples, negative where the talkers overlap. (N - 1,)"""
    gaps, end = [], parts[0][1]
    for start, stop, _ in parts[1:]:
        gaps.append(start - end)
        end = max(end, stop)
    return gaps


def _split(parts: Sequence[Part], is_cut: list[bool]) -> list[list[Part]]:
    groups = [[parts[0]]]
    for part, cut in zip(parts[1:], is_cut, strict=True):
        if cut:
            groups.append([])
        groups[-1].append(part)
    return groups


def _fitting(parts: list[Part], limit: int) -> tuple[list[list[Part]], list[list[Part]]]:
    """Cuts a region at its longest silences until each part is within the limit: (those, parts without silence)."""
    good, bad, waiting = [], [], [parts]
    while waiting:
        region = waiting.pop()
        gaps = _gaps(region)
        longest = max(gaps, default=-1)
        if max(stop for _, stop, _ in region) - region[0][0] <= limit:
            good.append(region)
        elif longest < 0:
            bad.append(region)
        else:
            cut = gaps.index(longest)
            waiting += _split(region, [index == cut for index in range(len(gaps))])
    return good, bad


def _mixture(name: str, parts: Sequence[Part]) -> Mixture:
    """One region: a talker's words are joined in order of time, the talkers sorted by their first start."""
    first = parts[0][0]
    talkers: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        talkers[part[2].speaker].append(part)
    path, sources = parts[0][2].path, []
    for speaker, own in talkers.items():
        start, stop = own[0][0], max(stop for _, stop, _ in own)
        text = " ".join(span.text for _, _, span in own)
        sources.append(Source(path, speaker, text, (start - first) / SAMPLE_RATE, 1.0, stop - start, offset=start))
    return Mixture(name, tuple(sources), recording=Recording(path, first))


def cut_regions(spans: Sequence[Span], config: RegionConfig) -> tuple[list[Mixture], Counter[str]]:
    """Cuts recordings into mixtures.

    A region is a group of utterances that overlap or are close to each other; it starts with its first utterance and
    ends with its last. A region over `max_duration` is cut at its longest silence until all parts are short enough; a
    part without silence is left out. A talker who speaks several times in a region is one source: the words in order of
    time, the onset of the first.

    Args:
        spans: Utterances with words, start and end.
        config: The rule.

    Returns:
        Mixtures that are read from the recordings, sorted by id (`RECORDING-START-END` in hundredths of a second), and
        {reason: number of regions left out}.

    Raises:
        UserError: A segment has no times or is behind the end of its recording, or segments of one speaker overlap.
    """
    if untimed := [span for span in spans if span.start is None]:
        raise UserError(
            f"{untimed[0].where}: utterance {untimed[0].id} has no start and end; a file 'segments' is needed"
        )
    recordings: dict[str, list[Part]] = defaultdict(list)
    total, dropped, mixtures = lengths(spans), Counter(), {}
    for span in spans:
        recordings[span.path].append((*sample_range(span, total[span.path]), span))
    for path, parts in recordings.items():
        parts.sort(key=lambda part: part[:2])
        _check_speakers(parts)
        for region in _split(parts, [gap > config.max_pause * SAMPLE_RATE for gap in _gaps(parts)]):
            fitting, long = _fitting(region, round(config.max_duration * SAMPLE_RATE))
            dropped["longer than max_duration without a silence"] += len(long)
            for group in fitting:
                if len({span.speaker for _, _, span in group}) > config.max_talkers:
                    dropped[f"more than {config.max_talkers} talkers"] += 1
                    continue
                stop = max(stop for _, stop, _ in group)
                recording = "_".join(Path(path).stem.split())  # an id has no blanks
                name = "-".join([recording, *(f"{t * 100 // SAMPLE_RATE:07d}" for t in (group[0][0], stop))])
                if name in mixtures:
                    raise UserError(f"{path}: a second recording with this name; rename one")
                mixtures[name] = _mixture(name, group)
    return [mixtures[name] for name in sorted(mixtures)], +dropped

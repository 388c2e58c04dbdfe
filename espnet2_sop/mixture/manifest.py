"""The mixture manifest: JSON Lines, one mixture per line; the one data type between corpora and their users."""

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, is_name, open_text
from espnet2_sop.io.json_shapes import NUMBER, is_number, parse_json
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.text.serialized import SC, serialize, words_of_talker

MODES = ("max", "min")
PEAKS = ("scale", "clip")
SPEEDS = (0.01, 100)  # limits of playing speeds, which keep lengths finite


@dataclasses.dataclass(frozen=True)
class Source:
    """One talker of a mixture.

    Attributes:
        path: Audio file, relative to the working directory or absolute.
        speaker: Name of the speaker.
        text: What is said, words separated by single spaces.
        onset: Start in the mixture in seconds.
        gain: Factor on the samples of the file.
        num_samples: Samples in the file, or in the part of it that is used.
        speed: Playing speed; 1.1 makes the source 10 % shorter and its pitch higher.
        offset: First sample of the part that is used; None uses the whole file.
        room: Audio file of the room response that the source is convolved with, or None.
    """

    path: str
    speaker: str
    text: str
    onset: float
    gain: float
    num_samples: int
    speed: float = 1.0
    offset: int | None = None
    room: str | None = None

    @property
    def start(self) -> int:
        """First sample of the source in the mixture."""
        return round(self.onset * SAMPLE_RATE)

    @property
    def length(self) -> int:
        """Length of the source in the mixture in samples, after the change of speed."""
        return round(self.num_samples / self.speed)

    @property
    def end(self) -> int:
        """Sample of the mixture behind the last one of the source."""
        return self.start + self.length


@dataclasses.dataclass(frozen=True)
class Noise:
    """Background noise: `path` from sample `offset` on, repeated with cross-fades when short, times `gain`."""

    path: str
    offset: int
    gain: float


@dataclasses.dataclass(frozen=True)
class Recording:
    """A stored waveform that is read instead of being mixed: `path` from sample `offset_samples` on."""

    path: str
    offset_samples: int = 0


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Talkers in order of onset and their noise.

    Attributes:
        id: Unique name without blanks.
        sources: The talkers, earliest first.
        noise: Background noise or None.
        sample_rate: Always 16000.
        mode: "max" ends with the last talker, "min" with the first one that ends.
        recording: Stored waveform, in which `speed` is already applied; None mixes it from the sources.
        peak: Treatment of sums that are too loud: "scale" scales the whole mixture down, "clip" clips samples to the
            range of 16 bits (LibriMix, LibriSpeechMix).
        speed: Playing speed of the mixture as a whole; 1.1 makes it 10 % shorter. Sources and noise are described
            before this change; `num_samples`, `spans` and `onsets` after it.
    """

    id: str
    sources: tuple[Source, ...]
    noise: Noise | None = None
    sample_rate: int = SAMPLE_RATE
    mode: str = "max"
    recording: Recording | None = None
    peak: str = "scale"
    speed: float = 1.0

    @property
    def num_talkers(self) -> int:
        """Talkers in the mixture."""
        return len(self.sources)

    @property
    def mixed_samples(self) -> int:
        """Length of the sum in samples, before `speed`: latest ("max") or earliest ("min") end of a source.

        A source is padded with zeros up to its onset, so "min" is the length of the shortest padded source, as
        in LibriMix. Noise never changes the length.
        """
        return (max if self.mode == "max" else min)(source.end for source in self.sources)

    @property
    def num_samples(self) -> int:
        """Length of the rendered mixture in samples."""
        return round(self.mixed_samples / self.speed)

    @property
    def duration(self) -> float:
        """Length of the rendered mixture in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def spans(self) -> list[tuple[int, int]]:
        """(first sample, sample behind the last) of each source in the rendered mixture, in order of onset."""
        end = self.num_samples
        return [(min(round(s.start / self.speed), end), min(round(s.end / self.speed), end)) for s in self.sources]

    @property
    def onsets(self) -> list[float]:
        """Start of each source in the rendered mixture in seconds."""
        return [source.onset / self.speed for source in self.sources]

    @property
    def overlap_ratio(self) -> float:
        """Time with two or more active talkers over time with one or more (from the spans of the sources)."""
        edges = sorted(edge for start, end in self.spans if start < end for edge in ((start, 1), (end, -1)))
        speech = overlap = active = last = 0
        for sample, step in edges:
            speech += (sample - last) * (active >= 1)
            overlap += (sample - last) * (active >= 2)
            active, last = active + step, sample
        return overlap / speech if speech else 0.0

    @property
    def text(self) -> str:
        """Serialized text: the talkers' texts in order of onset, joined by ` <sc> `."""
        return serialize(source.text for source in self.sources)

    @property
    def audio_paths(self) -> list[str]:
        """The files that rendering reads."""
        if self.recording is not None:
            return [self.recording.path]
        paths = [path for source in self.sources for path in (source.path, source.room) if path is not None]
        return paths + ([self.noise.path] if self.noise else [])

    def to_dict(self) -> dict[str, Any]:
        """The mixture as a line of a manifest; rarely used keys are left out where they have their default."""
        record = dataclasses.asdict(self)
        record["sources"] = [without_none(source) for source in record["sources"]]
        for name, default in (("recording", None), ("peak", PEAKS[0]), ("speed", 1.0)):
            if record[name] == default:
                del record[name]
        return record


def without_none(record: dict[str, Any]) -> dict[str, Any]:
    """The record without keys whose value is None."""
    return {key: value for key, value in record.items() if value is not None}


@functools.cache
def _fields(cls: type) -> tuple[dict[str, Any], list[str]]:
    """Types of the fields of a dataclass, and the names of those without a default."""
    required = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
    return get_type_hints(cls), required


def from_dict[Record](cls: type[Record], record: Any, where: str) -> Record:
    """Makes a flat dataclass of a JSON object after checking its keys and types.

    Args:
        cls: Dataclass with fields of type str, int, float, or one of them or None.
        record: Value read from JSON.
        where: "file, line n", for messages.

    Returns:
        The dataclass.

    Raises:
        UserError: The value is not an object, a key is missing, unknown or of a wrong type, or a number is too large or
            not finite.
    """
    if not isinstance(record, dict):
        raise UserError(f"{where}: expected a JSON object with the keys of a {cls.__name__.lower()}, got {record!r}")
    hints, required = _fields(cls)
    if missing := [name for name in required if name not in record]:
        raise UserError(f"{where}: {cls.__name__.lower()} without the key {', '.join(map(repr, missing))}")
    if unknown := sorted(record.keys() - hints.keys()):
        raise UserError(f"{where}: {cls.__name__.lower()} with the unknown key {', '.join(map(repr, unknown))}")
    for name, value in record.items():
        kinds = (int, float) if hints[name] is float else (hints[name],)
        if not isinstance(value, kinds) or isinstance(value, bool):
            kind = getattr(hints[name], "__name__", hints[name])  # a union has no name
            raise UserError(f"{where}: {name!r} must be of type {kind}, got {value!r}")
        if isinstance(value, NUMBER) and not is_number(value):
            raise UserError(f"{where}: {name!r} must be finite, got {value!r}")
    return cls(**record)


def read_json_lines(path: str | Path) -> Iterator[tuple[str, Any]]:
    """Yields ("file, line n", value) for each line of a JSON Lines file; broken JSON is a UserError."""
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            where = f"{path}, line {number}"
            yield where, parse_json(line, where)


def write_json_lines(path: str | Path, records: Iterable[dict[str, Any]]) -> None:
    """Writes one JSON object per line, completely or not at all.

    Args:
        path: File to write.
        records: Objects in order.
    """
    with atomic_write(path) as f:
        for record in records:
            f.write(json.dumps(record, ensure_ascii=False) + "\n")


def _source(record: Any, where: str) -> Source:
    source = from_dict(Source, record, where)
    if not source.text.strip():
        raise UserError(f"{where}: talker {source.path!r} without words; give each source its text")
    if source.text != words_of_talker(source.text, where):
        raise UserError(f"{where}: text {source.text!r}: words must be separated by single spaces, without {SC}")
    if source.onset < 0 or not is_speed(source.speed) or source.num_samples <= 0 or source.length <= 0:
        raise UserError(f"{where}: source {source.path!r} needs onset >= 0, speed > 0 and num_samples > 0")
    if source.offset is not None and source.offset < 0:
        raise UserError(f"{where}: source {source.path!r}: offset {source.offset} is negative")
    return source


def is_speed(speed: Any) -> bool:
    """Whether a value is a playing speed within SPEEDS."""
    return is_number(speed) and SPEEDS[0] <= speed <= SPEEDS[1]


def _mixture(record: Any, where: str) -> Mixture:
    if not isinstance(record, dict):
        raise UserError(f"{where}: a mixture must be a JSON object")
    if missing := [name for name in ("id", "sources") if name not in record]:
        raise UserError(f"{where}: mixture without the key {', '.join(map(repr, missing))}")
    if unknown := sorted(record.keys() - {f.name for f in dataclasses.fields(Mixture)}):
        raise UserError(f"{where}: mixture with the unknown key {', '.join(map(repr, unknown))}")
    name, rows = record["id"], record["sources"]
    if not is_name(name):
        raise UserError(f"{where}: 'id' must be a name without blanks, got {name!r}")
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{where}: mixture {name!r} has no sources")
    sources = tuple(_source(row, where) for row in rows)
    if any(a.onset > b.onset for a, b in zip(sources, sources[1:], strict=False)):
        raise UserError(f"{where}: the sources of {name!r} are not in order of onset; sort them")
    noise = record.get("noise")
    if noise is not None:
        noise = from_dict(Noise, noise, where)
        if noise.offset < 0:
            raise UserError(f"{where}: noise offset {noise.offset} is negative")
    recording = record.get("recording")
    if recording is not None:
        recording = from_dict(Recording, recording, where)
        if recording.offset_samples < 0:
            raise UserError(f"{where}: recording offset_samples {recording.offset_samples} is negative")
    mode, rate = record.get("mode", "max"), record.get("sample_rate", SAMPLE_RATE)
    peak, speed = record.get("peak", PEAKS[0]), record.get("speed", 1.0)
    if mode not in MODES:
        raise UserError(f"{where}: mode {mode!r}; one of: {', '.join(MODES)}")
    if peak not in PEAKS:
        raise UserError(f"{where}: peak {peak!r}; one of: {', '.join(PEAKS)}")
    if rate != SAMPLE_RATE:
        raise UserError(f"{where}: sample_rate {rate!r}; only {SAMPLE_RATE} is supported")
    if not is_speed(speed):
        raise UserError(f"{where}: 'speed' must be a number above zero, got {speed!r}")
    return Mixture(name, sources, noise, rate, mode, recording, peak, float(speed))


def read_manifest(path: str | Path) -> list[Mixture]:
    """Reads a mixture manifest.

    Returns:
        The mixtures in the order of the file.

    Raises:
        UserError: With file and line: broken JSON, missing or unknown keys, wrong types, no sources, sources not in
            order of onset, a talker without words, a duplicate id.
    """
    mixtures: dict[str, Mixture] = {}
    for where, record in read_json_lines(path):
        mixture = _mixture(record, where)
        if mixture.id in mixtures:
            raise UserError(f"{where}: id {mixture.id!r} came before; ids must be unique")
        mixtures[mixture.id] = mixture
    return list(mixtures.values())


def write_manifest(path: str | Path, mixtures: Iterable[Mixture]) -> None:
    """Writes a mixture manifest, completely or not at all.

    Args:
        path: File to write.
        mixtures: Mixtures in order.
    """
    write_json_lines(path, (mixture.to_dict() for mixture in mixtures))

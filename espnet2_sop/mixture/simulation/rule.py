"""Simulation: mixtures drawn by a rule from a pool of single utterances, new ones in every epoch."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, open_text, read_yaml
from espnet2_sop.io.json_shapes import is_number
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.kaldi_audio import audio_exists
from espnet2_sop.mixture.manifest import SPEEDS, Mixture, Noise, Source, is_speed
from espnet2_sop.mixture.simulation.pool import (
    NoiseFile,
    Utterance,
    read_noise_pool,
    read_pool,
    require_level,
    write_pool,
)
from espnet2_sop.mixture.simulation.room import RoomResponse, read_room_pool

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class SimulationConfig:
    """The rule by which mixtures are drawn; the paper's onsets are U(1.0, 1.5) and U(2.5, 3.0) s.

    Attributes:
        seed: Seed; the mixtures of an epoch are a function of it and of the epoch.
        mixtures_per_epoch: Number of mixtures.
        talkers: {number of talkers: probability}.
        onsets: Ranges in seconds for talker 2, 3, ..., counted from the start of talker 1.
        level_db: Range of the RMS level of each source in dBFS.
        noise_prob: Share of mixtures with noise.
        noise_level_db: Range of the RMS level of noise in dBFS.
        speed: Range of the playing speed of each source; [1, 1] does not change it.
        max_duration: Longest mixture in seconds; utterances that would end later wait for another mixture.
        pool: File of utterances, beside the file of the rule.
        noises: File of noises, beside the file of the rule; needed if noise_prob > 0.
        room_prob: Share of mixtures in a room.
        rooms: File of room responses, beside the file of the rule; needed if room_prob > 0.
    """

    seed: int
    mixtures_per_epoch: int
    talkers: dict[int, float]
    onsets: tuple[Range, ...]
    level_db: Range
    noise_prob: float
    noise_level_db: Range
    speed: Range
    max_duration: float
    pool: str = "sources.jsonl"
    noises: str = "noises.jsonl"
    room_prob: float = 0.0
    rooms: str = "rooms.jsonl"


def _number(value: Any, where: str) -> float:
    if not is_number(value):
        raise UserError(f"{where} must be a number, got {value!r}")
    return float(value)


def _range(value: Any, where: str) -> Range:
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"{where} must be [low, high], got {value!r}")
    low, high = _number(value[0], where), _number(value[1], where)
    if low > high:
        raise UserError(f"{where}: low {low} is over high {high}")
    return low, high


def _talkers(value: Any, where: str) -> dict[int, float]:
    if not isinstance(value, dict) or not all(type(n) is int and n > 0 for n in value):
        raise UserError(f"{where} must map numbers of talkers to probabilities, got {value!r}")
    talkers = {n: _number(p, where) for n, p in sorted(value.items())}
    if min(talkers.values(), default=-1) < 0 or abs(sum(talkers.values()) - 1) > 1e-6:
        raise UserError(f"{where}: probabilities must be >= 0 and sum to 1, got {value!r}")
    return talkers


def _keys_and_values(path: str | Path) -> dict[str, Any]:
    """The YAML of a rule after a check of its keys."""
    values = read_yaml(path)
    fields = {f.name: f for f in dataclasses.fields(SimulationConfig)}
    if unknown := [key for key in values if key not in fields]:
        raise UserError(f"{path}: unknown key {unknown[0]!r}; known: {', '.join(fields)}")
    if missing := [k for k, f in fields.items() if k not in values and f.default is dataclasses.MISSING]:
        raise UserError(f"{path}: the key {missing[0]!r} is missing")
    return values


def read_config(path: str | Path) -> SimulationConfig:
    """Reads `simulation.yaml`.

    Raises:
        UserError: With file and key: broken YAML, a key missing or unknown, or an impossible value.
    """
    values = _keys_and_values(path)
    where = {name: f"{path}: {name!r}" for name in values}
    for name, least, most in (("seed", 0, 10**18), ("mixtures_per_epoch", 1, 10**8)):
        if type(values[name]) is not int or not least <= values[name] <= most:
            raise UserError(f"{where[name]} must be a whole number from {least} to {most}, got {values[name]!r}")
    for name in ("pool", "noises", "rooms"):
        file = values.get(name, "a")
        if not isinstance(file, str) or file != Path(file).name:  # it is written, too
            raise UserError(f"{where[name]} must be a file name without folders, got {file!r}")
    for name in ("level_db", "noise_level_db", "speed"):
        values[name] = _range(values[name], where[name])
    for name in {"noise_prob", "room_prob", "max_duration"} & values.keys():
        values[name] = _number(values[name], where[name])
    if not isinstance(values["onsets"], list):
        raise UserError(f"{where['onsets']} must be a list of [low, high], got {values['onsets']!r}")
    values["onsets"] = tuple(_range(value, where["onsets"]) for value in values["onsets"])
    values["talkers"] = _talkers(values["talkers"], where["talkers"])
    config = SimulationConfig(**values)
    most = max(config.talkers)
    if len(config.onsets) < most - 1 or min((low for low, _ in config.onsets), default=0) < 0:
        raise UserError(f"{where['onsets']}: {most} talkers need {most - 1} ranges of seconds >= 0")
    for name in ("noise_prob", "room_prob"):
        if not 0 <= getattr(config, name) <= 1:
            raise UserError(f"{where[name]} must be in [0, 1], got {getattr(config, name)}")
    if not all(map(is_speed, config.speed)) or config.max_duration <= 0:
        raise UserError(f"{path}: 'speed' (up to {SPEEDS[1]}) and 'max_duration' must be above zero")
    for level in (*config.level_db, *config.noise_level_db):
        require_level(level, str(path))
    return config


class _Walk:
    """Takes utterances in the order of random permutations of the pool, so that all are used about equally."""

    def __init__(self, pool: Sequence[Utterance], rng: np.random.Generator):
        self.pool, self.rng = pool, rng
        self.waiting: list[Utterance] = []  # the next one last

    def take(self, fits: Callable[[Utterance], bool]) -> Utterance | None:
        """The first waiting utterance that fits; utterances that were passed over keep their place."""
        for _ in range(2):
            for index in range(len(self.waiting) - 1, -1, -1):
                if fits(self.waiting[index]):
                    return self.waiting.pop(index)
            self.waiting[:0] = [self.pool[i] for i in self.rng.permutation(len(self.pool))]
        return None


def _sources(config: SimulationConfig, num_talkers: int, walk: _Walk, rng: np.random.Generator) -> tuple[Source, ...]:
    onsets = [0.0, *sorted(round(rng.uniform(*bounds), 4) for bounds in config.onsets[: num_talkers - 1])]
    sources: list[Source] = []
    for onset in onsets:
        speed, level = round(rng.uniform(*config.speed), 4), rng.uniform(*config.level_db)
        heard, room = {s.speaker for s in sources}, (config.max_duration - onset) * SAMPLE_RATE * speed
        chosen = walk.take(lambda u, heard=heard, room=room: u.speaker not in heard and u.num_samples <= room)
        if chosen is None:
            raise UserError(
                f"simulation: no utterance of another speaker that starts at {onset:.2f} s ends before"
                f" max_duration ({config.max_duration} s); raise it, or use a pool with more speakers"
            )
        gain = round(10 ** ((level - chosen.level_db) / 20), 6)
        source = Source(chosen.path, chosen.speaker, chosen.text, onset, gain, chosen.num_samples, speed, chosen.offset)
        sources.append(source)
    return tuple(sources)


def _rooms(responses: Sequence[RoomResponse], most: int) -> list[list[str]]:
    """Responses of each room that has at least `most` of them."""
    rooms: dict[str, list[str]] = {}
    for response in responses:
        rooms.setdefault(response.room, []).append(response.path)
    return [paths for paths in rooms.values() if len(paths) >= most]


def _in_room(sources: Sequence[Source], rooms: list[list[str]], rng: np.random.Generator) -> tuple[Source, ...]:
    """The sources in one room, each at a different position."""
    paths = rooms[rng.integers(len(rooms))]
    places = rng.permutation(len(paths))[: len(sources)]
    return tuple(dataclasses.replace(s, room=paths[place]) for s, place in zip(sources, places, strict=True))


def _noise(config: SimulationConfig, noises: Sequence[NoiseFile], length: int, rng: np.random.Generator) -> Noise:
    file = noises[rng.integers(len(noises))]
    spare = file.num_samples - length
    offset = int(rng.integers(spare + 1 if spare >= 0 else file.num_samples))
    return Noise(file.path, offset, round(10 ** ((rng.uniform(*config.noise_level_db) - file.level_db) / 20), 6))


def draw(
    config: SimulationConfig,
    pool: Sequence[Utterance],
    noises: Sequence[NoiseFile],
    epoch: int,
    responses: Sequence[RoomResponse] = (),
) -> list[Mixture]:
    """Draws the mixtures of one epoch, with new partners, gains, onsets, speeds, rooms and noises.

    The talkers of a mixture are different speakers. Each epoch walks through random permutations of the pool.

    Args:
        config: The rule.
        pool: Single utterances.
        noises: Noises; may be empty if `config.noise_prob` is 0.
        epoch: Number of the epoch; the mixtures are a function of it and of the seed.
        responses: Room responses; needed if `config.room_prob` is above 0.

    Returns:
        `config.mixtures_per_epoch` mixtures `sim-00000`, `sim-00001`, ...: the same ids in all epochs.

    Raises:
        UserError: There are too few speakers, noises or rooms are needed and missing, or no utterance is short enough.
    """
    if len({utterance.speaker for utterance in pool}) < max(config.talkers):
        raise UserError(f"simulation: {max(config.talkers)} talkers need as many different speakers in the pool")
    if config.noise_prob > 0 and not noises:
        raise UserError("simulation: noise_prob is above 0 but there are no noises")
    rooms = _rooms(responses, max(config.talkers))
    if config.room_prob > 0 and not rooms:
        raise UserError(f"simulation: room_prob is above 0 but no room has responses for {max(config.talkers)} talkers")
    rng = np.random.default_rng([config.seed, epoch])
    walk = _Walk(pool, rng)
    weights = np.array(list(config.talkers.values()))  # NumPy does not accept rounded probabilities
    counts = rng.choice(list(config.talkers), size=config.mixtures_per_epoch, p=weights / weights.sum())
    mixtures = []
    for number, num_talkers in enumerate(counts):
        sources = _sources(config, int(num_talkers), walk, rng)
        if config.room_prob > 0 and rng.random() < config.room_prob:
            sources = _in_room(sources, rooms, rng)
        mixture = Mixture(f"sim-{number:05d}", sources)
        if rng.random() < config.noise_prob:
            mixture = dataclasses.replace(mixture, noise=_noise(config, noises, mixture.num_samples, rng))
        mixtures.append(mixture)
    return mixtures


def draw_fixed(
    config: SimulationConfig,
    pool: Sequence[Utterance],
    noises: Sequence[NoiseFile],
    num_talkers: int,
    count: int,
    responses: Sequence[RoomResponse] = (),
) -> list[Mixture]:
    """Draws mixtures for a fixed set (dev, test) by the same rule, without changes of speed.

    Args:
        config: The rule; its `talkers`, `mixtures_per_epoch`, `noise_prob` and `speed` are ignored.
        pool, responses: As for `draw`.
        noises: If empty, all mixtures are clean; otherwise the same mixtures are all noisy.
        num_talkers: Talkers in each mixture.
        count: Number of mixtures.

    Returns:
        Mixtures `00000`, `00001`, ...
    """
    rule = dataclasses.replace(
        config, mixtures_per_epoch=count, talkers={num_talkers: 1.0}, noise_prob=0.0, speed=(1.0, 1.0)
    )
    rng, mixtures = np.random.default_rng([config.seed, num_talkers, 1]), []
    for mixture in draw(rule, pool, [], num_talkers, responses):
        noise = _noise(config, noises, mixture.num_samples, rng) if noises else None
        mixtures.append(dataclasses.replace(mixture, id=mixture.id.removeprefix("sim-"), noise=noise))
    return mixtures


@dataclasses.dataclass(frozen=True)
class Simulation:
    """A rule and the pools that it draws from: the contents of a data directory of a simulation."""

    config: SimulationConfig
    pool: list[Utterance]
    noises: list[NoiseFile]
    rooms: list[RoomResponse]

    @classmethod
    def read(cls, path: str | Path) -> "Simulation":
        """Reads a rule (`simulation.yaml`) and the pools beside it that it needs.

        Raises:
            UserError: A file is missing or has mistakes.
        """
        folder, config = Path(path).parent, read_config(path)
        pool = read_pool(folder / config.pool)
        noises = read_noise_pool(folder / config.noises) if config.noise_prob > 0 else []
        rooms = read_room_pool(folder / config.rooms) if config.room_prob > 0 else []
        return cls(config, pool, noises, rooms)

    def write(self, rule: str | Path, folder: Path) -> None:
        """Writes the pools and a copy of the rule.

        Args:
            rule: File from which `config` was read; it is copied with its comments.
            folder: Data directory.
        """
        write_pool(folder / self.config.pool, self.pool)
        write_pool(folder / self.config.noises, self.noises)
        if self.rooms:
            write_pool(folder / self.config.rooms, self.rooms)
        with open_text(rule) as source, atomic_write(folder / "simulation.yaml") as f:
            f.write(source.read())

    def draw(self, epoch: int, single_talkers: bool = False) -> list[Mixture]:
        """Draws the mixtures of an epoch, see the function `draw`.

        Args:
            epoch: Number of the epoch.
            single_talkers: One talker for each mixture instead of the numbers of the rule.

        Returns:
            The mixtures.
        """
        rule = dataclasses.replace(self.config, talkers={1: 1.0}) if single_talkers else self.config
        return draw(rule, self.pool, self.noises, epoch, self.rooms)

    @property
    def summary(self) -> str:
        """Sizes of the pools, in words."""
        speakers = len({utterance.speaker for utterance in self.pool})
        rooms = f" in {len(self.rooms)} room responses" if self.rooms else ""
        return f"{len(self.pool)} utterances of {speakers} speakers{rooms} and {len(self.noises)} noises to draw from"

    def missing_files(self) -> list[str]:
        """Audio files of utterances, noises and room responses that do not exist, each once."""
        paths = dict.fromkeys(item.path for item in (*self.pool, *self.noises, *self.rooms))
        return [path for path in paths if not audio_exists(path)]

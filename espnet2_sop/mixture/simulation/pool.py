"""Pools of single utterances and of noises, from which mixtures are drawn."""

import dataclasses
import functools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.manifest import from_dict, read_json_lines, without_none, write_json_lines
from espnet2_sop.text.serialized import words_of_talker

LOUDEST_DB = 1000  # limit of levels, far beyond those of real samples
EXTENSIONS = (".flac", ".wav", ".ogg", ".opus", ".sph")


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One utterance of one speaker; `level_db` is its RMS level in dBFS.

    With `offset` it is `num_samples` samples of the file from this sample on, without it the whole file.
    """

    id: str
    path: str
    speaker: str
    text: str
    num_samples: int
    level_db: float
    offset: int | None = None


@dataclasses.dataclass(frozen=True)
class NoiseFile:
    """One recording of noise; `level_db` is the RMS level of the whole file in dBFS."""

    path: str
    num_samples: int
    level_db: float


def audio_files(folder: Path) -> list[Path]:
    """All audio files below a folder, sorted.

    Raises:
        UserError: There is no such folder, or no audio file in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix in EXTENSIONS)
    if not files:
        raise UserError(f"{folder}: no audio file below it ({', '.join(EXTENSIONS)})")
    return files


def speaker_of(utterance: str) -> str:
    """Speaker of a LibriSpeech utterance: `101` of `101-1-0003`."""
    return utterance.partition("-")[0]


@functools.cache
def transcripts(folder: Path) -> dict[str, str]:
    """All texts of the `*.trans.txt` files in one LibriSpeech chapter folder: {utterance: text}."""
    texts: dict[str, str] = {}
    for path in sorted(folder.glob("*.trans.txt")):
        for utterance, text in read_kaldi(path).items():
            if not text:
                raise UserError(f"{path}: utterance {utterance} has no words")
            if utterance in texts:
                raise UserError(f"{path}: utterance {utterance} has a text in another file of {folder}")
            texts[utterance] = words_of_talker(text, f"{path}, utterance {utterance}")
    return texts


def text_of(path: Path) -> str:
    """Text of a LibriSpeech audio file, from the `*.trans.txt` beside it.

    Raises:
        UserError: There is none for it.
    """
    texts = transcripts(path.parent)
    if path.stem not in texts:
        raise UserError(f"{path}: no text for it in {path.parent}/*.trans.txt")
    return texts[path.stem]


def level_db(samples: np.ndarray, path: str | Path) -> float:
    """RMS level.

    Args:
        samples: (T,) float.
        path: Their file, for the message.

    Returns:
        dBFS (0 dB is RMS 1), rounded to 0.01 dB.

    Raises:
        UserError: The samples are silent.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    if power <= 0:
        raise UserError(f"{path}: the audio file is silent; remove it")
    return round(10 * math.log10(power), 2)


def build_pool(speech_root: str | Path, subset: str) -> list[Utterance]:
    """All utterances of one subset of a LibriSpeech-style folder.

    Args:
        speech_root: Folder with the subsets: `subset/speaker/chapter/speaker-chapter-number.ext` and `*.trans.txt`.
        subset: Name such as `train-clean-100`.

    Returns:
        The utterances, sorted by id. Their paths start with `speech_root` as given.

    Raises:
        UserError: Audio without text, text without audio, or audio that cannot be used.
    """
    folder = Path(speech_root) / subset
    reader, pool = AudioReader(), {}
    for path in audio_files(folder):
        if path.stem in pool:
            raise UserError(f"{path}: the same utterance as {pool[path.stem].path}; remove one")
        text, samples = text_of(path), reader.read(path)
        level = level_db(samples, path)
        pool[path.stem] = Utterance(path.stem, str(path), speaker_of(path.stem), text, len(samples), level)
    for trans in sorted(folder.rglob("*.trans.txt")):
        if missing := [name for name in transcripts(trans.parent) if name not in pool]:
            raise UserError(f"{trans}: text without audio: {', '.join(missing[:3])} ({len(missing)} in all)")
    return [pool[name] for name in sorted(pool)]


def build_noise_pool(folder: str | Path) -> list[NoiseFile]:
    """All noises below a folder, sorted by path; of files with several channels (WHAM) the first is used."""
    reader, pool = AudioReader(), []
    for path in audio_files(Path(folder)):
        samples = reader.read(path, first_channel=True)
        pool.append(NoiseFile(str(path), len(samples), level_db(samples, path)))
    return pool


def read_records[Record](path: str | Path, cls: type[Record]) -> list[Record]:
    """Reads a pool; mistakes are UserErrors with file and line.

    Args:
        path: JSON Lines file.
        cls: Dataclass of each line.

    Returns:
        The records in the order of the file.
    """
    return [from_dict(cls, record, where) for where, record in read_json_lines(path)]


def read_pool(path: str | Path) -> list[Utterance]:
    """Reads `sources.jsonl`; mistakes are UserErrors with file and line."""
    pool = read_records(path, Utterance)
    for number, utterance in enumerate(pool, 1):
        where = f"{path}, line {number}"
        if not utterance.text or utterance.text != words_of_talker(utterance.text, where):
            raise UserError(f"{where}: text {utterance.text!r}: words must be there, separated by single spaces")
        if utterance.num_samples <= 0 or (utterance.offset or 0) < 0:
            raise UserError(f"{where}: utterance {utterance.id!r} needs num_samples > 0 and offset >= 0")
        require_level(utterance.level_db, where)
    return pool


def read_noise_pool(path: str | Path) -> list[NoiseFile]:
    """Reads `noises.jsonl`; mistakes are UserErrors with file and line."""
    pool = read_records(path, NoiseFile)
    for number, noise in enumerate(pool, 1):
        if noise.num_samples <= 0:
            raise UserError(f"{path}, line {number}: noise {noise.path!r} needs num_samples > 0")
        require_level(noise.level_db, f"{path}, line {number}")
    return pool


def require_level(level: float, where: str) -> None:
    """Refuses levels whose gain cannot be computed.

    Args:
        level: dB.
        where: File and line, for the message.

    Raises:
        UserError: The level is out of range.
    """
    if abs(level) > LOUDEST_DB:
        raise UserError(f"{where}: level_db must be from {-LOUDEST_DB} to {LOUDEST_DB} dB, got {level}")


def write_pool(path: str | Path, pool: Iterable[Any]) -> None:
    """Writes a pool, completely or not at all; keys without a value are left out.

    Args:
        path: `sources.jsonl`, `noises.jsonl` or `rooms.jsonl`.
        pool: Dataclass records.
    """
    write_json_lines(path, (without_none(dataclasses.asdict(record)) for record in pool))

"""A small corpus in the layout of LibriSpeech, WHAM and LibriMix, for all tests."""

import contextlib
import csv
import dataclasses
import importlib.resources
import importlib.util
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("busy")

WORDS = ["red", "blue", "green", "white", "one", "two", "three", "four", "cup", "box", "key", "ball"]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Where the small corpus is.

    Attributes:
        root: Folder of everything.
        speech: LibriSpeech-like folder with the subsets train-mini (4 speakers, FLAC) and test-mini (3, Ogg Opus),
            4 utterances each of 0.5 to 1.2 s.
        noise: WHAM-like folder with tr (FLAC) and tt (Ogg Opus), 2 noises each: 2 s and 0.4 s.
        csv: {number of talkers: metadata of 4 mixtures of test-mini with noises of tt and start offsets}.
    """

    root: Path
    speech: Path
    noise: Path
    csv: dict[int, Path]


def write_audio(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """Writes samples (T,) or (T, channels) as the extension says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = "OPUS" if path.suffix == ".ogg" else "PCM_16"
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def tone(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A tone with some noise (T,), 16 kHz."""
    time = np.arange(int(seconds * 16000)) / 16000
    return 0.3 * np.sin(2 * np.pi * rng.uniform(100, 400) * time) + 0.02 * rng.standard_normal(len(time))


def _speech(folder: Path, speakers: range, extension: str, rng: np.random.Generator) -> list[str]:
    utterances = []
    for speaker in speakers:
        lines = []
        for number in range(4):
            name = f"{speaker}-1-{number:04d}"
            write_audio(folder / str(speaker) / "1" / f"{name}{extension}", tone(rng, rng.uniform(0.5, 1.2)))
            lines.append(f"{name} {' '.join(rng.choice(WORDS, size=rng.integers(2, 5))).upper()}\n")
            utterances.append(name)
        (folder / str(speaker) / "1" / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return utterances


def _metadata(path: Path, num_talkers: int, utterances: list[str], rng: np.random.Generator) -> Path:
    rows = []
    for number in range(4):
        speakers = [9 * s + number for s in range(num_talkers)]  # other speakers: each has 4 utterances
        names = [utterances[index % len(utterances)] for index in speakers]
        row: dict[str, object] = {"mixture_ID": "_".join(names)}
        for i, name in enumerate(names, 1):
            row[f"source_{i}_path"] = f"test-mini/{name.split('-')[0]}/1/{name}.ogg"
            row[f"source_{i}_gain"] = round(rng.uniform(0.3, 1.0), 3)
        row |= {"noise_path": f"tt/noise{number % 2}.ogg", "noise_gain": 0.5}
        names = ["offset"] if num_talkers == 2 else [f"offset{i}" for i in range(1, num_talkers)]
        row |= {name: round(0.2 * i + rng.uniform(0, 0.1), 3) for i, name in enumerate(names, 1)}
        rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _beside(name: str):
    """A module beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fuzzing():
    """The module `fuzzing.py`."""
    return _beside("fuzzing")


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory):
    """Starts Chromium until the end of the module: browse(*options, **values) of `chromium.Browser`."""
    chromium = _beside("chromium")
    if chromium.PROGRAM is None:
        pytest.skip("no Chromium on PATH: pages are not tried in a browser")
    with contextlib.ExitStack() as started:

        def start(*options, **values):
            browser = chromium.Browser(tmp_path_factory.mktemp("chromium"), *options, **values)
            started.callback(browser.close)
            return browser

        yield start


def make_corpus(root: Path) -> Corpus:
    """Writes the small corpus; the same samples in every run."""
    rng = np.random.default_rng(1)
    speech, noise = root / "LibriSpeech", root / "wham_noise"
    _speech(speech / "train-mini", range(101, 105), ".flac", rng)
    utterances = _speech(speech / "test-mini", range(201, 204), ".ogg", rng)
    for subset, extension in (("tr", ".flac"), ("tt", ".ogg")):
        for number, seconds in enumerate((2.0, 0.4)):
            samples = 0.05 * rng.standard_normal(int(seconds * 16000))
            write_audio(noise / subset / f"noise{number}{extension}", samples)
    tables = {n: _metadata(root / "metadata" / f"mini{n}mix_test.csv", n, utterances, rng) for n in (1, 2, 3)}
    return Corpus(root, speech, noise, tables)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@dataclasses.dataclass(frozen=True)
class RealUtterance:
    """One utterance of AN4."""

    path: str
    speaker: str
    text: str


@dataclasses.dataclass(frozen=True)
class AN4:
    """Real speech, noises and room responses, as ESPnet ships them for its own tests.

    Attributes:
        utterances: {name: utterance}, 7 of 4 speakers, 16 kHz NIST SPHERE files.
        noise: Folder of two noises.
        rooms: Folder with two measured responses.
    """

    utterances: dict[str, RealUtterance]
    noise: Path
    rooms: Path


@pytest.fixture(scope="session")
def an4(tmp_path_factory: pytest.TempPathFactory) -> AN4:
    root = tmp_path_factory.mktemp("an4")
    archive = importlib.resources.files("egs3").joinpath("mini_an4/esp2_asr/downloads.tar.gz")
    with archive.open("rb") as f, tarfile.open(fileobj=f) as tar:
        tar.extractall(root, filter="data")
    found = {}
    for part in ("train", "test"):
        for line in (root / f"downloads/an4/etc/an4_{part}.transcription").read_text().splitlines():
            words, _, name = line.removesuffix(")").replace("<s>", "").replace("</s>", "").partition("(")
            (path,) = root.rglob(f"{name}.sph")
            found[name] = RealUtterance(str(path), name.split("-")[1], " ".join(words.split()))
    return AN4(found, root / "downloads/noise", root / "downloads/rirs")

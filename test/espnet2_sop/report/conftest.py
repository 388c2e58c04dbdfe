"""A small experiment as the driver leaves it: two test sets, three systems, training logs, audio."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2_sop.io.files import read_kaldi, write_kaldi
from espnet2_sop.mixture.datadir import write_data_dir
from espnet2_sop.mixture.manifest import Mixture, Source
from espnet2_sop.scoring.record import score, write_record

EPOCH = (
    "[vm] 2026-01-01 00:00:00,000 (trainer:392) INFO: {0}epoch results: [train] iter_time=0.049, loss={1}, acc=0.7, "
    "train_time=0.2, time=1 minute and 2.5 seconds, total_count={2}, [valid] loss=0.9, acc=0.8, time=2 seconds, "
    "total_count=4\n"
)
FACTS = """[vm] INFO: pytorch.version=2.14.1+cu130, cuda.available=True, cudnn.version=92400
    Total Number of model parameters: 9.99 M
    Number of trainable parameters: 86.21 K (0.9%)
"""
CONFIG = """best_model_criterion:
- - valid
  - acc
  - max
version: '202611'
init_param: []
model_conf: {objective: sop, trainable: [sop]}
optim_conf: {lr: 0.002}
"""


def make_mixtures(number: int, talkers: int, prefix: str = "mix") -> list[Mixture]:
    """Mixtures of the utterances that `recipe` writes; onsets differ, so that overlap does."""
    return [
        Mixture(
            f"{prefix}{i}",
            tuple(
                Source(f"audio/{t}.wav", f"speaker{t}", f"WORD{i} TWO TALKER {t}", 0.05 * t * (1 + i), 1.0, 8000)
                for t in range(talkers)
            ),
        )
        for i in range(number)
    ]


def write_result(root: Path, system: str, test_set: str, texts: dict[str, str], **tables: dict[str, str]) -> Path:
    """Writes and scores the hypotheses of a system; further tables are files such as `prompt`."""
    folder = root / "exp" / "decode" / system / test_set
    for name, table in {"text": texts, **tables}.items():
        write_kaldi(folder / name, table.items())
    speed = {"real_time_factor": 0.01, "audio_seconds": 10.0, "threads": 1, "gpu": None}
    (folder / "speed.json").write_text(json.dumps(speed))
    write_record(folder, score(root / "dump" / test_set, folder))
    return folder


def add_training(root: Path, name: str, epochs: int = 3) -> Path:
    folder = root / "exp" / name
    folder.mkdir(parents=True)
    lines = [EPOCH.format(epoch, 1 / epoch, 10 * epoch) for epoch in range(1, epochs + 1)]
    (folder / "train.log").write_text(FACTS + "".join(lines))
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture
def add_result():
    """Writes and scores hypotheses: add_result(recipe, system, test_set, texts, prompt=...) -> folder."""
    return write_result


@pytest.fixture(name="add_training")
def add_training_fixture():
    """Leaves a training behind: add_training(recipe, folder, epochs=3) -> folder."""
    return add_training


@pytest.fixture
def references(recipe):
    """{test set: {mixture id: serialized text}}."""
    return {folder.name: read_kaldi(folder / "text") for folder in (recipe / "dump").iterdir()}


@pytest.fixture
def recipe(tmp_path) -> Path:
    """A recipe folder with audio/ and dump/test_1mix_clean (12 mixtures), dump/test_2mix_noisy (24)."""
    root = tmp_path / "recipe"
    (root / "audio").mkdir(parents=True)
    for talker in range(2):
        tone = 0.3 * np.sin(np.arange(8000) * (0.05 + 0.02 * talker))
        soundfile.write(root / "audio" / f"{talker}.wav", tone, 16000, subtype="PCM_16")
    write_data_dir(make_mixtures(12, 1, "one"), root / "dump" / "test_1mix_clean", "clean", 1)
    write_data_dir(make_mixtures(24, 2), root / "dump" / "test_2mix_noisy", "noisy", 2)
    return root


@pytest.fixture
def experiment(recipe) -> Path:
    """The experiment folder of `recipe` with the systems ctc, sot_continued and sop."""
    for name, number, talkers, prefix in (("test_1mix_clean", 12, 1, "one"), ("test_2mix_noisy", 24, 2, "mix")):
        ref = {mixture.id: mixture.text for mixture in make_mixtures(number, talkers, prefix)}
        good = {key: text.replace("TWO", "TOO") if key.endswith("3") else text for key, text in ref.items()}
        prompt = {key: text.replace("TALKER", "TALK HER") if key[-1] in "1234" else text for key, text in ref.items()}
        swapped = {key: " <sc> ".join(text.split(" <sc> ")[::-1]) + " EXTRA" for key, text in ref.items()}
        write_result(recipe, "ctc", name, prompt, prompt=prompt)
        write_result(recipe, "sot_continued", name, swapped)
        write_result(recipe, "sop", name, good, prompt=prompt)
    for name in ("stage1_sot", "stage2_ctc", "stage3_sop", "stage3_sot_continued"):
        add_training(recipe, name)
    return recipe / "exp"

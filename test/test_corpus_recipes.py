"""Recipes of corpora that are not in the repository, on tiny stand-ins for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from espnet2_sop.mixture.datadir import check_data_dir, read_info
from espnet2_sop.mixture.loader import MixtureStore
from espnet2_sop.mixture.simulate import read_config

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ("fotaqmix", "librispeechmix")


def folder(name):
    return ROOT / "egs2" / name / "sop_asr1"


def run_data(recipe, tmp_path, *options):
    """Calls local/data.sh with the `espnet2-sop` of this checkout."""
    command = tmp_path / "bin/espnet2-sop"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m espnet2_sop.cli "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    line = ["./local/data.sh", "--datadir", str(tmp_path / "data"), *map(str, options)]
    return subprocess.run(line, cwd=folder(recipe), env=env, text=True, capture_output=True)


def speech(corpus, root, names):
    """A LibriSpeech-like folder whose sub-folders have the names a recipe expects."""
    root.mkdir()
    for name, subset in names.items():
        (root / name).symlink_to(corpus.speech / subset)
    return root


def test_fotaqmix_prepares_its_sets(corpus, tmp_path):
    names = {"train": "train-mini", "dev": "test-mini", "test": "test-mini"}
    root = speech(corpus, tmp_path / "fotaq", names)
    result = run_data(
        "fotaqmix", tmp_path, "--fotaq", root, "--rooms", 1, "--noises", 4, "--rule", "conf/simulation_rooms.yaml"
    )
    assert result.returncode == 0, result.stderr
    store = MixtureStore(tmp_path / "data/train/simulation.yaml")
    assert len(store.mixtures) == store.config.mixtures_per_epoch
    assert read_info(tmp_path / "data/dev") == {"num_talkers": None, "condition": "both"}
    for talkers in (1, 2, 3):
        for condition in ("clean", "noisy"):
            path = tmp_path / f"data/test_{talkers}mix_{condition}"
            assert check_data_dir(path) == []
            assert read_info(path) == {"num_talkers": talkers, "condition": condition}
    assert any(s.room for m in store.mixtures.values() for s in m.sources)


def test_librispeechmix_prepares_its_sets(corpus, tmp_path):
    names = {"train-clean-100": "test-mini", "dev-clean": "train-mini", "test-clean": "train-mini"}
    root, lists = speech(corpus, tmp_path / "LibriSpeech", names), tmp_path / "lists"
    lists.mkdir()
    for subset in ("dev", "test"):
        for talkers in (1, 2, 3):
            files = [f"{subset}-clean/{100 + i}/1/{100 + i}-1-0000.wav" for i in range(1, talkers + 1)]
            values = {"id": f"{subset}-clean-{talkers}mix/x-0000", "wavs": files, "speakers": list("abc")[:talkers]}
            values |= {"delays": [0.1 * i for i in range(talkers)], "texts": ["ONE"] * talkers}
            (lists / f"{subset}-clean-{talkers}mix.jsonl").write_text(json.dumps(values) + "\n")
    options = ["--librispeech", root, "--lists", lists, "--train", "train-clean-100"]
    result = run_data("librispeechmix", tmp_path, *options)
    assert result.returncode == 0, result.stderr
    assert len(MixtureStore(tmp_path / "data/train/simulation.yaml").pool) == 12
    assert read_info(tmp_path / "data/test_clean_3mix") == {"num_talkers": 3, "condition": "clean"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_missing_corpus_is_one_line(recipe, tmp_path):
    for options in ([], ["--no_such", "1"]):
        result = run_data(recipe, tmp_path, *options)
        assert result.returncode == 1
        assert "local/data.sh: error: " in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("egs2/*/sop_asr1/conf/simulation*.yaml")), ids=lambda p: f"{p.parts[-4]}-{p.stem}"
)
def test_rules_can_be_read(path):
    assert max(read_config(path).talkers) == 3

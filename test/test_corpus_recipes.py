"""Recipes of corpora that are not in the repository, on tiny stand-ins for them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from espnet2_sop.mixture.datadir import check_data_dir, read_info
from espnet2_sop.mixture.loader import MixtureStore
from espnet2_sop.mixture.simulation.pool import build_pool
from espnet2_sop.mixture.simulation.rule import Simulation, read_config

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ("fotaqmix", "librispeechmix")


def folder(name):
    return ROOT / "egs2" / name / "sop_asr1"


def run_data(recipe, tmp_path, *options):
    """Calls local/data.sh with the `espnet2-sop` of this checkout."""
    command = tmp_path / "bin/espnet2-sop"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m espnet2_sop.bin.cli "$@"\n')
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


@pytest.mark.slow
def test_fotaqmix_prepares_its_sets(fotaqmix, tmp_path):
    result = run_data("fotaqmix", tmp_path, *fotaqmix, "--rooms", 1, "--rule", "conf/simulation_rooms.yaml")
    assert result.returncode == 0, result.stderr
    store = MixtureStore(tmp_path / "data/train/simulation.yaml")
    assert len(store.mixtures) == store.simulation.config.mixtures_per_epoch
    assert read_info(tmp_path / "data/dev") == {"num_talkers": None, "condition": "both"}
    for talkers in (1, 2, 3):
        for condition in ("clean", "noisy"):
            path = tmp_path / f"data/test_{talkers}mix_{condition}"
            assert check_data_dir(path) == []
            assert read_info(path) == {"num_talkers": talkers, "condition": condition}
    assert any(s.room for m in store.mixtures.values() for s in m.sources)
    assert {Path(u.path).parent.name for u in store.simulation.pool} >= {"turns"}  # utterances joined


@pytest.mark.slow
def test_fotaqmix_takes_more_voices_and_single_utterances(fotaqmix, corpus, tmp_path):
    """What is trained from can be of several folders, and stays as it is on request; unknown folders are refused."""
    (tmp_path / "fotaq/voices").symlink_to(corpus.speech / "test-mini")
    options = ["--train_subsets", "train,voices", "--turns", "none"]
    result = run_data("fotaqmix", tmp_path, *fotaqmix, *options)
    assert result.returncode == 0, result.stderr
    pool = Simulation.read(tmp_path / "data/train/simulation.yaml").pool
    assert len(pool) == len(build_pool(corpus.speech, "train-mini")) + len(build_pool(corpus.speech, "test-mini"))
    for mistake in (["--train_subsets", "train,other"], ["--turns", "long"], ["--turns", "9,1"]):
        result = run_data("fotaqmix", tmp_path, *fotaqmix, "--datadir", tmp_path / "data2", *mistake)
        assert result.returncode != 0
        assert mistake[1].split(",")[-1] in result.stderr.splitlines()[-1]


@pytest.fixture
def librispeechmix(corpus, tmp_path):
    names = {"train-clean-100": "test-mini", "dev-clean": "train-mini", "test-clean": "train-mini"}
    root, lists = speech(corpus, tmp_path / "LibriSpeech", names), tmp_path / "lists"
    lists.mkdir()
    for subset in ("dev", "test"):
        for talkers in (1, 2, 3):
            files = [f"{subset}-clean/{100 + i}/1/{100 + i}-1-0000.wav" for i in range(1, talkers + 1)]
            values = {"id": f"{subset}-clean-{talkers}mix/x-0000", "wavs": files, "speakers": list("abc")[:talkers]}
            values |= {"delays": [0.1 * i for i in range(talkers)], "texts": ["ONE"] * talkers}
            (lists / f"{subset}-clean-{talkers}mix.jsonl").write_text(json.dumps(values) + "\n")
    return ["--librispeech", root, "--lists", lists, "--train", "train-clean-100"]


def test_librispeechmix_prepares_its_sets(librispeechmix, tmp_path):
    result = run_data("librispeechmix", tmp_path, *librispeechmix)
    assert result.returncode == 0, result.stderr
    assert len(Simulation.read(tmp_path / "data/train/simulation.yaml").pool) == 12
    assert read_info(tmp_path / "data/test_clean_3mix") == {"num_talkers": 3, "condition": "clean"}


@pytest.fixture
def fotaqmix(corpus, tmp_path):
    names = {"train": "train-mini", "dev": "test-mini", "test": "test-mini"}
    return ["--fotaq", speech(corpus, tmp_path / "fotaq", names), "--noises", 4]


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


@pytest.fixture
def librimix(corpus, tmp_path):
    """Options of the LibriMix recipe: metadata as published, with offsets for two talkers and none for three."""
    for part in ("train-clean-100", "train-clean-360", "dev-clean", "test-clean"):
        for talkers in (2, 3):
            with open(corpus.csv[talkers], newline="") as f:
                rows = list(csv.DictReader(f))
            for row in rows:
                row["mixture_ID"] += f"_{part}"
                if talkers == 3:
                    del row["offset1"], row["offset2"]
            path = tmp_path / f"metadata/Libri{talkers}Mix/libri{talkers}mix_{part}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "w", newline="") as f:
                writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    return ["--librispeech", corpus.speech, "--wham", corpus.noise, "--metadata", tmp_path / "metadata"]


@pytest.mark.slow
def test_librimix_prepares_its_sets(librimix, tmp_path):
    result = run_data("librimix", tmp_path, *librimix)
    assert result.returncode == 0, result.stderr
    data = tmp_path / "data"
    assert len(MixtureStore(data / "train/mixtures.jsonl").mixtures) == 2 * 2 * 2 * 4  # parts, conditions, talkers
    for part in ("dev", "test"):
        for talkers in (2, 3):
            for condition in ("clean", "noisy"):
                path = data / f"{part}_{talkers}mix_{condition}"
                assert check_data_dir(path) == []
                assert read_info(path) == {"num_talkers": talkers, "condition": condition}
    for mixture in MixtureStore(data / "test_3mix_clean/mixtures.jsonl").mixtures.values():
        assert 1.0 <= mixture.onsets[1] < 1.5 and 2.5 <= mixture.onsets[2] < 3.0
    again = run_data("librimix", tmp_path, *librimix)
    assert again.returncode == 0 and again.stdout.count("done already") == 2 + 2 * 2 * 2


def test_librimix_of_two_clean_talkers_needs_no_noise(librimix, tmp_path):
    options = [*librimix[:2], *librimix[4:], "--num_talkers", "2", "--condition", "clean", "--store_mixtures", "true"]
    result = run_data("librimix", tmp_path, *options, "--train_parts", "train-clean-100", "--nj", "1")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "data/dev_3mix_clean").exists()
    assert (tmp_path / "data/test_2mix_clean/wav.scp").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [*RECIPES, "librimix"])
def test_run_sh_goes_through_all_stages(recipe, request, tmp_path):
    """With small models in place of the recipe's, two updates each, and three test mixtures or so."""
    mini = folder("mini_librimix") / "pretrained"
    small = {
        "encoder_conf": {"pretrained": str(mini / "encoder")},
        "llm_conf": {"pretrained": str(mini / "llm"), "speaker_change": "<|reserved_special_token_0|>"},
        "prompt_conf": {"style": "base"},
        "batch_bins": 100000,
        "num_workers": 0,
        "accum_grad": 1,
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    test_set = {"fotaqmix": "test_2mix_noisy", "librispeechmix": "test_clean_3mix", "librimix": "test_2mix_noisy"}[
        recipe
    ]
    options = {
        "recipe": recipe,
        "ngpu": 0,
        "systems": "sop",
        "test_sets": test_set,
        "base_config": f"conf/base.yaml {tmp_path / 'small.yaml'}",
        "train_args": "--max_epoch 1 --num_iters_per_epoch 2",
        "min_duration": 0.1,
        "ctc_vocab_size": 40,
        "cache": str(recipe == "librimix").lower(),  # its training set is fixed
        "local_data_opts": " ".join(map(str, request.getfixturevalue(recipe))),
    } | {f"{name}dir": tmp_path / name for name in ("exp", "data", "dump")}
    line = ["./run.sh", *(str(word) for name, value in options.items() for word in (f"--{name}", value))]
    result = subprocess.run(line, cwd=ROOT, text=True, capture_output=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (row,) = json.loads((tmp_path / "exp/results.json").read_text())
    assert (row["system"], row["test_set"]) == ("sop", test_set) and row["cpwer"] is not None
    assert (tmp_path / "exp/packed/sop.zip").is_file()
    kinds = {path.name.split("-")[0] for path in (tmp_path / "exp/cache").glob("*")}
    assert kinds == ({"frames", "sop"} if recipe == "librimix" else set())

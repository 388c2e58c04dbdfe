"""local/data.sh of all recipes: options are checked before anything is done. The commands are stand-ins."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAY = """#!/usr/bin/env bash
printf '<%s>' "${0##*/}" "$@" >>"$CALLS"
echo >>"$CALLS"
exit "${SAY_STATUS:-0}"
"""
ODD = "a, b $(touch stray) * 'c'"
RECIPES = ("fotaqmix", "librimix", "librispeechmix", "mini_librimix")
CSVS = [f"m/Libri{n}Mix/libri{n}mix_{p}-clean{s}.csv" for n in (2, 3) for p, s in
        (("train", "-100"), ("train", "-360"), ("dev", ""), ("test", ""))]  # fmt: skip
LISTS = [f"l/{part}-clean-{n}mix.jsonl" for part in ("dev", "test") for n in (1, 2, 3)]


@pytest.fixture
def data(checkout):
    """Runs local/data.sh of a recipe beside a corpus in a folder with an odd name: data(recipe, option, ...)."""
    checkout.script(checkout.bin / "espnet2-sop", SAY)
    corpus = checkout.root / ODD
    parts = ["train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "train", "dev", "test"]
    for name in (*parts, "w/tr", "corpus/LibriSpeech/train-mini", "corpus/wham_noise/tr", "corpus/metadata"):
        (corpus / name).mkdir(parents=True)
    for name in (*CSVS, *LISTS):
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_text("mixture_ID,offset\n")

    def run(recipe, *options, **env):
        folder = checkout.root / "egs2" / recipe / "sop_asr1"
        shutil.copytree(ROOT / "egs2" / recipe / "sop_asr1/local", folder / "local", dirs_exist_ok=True)
        (folder / "conf").mkdir(exist_ok=True)
        (folder / "conf/simulation.yaml").touch()
        done = checkout.run("./local/data.sh", *map(str, options), cwd=folder, **env)
        assert not list(checkout.root.parent.rglob("stray")), "a value was run"
        return done

    given = {
        "fotaqmix": ["--fotaq", corpus],
        "librimix": ["--librispeech", corpus, "--wham", corpus / "w", "--metadata", corpus / "m"],
        "librispeechmix": ["--librispeech", corpus, "--lists", corpus / "l"],
        "mini_librimix": ["--corpus", corpus / "corpus"],
    }
    run.given, run.checkout, run.corpus = given, checkout, corpus
    return run


@pytest.mark.parametrize("recipe", RECIPES)
def test_folders_with_odd_names_are_passed_on_as_they_are(data, recipe):
    done = data(recipe, *data.given[recipe], "--datadir", f"out {ODD}")
    assert done.returncode == 0, done.stderr
    calls = data.checkout.calls()
    made = {call.rpartition("<--out><")[2].split(">")[0] for call in calls}
    assert {f"out {ODD}/train", f"out {ODD}/dev"} <= made
    assert all(call.startswith("<espnet2-sop><prepare>") for call in calls)
    folders = [call for call in calls if f"<{data.corpus}" in call]
    assert len(folders) >= 7, "each set reads the corpus"


def test_lists_may_have_commas(data):
    options = ["--num_talkers", "2,3", "--train_parts", "train-clean-100,train-clean-360", "--speed_perturb", "0.9,1"]
    done = data("librimix", *data.given["librimix"], *options, "--condition", "clean")
    assert done.returncode == 0, done.stderr
    train, *_ = data.checkout.calls()
    assert train.count("mix_train-clean-") == 4 and train.endswith("<--speed_perturb><0.9 1>")


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        *((recipe, ["--no_such", "1"], "no option --no_such; there are: datadir ") for recipe in RECIPES),
        *((recipe, ["--datadir"], "--datadir needs a value") for recipe in RECIPES),
        *((recipe, ["--datadir", "-x"], "--datadir '-x': must be a folder") for recipe in RECIPES),
        *((recipe, ["data"], "'data' is no option") for recipe in RECIPES),
        ("fotaqmix", ["--fotaq", ""], "give --local_data_opts '--fotaq DIR'"),
        ("fotaqmix", ["--fotaq", "no\x1b[31m"], "--fotaq 'no?[31m': no folder no?[31m/train"),
        ("fotaqmix", ["--rule", "no.yaml"], "--rule 'no.yaml': no such file"),
        ("fotaqmix", ["--rooms", "a[$(touch stray)]"], "--rooms 'a[$(touch stray)]': must be a whole number from 0"),
        ("fotaqmix", ["--noises", "3"], "--noises '3': must be a whole number from 4"),
        ("librimix", ["--num_talkers", "2 4"], "--num_talkers '4': must be 2 or 3"),
        ("librimix", ["--num_talkers", " "], "--num_talkers is empty"),
        ("librimix", ["--condition", "both"], "--condition 'both': must be clean or noisy"),
        ("librimix", ["--mode", "avg"], "--mode 'avg': must be max or min"),
        ("librimix", ["--seed", "-1"], "--seed '-1': must be a whole number"),
        ("librimix", ["--nj", "0"], "--nj '0': must be a whole number from 1"),
        ("librimix", ["--store_mixtures", "yes"], "--store_mixtures 'yes': must be true or false"),
        ("librimix", ["--speed_perturb", "0.9 fast"], "--speed_perturb 'fast': must be speeds"),
        ("librimix", ["--train_parts", "../x"], "--train_parts '../x': must be names"),
        ("librimix", ["--wham", "nowhere"], "--wham 'nowhere': no folder nowhere"),
        ("librispeechmix", ["--lists", ""], "give --local_data_opts '--librispeech DIR --lists DIR'"),
        ("librispeechmix", ["--lists", "."], "--lists '.': no file ./dev-clean-1mix.jsonl"),
        ("librispeechmix", ["--train", "train-clean-1"], "no folder "),
        ("mini_librimix", ["--corpus", "nowhere"], "--corpus 'nowhere': no folder nowhere/LibriSpeech/train-mini"),
    ],
)
def test_wrong_values_are_one_line_before_anything_is_done(data, recipe, options, message):
    failed = data(recipe, *data.given[recipe], *options)
    assert failed.returncode == 1 and not data.checkout.calls() and not failed.stdout
    (line,) = failed.stderr.splitlines()
    assert line.startswith("local/data.sh: error: ") and message in line


def test_failed_download_ends_the_stage_with_one_line(data):
    data.checkout.script(data.checkout.bin / "curl", SAY)
    failed = data("librimix", *data.given["librimix"][2:], "--downloads", "some, where", SAY_STATUS="22")
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith("download.sh: error: https://") and "cannot be downloaded (curl says 22)" in line
    (call,) = data.checkout.calls()
    assert call.startswith("<curl>") and "<some, where/dev-clean.tar.gz.part>" in call


def test_failed_command_ends_the_stage(data):
    """Also where its output is taken by the shell, as for offsets that are drawn."""
    for csv in CSVS:
        (data.corpus / csv).write_text("mixture_ID\n")
    failed = data("librimix", *data.given["librimix"], SAY_STATUS="1")
    (call,) = data.checkout.calls()
    assert failed.returncode == 1 and call.startswith("<espnet2-sop><prepare><offsets>")

"""Recipes as their users run them."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MINI = ROOT / "egs2/mini_librimix/sop_asr1"
RECIPES = sorted(path.parent for path in ROOT.glob("egs2/*/sop_asr1/run.sh"))
SYSTEMS = ("ctc", "sot", "sot_continued", "sop")


def run(*options, cwd=ROOT, check=True):
    result = subprocess.run(["./run.sh", *options], cwd=cwd, text=True, capture_output=True)
    assert not check or result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Options that keep everything the recipe makes in a temporary folder, in debug size."""
    root = tmp_path_factory.mktemp("mini")
    for name in ("exp", "data", "dump"):
        (root / name).mkdir()
    options = ["--expdir", root / "exp", "--datadir", root / "data", "--dumpdir", root / "dump"]
    options += ["--test_sets", "test_2mix_clean test_3mix_noisy"]
    options += ["--train_args", "--max_epoch 1 --num_iters_per_epoch 2 --batch_bins 200000"]
    return root, [str(o) for o in options]


@pytest.mark.slow
def test_main_job_end_to_end_in_debug_size(work):
    """All stages from a clean folder: every system gets its rows, and the table is printed at the end."""
    root, options = work
    output = run(*options).stdout
    rows = json.loads((root / "exp/results.json").read_text())
    assert {(r["system"], r["test_set"]) for r in rows} == {
        (s, t) for s in SYSTEMS for t in ("test_2mix_clean", "test_3mix_noisy")
    }
    for row in rows:
        for key in ("num_talkers", "condition", "cpwer", "order_wer", "slot_wer", "count_accuracy", "errors", "words"):
            assert row[key] is not None, key
        assert row["cpwer"] == pytest.approx(100 * row["errors"] / row["words"], abs=0.01)
    assert "sot_continued" in output[-4000:] and "cpWER" in output[-4000:]
    for folder in ("stage1_sot", "stage2_ctc", "stage3_sop", "stage3_sot_continued"):
        assert (root / "exp" / folder / "train.log").is_file() and (root / "exp" / folder / "config.yaml").is_file()
    assert (root / "exp/packed/sop.zip").is_file()


@pytest.mark.slow
def test_what_is_done_is_not_done_again(work):
    """A second call must leave every trained and decoded file alone."""
    root, options = work
    files = [*root.glob("exp/*/*.pth"), *root.glob("exp/decode/*/*/text"), root / "dump/dev/mixtures.jsonl"]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert len(before) > 12
    output = run(*options, "--stop_stage", "9").stdout
    assert output.count("trained already") == 4
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.slow
def test_a_stage_without_its_forerunner_says_so(work, tmp_path):
    root, options = work
    result = run(*options, "--expdir", str(tmp_path), "--stage", "6", "--stop_stage", "6", check=False)
    assert result.returncode != 0
    assert "stage1_sot/valid.acc.ave.pth is missing: train system 'sot' first" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no_such_option", "1"], "no option --no_such_option"),
        (["--stage", "two"], "--stage two: must be a whole number"),
        (["--systems", "ctc sap"], "no system 'sap'"),
        (["--stage"], "--stage needs a value"),
        (["--stage", "5", "--stop_stage", "5", "--conf_dir", "none"], "none: no train_NAME.yaml here"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    result = run(*options, check=False)
    assert result.returncode != 0
    assert message in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2


@pytest.mark.slow
def test_an_ablation_is_a_yaml_and_a_name(work, tmp_path):
    """Heads over another vocabulary and an adapter of another size start anew, from the same stage 1."""
    root, options = work
    for stage in ("sot", "ctc", "sop"):
        (tmp_path / f"train_{stage}.yaml").symlink_to(MINI / f"conf/train_{stage}.yaml")
    pieces = "ctc_vocab: sentencepiece\n"
    (tmp_path / "train_ctc_pieces.yaml").write_text(f"defaults: train_ctc.yaml\n{pieces}")
    small = "llm_conf: {adapters: {sop: {r: 4}}}\n"
    (tmp_path / "train_sop_pieces.yaml").write_text(f"defaults: train_sop.yaml\ninit_from: ctc_pieces\n{pieces}{small}")
    options = [*options, "--conf_dir", str(tmp_path), "--base_config", "conf/base.yaml", "--ctc_vocab_size", "60"]
    run(*options, "--systems", "sop_pieces ctc_pieces", "--stage", "3", "--pack_system", "sop_pieces")
    rows = json.loads((root / "exp/results.json").read_text())
    assert {"sop_pieces", "ctc_pieces"} <= {row["system"] for row in rows}
    config = yaml.safe_load((root / "exp/stage3_sop_pieces/config.yaml").read_text())
    assert config["ctc_vocab"].endswith("vocab/sentencepiece")
    assert config["init_param"][0].endswith("stage2_ctc_pieces/valid.ter.ave.pth")
    assert (root / "exp/packed/sop_pieces.zip").is_file()


def test_voices_of_dev_and_test_are_not_in_train():
    voices = {}
    for line in (MINI / "corpus/LibriSpeech/SPEAKERS.TXT").read_text().splitlines():
        if not line.startswith(";"):
            fields = [f.strip() for f in line.split("|")]
            voices.setdefault(fields[2], set()).update(fields[-1].split("+"))
    assert len(set().union(*voices.values())) == 28
    assert not voices["train-mini"] & (voices["dev-mini"] | voices["test-mini"])
    assert not voices["dev-mini"] & voices["test-mini"]

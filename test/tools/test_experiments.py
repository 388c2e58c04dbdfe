"""egs2/fotaqmix/sop_asr1/local/experiments: scripts run to their end, with options that exist; what tools.py makes."""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from espnet2_sop.training.systems import resolve_systems

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "egs2/fotaqmix/sop_asr1"
FOLDER = RECIPE / "local/experiments"
SCRIPTS = [
    "first_run",
    "other_voices",
    "two_seeds",
    "whisper_stage1",
    "whisper_heads",
    "whisper_encoder",
    "whisper_pieces",
]

STUB = """#!/usr/bin/env bash
# Logs a command, and makes the files that the scripts look for behind it.
printf '%s\\x1f' "$(basename "$0")" "$@" >>"${LOG}"
printf '\\n' >>"${LOG}"
data= dump= exp= out= previous=
for word; do
    case "${previous}" in --datadir) data="${word}" ;; --dumpdir) dump="${word}" ;; --expdir) exp="${word}" ;;
        --out) out="${word}" ;; esac
    previous="${word}"
done
for folder in ${data:+"${data}/train"} ${dump:+"${dump}/train"}; do
    mkdir -p "${folder}"
    [ -f "${folder}/simulation.yaml" ] || printf 'seed: 1\\ntalkers: {1: 1}\\n' >"${folder}/simulation.yaml"
done
if [ "$(basename "$0") $1" = "espnet2-sop format" ]; then cp -r "${@: -2}"; fi
case "${out}" in
    *.pth) mkdir -p "$(dirname "${out}")"; touch "${out}" ;;
    */data/*) mkdir -p "${out}"; touch "${out}/mixtures.jsonl" ;;
esac
if [ -n "${exp}" ] && [[ " $* " != *" --stop_stage 2 "* ]]; then
    mkdir -p "${exp}/vocab"
    for run in stage0_align stage0_align_mixtures stage1_sot stage2_ctc stage2_ctc_encoder; do
        mkdir -p "${exp}/${run}"
        touch "${exp}/${run}"/{config.yaml,valid.acc.ave.pth,valid.ter.ave.pth}
    done
fi
"""


@pytest.fixture
def recipe(tmp_path):
    """The recipe's configurations and experiments, with stubs for all programs; returns its folder."""
    folder = tmp_path / "recipe"
    (folder / "local").mkdir(parents=True)
    shutil.copytree(FOLDER, folder / "local/experiments")
    shutil.copytree(RECIPE / "conf", folder / "conf")
    (folder / "path.sh").write_text(f'PATH="{tmp_path}/bin:$PATH"\n')
    (tmp_path / "bin").mkdir()
    for name in ("espnet2-sop", "python3"):
        (tmp_path / "bin" / name).write_text(STUB)
    for name in ("kokoro", "fortunes", "sky", "uqm"):
        (folder / f"local/{name}.py").write_text(STUB)
    (folder / "run.sh").write_text(STUB)
    for path in (*folder.glob("local/*.py"), folder / "run.sh", *(tmp_path / "bin").iterdir()):
        path.chmod(0o755)
    common = folder / "local/experiments/common.sh"
    common.write_text(common.read_text().replace("/usr/share/games/fortunes", str(tmp_path)))
    (tmp_path / "speech dir/train").mkdir(parents=True)
    return folder


def run(recipe, name, *args):
    """Runs a script; returns the commands that it gave, as lists of words."""
    log = recipe / f"{name}.log"
    log.unlink(missing_ok=True)
    script = recipe / f"local/experiments/{name}.sh"
    result = subprocess.run([script, *args], env={**os.environ, "LOG": str(log)}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [line.split("\x1f")[:-1] for line in log.read_text().splitlines()]


def value(command, option):
    return command[command.index(option) + 1] if option in command else None


def test_each_script_runs_to_its_end_with_options_that_exist(recipe, tmp_path):
    """In the order in which they go on from each other; a space in DIR does not matter, and configurations exist."""
    driver = (ROOT / "egs2/TEMPLATE/sop_asr1/sop.sh").read_text().split("### options")[1].split("### end")[0]
    known = {f"--{name}" for name in re.findall(r"^(\w+)=", driver, re.MULTILINE)}
    for name in SCRIPTS:
        commands = run(recipe, name, tmp_path / "speech dir", "2510" if name == "two_seeds" else "2509")
        assert commands
        for command in commands:
            options = {word for word in command if word.startswith("--")}
            if command[0] == "run.sh":
                assert {word for word in options if " " not in word} <= known, command
                conf = recipe / (value(command, "--conf_dir") or "conf")
                base = (value(command, "--base_config") or "conf/base.yaml").split()
                systems = (value(command, "--systems") or "sop").split()
                found = resolve_systems(conf, [recipe / path for path in base], systems)
                assert {system.name for system in found} >= set(systems)
            elif command[0] == "espnet2-sop":
                parser = importlib.import_module(f"espnet2_sop.bin.{command[1]}").get_parser()
                parser.parse_args(command[2:])


def test_scripts_do_not_write_configurations_anew(recipe, tmp_path):
    """A newer configuration would be trained again: a second run leaves all files as they are."""
    run(recipe, "two_seeds", tmp_path / "speech dir", "2510")
    files = {path: path.stat().st_mtime_ns for path in (recipe / "exp").rglob("*.yaml") if path.name != "config.yaml"}
    assert len(files) > 5
    run(recipe, "two_seeds", tmp_path / "speech dir", "2510")
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_seeds_have_mixtures_of_their_own(recipe, tmp_path):
    run(recipe, "two_seeds", tmp_path / "speech dir", "2510")
    rules = recipe / "exp/two_seeds/dump"
    assert (rules / "train_2510/simulation.yaml").read_text().startswith("seed: 2531\ntalkers: {1: 0.25, 2: 0.375,")
    assert (rules / "train_2509/simulation.yaml").read_text().startswith("seed: 2530\n")
    assert (rules / "train/simulation.yaml").read_text().startswith("seed: 1\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_missing_is_told_in_one_line(recipe, tmp_path, name):
    script = recipe / f"local/experiments/{name}.sh"
    for args, message in (
        ([], "give the folder that local/fotaq.py makes"),
        ([tmp_path], "no folder 'train' in it; local/fotaq.py DIR makes one"),
        ([tmp_path / "speech dir", "x"], "'x' is no seed: give a whole number from 1"),
        *([([tmp_path / "speech dir"], "is missing: run")] if name in SCRIPTS[4:] else []),
    ):
        result = subprocess.run([script, *args], env={**os.environ, "LOG": "/dev/null"}, capture_output=True, text=True)
        assert result.returncode == 1 and message in result.stderr and result.stderr.count("\n") == 1
        assert result.stderr.startswith(f"{name}.sh: error: ")


def test_result_pages_name_all_scripts():
    named = set()
    for page in ("RESULTS.md", "RESULTS_whisper.md"):
        named |= set(re.findall(r"local/experiments/(\w+)\.sh", (RECIPE / page).read_text()))
    assert named == set(SCRIPTS) == {path.stem for path in FOLDER.glob("*.sh")} - {"common"}


@pytest.fixture(scope="module")
def tools():
    spec = importlib.util.spec_from_file_location("experiment_tools", FOLDER / "tools.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(**values):
    return {name.replace("__", "."): torch.full((3, 2), float(v)) for name, v in values.items()}


def test_mean_and_parts_of_checkpoints(tools):
    """The LLM's weights are its own, whatever they are called within it."""
    first = weights(encoder__lora_a__weight=1, encoder__conv__weight=1, llm__encoder__rows=1, separator__weight=1)
    second = weights(encoder__lora_a__weight=3, encoder__conv__weight=3, llm__encoder__rows=3, separator__weight=3)
    made = {name: float(value[0, 0]) for name, value in tools.mean(first, second).items()}
    assert made == {
        "encoder.lora_a.weight": 2,
        "encoder.conv.weight": 3,
        "llm.encoder.rows": 2,
        "separator.weight": 3,
    }
    made = {name: float(value[0, 0]) for name, value in tools.take(first, second, ["encoder"]).items()}
    assert made == {
        "encoder.lora_a.weight": 3,
        "encoder.conv.weight": 3,
        "llm.encoder.rows": 1,
        "separator.weight": 1,
    }


def test_pieces_start_from_their_last_characters(tools, tmp_path, monkeypatch):
    old, new = ["<unk>", "▁", "a", "b"], ["<unk>", "ab", "▁", "ba", "x"]
    assert tools.piece_rows(old, new) == [0, 3, 1, 2, 0, 4]
    for name, pieces in (("old", old), ("new", new)):
        (tmp_path / name).write_text("\n".join(pieces) + "\n")
    torch.save({"ctc.weight": torch.zeros(5, 1), "encoder.weight": torch.zeros(1)}, tmp_path / "base.pth")
    torch.save({"ctc.weight": torch.arange(5.0)[:, None], "encoder.weight": torch.ones(1)}, tmp_path / "heads.pth")
    argv = ["tools.py", "take", tmp_path / "base.pth", tmp_path / "heads.pth", "ctc"]
    argv += ["--pieces", tmp_path / "old", tmp_path / "new", "--out", tmp_path / "out/model.pth"]
    monkeypatch.setattr("sys.argv", list(map(str, argv)))
    tools.main()
    made = torch.load(tmp_path / "out/model.pth")
    assert made["ctc.weight"][:, 0].tolist() == [0, 3, 1, 2, 0, 4] and made["encoder.weight"].item() == 0


def test_a_checkpoint_that_is_not_there_is_told_in_one_line(tools, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tools.py", "mean", "no.pth", "no.pth", "--out", str(tmp_path / "out.pth")])
    with pytest.raises(SystemExit, match="tools.py: error: no.pth: no such checkpoint"):
        tools.main()

"""Every training configuration of every recipe, run in debug form: tiny encoder and LLM, two updates, two mixtures.

test/recipe_configs.tsv lists them; a recipe or a configuration that is new adds its lines there.
"""

import argparse
import csv
import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoConfig

from espnet2_sop.io.files import read_configs, read_yaml
from espnet2_sop.training.schedule import derive_schedule
from espnet2_sop.training.systems import System, resolve_systems

ROOT = Path(__file__).resolve().parents[2]
with open(ROOT / "test/recipe_configs.tsv", newline="") as table:
    ROWS = [tuple(row.values()) for row in csv.DictReader(table, delimiter="\t")]
LSTM = {"hidden_size": 16, "branch_size": 24}
every_row = pytest.mark.parametrize(("recipe", "configs", "mode"), ROWS, ids=[f"{r}:{c}" for r, c, _ in ROWS])


def conf_files(recipe: str, configs: str) -> list[Path]:
    return [ROOT / "egs2" / recipe / "sop_asr1/conf" / name for name in configs.split("+")]


def merged(recipe: str, configs: str) -> dict:
    return read_configs(conf_files(recipe, configs))


def resolved(recipe: str, configs: str) -> System:
    """The system of a row, as `sop.sh` gets it."""
    *base, own = sorted(conf_files(recipe, configs), key=lambda path: path.name.startswith("train_"))
    name = own.stem.removeprefix("train_")
    return next(system for system in resolve_systems(own.parent, base, [name]) if system.name == name)


def is_training_config(path: Path) -> bool:
    """Of a model or its trainer; simulations and decoding have other keys."""
    config = read_yaml(path)
    if "init_from" in config or "defaults" in config:
        return True
    keys = {"llm_conf", "encoder_conf", "prompt_conf", "batch_bins"} & config.keys()
    return bool(keys or "objective" in config.get("model_conf", {}))


def test_every_training_config_is_listed():
    """What is not listed is not run, and breaks unseen."""
    listed = {path for recipe, configs, _ in ROWS for path in conf_files(recipe, configs)}
    present = {p for p in ROOT.glob("egs2/*/sop_asr1/conf/**/*.yaml") if is_training_config(p)}
    assert listed == present


def schedule(config: dict) -> dict:
    """Arguments of the scheduler of a merged configuration, as `espnet2-sop train` derives them."""
    args = argparse.Namespace(**{"accum_grad": 1, "scheduler_conf": {}} | config)
    return derive_schedule(args, config.get("warmup"))


with open(ROOT / "test/schedules.tsv", newline="") as table:
    SCHEDULES = {(row["recipe"], row["configs"]): row for row in csv.DictReader(table, delimiter="\t")}


@pytest.mark.parametrize(("recipe", "configs"), SCHEDULES, ids=map(":".join, SCHEDULES))
def test_schedule_is_as_reported(recipe, configs):
    """test/schedules.tsv has what OneCycleLR got when the results of the recipes were obtained."""
    row = SCHEDULES[recipe, configs]
    then = {
        "max_lr": float(row["max_lr"]),
        "total_steps": int(row["total_steps"]),
        "pct_start": float(row["pct_start"]),
    }
    then |= {"anneal_strategy": row["anneal_strategy"], "cycle_momentum": row["cycle_momentum"] == "True"}
    now = schedule(merged(recipe, configs))
    assert now == then and list(now) == sorted(now)


@every_row
def test_configurations_state_no_schedule_twice(recipe, configs, mode):
    """Length and peak follow from epochs and learning rate; ESPnet's warm-up has neither."""
    config = merged(recipe, configs)
    assert config["scheduler"] in ("onecyclelr", "warmuplr")
    assert config["scheduler"] == "warmuplr" or not config.get("scheduler_conf")


def updates(recipe: str) -> dict[tuple[str, str], int]:
    """{(what comes before it, system): updates and 1} of the rows of a recipe that have a base configuration."""
    rows = [(row[0], *row[1].removesuffix(".yaml").rpartition("train_")) for row in ROWS if row[2] != "espnet"]
    return {(base, name): schedule(merged(recipe, f"{base}train_{name}.yaml"))["total_steps"]
            for where, base, _, name in rows if where == recipe}  # fmt: skip


@pytest.mark.parametrize("recipe", sorted({recipe for recipe, _, _ in ROWS}))
def test_control_gets_as_many_updates_as_stage_3(recipe):
    """Without this the comparison of sop and sot_continued would prove nothing."""
    found = updates(recipe)
    pairs = [found[base, "sop"] == steps for (base, name), steps in found.items() if name == "sot_continued"]
    assert pairs and all(pairs)


@pytest.mark.parametrize("recipe", sorted({recipe for recipe, _, _ in ROWS}))
@pytest.mark.parametrize("stage", ["ctc", "sop"])
def test_ablations_get_as_many_updates_as_what_they_vary(recipe, stage):
    found = {row: steps for row, steps in updates(recipe).items() if row[1] != "ctc_warmup"}  # which comes before ctc
    other = {(base, name): steps for (base, name), steps in found.items()
             if name.startswith(f"{stage}_") and name != "sop_untrained" and steps != found[base, stage]}  # fmt: skip
    assert not other


@pytest.fixture(scope="module")
def vocabularies(data, llm_vocab, tmp_path_factory):
    """Folder of each kind of CTC vocabulary."""
    from espnet2_sop.bin import vocab

    folder = str(tmp_path_factory.mktemp("sentencepiece"))
    config = str(Path(llm_vocab) / "model.yaml")
    argv = ["--kind", "sentencepiece", "--config", config, "--data", str(data / "train"), "--size", "40"]
    vocab.main([*argv, "--out", folder])
    return {"llm": llm_vocab, "sentencepiece": folder}


@pytest.fixture(scope="module")
def characters(data, tmp_path_factory):
    """Token list of ESPnet's models."""
    from espnet2_sop.bin import vocab

    folder = tmp_path_factory.mktemp("char")
    vocab.main(["--kind", "char", "--data", str(data / "train"), "--out", str(folder)])
    return folder / "tokens.txt"


@pytest.fixture(scope="module")
def debug_form(tiny_encoder, tiny_whisper, tiny_llm, vocabularies):
    """What is put over a configuration to make it small; everything else stays as the recipe has it."""

    trainer = {
        "batch_bins": 60000,
        "accum_grad": 1,
        "num_iters_per_epoch": 2,
        "max_epoch": 1,
        "num_workers": 0,
        "use_matplotlib": False,
    }

    def change(config: dict) -> dict:
        if "token_type" in config:
            blocks = {"num_blocks": 1, "attention_heads": 2, "linear_units": 16}
            small = {"encoder_conf": {**blocks, "output_size": 16}, "decoder_conf": blocks}
            if "frontend" in config:
                small["frontend_conf"] = {"model": tiny_encoder}
                small["preencoder_conf"] = {"input_size": AutoConfig.from_pretrained(tiny_encoder).hidden_size}
            return {**small, **trainer}
        return {
            "encoder_conf": {"pretrained": tiny_whisper if "lora" in config["encoder_conf"] else tiny_encoder},
            "downsampler_conf": {"output_size": 32},
            "separator_conf": {} if config.get("separator") == "conv" else LSTM,
            "llm_conf": {
                "pretrained": tiny_whisper if config.get("llm") == "whisper" else tiny_llm,
                "speaker_change": "<|reserved_special_token_0|>",
            },
            "ctc_vocab": vocabularies[config.get("ctc_vocab", "llm")],
            **trainer,
        }

    return change


@pytest.mark.slow
@every_row
def test_config_trains_decodes_and_scores(recipe, configs, mode, data, data_options, debug_form, characters, tmp_path):
    from espnet2_sop.bin import decode, score, train

    config = merged(recipe, configs)
    (tmp_path / "debug.yaml").write_text(yaml.safe_dump(debug_form(config)))
    run = tmp_path / "run"
    train.main(
        [
            *(f"--config={path}" for path in [*conf_files(recipe, configs), tmp_path / "debug.yaml"]),
            *("--output_dir", str(run)),
            *(("--task", "asr", "--token_list", str(characters)) if mode == "espnet" else ()),
            *data_options(data / "train/simulation.yaml", data / "dev"),
        ]
    )
    system = resolved(recipe, configs)
    assert system.decode_mode == mode
    out = tmp_path / "decode" / system.name
    argv = ["--run", str(run), "--checkpoint", system.checkpoint, "--mode", mode, "--out", str(out), f"{data}/dev"]
    decode.main(argv)
    score.main([f"{data}/dev", f"{out}/dev"])
    record = json.loads((out / "dev/score.json").read_text())
    assert record["system"] == system.name and record["mixtures"] == 2 and not record["missing"]

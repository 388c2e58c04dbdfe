"""A whole experiment on the small corpus: the commands of the stages, with paths below the working directory."""

import sys
from pathlib import Path

import yaml

# the checkout first: test/ has a folder named espnet2_sop, too
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))
from fixtures.corpus import make_corpus
from fixtures.data import RULE
from fixtures.pretrained import save_encoder, save_llm

AVERAGE = "valid.loss.ave.pth"
BASE = {
    "downsampler_conf": {"output_size": 32},
    "separator_conf": {"hidden_size": 16, "branch_size": 24},
    "batch_type": "numel",
    "batch_bins": 60000,
    "valid_batch_bins": 100000,
    "use_matplotlib": False,
    "max_epoch": 3,
    "optim": "adamw",
    "optim_conf": {"lr": 0.01},
    "best_model_criterion": [["valid", "loss", "min"]],
    "keep_nbest_models": 2,
    "accum_grad": 2,
}
STAGES = {
    "sot": {"objective": "sot", "trainable": ["encoder", "downsampler", "projector", "sot"]},
    "ctc": {"objective": "ctc", "trainable": ["separator", "ctc"]},
    "sop": {"objective": "sop", "trainable": ["sop"], "sop_corruption": 0.2},
}


def write_inputs(root: Path) -> None:
    """Writes what the experiment starts from: the corpus, pretrained parts and configurations."""
    make_corpus(root / "corpus")
    base = BASE | {
        "encoder_conf": {"pretrained": save_encoder(root / "encoder")},
        "llm_conf": {"pretrained": save_llm(root / "llm")},
    }
    (root / "rule.yaml").write_text(yaml.safe_dump(RULE))
    (root / "base.yaml").write_text(yaml.safe_dump(base))
    for name, conf in STAGES.items():
        (root / f"{name}.yaml").write_text(yaml.safe_dump({"model_conf": conf}))


def training(root: Path, name: str, start: str | None, data: str, *options: str) -> list[str]:
    """Options of one stage of training, for `train` and `cache`."""
    argv = [f"--config={root}/base.yaml", f"--config={root}/{name}.yaml", "--vocab_dir", "exp/vocab"]
    argv += ["--output_dir", f"exp/{name}", "--valid_shape_file", "dump/dev/speech_shape"]
    for mode, path in (("train", data), ("valid", "dump/dev/mixtures.jsonl")):
        for entry in ("speech,mixture", "text,mixture_text"):
            argv += [f"--{mode}_data_path_and_name_and_type", f"{path},{entry}"]
    return argv + (["--init_param", f"exp/{start}/{AVERAGE}"] if start else []) + list(options)


def commands(root: Path) -> dict[str, list[str]]:
    """{name of a stage: arguments of `espnet2-sop`}, in their order."""
    corpus = root / "corpus"
    speech = ["--speech_root", f"{corpus}/LibriSpeech"]
    csvs = [f"{corpus}/metadata/mini{n}mix_test.csv" for n in (1, 2, 3)]
    drawn, fixed = "dump/train/simulation.yaml", "dump/fixed/mixtures.jsonl"
    pool = [
        *speech,
        "--subset",
        "train-mini",
        "--noise_root",
        f"{corpus}/wham_noise/tr",
        "--config",
        f"{root}/rule.yaml",
    ]
    dev = [*speech, "--noise_root", f"{corpus}/wham_noise", "--csv", *csvs, "--condition", "both"]
    short = ["--min_duration", "0.1"]
    sop = training(root, "sop", "ctc", fixed, "--train_shape_file", "dump/fixed/speech_shape", "--cache", "exp/cache")
    decode = ["decode", "--batch_size", "3", "--checkpoint", AVERAGE]
    scored = ["exp/decode/sop/dev", "exp/decode/ctc/dev"]
    return {
        "prepare train": ["prepare", "simulation", *pool, "--out", "data/train"],
        "prepare dev": ["prepare", "librimix", *dev, "--store_mixtures", "wav", "--out", "data/dev"],
        "prepare fixed": ["prepare", "fixed", *pool, "--talkers", "1", "2", "3", "--condition", "clean", "--number",
                          "4", "--out", "data/fixed"],
        "format train": ["format", *short, "data/train", "dump/train"],
        "format dev": ["format", *short, "data/dev", "dump/dev"],
        "format fixed": ["format", *short, "data/fixed", "dump/fixed"],
        "vocab": ["vocab", "--config", f"{root}/base.yaml", "--out", "exp/vocab/llm"],
        "stats": ["stats", "dump/train", "dump/dev", "dump/fixed", "--out", "exp/stats.json"],
        "train sot": ["train", *training(root, "sot", None, drawn, "--num_workers", "1")],
        "train ctc": ["train", *training(root, "ctc", "sot", drawn, "--num_workers", "0")],
        "cache": ["cache", *sop, "--num_workers", "0"],
        "train sop": ["train", *sop, "--num_workers", "0"],
        "decode sop": [*decode, "--run", "exp/sop", "--mode", "sop", "--out", "exp/decode/sop", "dump/dev"],
        "decode ctc": [*decode, "--run", "exp/ctc", "--mode", "ctc", "--out", "exp/decode/ctc", "dump/dev"],
        "score": ["score", "--data", "dump", *scored],
        "table": ["table", "exp"],
        "analyse": ["analyse", "--data", "dump", scored[0]],
        "report": ["report", "exp", "--examples", "2"],
        "pack": ["pack", "--run", "exp/sop", "--checkpoint", AVERAGE, "--results", "exp/results.json", "--out",
                 "exp/packed/sop"],
    }  # fmt: skip

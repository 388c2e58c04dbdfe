"""Two processes must train as one that has all of every batch."""

import os
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.slow
PARTS = {
    "align": ["downsampler", "separator", "ctc", "projector"],
    "sot": ["downsampler", "projector", "sot"],
    "ctc": ["separator", "ctc"],
}
WORKER = """
import sys, torch
from espnet2_sop.bin import train
for objective in sys.argv[1].split():
    train.main([word.format(objective=objective) for word in sys.argv[2:]])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def start(make_data, corpus, write_config, data_options, tmp_path_factory):
    """Starts a process that trains each objective for an epoch: start(folder, *options)."""
    # batches of 3, 5 and 6 mixtures: shares differ, and none is a lone mixture, which the log of two would count twice
    rule = {"mixtures_per_epoch": 14, "talkers": {1: 0.4, 2: 0.3, 3: 0.3}, "noise_prob": 0, "speed": [1, 1]}
    root = make_data(tmp_path_factory.mktemp("distributed"), [corpus.csv[2]], **rule)
    for objective, parts in PARTS.items():
        write_config(
            root / f"{objective}.yaml",
            model_conf={
                "objective": objective,
                "trainable": parts,
                "all_heads": objective == "align",
                "stream_weight": 0.0 if objective == "sot" else 1.0,
            },
            separator_conf={"dropout": 0.0},
            llm_conf={"adapters": {"sot": {"lora_dropout": 0.0}, "sop": {}}},
            batch_bins=100000,
            max_epoch=1,
            optim="sgd",
            optim_conf={"lr": 0.5},
            keep_nbest_models=1,
        )

    def run(folder, *options):
        argv = ["--config", f"{root}/{{objective}}.yaml", "--output_dir", f"{root / folder}/{{objective}}"]
        argv += [*data_options(root / "train/simulation.yaml", root / "dev"), "--dist_backend", "gloo", *options]
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, " ".join(PARTS), *argv], stderr=subprocess.PIPE, text=True
        )

    run.root = root
    return run


def finish(*processes):
    for process in processes:
        _, error = process.communicate(timeout=900)
        assert process.returncode == 0, error[-3000:]


@pytest.fixture(scope="module")
def runs(start):
    """Folders of the runs of one process and of two."""
    finish(start("one"))
    options = ["--multiprocessing_distributed", "false", "--dist_world_size", "2"]
    options += ["--dist_init_method", f"file://{start.root}/rendezvous_{{objective}}"]
    finish(*(start("two", *options, "--dist_rank", str(rank)) for rank in (0, 1)))
    return start.root / "one", start.root / "two"


@pytest.mark.parametrize("objective", PARTS)
def test_two_processes_get_the_weights_of_one(runs, objective):
    """Shares of a batch differ in mixtures and in labels; a mean of their means would be another loss."""
    one, two = (torch.load(run / objective / "1epoch.pth", weights_only=True) for run in runs)
    start = max((value - two[name]).abs().max() for name, value in one.items())
    assert start < 1e-5, "weights"
    parts = {name.partition(".")[0] for name in one}
    assert parts >= {"encoder", "downsampler", "separator", "ctc", "projector", "llm"}


@pytest.mark.parametrize("objective", PARTS)
def test_two_processes_report_the_loss_of_one(runs, objective):
    one, two = (torch.load(run / objective / "checkpoint.pth", weights_only=False)["reporter"] for run in runs)
    for mode in ("train", "valid"):
        for key in {"sot": ("loss", "acc"), "align": ("loss", "loss_align"), "ctc": ("loss",)}[objective]:
            assert two["stats"][1][mode][key] == pytest.approx(one["stats"][1][mode][key], rel=1e-4), (mode, key)


def test_the_test_would_notice(runs):
    """The training must have moved the weights far more than the tolerance."""
    trained = {name: torch.load(runs[0] / name / "1epoch.pth", weights_only=True) for name in PARTS}
    for objective, other, part in (
        ("sot", "ctc", "projector."),
        ("ctc", "sot", "ctc."),
        ("align", "sot", "projector."),
        ("align", "ctc", "ctc."),
    ):
        one, other = trained[objective], trained[other]
        assert max((v - other[k]).abs().max() for k, v in one.items() if k.startswith(part)) > 1e-3
    assert os.path.isfile(runs[1] / "sot/valid.loss.ave.pth")

"""Training logs. If these fail, learning curves show other numbers than ESPnet printed."""

import math

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.report.curves import curve_figures, unit_of_loss
from espnet2_sop.report.training_log import Run, parse_log, parse_results, read_runs

LINE = "[vm] (trainer:392) INFO: {}epoch results: [train] loss={}, time=1 second, total_count=5, [valid] acc=0.5"


def test_results_of_an_epoch():
    parts = parse_results(
        "[train] iter_time=0.049, loss=0.401, too_long=0.000e+00, optim0_lr0=9.986e-04, grad_norm=-1.5e+03, "
        "time=1 hour, 2 minutes and 3.5 seconds, total_count=100, [valid] loss=0.546, cer=nan, wer=inf, "
        "time=5.9 seconds, total_count=4, [att_plot] time=0.1 seconds, total_count=0"
    )
    assert parts["train"]["loss"] == 0.401 and parts["train"]["too_long"] == 0
    assert parts["train"]["optim0_lr0"] == 9.986e-4 and parts["train"]["grad_norm"] == -1500
    assert math.isclose(parts["train"]["seconds"], 3723.5) and parts["train"]["updates"] == 100
    assert parts["valid"] == {"loss": 0.546, "seconds": 5.9, "updates": 4}  # what is not finite is not there


def test_what_is_trained_again_replaces_what_was_there():
    lines = [LINE.format(1, 1.0), LINE.format(2, 2.0), LINE.format(3, 3.0), LINE.format(2, 2.5)]
    epochs, _ = parse_log(lines)
    assert {epoch: parts["train"]["loss"] for epoch, parts in epochs.items()} == {1: 1.0, 2: 2.5}


def test_other_lines_and_progress_before_the_results():
    lines = [
        "  0%|   | 0/3\r 100%|###| 3/3 " + LINE.format(1, 1.0),
        "epoch results: none",
        "1epoch:train:1-10batch: loss=9",
    ]
    epochs, details = parse_log(lines)
    assert list(epochs) == [1] and epochs[1]["valid"] == {"acc": 0.5} and details == {}


def test_a_loss_has_its_unit():
    def run(objective, **train):
        return Run("x", 1, {1: {"train": {"loss": 1.0, **train}}}, {}, {"model_conf": {"objective": objective}})

    assert unit_of_loss([run("sot"), run("sop")]) == "nats per token"
    assert unit_of_loss([run("ctc")]) == "nats per slot"
    assert unit_of_loss([run("sot", loss_ce=1.0, loss_ctc=2.0)]) == "weighted sum of its parts"
    assert unit_of_loss([Run("espnet_sot", None, {}, {}, {})]) == "weighted sum of its parts"
    assert unit_of_loss([run("sop"), run("joint", loss_ce=1.0)]) == "nats per token, or a weighted sum of parts"


def test_stage_0_is_a_stage_and_no_baseline(recipe, experiment, add_training):
    for name in ("stage0_align", "stage0_align_mixtures", "espnet_sot"):
        add_training(recipe, name)
    runs = read_runs(experiment)
    assert [run.name for run in runs][:3] == ["align", "align_mixtures", "sot"] and runs[-1].name == "espnet_sot"
    figures = list(curve_figures(runs, dict.fromkeys([run.name for run in runs])))
    assert [figure.name for figure in figures] == [*(f"curves_stage{k}" for k in range(4)), "curves_baselines"]


def test_runs_of_an_experiment(experiment):
    runs = read_runs(experiment)
    assert [(run.stage, run.name) for run in runs] == [(1, "sot"), (2, "ctc"), (3, "sot_continued"), (3, "sop")]
    assert runs[0].curve("train", "loss") == ([1, 2, 3], [1.0, 0.5, pytest.approx(1 / 3)])
    assert runs[0].curve("valid", "ter") == ([], [])
    assert runs[0].seconds == pytest.approx(3 * 64.5)
    assert runs[0].details == {"torch": "2.14.1+cu130", "cuda": "True", "parameters": "9.99 M", "trainable": "86.21 K"}
    assert runs[0].config["optim_conf"] == {"lr": 0.002}


def test_a_log_that_is_not_utf8_or_without_epochs(tmp_path):
    (tmp_path / "espnet_sot").mkdir()
    (tmp_path / "espnet_sot" / "train.log").write_bytes(b"\xff\xfe broken\n")
    (run,) = read_runs(tmp_path)
    assert (run.name, run.stage, run.epochs, run.config) == ("espnet_sot", None, {}, {})


def test_broken_configuration(experiment):
    (experiment / "stage3_sop" / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match="config.yaml: broken YAML"):
        read_runs(experiment)

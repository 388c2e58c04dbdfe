"""If these fail, the benchmarks of training do not run, or compare different work."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent


def load(name, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("title", ["stage 1 (sot)", "stage 3 (sop)"])
def test_the_straightforward_step_has_the_same_loss(title, tmp_path, monkeypatch):
    """Else a faster step would be a step that does less."""
    training = load("training", monkeypatch)
    synthetic = sys.modules["synthetic"]
    objective, trainable, _ = training.STAGES[title]
    synthetic.save_pretrained(tmp_path, "tiny", 1400)
    model = synthetic.build(tmp_path, "tiny", objective, trainable, "cpu").eval()
    rng = np.random.default_rng(0)
    rows = [synthetic.mixture(rng, seconds, talkers, 1400) for seconds, talkers in ((1.0, 1), (2.0, 3))]
    runner = training.Runner(model, rows, 2, tmp_path, "cpu")
    runner.spoken = [runner._slots(row) for row in rows]
    batch = synthetic.collate(rows, "cpu")
    torch.testing.assert_close(runner.straightforward(batch), model(**batch)[0][0])


def test_the_benchmarks_run_at_a_tiny_size(tmp_path, monkeypatch, capsys):
    tiny = ["--size", "tiny", "--vocabulary", "1400", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["x", *tiny, "--mixtures", "4", "--batch", "2", "--seconds", "0.5", "1"])
    load("training", monkeypatch).main()
    said = capsys.readouterr().out
    assert said.count("| straightforward |") == 3 and said.count("| + cached frames |") == 2
    monkeypatch.setattr("sys.argv", ["x", *tiny, "--scale", "0.1", "--out", str(tmp_path / "plot.png")])
    load("scaling", monkeypatch).main()
    assert capsys.readouterr().out.count("| exponent |") == 3
    assert (tmp_path / "plot.png").stat().st_size > 1000

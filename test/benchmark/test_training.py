"""If these fail, the benchmarks of training do not run, or compare different work."""

import numpy as np
import pytest
import scaling
import synthetic
import torch
import training


@pytest.mark.parametrize("title", ["stage 1 (sot)", "stage 3 (sop)"])
def test_the_straightforward_step_has_the_same_loss(title, tmp_path):
    """Else a faster step would be a step that does less."""
    objective, trainable, _ = training.STAGES[title]
    synthetic.save_pretrained(tmp_path, "tiny", 1400)
    model = synthetic.build(tmp_path, "tiny", objective, trainable, "cpu").eval()
    rng = np.random.default_rng(0)
    rows = [synthetic.mixture(rng, seconds, talkers, 1400) for seconds, talkers in ((1.0, 1), (2.0, 3))]
    runner = training.Runner(model, rows, 2, tmp_path, "cpu")
    runner.spoken = [runner._slots(row) for row in rows]
    batch = synthetic.collate(rows, "cpu")
    torch.testing.assert_close(runner.straightforward(batch), model(**batch)[0][0])


@pytest.mark.slow
def test_the_benchmarks_run_at_a_tiny_size(tmp_path, monkeypatch, capsys):
    tiny = ["--size", "tiny", "--vocabulary", "1400", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["x", *tiny, "--mixtures", "4", "--batch", "2", "--seconds", "0.5", "1"])
    training.main()
    said = capsys.readouterr().out
    assert said.count("| straightforward |") == 3 and said.count("| + cached frames |") == 2
    monkeypatch.setattr("sys.argv", ["x", *tiny, "--scale", "0.1", "--out", str(tmp_path / "plot.png")])
    scaling.main()
    assert capsys.readouterr().out.count("| exponent |") == 3
    assert (tmp_path / "plot.png").stat().st_size > 1000

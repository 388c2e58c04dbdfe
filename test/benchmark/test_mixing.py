"""If this fails, the benchmark of the preparation of LibriMix does not run."""

import mixing
import pytest


@pytest.mark.slow
def test_the_benchmark_runs_at_a_tiny_size(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["mixing.py", "--scale", "0", "--folder", str(tmp_path)])
    mixing.main()
    said = capfd.readouterr().out
    assert "prepare train: " in said
    assert said.count("times real time per core") == 3
    assert "times (median of 5 rounds in turn)" in said
    assert not list(tmp_path.iterdir())

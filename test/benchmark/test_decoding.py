"""If this fails, the benchmark of decoding does not run."""

import decoding


def test_the_benchmark_runs_at_a_tiny_size(monkeypatch, capfd):
    argv = ["--shape", "tiny", "--prompt", "8", "--tokens", "9", "--number", "3", "--repeat", "1", "--errors", "0", "1"]
    monkeypatch.setattr("sys.argv", ["decoding.py", *argv, "--batch_sizes", "1", "2"])
    decoding.main()
    lines = [line for line in capfd.readouterr().out.splitlines() if "times as fast" in line]
    assert len(lines) >= 4
    assert all("equal 3 and 3 of 3" in line for line in lines)

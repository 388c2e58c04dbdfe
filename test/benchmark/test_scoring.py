"""If this fails, the benchmark of the scoring does not run, or our counts differ from meeteval's."""

import scoring


def test_the_benchmark_runs_at_a_tiny_size(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scoring.py", "--mixtures", "60", "--rounds", "1"])
    scoring.main()
    said = capsys.readouterr().out
    assert (
        "60 mixtures" in said and said.count("from words") == said.count("from segments") == 2 and "from files" in said
    )

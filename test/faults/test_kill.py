"""A short version of `python test/faults/kill.py`: what is killed and started again gives what was never killed."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from compare import differences

KILL = Path(__file__).with_name("kill.py")
WRITERS = "format dev,train sot,train sop,cache,decode sop"


@pytest.mark.slow
def test_killed_stages_go_on_to_the_same_results():
    argv = [sys.executable, str(KILL), "--kills", "8", "--seed", "1", "--stages", WRITERS]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "all results equal, nothing left over" in done.stdout


def test_the_comparison_would_notice(tmp_path):
    """A changed weight, a word, a line too many, a file too many or too few."""
    import torch

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        torch.save({"w": torch.ones(3), "train_time": random.random()}, tmp_path / name / "1epoch.pth")
        (tmp_path / name / "text").write_text("m1 red\n")
        (tmp_path / name / "score.json").write_text(f'{{"errors": 3, "seconds": {random.random()}}}')
    one, two = tmp_path / "one", tmp_path / "two"
    (two / ".lock").touch()
    assert not differences(one, two)
    torch.save({"w": torch.tensor([1, 1, 1 + 1e-7])}, two / "1epoch.pth")
    (two / "text").write_text("m1 blue\n")
    (two / "score.json").write_text('{"errors": 4}')
    (two / ".text.part").touch()
    (one / "prompt").touch()
    assert [line.partition(": ")[0] for line in differences(one, two)] == [
        "prompt", ".text.part", "1epoch.pth", "score.json", "text",
    ]  # fmt: skip

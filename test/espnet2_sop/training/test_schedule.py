"""What is derived of the one-cycle schedule, and what is refused."""

import argparse

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.training.schedule import count_updates, derive_schedule


def options(**changed) -> argparse.Namespace:
    given = {"scheduler": "onecyclelr", "scheduler_conf": {}, "optim_conf": {"lr": 0.5}, "max_epoch": 5}
    return argparse.Namespace(**{**given, "num_iters_per_epoch": 9, "accum_grad": 2, **changed})


def test_length_and_peak_follow():
    """Batches left over at the end of an epoch make no update, as in ESPnet's trainer."""
    assert count_updates(5, 9, 2) == 20
    found = derive_schedule(options(), 0.25)
    assert found == {
        "anneal_strategy": "linear", "cycle_momentum": False, "max_lr": 0.5, "pct_start": 0.25, "total_steps": 21
    }  # fmt: skip
    assert derive_schedule(options(max_epoch=10), 0.25)["total_steps"] == 41
    assert derive_schedule(options()) == {"max_lr": 0.5, "total_steps": 21}, "torch's own shape"


def test_warmup_in_updates():
    """The update after so many has the peak."""
    conf = derive_schedule(options(), 4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, **conf)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates.index(max(rates)) == 3 and rates[3] == pytest.approx(0.5)
    steps = [b - a for a, b in zip(rates[3:], rates[4:], strict=False)]
    assert steps == pytest.approx([steps[0]] * len(steps)) and steps[0] < 0


def test_what_is_written_wins():
    """A user's own scheduler_conf stays what it was."""
    own = {"max_lr": 0.1, "total_steps": 27, "pct_start": 0.5, "anneal_strategy": "cos", "cycle_momentum": True}
    assert derive_schedule(options(scheduler_conf=own), 0.25) == own
    assert derive_schedule(options(scheduler_conf={"total_steps": 8}, num_iters_per_epoch=None), 2)["pct_start"] == 0.25
    split = {"epochs": 4, "steps_per_epoch": 5}
    assert derive_schedule(options(scheduler_conf=split)) == {"max_lr": 0.5, **split}
    other = {"warmup_steps": 3}
    assert derive_schedule(options(scheduler="warmuplr", scheduler_conf=other)) == other


@pytest.mark.parametrize(
    ("changed", "warmup", "message"),
    [
        (
            {"scheduler": "warmuplr"},
            0.1,
            "warmup: only scheduler onecyclelr has it, not warmuplr; write `warmup: null`",
        ),
        ({"num_iters_per_epoch": None}, 0.1, "num_iters_per_epoch is missing"),
        ({}, "a tenth", "warmup: 'a tenth' is neither a share"),
        ({}, True, "warmup: True is neither"),
        ({}, -1, "warmup: -1 is neither"),
        ({}, float("nan"), "warmup: nan is neither"),
        ({}, 2.5, "warmup: 2.5 is not a whole number of updates"),
        ({}, 21, "warmup: 21 is not a number of updates within the training, which has 20"),
        ({"scheduler_conf": {"total_steps": 19}}, 0.1, "scheduler_conf: total_steps: 19 is less than the 20 "),
        ({"scheduler_conf": {"epochs": 3, "steps_per_epoch": 6}}, 0, "scheduler_conf: epochs: 3, steps_per"),
        ({"scheduler_conf": None}, 0.1, "scheduler_conf: expected keys and values"),
        ({"optim_conf": ["lr"]}, 0.1, "optim_conf: expected keys and values"),
        ({"optim_conf": {"lr": "1e-3"}}, 0.1, "optim_conf.lr: '1e-3' is text, not a number; YAML wants a point"),
        ({"max_epoch": 2.5}, 0.1, "max_epoch: 2.5 is not a whole number from 1"),
        ({"accum_grad": 0}, 0.1, "accum_grad: 0 is not a whole number from 1"),
        ({}, float("inf"), "warmup: inf"),
    ],
)
def test_mistakes_are_one_line(changed, warmup, message):
    with pytest.raises(UserError, match=f"^{message}"):
        derive_schedule(options(**changed), warmup)

"""The one-cycle schedule of the learning rate, derived from the length of a training.

A configuration states the learning rate (`optim_conf.lr`), the length (`max_epoch`, `num_iters_per_epoch`,
`accum_grad`) and the warm-up (`warmup`). The arguments of `torch.optim.lr_scheduler.OneCycleLR` follow from them, so a
training that is twice as long differs in one number.
"""

import argparse
from typing import Any

from espnet2_sop.io.errors import UserError

SCHEDULER = "onecyclelr"
LINEAR = {"anneal_strategy": "linear", "cycle_momentum": False}


def count_updates(max_epoch: int, num_iters_per_epoch: int, accum_grad: int) -> int:
    """Updates of the weights in a whole training.

    Args:
        max_epoch: Epochs.
        num_iters_per_epoch: Batches in an epoch.
        accum_grad: Batches whose gradients are added up for one update. Batches left over at the end of an epoch make
            no update.

    Returns:
        Number of updates.
    """
    return max_epoch * (num_iters_per_epoch // accum_grad)


def derive_schedule(args: argparse.Namespace, warmup: float | None = None) -> dict[str, Any]:
    """Arguments of the scheduler; what `scheduler_conf` leaves out is derived.

    With `onecyclelr`, `max_lr` is the learning rate of the optimizer, `total_steps` is one more than the updates of
    the training, and `warmup` makes the rate rise and fall linearly. Keys in `scheduler_conf` win over derived ones.

    Args:
        args: Options of the training: scheduler, scheduler_conf, optim_conf, max_epoch, num_iters_per_epoch,
            accum_grad.
        warmup: Below 1 the share of all updates in which the rate rises, from 1 on their number; None: not stated.

    Returns:
        The complete `scheduler_conf`.

    Raises:
        UserError: `warmup` has a wrong value, does not fit the scheduler, or the length is not stated.
    """
    given = dict(args.scheduler_conf)
    if args.scheduler != SCHEDULER:
        if warmup is not None:
            raise UserError(
                f"warmup: only scheduler {SCHEDULER} has it, not {args.scheduler}; write `warmup: null` and give what "
                "the scheduler takes in scheduler_conf"
            )
        return given
    derived: dict[str, Any] = {}
    if "lr" in args.optim_conf:
        derived["max_lr"] = args.optim_conf["lr"]
    if not {"total_steps", "epochs", "steps_per_epoch"} & given.keys():
        if not args.num_iters_per_epoch:
            raise UserError(
                "num_iters_per_epoch is missing: the length of the schedule follows from it; or write "
                "scheduler_conf.total_steps"
            )
        derived["total_steps"] = 1 + count_updates(args.max_epoch, args.num_iters_per_epoch, args.accum_grad)
    if warmup is not None:
        derived |= LINEAR | {"pct_start": _rising_share(warmup, {**derived, **given}.get("total_steps"))}
    return dict(sorted({**derived, **given}.items()))


def _rising_share(warmup: Any, total_steps: int | None) -> float:
    """`pct_start` of a warm-up."""
    if isinstance(warmup, bool) or not isinstance(warmup, int | float) or not warmup >= 0:
        raise UserError(f"warmup: {warmup!r} is neither a share of the updates below 1 nor a number of updates")
    if warmup < 1:
        return warmup
    if not total_steps or not float(warmup).is_integer() or warmup >= total_steps:
        raise UserError(
            f"warmup: {warmup:g} is not a whole number of updates within the training, which has "
            f"{(total_steps or 1) - 1}; or write a share below 1"
        )
    return warmup / total_steps

"""The one-cycle schedule of the learning rate, derived from the length of a training.

A configuration states the learning rate (`optim_conf.lr`), the length (`max_epoch`, `num_iters_per_epoch`,
`accum_grad`) and the warm-up (`warmup`). The arguments of `torch.optim.lr_scheduler.OneCycleLR` follow from them, so a
training that is twice as long differs in one number.
"""

import argparse
import math
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
        UserError: `warmup` has a wrong value or does not fit the scheduler, the length is not stated, is no number or
            exceeds that of the schedule, or a section has no keys.
    """
    for name in ("optim_conf", "scheduler_conf"):
        if not isinstance(getattr(args, name), dict):
            raise UserError(f"{name}: expected keys and values")
    check_warmup(warmup)
    given = dict(args.scheduler_conf)
    if args.scheduler != SCHEDULER:
        if warmup is not None:
            raise UserError(
                f"warmup: only scheduler {SCHEDULER} has it, not {args.scheduler}; write `warmup: null` and give what "
                "the scheduler takes in scheduler_conf"
            )
        return given
    _check_numbers(args)
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
    else:
        _check_length(args)
    if warmup is not None:
        derived |= LINEAR | {"pct_start": _rising_share(warmup, {**derived, **given}.get("total_steps"))}
    return dict(sorted({**derived, **given}.items()))


def check_warmup(warmup: Any, where: str = "") -> None:
    """Refuses a warm-up that no training can have.

    Args:
        warmup: Below 1 a share of all updates, from 1 on their number; None: not stated.
        where: What the error message begins with, such as the configuration.

    Raises:
        UserError: It is neither.
    """
    if warmup is None:
        return
    if isinstance(warmup, bool) or not isinstance(warmup, int | float) or not warmup >= 0:
        raise UserError(f"{where}warmup: {warmup!r} is neither a share of the updates below 1 nor a number of updates")
    if warmup >= 1 and not float(warmup).is_integer():
        raise UserError(f"{where}warmup: {warmup:g} is not a whole number of updates; write one, or a share below 1")


def _check_numbers(args: argparse.Namespace) -> None:
    """Refuses a length that is no number, and a learning rate that is text."""
    for name in ("max_epoch", "num_iters_per_epoch", "accum_grad"):
        value = getattr(args, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UserError(f"{name}: {value!r} is not a whole number from 1")
    if isinstance(rate := args.optim_conf.get("lr"), str):
        raise UserError(f"optim_conf.lr: {rate!r} is text, not a number; YAML wants a point in it: 1.0e-3 or 0.001")


def _check_length(args: argparse.Namespace) -> None:
    """Refuses a stated length that ends before the training: torch stops there, perhaps after days."""
    given = args.scheduler_conf
    names = ("total_steps",) if given.get("total_steps") is not None else ("epochs", "steps_per_epoch")
    values = [given.get(name) for name in names]
    if not args.num_iters_per_epoch or not all(isinstance(value, int) for value in values):
        return  # not known, or refused by torch
    updates = count_updates(args.max_epoch, args.num_iters_per_epoch, args.accum_grad)
    if 0 < math.prod(values) < updates:
        raise UserError(
            f"scheduler_conf: {', '.join(f'{k}: {v}' for k, v in zip(names, values, strict=True))} is less than the "
            f"{updates} updates of the training; take it out, then the length follows from max_epoch, "
            "num_iters_per_epoch and accum_grad"
        )


def _rising_share(warmup: float, total_steps: int | None) -> float:
    """`pct_start` of a warm-up."""
    if warmup < 1:
        return warmup
    if not total_steps or warmup >= total_steps:
        raise UserError(
            f"warmup: {warmup:g} is not a number of updates within the training, which has {(total_steps or 1) - 1}; "
            "or write a share below 1"
        )
    return warmup / total_steps

"""Smaller learning rates for some parts of a model, such as what is pretrained."""

from collections.abc import Mapping

import torch


def scale_learning_rates(optimizer: torch.optim.Optimizer, scales: Mapping[torch.nn.Parameter, float]) -> None:
    """Lets parameters learn at a multiple of the rate that the scheduler, whichever it is, gives to all.

    The rate is lowered for the step alone, so that logs show it as the scheduler has it.

    Args:
        optimizer: Has the parameters; those of one multiple become a group of their own.
        scales: Parameter to its rate over that of those that are not named.
    """
    for group in list(optimizer.param_groups):
        params, group["params"] = group["params"], []
        for scale in sorted({scales.get(p, 1.0) for p in params}, reverse=True):
            chosen = [p for p in params if scales.get(p, 1.0) == scale]
            if scale == 1:
                group["params"] = chosen
            else:
                optimizer.add_param_group({**group, "params": chosen, "lr_scale": scale})
    rates: list[float] = []

    def lower(*_) -> None:
        rates[:] = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)

    def restore(*_) -> None:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    optimizer.register_step_pre_hook(lower)
    optimizer.register_step_post_hook(restore)

"""Smaller learning rates for parts of a model, such as pretrained ones."""

from collections.abc import Mapping

import torch


def scale_learning_rates(optimizer: torch.optim.Optimizer, scales: Mapping[torch.nn.Parameter, float]) -> None:
    """Trains some parameters with a share of the learning rate that the scheduler sets.

    The rate is scaled during the step of the optimizer only, so schedulers and logs see the unscaled rate.

    Args:
        optimizer: Its parameters are regrouped, one group for each share.
        scales: {parameter: its share of the learning rate}; parameters that are not in it have 1.
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

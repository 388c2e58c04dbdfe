"""The parts of a Separator that each slot has for itself."""

from torch import nn


def build_branches(input_size: int, size: int, layers: int, num_talkers: int) -> nn.ModuleList:
    """For each talker slot pairs of Linear and ReLU, and a layer norm.

    Args:
        input_size: Width of what all branches read.
        size: Width of a branch.
        layers: Linear-ReLU pairs.
        num_talkers: Number of branches.

    Returns:
        The branches, (B, F, input_size) to (B, F, size) each.
    """
    sizes = [input_size] + [size] * layers

    def branch() -> nn.Sequential:
        pairs = [m for i, o in zip(sizes, sizes[1:], strict=False) for m in (nn.Linear(i, o), nn.ReLU())]
        return nn.Sequential(*pairs, nn.LayerNorm(size))

    return nn.ModuleList(branch() for _ in range(num_talkers))

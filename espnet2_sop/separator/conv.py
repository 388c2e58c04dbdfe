"""A Separator of convolutions, which learns sooner and computes faster than an LSTM."""

import torch
from torch import nn

from espnet2_sop.masks import length_mask
from espnet2_sop.separator.abs_separator import AbsSeparator
from espnet2_sop.separator.branch import build_branches


class ConvSeparator(AbsSeparator):
    """Residual convolutions over the mixture, then a branch of its own for each talker slot.

    Each block adds to the frames what it finds in their neighbourhood, at first nothing, so that the heads see the
    frames themselves: CTC begins to learn at once, where a new LSTM keeps it at blanks for hundreds of updates.
    How far it sees is (kernel_size - 1) / 2 x num_layers frames to either side; telling talkers apart over a whole
    mixture is left to the encoder, which should be trained with it once.

    Args:
        input_size: Width of the frames.
        num_talkers: Number of talker slots S, a constant of the model.
        num_layers: Residual blocks.
        kernel_size: Frames that a block sees; odd.
        branch_size: Width of the talkers' branches; that of the frames when not given.
        branch_layers: Linear-ReLU pairs in a branch; without any, heads learn soonest.
        dropout: Of what a block adds.
    """

    def __init__(
        self,
        input_size: int,
        num_talkers: int = 3,
        num_layers: int = 3,
        kernel_size: int = 5,
        branch_size: int | None = None,
        branch_layers: int = 2,
        dropout: float = 0.1,
    ):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size} is not odd")
        self.output_size = branch_size or input_size
        if not branch_layers and self.output_size != input_size:
            raise ValueError(f"branches without layers are as wide as the frames: branch_size {input_size}")
        self.norms = nn.ModuleList(nn.LayerNorm(input_size) for _ in range(num_layers))
        self.convs = nn.ModuleList(
            nn.Conv1d(input_size, 2 * input_size, kernel_size, padding=kernel_size // 2) for _ in range(num_layers)
        )
        for conv in self.convs:
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
        self.dropout = nn.Dropout(dropout)
        self.branches = build_branches(input_size, self.output_size, branch_layers, num_talkers)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        """Separates the talkers, see `AbsSeparator`."""
        mask = length_mask(lengths, frames.size(1))[..., None]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            found = conv((norm(frames) * mask).transpose(1, 2))
            frames = frames + self.dropout(nn.functional.glu(found, dim=1).transpose(1, 2))
        return [branch(frames) for branch in self.branches]

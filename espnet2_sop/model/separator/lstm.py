"""The Separator of the paper: an LSTM over the frames of a mixture, and a branch for each talker slot."""

from typing import override

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from espnet2_sop.model.separator.abs_separator import AbsSeparator
from espnet2_sop.model.separator.branch import build_branches


class LSTMSeparator(AbsSeparator):
    """LSTM over the mixture, then a branch of its own for each talker slot.

    Args:
        input_size: Width of the frames.
        num_talkers: Number of talker slots S, a constant of the model.
        hidden_size: LSTM units (of each direction).
        num_layers: LSTM layers.
        branch_size: Width of the talkers' branches.
        branch_layers: Linear-ReLU pairs in a branch.
        bidirectional: Read the mixture in both directions.
        dropout: Between LSTM layers and before the branches.
    """

    def __init__(
        self,
        input_size: int,
        num_talkers: int = 3,
        hidden_size: int = 896,
        num_layers: int = 2,
        branch_size: int = 1024,
        branch_layers: int = 2,
        bidirectional: bool = False,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.output_size = branch_size
        self.lstm = nn.LSTM(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        width = hidden_size * (2 if bidirectional else 1)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.branches = build_branches(width, branch_size, branch_layers, num_talkers)

    @override
    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        hidden = self.dropout(self.norm(read_rows(self.lstm, frames, lengths)))
        return [branch(hidden) for branch in self.branches]


def read_rows(lstm: nn.LSTM, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Output of an LSTM that reads each row to its own end, zero behind it.

    Args:
        lstm: With `batch_first`.
        frames: (B, F, D).
        lengths: (B,) frames.

    Returns:
        (B, F, units of all directions).
    """
    packed = pack_padded_sequence(frames, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=frames.size(1))[0]

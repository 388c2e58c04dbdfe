"""A Separator of convolutions; CTC learns sooner with it than with an LSTM, and it is faster."""

from typing import override

import torch
from torch import nn

from espnet2_sop.model.masks import length_mask
from espnet2_sop.model.separator.abs_separator import AbsSeparator
from espnet2_sop.model.separator.lstm import read_rows


class ConvBlock(nn.Module):
    """A residual convolution block, whose residual branch starts at zero.

    Args:
        size: Width of the frames.
        hidden_size: Channels of the convolution.
        kernel_size: Frames that it sees; odd.
        dropout: Of the residual branch.

    Raises:
        ValueError: `kernel_size` is even.
    """

    def __init__(self, size: int, hidden_size: int, kernel_size: int, dropout: float):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size} is not odd")
        self.norm = nn.LayerNorm(size)
        self.conv = nn.Conv1d(size, hidden_size, kernel_size, padding=kernel_size // 2)
        self.out = nn.Linear(hidden_size, size)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One block.

        Args:
            frames: (B, F, D).
            mask: (B, F, 1), True at valid frames.

        Returns:
            (B, F, D).
        """
        found = self.conv((self.norm(frames) * mask).transpose(1, 2)).transpose(1, 2)
        return frames + self.dropout(self.out(nn.functional.gelu(found)))


class LSTMBlock(nn.Module):
    """A residual bidirectional LSTM over the mixture, whose residual branch starts at zero.

    Args:
        size: Width of the frames.
        hidden_size: LSTM units of each direction.
        dropout: Of the residual branch.
    """

    def __init__(self, size: int, hidden_size: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.lstm = nn.LSTM(size, hidden_size, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden_size, size)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """One block.

        Args:
            frames: (B, F, D).
            lengths: (B,) frames.

        Returns:
            (B, F, D).
        """
        return frames + self.dropout(self.out(read_rows(self.lstm, self.norm(frames), lengths)))


class ConvSeparator(AbsSeparator):
    """Residual convolutions over the mixture, then some for each talker slot, and a layer norm.

    The residual branches start at zero, so that the heads of a new Separator read the frames themselves: CTC learns
    from the first updates on, while a new LSTM keeps it at blanks for hundreds of updates. The receptive field is
    (kernel_size - 1) / 2 x (num_layers + branch_layers) frames to either side. To tell talkers apart over a whole
    mixture, the encoder has to be trained with it, or `lstm_size` given.

    Args:
        input_size: Width of the frames, and of the streams.
        num_talkers: Number of talker slots S, a constant of the model.
        num_layers: Blocks that all talkers share.
        branch_layers: Further blocks of each talker.
        hidden_size: Channels of a block's convolution.
        kernel_size: Frames that a block sees; odd.
        lstm_size: Units of each direction of a residual LSTM behind the shared blocks; 0 for none.
        dropout: Of the residual branches.

    Raises:
        ValueError: `kernel_size` is even or `lstm_size` negative.
    """

    def __init__(
        self,
        input_size: int,
        num_talkers: int = 3,
        num_layers: int = 1,
        branch_layers: int = 2,
        hidden_size: int = 256,
        kernel_size: int = 3,
        lstm_size: int = 0,
        dropout: float = 0.1,
    ):
        super().__init__()
        if lstm_size < 0:
            raise ValueError(f"lstm_size {lstm_size} is below 0")
        self.output_size = input_size

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(ConvBlock(input_size, hidden_size, kernel_size, dropout) for _ in range(count))

        self.blocks = blocks(num_layers)
        self.recurrent = LSTMBlock(input_size, lstm_size, dropout) if lstm_size else None
        self.branches = nn.ModuleList(blocks(branch_layers) for _ in range(num_talkers))
        self.norms = nn.ModuleList(nn.LayerNorm(input_size) for _ in range(num_talkers))

    @override
    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        mask = length_mask(lengths, frames.size(1))[..., None]
        for block in self.blocks:
            frames = block(frames, mask)
        if self.recurrent:
            frames = self.recurrent(frames, lengths)
        streams = []
        for branch, norm in zip(self.branches, self.norms, strict=True):
            stream = frames
            for block in branch:
                stream = block(stream, mask)
            streams.append(norm(stream))
        return streams

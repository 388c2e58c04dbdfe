"""Base class of Separators."""

from abc import ABC, abstractmethod

import torch
from torch import nn


class AbsSeparator(nn.Module, ABC):
    """From the frames of a mixture to one stream for each talker slot.

    The constructor takes `input_size` (width of the frames) and `num_talkers` (slots S); its other arguments are the
    keys of `separator_conf`.

    Attributes:
        output_size: Width of every stream, on which the CTC heads are built.
    """

    output_size: int

    @abstractmethod
    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        """Separates the talkers.

        Args:
            frames: (B, F, input_size), zero behind the end of each row.
            lengths: (B,) frames, on the device of the frames.

        Returns:
            S tensors (B, F, output_size), slot i for the talker who starts i-th; nothing behind the end of a row may
            change what is before it.
        """

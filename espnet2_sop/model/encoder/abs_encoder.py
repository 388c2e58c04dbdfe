"""Base class of speech encoders."""

from abc import ABC, abstractmethod

import torch
from torch import nn

HEADS_ADAPTER = "encoder_heads"  # an adapter of the encoder for the frames of Separator and heads


class AbsEncoder(nn.Module, ABC):
    """Waveforms to frames. The arguments of the constructor are the keys of `encoder_conf`.

    Attributes:
        never_trained: Prefixes of the parameters and buffers that no stage trains; they are not in checkpoints, so the
            constructor must set their values.
        dtype: Of the matrix products in the whole front end, up to the streams of the Separator: `float32` or
            `bfloat16`. Weights that learn are float32.
        heads_adapter: Whether it has an adapter `encoder_heads`, for frames of Separator and heads of their own.
            `forward` then takes `for_heads`: whether these frames are wanted.
    """

    never_trained: tuple[str, ...] = ()
    dtype: str = "float32"
    heads_adapter: bool = False

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Width of the frames."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Samples from one frame to the next; times of words follow from it."""

    @abstractmethod
    def forward(self, speech: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes waveforms; a mixture has the same frames alone and in any batch.

        Args:
            speech: (B, T) float, 16 kHz, zero-padded on the right.
            lengths: (B,) samples.

        Returns:
            (B, F, output_size) frames, zero behind the end of each row, and their lengths (B,).

        Raises:
            UserError: A waveform is shorter than a frame.
        """

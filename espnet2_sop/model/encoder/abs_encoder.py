"""What a speech encoder has to be."""

from abc import ABC, abstractmethod

import torch
from torch import nn

HEADS_ADAPTER = "encoder_heads"  # the adapter of an encoder whose frames the heads alone read


class AbsEncoder(nn.Module, ABC):
    """Waveforms to frames. The arguments of the constructor are the keys of `encoder_conf`.

    Attributes:
        never_trained: Prefixes of the parameters and buffers that no stage trains; they are not in checkpoints, so the
            constructor must give them their values.
        dtype: Of the matrix products, `float32` or `bfloat16`, its own and those up to the streams of the Separator
            (`FrontEnd` calls all of them accordingly); weights that learn are float32.
        heads_adapter: Whether it has an adapter `encoder_heads`, with which the heads get frames of their own.
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
        """Samples from one frame to the next; onsets are read off it."""

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

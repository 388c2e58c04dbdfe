"""The stride-2 convolutions between encoder, Separator and LLM."""

import torch
from torch import nn

from espnet2_sop.model.masks import length_mask


class ConvDownsampler(nn.Module):
    """Blocks of Conv1d (kernel 3, stride 2) and GLU; every block halves the frame rate.

    With three blocks on a 50 Hz encoder the LLM gets frames of 160 ms. The Separator reads the output of any block, or
    of the encoder (`model_conf.tap`; paper, section on the model: outputs of intermediate CNN blocks).

    Args:
        input_size: Width of the encoder's frames.
        output_size: Width of every block's output.
        num_blocks: Number of stride-2 blocks.
        layer_norm: Layer norm after each block.
    """

    def __init__(self, input_size: int, output_size: int = 1024, num_blocks: int = 3, layer_norm: bool = True):
        super().__init__()
        self.output_size = output_size
        sizes = [input_size] + [output_size] * num_blocks
        self.convs = nn.ModuleList(
            nn.Conv1d(i, 2 * o, kernel_size=3, stride=2, padding=1) for i, o in zip(sizes, sizes[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(output_size) if layer_norm else nn.Identity() for _ in self.convs)

    def forward(
        self, frames: torch.Tensor, lengths: torch.Tensor, first: int = 0
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Returns the outputs of all blocks from `first` on.

        Args:
            frames: (B, F, D) output of the encoder or of block `first`, zero behind the end of each row.
            lengths: (B,) frames.
            first: Number of blocks that have made the frames; 0 for the encoder.

        Returns:
            For each block (B, ceil(F / 2^k), output_size), zero behind the end, and lengths (B,).
        """
        outputs = []
        for conv, norm in zip(self.convs[first:], self.norms[first:], strict=True):
            frames = norm(nn.functional.glu(conv(frames.transpose(1, 2)), dim=1).transpose(1, 2))
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
            frames = frames * length_mask(lengths, frames.size(1))[..., None]
            outputs.append((frames, lengths))
        return outputs

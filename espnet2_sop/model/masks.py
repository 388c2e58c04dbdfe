"""Masks from lengths."""

import torch


def length_mask(lengths: torch.Tensor, max_length: int | None = None) -> torch.Tensor:
    """Marks the valid positions of right-padded rows.

    Args:
        lengths: (B,) number of valid positions of each row.
        max_length: Width of the mask; the longest row when not given.

    Returns:
        (B, max_length) bool, True where a row has content.
    """
    if max_length is None:
        max_length = int(lengths.max()) if lengths.numel() else 0
    return torch.arange(max_length, device=lengths.device)[None, :] < lengths[:, None]

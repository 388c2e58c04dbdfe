"""A key-value cache in which every row has its own length."""

import torch
from torch.nn import functional as F
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

SPARE = 64  # columns that are added when the cache is full


class RowCache(Cache):
    """Keys and values of a batch, each row from column 0. Columns that a row no longer needs are overwritten.

    `place` has to be called before every forward pass.

    Args:
        layers: Of the LLM.
        cross_attention: Whether there is a second cache, of that name, for the keys and values of frames.
    """

    def __init__(self, layers: int, cross_attention: bool = False):
        super().__init__(layers=[RowLayer(self) for _ in range(layers)])
        self.cross_attention = DynamicCache() if cross_attention else None
        self.seen = 0
        self.end = 0
        self.columns: torch.Tensor | None = None

    def place(self, columns: torch.Tensor, seen: int) -> None:
        """Says where the next pass writes.

        Args:
            columns: (B, W) long, where each row puts its W keys and values.
            seen: Filled columns of the longest row.
        """
        self.seen, self.end = seen, seen + columns.size(1)
        self.columns = columns
        self.rows = torch.arange(columns.size(0), device=columns.device)[:, None]

    def keep(self, rows: torch.Tensor) -> None:
        """Drops all rows of the batch but these (N,)."""
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
        if self.cross_attention is not None:
            self.cross_attention.batch_select_indices(rows)


class RowLayer(DynamicLayer):
    """One layer of a RowCache: keys and values (B, H, L, D)."""

    def __init__(self, cache: RowCache):
        super().__init__()
        self.cache = cache

    def get_seq_length(self) -> int:
        """Filled columns of the longest row."""
        return self.cache.seen

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        """Writes the keys and values of a pass.

        Args:
            key_states: (B, H, W, D).
            value_states: (B, H, W, D).
            *args: Of transformers, not used.
            **kwargs: Of transformers, not used.

        Returns:
            All keys and values up to the end of the longest row, (B, H, L, D) each.
        """
        if not self.is_initialized:  # the prompts, from column 0
            self.keys, self.values, self.is_initialized = key_states, value_states, True
            return key_states, value_states
        end = self.cache.end
        if end > self.keys.size(2):
            spare = end - self.keys.size(2) + SPARE
            self.keys, self.values = (F.pad(t, (0, 0, 0, spare)) for t in (self.keys, self.values))
        for stored, new in ((self.keys, key_states), (self.values, value_states)):
            if len(new) == 1:
                stored[:, :, self.cache.seen : end] = new
            else:
                stored[self.cache.rows, :, self.cache.columns] = new.transpose(1, 2)
        return self.keys[:, :, :end], self.values[:, :, :end]


def has_plain_cache(config) -> bool:
    """Whether every layer of an LLM attends to all earlier positions, so that a RowCache fits it."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)

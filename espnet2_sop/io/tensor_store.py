"""Tensors of many mixtures on disk: a folder of safetensors files, written whole or not at all."""

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from espnet2_sop.io.disk import sync
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_path

DONE = ".done"
SHARD_BYTES = 128 * 2**20
SHARD_SECONDS = 120  # work that an interruption may cost
OPEN_FILES = 32  # mapped at a time in each process


@functools.lru_cache(OPEN_FILES)
def _open(path: Path):
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        reason = type(error).__name__
        raise UserError(f"{path}: not a readable cache file ({reason}); remove it and its folder's .done") from None


class CachedTensors(Mapping):
    """{mixture id: array (N, D) float32} of a cache folder; read when asked for.

    Args:
        folder: What a `CacheWriter` writes to.

    Raises:
        UserError: A file in it is broken.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.files: dict[str, Path] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            self.files |= dict.fromkeys(_open(path).keys(), path)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.files:
            raise UserError(f"{self.folder}: no {name} in it; remove the folder and run `espnet2-sop cache` again")
        return _open(self.files[name]).get_tensor(name).float().numpy()


class CacheWriter(contextlib.AbstractContextManager):
    """Adds tensors to a cache folder; what is there already is kept, so that interrupted work goes on.

    Args:
        folder: Folder to make.
        dtype: What floating-point numbers are kept as.
    """

    def __init__(self, folder: str | Path, dtype: torch.dtype = torch.float32):
        self.folder = Path(folder)
        self.dtype = dtype
        self.done = set(CachedTensors(folder))
        self._begin()

    def _begin(self) -> None:
        self.waiting: dict[str, torch.Tensor] = {}
        self.bytes = 0
        self.since = time.monotonic()

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Adds one tensor; it is on disk after the next `flush`.

        Args:
            name: Id of the mixture.
            tensor: (N, D), on any device.
        """
        self.waiting[name] = tensor.to("cpu", self.dtype).clone()  # a view would keep its whole batch
        self.bytes += self.waiting[name].nbytes
        if self.bytes >= SHARD_BYTES or time.monotonic() - self.since >= SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes the tensors added since the last call as one file."""
        if self.waiting:
            number = max((int(path.stem) for path in self.folder.glob("*.safetensors")), default=-1) + 1
            with atomic_path(self.folder / f"{number:05d}.safetensors") as part:
                part.write_bytes(save(self.waiting))  # a kill of save_file would leave a temporary file of its own
                sync(part)
            _open.cache_clear()  # a file that was removed may have had this name
            self.done |= self.waiting.keys()
            self._begin()

    def __exit__(self, *error) -> None:
        self.flush()

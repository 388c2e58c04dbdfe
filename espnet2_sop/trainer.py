"""ESPnet's trainer with checkpoints that survive a kill at any moment."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer

from espnet2_sop.assembly import read_state
from espnet2_sop.errors import UserError
from espnet2_sop.files import atomic_path

CHECKPOINT = "checkpoint.pth"
PREVIOUS = "checkpoint.previous.pth"
BROKEN = "checkpoint.broken.pth"


def settle_checkpoint(folder: Path) -> bool:
    """Sees to it that `checkpoint.pth` can be read, or is absent, before a training starts.

    A broken one is set aside, with a warning, and the previous one takes its place.

    Returns:
        Whether there is one to go on from.
    """
    checkpoint, previous = folder / CHECKPOINT, folder / PREVIOUS
    if checkpoint.exists():
        try:
            read_state(checkpoint)
            return True
        except UserError:
            os.replace(checkpoint, folder / BROKEN)
            then = f"going on from {PREVIOUS}" if previous.exists() else "training from the start"
            print(f"espnet2-sop train: warning: {checkpoint} is broken, kept as {BROKEN}; {then}", file=sys.stderr)
    if previous.exists():
        os.replace(previous, checkpoint)
        return settle_checkpoint(folder)
    return False


class SafeTrainer(Trainer):
    """Writes every file under a temporary name first, and keeps the checkpoint before the last."""

    @classmethod
    def run(cls, *args, **kwargs) -> None:
        """ESPnet's training, with files that are written whole or not at all."""
        with atomic_saves():
            super().run(*args, **kwargs)

    @staticmethod
    def resume(checkpoint: str | Path, model: torch.nn.Module, reporter: Reporter, *args, **kwargs) -> None:
        """Goes on from the checkpoint; writes the epoch's own file if the run was stopped between the two."""
        Trainer.resume(checkpoint, model, reporter, *args, **kwargs)
        own = Path(checkpoint).with_name(f"{reporter.get_epoch()}epoch.pth")
        if not own.exists():
            logging.info(f"{own} was not written yet")
            torch.save(model.state_dict(), own)


@contextlib.contextmanager
def atomic_saves() -> Iterator[None]:
    """While it is open, `torch.save` replaces a file only when all is written."""
    save = torch.save

    def atomic_save(obj, f, *args, **kwargs) -> None:
        with atomic_path(f) as part:
            save(obj, part, *args, **kwargs)
            if Path(f).name == CHECKPOINT and Path(f).exists():
                os.replace(f, Path(f).with_name(PREVIOUS))

    torch.save = atomic_save
    try:
        yield
    finally:
        torch.save = save

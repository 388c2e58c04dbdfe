"""ESPnet's trainer with checkpoints that survive a kill at any moment."""

import argparse
import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import override

import torch
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer, TrainerOptions
from espnet2.utils.build_dataclass import build_dataclass

from espnet2_sop.io.disk import sync
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_path
from espnet2_sop.model.checkpoint import read_state
from espnet2_sop.training.nonfinite_updates import CAUSES, WatchedBatches

CHECKPOINT = "checkpoint.pth"
PREVIOUS = "checkpoint.previous.pth"
BROKEN = "checkpoint.broken.pth"


def settle_checkpoint(folder: Path) -> bool:
    """Makes sure before a training that `checkpoint.pth` can be read or is absent.

    A broken one is renamed, with a warning, and the previous one takes its place.

    Args:
        folder: Folder of the run.

    Returns:
        Whether there is a checkpoint to resume from.
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


@dataclasses.dataclass
class SafeTrainerOptions(TrainerOptions):
    """ESPnet's options, and the number of updates left out in a row that ends the training."""

    nonfinite_limit: int


class SafeTrainer(Trainer):
    """Writes every file under a temporary name first, keeps the previous checkpoint, and checks the updates."""

    @classmethod
    @override
    def build_options(cls, args: argparse.Namespace) -> SafeTrainerOptions:
        """Returns the options of the trainer from those of the command."""
        return build_dataclass(SafeTrainerOptions, args)

    @classmethod
    @override
    def run(cls, *args, trainer_options: SafeTrainerOptions, **kwargs) -> None:
        """Runs ESPnet's training; files are written whole or not at all."""
        cls.options = trainer_options
        with atomic_saves():
            super().run(*args, trainer_options=trainer_options, **kwargs)

    @classmethod
    @override
    def resume(
        cls,
        checkpoint: str | Path,
        model: torch.nn.Module,
        reporter: Reporter,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence,
        *args,
        **kwargs,
    ) -> None:
        """Resumes from a checkpoint, and completes the work of a run that was stopped right after writing it.

        A one-cycle schedule whose length has changed since then keeps the new length.
        """
        planned = [scheduler.state_dict() if scheduler else {} for scheduler in schedulers]
        Trainer.resume(checkpoint, model, reporter, optimizers, schedulers, *args, **kwargs)
        for scheduler, state in zip(schedulers, planned, strict=True):
            if scheduler and state.get("total_steps") != scheduler.state_dict().get("total_steps"):
                scheduler.load_state_dict({**state, "last_epoch": scheduler.last_epoch})
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            own = Path(checkpoint).with_name(f"{reporter.get_epoch()}epoch.pth")
            if not own.exists():
                logging.info(f"{own} was not written yet")
                torch.save(model.state_dict(), own)
            tidy(Path(checkpoint).parent, reporter, cls.options)

    @classmethod
    @override
    def train_one_epoch(cls, model, iterator, optimizers, options, distributed_option, **kwargs) -> bool:
        """Runs ESPnet's epoch over `WatchedBatches`; batches at the end that are too few for an update are dropped.

        Returns:
            Whether no update was made.

        Raises:
            UserError: Too many updates in a row had no finite gradient, or there was none at all.
        """
        for optimizer in optimizers:
            optimizer.zero_grad()  # drops gradients of left-over batches, which an interrupted run would not have
        watched = WatchedBatches(
            iterator, model, optimizers, options.accum_grad, options.nonfinite_limit, distributed_option.distributed
        )
        kwargs |= {"model": model, "optimizers": optimizers, "options": options}
        if options.no_forward_run:
            return super().train_one_epoch(iterator=iterator, distributed_option=distributed_option, **kwargs)
        nothing = super().train_one_epoch(iterator=watched, distributed_option=distributed_option, **kwargs)
        if watched.left_out:
            logging.warning(f"{watched.left_out} of {watched.updates} updates of this epoch were left out")
        if nothing and watched.updates:
            raise UserError(f"all {watched.updates} updates of an epoch were left out, see the log; {CAUSES}")
        if nothing:
            raise UserError(
                f"an epoch has fewer batches than accum_grad ({options.accum_grad}): lower it or batch_bins"
            )
        return nothing


def tidy(folder: Path, reporter: Reporter, options: TrainerOptions) -> None:
    """Sets the links of the last epoch and removes weights of epochs that are not among the best, as ESPnet does.

    Args:
        folder: Folder of the run.
        reporter: ESPnet's, with the values of all epochs.
        options: Those of the trainer.
    """
    last = reporter.get_epoch()
    wanted = {"latest.pth": last}
    kept = {last}
    most = options.keep_nbest_models if isinstance(options.keep_nbest_models, int) else max(options.keep_nbest_models)
    for phase, key, mode in options.best_model_criterion:
        if reporter.has(phase, key):
            wanted[f"{phase}.{key}.best.pth"] = reporter.get_best_epoch(phase, key, mode)
            kept |= set(reporter.sort_epochs(phase, key, mode)[:most])
    for name, epoch in wanted.items():
        link = folder / name
        if not link.is_symlink() or os.readlink(link) != f"{epoch}epoch.pth":
            link.unlink(missing_ok=True)
            link.symlink_to(f"{epoch}epoch.pth")
    for epoch in set(range(1, last)) - kept:
        (folder / f"{epoch}epoch.pth").unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_saves() -> Iterator[None]:
    """Lets `torch.save` replace a file only after everything is written and on the disk, while the context is open."""
    save = torch.save

    def atomic_save(obj, f, *args, **kwargs) -> None:
        with atomic_path(f) as part:
            save(obj, part, *args, **kwargs)
            sync(part)
            if Path(f).name == CHECKPOINT and Path(f).exists():
                os.replace(f, Path(f).with_name(PREVIOUS))

    torch.save = atomic_save
    try:
        yield
    finally:
        torch.save = save

"""Counts and reports updates that are left out because their loss or gradient is not finite."""

import logging
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from espnet2_sop.io.errors import UserError

SHOWN = 5  # mixtures in a message
CAUSES = (
    "look at the audio and texts of these mixtures (espnet2-sop validate), or lower the learning rate or grad_clip; "
    "the weights are those of before, and the same command goes on from the last finished epoch"
)


class WatchedBatches:
    """The batches of an epoch as the trainer reads them; checks after each update whether it was made.

    ESPnet leaves out an update whose gradient norm is not finite, as it is after a loss that is not finite. The norm is
    the same in all processes of a training, so all of them leave out the same updates. This class counts these updates,
    logs their mixtures, restores running statistics (BatchNorm) that they changed, and ends the training after too many
    of them in a row. With float16, up to 16 in a row are normal at the start, because each halves the scale of the
    loss; the default limit is 20.

    Args:
        batches: (ids, batch) of this process; may have a length.
        model: Model of the batches; its first output, or `loss` of a dictionary, is the loss.
        optimizers: Its optimizers.
        accum_grad: Batches of an update.
        limit: Number of updates left out in a row that ends the training.
        distributed: Whether other processes have shares of the same updates.
    """

    def __init__(
        self,
        batches: Iterable[tuple[list[str], dict[str, torch.Tensor]]],
        model: torch.nn.Module,
        optimizers: Iterable[torch.optim.Optimizer],
        accum_grad: int,
        limit: int,
        distributed: bool = False,
    ):
        self.batches = batches
        self.model = model
        self.optimizers = list(optimizers)
        self.accum_grad = accum_grad
        self.limit = limit
        self.distributed = distributed
        self.updates = 0
        self.left_out = 0
        self.row = 0  # updates left out in a row
        self.statistics = [b for m in model.modules() if isinstance(m, _BatchNorm) for b in m.buffers(recurse=False)]
        self._begin()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[list[str], dict[str, torch.Tensor]]]:
        hooks = [self.model.register_forward_hook(self._keep_loss)]
        hooks += [optimizer.register_step_post_hook(self._stepped) for optimizer in self.optimizers]
        try:
            for ids, batch in self.batches:
                self.ids.append(list(ids))
                yield ids, batch
                if len(self.ids) == self.accum_grad:  # the trainer asks for the next batch: the update is over
                    self._look()
        finally:
            for hook in hooks:
                hook.remove()

    def _begin(self) -> None:
        self.ids: list[list[str]] = []
        self.losses: list[torch.Tensor] = []
        self.done = False
        self.before = [buffer.clone() for buffer in self.statistics]

    def _keep_loss(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        loss = output["loss"] if isinstance(output, dict) else output[0]
        self.losses.append(loss.detach())

    def _stepped(self, *_: Any) -> None:
        self.done = True

    def _look(self) -> None:
        """Counts the update of the last batches as made or left out."""
        self.updates += 1
        if self.done:
            self.row = 0
        else:
            self.left_out += 1
            self.row += 1
            for buffer, before in zip(self.statistics, self.before, strict=True):
                buffer.copy_(before)
            what, names = self._suspects()
            logging.warning(f"update {self.updates} of the epoch is left out: {what}; mixtures: {' '.join(names)}")
            if self.row >= self.limit:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                raise UserError(
                    f"{self.row} updates in a row were left out (nonfinite_limit), the last one for {what} in mixtures "
                    f"{', '.join(names[:SHOWN])}{more}; {CAUSES}"
                )
        self._begin()

    def _suspects(self) -> tuple[str, list[str]]:
        """Returns what was not finite in an update, and its mixtures in all processes."""
        found = [(ids, float(loss.float().mean())) for ids, loss in zip(self.ids, self.losses, strict=True)]
        if self.distributed:
            shares: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(shares, found)
            found = [batch for share in shares for batch in share]
        bad = [(ids, loss) for ids, loss in found if not math.isfinite(loss)]
        what = f"a loss of {bad[0][1]}" if bad else "a gradient that is not finite"
        return what, [name for ids, _ in bad or found for name in ids]

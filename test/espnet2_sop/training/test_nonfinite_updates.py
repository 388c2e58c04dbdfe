"""If these fail, one bad batch spoils the weights in silence, or stops a training that could go on."""

import copy
import logging

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.training.nonfinite_updates import WatchedBatches


class Line(torch.nn.Module):
    """A model of ESPnet's form with BatchNorm; ids that begin with `nan` get such a loss."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm = torch.nn.BatchNorm1d(3)
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, ids, x):
        if ids[0].startswith("input"):
            x = x * float("nan")
        loss = self.linear(self.norm(x)).square().mean()
        if ids[0].startswith("nan"):
            loss = loss * float("nan")
        if ids[0].startswith("steep"):  # sqrt of zero: a finite loss, an infinite gradient
            loss = loss + (self.linear.weight * 0).sum().sqrt()
        return loss, {}, None


def batches(*names):
    rows = torch.Generator().manual_seed(1)
    return [([name, f"{name}-b"], {"x": torch.randn(4, 3, generator=rows)}) for name in names]


def train(model, watched, accum_grad=1):
    """What ESPnet's trainer does with a batch."""
    (optimizer,) = watched.optimizers
    for number, (ids, batch) in enumerate(watched, 1):
        loss, _, _ = model(ids, **batch)
        (loss / accum_grad).backward()
        if number % accum_grad == 0:
            if torch.isfinite(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)):
                optimizer.step()
            optimizer.zero_grad()


def watch(given, limit=3, accum_grad=1):
    model = Line()
    watched = WatchedBatches(given, model, [torch.optim.AdamW(model.parameters(), lr=0.1)], accum_grad, limit)
    train(model, watched, accum_grad)
    return model, watched


@pytest.mark.parametrize("kind", ["nan", "input", "steep"])
def test_weights_and_running_statistics_are_as_if_the_batch_had_not_been(kind, caplog):
    given = batches("a", "b", f"{kind}-1", "c", f"{kind}-2", f"{kind}-3", "d")
    with caplog.at_level(logging.WARNING):
        model, watched = watch(given)
    alone, _ = watch([batch for batch in given if not batch[0][0].startswith(kind)])
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in alone.state_dict().items())
    assert all(torch.isfinite(value).all() for value in state.values())
    assert (watched.updates, watched.left_out, watched.row) == (7, 3, 0)
    what = "a gradient that is not finite" if kind == "steep" else "a loss of nan"
    assert f"update 3 of the epoch is left out: {what}; mixtures: {kind}-1 {kind}-1-b" in caplog.messages


def test_too_many_in_a_row_end_it_in_one_line():
    with pytest.raises(UserError) as ended:
        watch(batches("a", "nan-1", "b", "nan-2", "nan-3", "nan-4", "c"))
    told = str(ended.value)
    assert told.startswith("3 updates in a row were left out (nonfinite_limit), the last one for a loss of nan in ")
    assert "mixtures nan-4, nan-4-b; look at the audio" in told and "\n" not in told


def test_of_the_batches_of_an_update_the_bad_one_is_named(caplog):
    with caplog.at_level(logging.WARNING):
        _, watched = watch(batches("a", "b", "c", "nan-1", "d", "e", "nan-2"), accum_grad=2)
    assert (watched.updates, watched.left_out) == (3, 1)  # the seventh batch makes no update
    assert [m.partition("mixtures: ")[2] for m in caplog.messages] == ["nan-1 nan-1-b"]


def test_it_leaves_no_hooks_and_knows_its_length():
    model, watched = watch(batches("a", "b"))
    assert len(watched) == 2
    assert not model._forward_hooks and not watched.optimizers[0]._optimizer_step_post_hooks
    copy.deepcopy(model)


def share(rank, folder):
    """One of two processes; only the second has a bad batch, as a gradient that DDP has averaged shows to both."""
    torch.set_num_threads(1)  # threads of the parent are not there after a fork
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    given = batches(f"a{rank}", f"{'nan' if rank else 'b'}{rank}", f"{'nan' if rank else 'c'}{rank}")
    watched = WatchedBatches(given, model, [optimizer], 1, 2, distributed=True)
    ended = ""
    try:
        for ids, batch in watched:
            loss, _, _ = model(ids, **batch)
            loss.backward()
            for parameter in model.parameters():
                torch.distributed.all_reduce(parameter.grad)
            if torch.isfinite(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)):
                optimizer.step()
            optimizer.zero_grad()
    except UserError as error:
        ended = str(error)
    torch.save((model.linear.state_dict(), ended), f"{folder}/{rank}.pth")
    torch.distributed.destroy_process_group()


def test_all_processes_leave_out_the_same_updates_and_end_together(tmp_path):
    torch.multiprocessing.start_processes(share, (str(tmp_path),), nprocs=2, start_method="fork")
    (one, told), (two, other) = (torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert told == other and "a loss of nan in mixtures nan1, nan1-b;" in told

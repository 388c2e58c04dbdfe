import copy

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.training.learning_rate import scale_learning_rates
from espnet2_sop.training.task import SOPTask


def steps(optimizers, schedulers, model, start, stop):
    for step in range(start, stop):
        loss = (model(torch.full((2, 3), step + 1.0)) ** 2).mean()
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))


def scheduled(optimizer, rate):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=20, cycle_momentum=False)


def test_scaled_parameters_learn_as_with_an_optimizer_of_their_own():
    """Two optimizers and two schedulers, one with a tenth of the rate, give the same weights."""
    one, two = network(), network()
    optimizer = torch.optim.AdamW(one.parameters(), lr=0.1)
    scale_learning_rates(optimizer, dict.fromkeys(one[0].parameters(), 0.1))
    steps([optimizer], [scheduled(optimizer, 0.1)], one, 0, 10)
    apart = [torch.optim.AdamW(two[0].parameters(), lr=0.01), torch.optim.AdamW(two[2].parameters(), lr=0.1)]
    steps(apart, [scheduled(apart[0], 0.01), scheduled(apart[1], 0.1)], two, 0, 10)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.equal(one[0].weight, network()[0].weight)


def test_resumed_equals_uninterrupted():
    def build():
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        scale_learning_rates(optimizer, dict.fromkeys(model[0].parameters(), 0.1))
        return model, optimizer, scheduled(optimizer, 0.1)

    whole = build()
    steps([whole[1]], [whole[2]], whole[0], 0, 10)
    first = build()
    steps([first[1]], [first[2]], first[0], 0, 5)
    second = build()
    for fresh, old in zip(second, first, strict=True):
        fresh.load_state_dict(copy.deepcopy(old.state_dict()))
    steps([second[1]], [second[2]], second[0], 5, 10)
    assert all(torch.equal(a, b) for a, b in zip(whole[0].parameters(), second[0].parameters(), strict=True))


def test_option_slows_parts_alone(options):
    scales = {"encoder": 0.5, "projector": 0.25}
    args = options("sot", ["encoder", "projector", "sot"], lr_scale_conf=scales, optim="sgd", optim_conf={"lr": 1.0})
    args.sharded_ddp = args.exclude_weight_decay = False
    args.scheduler = None
    model = SOPTask.build_model(args)
    (optimizer,) = SOPTask.build_optimizers(args, model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    optimizer.step()
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(
                before[name] - p, torch.full_like(p, scales.get(name.removeprefix("front_end.").partition(".")[0], 1.0))
            )
    for wrong, message in (
        ({"encoder": 0}, "lr_scale_conf.encoder: 0 is not from above 0 to 1"),
        ({"encoder": "x"}, "lr_scale_conf.encoder: 'x' is not from above 0 to 1"),
        ({"encoder": True}, "lr_scale_conf.encoder: True is not from above 0 to 1"),
        (None, "lr_scale_conf"),
        (["encoder"], "lr_scale_conf"),
        ({"ctc": 0.5}, "lr_scale_conf: 'ctc' is not in model_conf.trainable"),
    ):
        args.lr_scale_conf = wrong
        with pytest.raises(UserError, match=message):
            SOPTask.build_optimizers(args, model)

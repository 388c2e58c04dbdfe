"""If these fail, streams of a mixture learn to be something else than what they are for each talker alone."""

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.build import build_model
from espnet2_sop.model.stream_loss import stream_loss

TALKERS = [  # (row, slot, first sample, one after the last): row 1 has one talker, row 2 three
    (0, 0, 0, 9000), (0, 1, 4000, 16000),
    (1, 0, 0, 8000),
    (2, 0, 0, 12000), (2, 1, 3333, 15999), (2, 2, 6400, 14000),
]  # fmt: skip


@pytest.fixture
def mixed(options):
    torch.manual_seed(5)
    conf = {"objective": "ctc", "trainable": ["encoder", "separator", "ctc"], "tap": 1, "stream_weight": 1.0}
    model = build_model(options("ctc", [], model_conf=conf))
    talkers = torch.zeros(3, 16000, 3)
    for row, slot, start, end in TALKERS:
        talkers[row, start:end, slot] = torch.randn(end - start)
    return model, talkers


def test_loss_is_that_of_a_loop(mixed):
    """Each talker encoded by itself from the frame in which he starts; every frame and number by itself."""
    model, talkers = mixed
    model.eval()
    with torch.no_grad():
        lengths = torch.full((3,), 16000)
        streams, frames = model.front_end.streams(model.front_end.encode(talkers.sum(2), lengths))
        got, counted = stream_loss(model.front_end, streams, talkers)
        total = 0.0
        for row, slot, start, end in TALKERS:
            if row == 1:
                continue
            first = start // 640
            wave = talkers[row, first * 640 : end, slot]
            alone = model.front_end.streams(model.front_end.encode(wave[None], torch.tensor([len(wave)])))[0][0][0]
            for t, target in enumerate(alone):
                if first + t >= int(frames[row]):
                    break
                found = streams[slot][row, first + t]
                a, b = ((x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() for x in (found, target))
                total += float((a - b).square().mean())
    assert counted == 2
    torch.testing.assert_close(got, torch.tensor(total / 3), rtol=1e-4, atol=1e-4)


def test_targets_have_no_gradient_and_no_dropout(mixed):
    model, talkers = mixed
    model.train()
    streams, _ = model.front_end.streams(model.front_end.encode(talkers.sum(2), torch.full((3,), 16000)))
    fixed = [stream.detach().requires_grad_() for stream in streams]
    (first, _), (second, _) = (stream_loss(model.front_end, fixed, talkers) for _ in range(2))
    assert torch.equal(first, second) and model.training
    first.backward()
    assert all(p.grad is None for p in model.parameters())
    assert not fixed[0].grad[1].any() and fixed[0].grad[0].any() and fixed[2].grad[2].any()


def test_single_talkers_alone_give_nothing(mixed):
    model, talkers = mixed
    streams, _ = model.front_end.streams(model.front_end.encode(talkers[1:2].sum(2), torch.tensor([16000])))
    assert stream_loss(model.front_end, streams, talkers[1:2]) == (0, 0)


@pytest.mark.slow
def test_training_with_it(train, tmp_path):
    """ESPnet's trainer gives the talkers to the model and logs the loss; batches of dev do not have them."""
    extra = ["--model_conf", "stream_weight=0.5", "--max_epoch", "1"]
    run = train(tmp_path / "run", "ctc", ["encoder", "downsampler", "separator", "ctc"], *extra)
    stats = torch.load(run / "checkpoint.pth", weights_only=True)["reporter"]["stats"][1]
    assert stats["train"]["loss_stream"] > 0 and "loss_stream" not in stats["valid"]


def test_mistakes_are_one_line(options):
    for objective, parts, weight, message in (
        ("ctc", ["separator"], -1.0, "-1.0 is below 0"),
        ("ctc", ["ctc"], 1.0, "needs a CTC loss and separator in model_conf.trainable"),
        ("sot", ["separator"], 1.0, "needs a CTC loss and separator in model_conf.trainable"),
    ):
        conf = {"objective": objective, "trainable": parts, "stream_weight": weight}
        with pytest.raises(UserError, match=f"model_conf.stream_weight: {message}"):
            build_model(options(objective, [], model_conf=conf))

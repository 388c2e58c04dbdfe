import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from espnet2_sop.model.ctc.embedding import MARGIN, EmbeddingCTC


def embedding(table):
    return torch.nn.Embedding.from_pretrained(table)


@pytest.fixture
def table():
    torch.manual_seed(0)
    return torch.randn(5, 4) + 2


def test_probabilities_are_those_of_gaussians_around_the_embeddings(table):
    """Blank is around their mean; written with densities, as the docstring derives the scores."""
    ctc = EmbeddingCTC(embedding(table))
    mean = table.mean(0)
    variance = sum(float((row - mean) @ (row - mean)) for row in table) / len(table) / (2 * MARGIN)
    frames = torch.randn(2, 3, 4)
    tokens = torch.tensor([0, 2, 3])
    got = ctc.log_probs(frames, tokens).exp()
    for b, t in itertools.product(range(2), range(3)):
        densities = [
            math.exp(-float((frames[b, t] - c).square().sum()) / (2 * variance)) for c in (*table[tokens], mean)
        ]
        expected = torch.tensor(densities) / sum(densities)
        torch.testing.assert_close(got[b, t], expected, rtol=1e-4, atol=1e-6)


def test_loss_sums_over_all_paths(table):
    """Brute force: every path of 4 frames that collapses to the target; padding changes nothing."""
    ctc = EmbeddingCTC(embedding(table)).eval()  # so that all five compete
    frames, lengths, targets = torch.randn(2, 4, 4), torch.tensor([4, 3]), [[1, 1], [3]]
    got = ctc.loss(frames, lengths, targets)
    for row, (n, target) in enumerate(zip(lengths.tolist(), targets, strict=True)):
        probs = ctc.log_probs(frames, torch.arange(5))[row].exp()
        total = 0.0
        for path in itertools.product(range(6), repeat=n):
            collapsed = [token for token, _ in itertools.groupby(path) if token != 5]
            if collapsed == target:
                total += math.prod(float(probs[t, token]) for t, token in enumerate(path))
        assert math.isclose(float(got[row]), -math.log(total), rel_tol=1e-4)


def test_others_compete(monkeypatch):
    """In training a sample of the vocabulary, in evaluation always the same; the targets are always among them."""
    torch.manual_seed(0)
    monkeypatch.setattr("espnet2_sop.model.ctc.embedding.OTHERS", 10)
    ctc = EmbeddingCTC(embedding(torch.randn(1000, 4)))
    frames, lengths, targets = torch.randn(1, 6, 4), torch.tensor([6]), [[999, 1]]
    assert len({float(ctc.loss(frames, lengths, targets)) for _ in range(5)}) == 5
    assert len({float(ctc.eval().loss(frames, lengths, targets)) for _ in range(5)}) == 1
    few = F.ctc_loss(
        ctc.log_probs(frames, torch.tensor([*range(0, 1000, 100), 1, 999])).transpose(0, 1),
        torch.tensor([[11, 10]]), lengths, torch.tensor([2]), blank=12, reduction="none",
    )  # fmt: skip
    torch.testing.assert_close(ctc.loss(frames, lengths, targets), few)


def test_no_words_are_all_blanks(table):
    ctc, frames = EmbeddingCTC(embedding(table)).eval(), torch.randn(1, 3, 4)
    blanks = ctc.log_probs(frames, torch.arange(5))[0, :, -1]
    torch.testing.assert_close(ctc.loss(frames, torch.tensor([3]), [[]])[0], -blanks.sum())


def test_it_has_no_copy_of_the_embeddings(table):
    """They may have gigabytes, and buffers are sent to all processes in every step."""
    ctc = EmbeddingCTC(embedding(table))
    assert sum(b.numel() for b in ctc.buffers()) == 5 and not list(ctc.parameters()) and not ctc.state_dict()


def test_too_long_a_target_has_no_loss(table):
    frames = torch.randn(1, 2, 4, requires_grad=True)
    loss = EmbeddingCTC(embedding(table)).loss(frames, torch.tensor([2]), [[1, 1]])
    loss.sum().backward()
    assert loss.item() == 0 and not frames.grad.any()


def test_frames_come_to_lie_on_the_embeddings():
    """What the loss is for: each token's frames end nearest to its embedding and about as far out as it."""
    torch.manual_seed(1)
    table = torch.randn(30, 16)
    frames = torch.zeros(1, 12, 16, requires_grad=True)
    target = [3, 7, 7, 21]
    ctc = EmbeddingCTC(embedding(table))
    optimizer = torch.optim.Adam([frames], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        ctc.loss(frames, torch.tensor([12]), [target]).sum().backward()
        optimizer.step()
    best = ctc.log_probs(frames, torch.arange(30))[0].argmax(-1).tolist()
    assert [token for token, _ in itertools.groupby(best) if token != 30] == target
    for t, token in enumerate(best):
        if token != 30:
            frame, centre = frames[0, t].detach() - ctc.mean, table[token] - ctc.mean
            assert (table - ctc.mean - frame).norm(dim=1).argmin() == token
            assert 0.6 < (frame @ centre) / (centre @ centre) < 1.5

import pytest
import torch

from espnet2_sop.model.separator.lstm import LSTMSeparator


@pytest.mark.parametrize("bidirectional", [False, True])
def test_batched_equals_single(bidirectional):
    """In a padded batch the backward LSTM must start at each row's own end."""
    torch.manual_seed(0)
    separator = LSTMSeparator(5, 3, hidden_size=6, branch_size=7, bidirectional=bidirectional).eval()
    frames, lengths = torch.randn(3, 9, 5), torch.tensor([4, 9, 1])
    streams = separator(frames, lengths)
    assert len(streams) == 3 and streams[0].shape == (3, 9, 7)
    for i, n in enumerate(lengths):
        for stream, alone in zip(streams, separator(frames[i : i + 1, :n], lengths[i : i + 1]), strict=True):
            torch.testing.assert_close(stream[i, :n], alone[0])


def test_unidirectional_is_causal_and_bidirectional_is_not():
    torch.manual_seed(0)
    frames, lengths = torch.randn(1, 6, 5), torch.tensor([6])
    changed = frames.clone()
    changed[0, -1] += 1
    for bidirectional in (False, True):
        separator = LSTMSeparator(5, 2, hidden_size=6, branch_size=7, bidirectional=bidirectional).eval()
        same = torch.allclose(separator(frames, lengths)[0][:, :5], separator(changed, lengths)[0][:, :5])
        assert same is not bidirectional


def test_slots_have_their_own_branches():
    separator = LSTMSeparator(5, 2, hidden_size=6, branch_size=7, branch_layers=2)
    one, _ = separator(torch.randn(2, 4, 5), torch.tensor([4, 3]))
    one.sum().backward()
    assert all(p.grad is not None for p in separator.branches[0].parameters())
    assert all(p.grad is None for p in separator.branches[1].parameters())

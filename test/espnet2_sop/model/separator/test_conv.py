import pytest
import torch

from espnet2_sop.model.separator.conv import ConvSeparator


def build(**conf):
    torch.manual_seed(0)
    return ConvSeparator(5, 3, **{"hidden_size": 4, **conf}).eval()


def spoil(separator):
    """What a training would do: blocks that add something."""
    for name, p in separator.named_parameters():
        if ".out." in name:
            torch.nn.init.normal_(p)
    return separator


@pytest.mark.parametrize("lstm_size", [0, 3])
def test_a_new_one_shows_the_frames_to_the_heads(lstm_size):
    frames = torch.randn(2, 6, 5)
    for stream in build(lstm_size=lstm_size)(frames, torch.tensor([6, 6])):
        torch.testing.assert_close(stream, torch.nn.functional.layer_norm(frames, (5,)))


def test_blocks_by_hand():
    """A shared block and one of each talker, convolutions by loops with zeros beside the row."""
    separator = spoil(build(num_layers=1, branch_layers=1))
    row = torch.randn(4, 5)

    def slow(block, frames):
        normed = torch.nn.functional.pad(block.norm(frames), (0, 0, 1, 1))
        found = [sum(block.conv.weight[:, :, k] @ normed[t + k] for k in range(3)) for t in range(4)]
        hidden = torch.nn.functional.gelu(torch.stack(found) + block.conv.bias)
        return frames + hidden @ block.out.weight.T + block.out.bias

    streams = separator(row[None], torch.tensor([4]))
    shared = slow(separator.blocks[0], row)
    for branch, norm, stream in zip(separator.branches, separator.norms, streams, strict=True):
        torch.testing.assert_close(stream[0], norm(slow(branch[0], shared)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(streams[0], streams[1])


def test_lstm_by_hand():
    """It stands between the shared block and those of the talkers, and adds what it finds in both directions."""
    separator = spoil(build(num_layers=1, branch_layers=0, lstm_size=3))
    frames, lengths = torch.randn(1, 4, 5), torch.tensor([4])
    shared = separator.blocks[0](frames, torch.ones(1, 4, 1))[0]
    lstm, read = separator.recurrent.lstm, separator.recurrent.norm(shared)
    found = []
    for end, order in (("", range(4)), ("_reverse", reversed(range(4)))):
        w_in, w_own, b_in, b_own = (
            getattr(lstm, f"{name}_l0{end}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        hidden, cell, outputs = torch.zeros(3), torch.zeros(3), {}
        for t in order:
            enter, forget, new, leave = (w_in @ read[t] + b_in + w_own @ hidden + b_own).chunk(4)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            outputs[t] = hidden = leave.sigmoid() * cell.tanh()
        found.append(torch.stack([outputs[t] for t in range(4)]))
    out = separator.recurrent.out
    expected = shared + torch.cat(found, 1) @ out.weight.T + out.bias
    for norm, stream in zip(separator.norms, separator(frames, lengths), strict=True):
        torch.testing.assert_close(stream[0], norm(expected), rtol=1e-4, atol=1e-5)


def test_with_the_lstm_every_frame_is_heard_everywhere():
    frames = torch.randn(1, 10, 5)
    changed = frames.clone()
    changed[0, 0, 0] += 1
    for lstm_size, reaches in ((0, False), (3, True)):
        separator = spoil(build(lstm_size=lstm_size))
        before, after = (separator(x, torch.tensor([10]))[0][0, -1] for x in (frames, changed))
        assert torch.equal(before, after) is not reaches


@pytest.mark.parametrize("lstm_size", [0, 3])
def test_batched_equals_single(lstm_size):
    separator = spoil(build(num_layers=2, lstm_size=lstm_size))
    frames, lengths = torch.randn(3, 9, 5), torch.tensor([4, 9, 1])
    for i, n in enumerate(lengths):
        frames[i, n:] = 0
    streams = separator(frames, lengths)
    assert len(streams) == 3 and streams[0].shape == (3, 9, 5) and separator.output_size == 5
    for i, n in enumerate(lengths):
        for stream, alone in zip(streams, separator(frames[i : i + 1, :n], lengths[i : i + 1]), strict=True):
            torch.testing.assert_close(stream[i, :n], alone[0], rtol=1e-4, atol=1e-5)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="kernel_size 4 is not odd"):
        build(kernel_size=4)
    with pytest.raises(ValueError, match="lstm_size -1 is below 0"):
        build(lstm_size=-1)

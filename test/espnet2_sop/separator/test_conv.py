import pytest
import torch

from espnet2_sop.separator.conv import ConvSeparator


def build(**conf):
    torch.manual_seed(0)
    return ConvSeparator(5, 3, **{"branch_size": 7, **conf}).eval()


def spoil(separator):
    """What a training would do: blocks that add something."""
    for conv in separator.convs:
        torch.nn.init.normal_(conv.weight)
        torch.nn.init.normal_(conv.bias)
    return separator


def test_a_new_one_shows_the_frames_to_the_branches():
    separator, frames = build(), torch.randn(2, 6, 5)
    for branch, stream in zip(separator.branches, separator(frames, torch.tensor([6, 6])), strict=True):
        torch.testing.assert_close(stream, branch(frames))


def test_one_block_by_hand():
    """Gated convolution of the normalised frames by loops, zeros beside the row."""
    separator = spoil(build(num_layers=1, kernel_size=3, branch_layers=0, branch_size=None))
    frames = torch.randn(1, 4, 5)
    normed = torch.nn.functional.pad(separator.norms[0](frames)[0], (0, 0, 1, 1))
    weight, bias = separator.convs[0].weight, separator.convs[0].bias
    rows = []
    for t in range(4):
        both = sum(weight[:, :, k] @ normed[t + k] for k in range(3)) + bias
        rows.append(frames[0, t] + both[:5] * torch.sigmoid(both[5:]))
    for branch, stream in zip(separator.branches, separator(frames, torch.tensor([4])), strict=True):
        torch.testing.assert_close(stream[0], branch(torch.stack(rows)), rtol=1e-4, atol=1e-5)


def test_batched_equals_single():
    separator = spoil(build(num_layers=2))
    frames, lengths = torch.randn(3, 9, 5), torch.tensor([4, 9, 1])
    for i, n in enumerate(lengths):
        frames[i, n:] = 0
    streams = separator(frames, lengths)
    assert len(streams) == 3 and streams[0].shape == (3, 9, 7) and separator.output_size == 7
    for i, n in enumerate(lengths):
        for stream, alone in zip(streams, separator(frames[i : i + 1, :n], lengths[i : i + 1]), strict=True):
            torch.testing.assert_close(stream[i, :n], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"kernel_size": 4}, "kernel_size 4 is not odd"),
        ({"branch_layers": 0}, "branches without layers are as wide as the frames: branch_size 5"),
    ],
)
def test_sizes_that_do_not_fit(conf, message):
    with pytest.raises(ValueError, match=message):
        build(**conf)

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.encoder.downsampler import ConvDownsampler
from espnet2_sop.model.encoder.speech import HuggingFaceEncoder, normalize_waveform


def batch(waves):
    speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
    return speech, torch.tensor([len(w) for w in waves])


@pytest.mark.parametrize("kind", ["tiny_encoder", "group_norm_encoder"])
def test_batched_equals_single(kind, request, waves):
    """Padding must not reach a valid frame: neither by attention, nor by convolutions, nor by a group norm."""
    encoder = HuggingFaceEncoder(request.getfixturevalue(kind)).eval()
    frames, lengths = encoder(*batch(waves))
    for row, length, wave in zip(frames, lengths, waves, strict=True):
        alone, _ = encoder(*batch([wave]))
        torch.testing.assert_close(row[:length], alone[0], atol=1e-5, rtol=1e-4)
        assert not row[length:].any()


def test_equals_transformers_forward(tiny_encoder, waves):
    """Without padding the wrapper must give what transformers gives for the normalised waveform."""
    from transformers import WavLMModel

    wave = torch.from_numpy(waves[0])
    expected = WavLMModel.from_pretrained(tiny_encoder).eval()((wave - wave.mean())[None] / wave.std(correction=0))
    frames, _ = HuggingFaceEncoder(tiny_encoder).eval()(wave[None], torch.tensor([len(wave)]))
    torch.testing.assert_close(frames, expected.last_hidden_state, atol=1e-5, rtol=1e-4)


def test_normalisation_ignores_padding():
    speech = torch.tensor([[1.0, 3.0, 0.0, 0.0], [2.0, 2.0, 4.0, 8.0]])
    normal = normalize_waveform(speech, torch.tensor([2, 4]))
    torch.testing.assert_close(normal[0], torch.tensor([-1.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(normal[1].std(correction=0), torch.tensor(1.0))


def test_feature_extractor_is_frozen_and_deterministic_in_training(tiny_encoder, waves):
    encoder = HuggingFaceEncoder(tiny_encoder).train()
    frames, _ = encoder(*batch(waves))
    frames.sum().backward()
    grads = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert grads and not any(name.startswith(encoder.never_trained) for name in grads)
    assert not encoder.ssl.feature_extractor.training


def test_bad_input(tiny_encoder, tiny_llm):
    with pytest.raises(UserError, match="shorter than one frame"):
        HuggingFaceEncoder(tiny_encoder)(torch.zeros(1, 200), torch.tensor([200]))
    with pytest.raises(UserError, match="no folder ./nowhere"):
        HuggingFaceEncoder("./nowhere")
    with pytest.raises(UserError, match="llama model"):
        HuggingFaceEncoder(tiny_llm)
    with pytest.raises(UserError, match="no key 'mask_tim_prob'"):
        HuggingFaceEncoder(tiny_encoder, config={"mask_tim_prob": 0.1})


def test_downsampler_halves_and_masks():
    """Every block gives ceil(F / 2) frames; a row gives the same alone and in a batch."""
    torch.manual_seed(0)
    downsampler = ConvDownsampler(6, 8, num_blocks=3).eval()
    frames, lengths = torch.randn(3, 21, 6), torch.tensor([21, 13, 2])
    frames[1, 13:], frames[2, 2:] = 0, 0
    outputs = downsampler(frames, lengths)
    assert [out[1].tolist() for out in outputs] == [[11, 7, 1], [6, 4, 1], [3, 2, 1]]
    for i, length in enumerate(lengths):
        alone = downsampler(frames[i : i + 1, :length], lengths[i : i + 1])
        for (batched, sizes), (single, _) in zip(outputs, alone, strict=True):
            torch.testing.assert_close(batched[i, : sizes[i]], single[0])
            assert not batched[i, sizes[i] :].any()


def test_downsampler_is_conv_and_glu():
    torch.manual_seed(0)
    downsampler = ConvDownsampler(4, 5, num_blocks=1, layer_norm=False)
    frames = torch.randn(1, 7, 4)
    (out, _), *_ = downsampler(frames, torch.tensor([7]))
    padded = torch.nn.functional.pad(frames, (0, 0, 1, 1))[0]
    conv = downsampler.convs[0]
    for t in range(4):
        both = torch.einsum("oik,ki->o", conv.weight, padded[2 * t : 2 * t + 3]) + conv.bias
        torch.testing.assert_close(out[0, t], both[:5] * torch.sigmoid(both[5:]))


def test_downsampler_goes_on_from_any_block():
    """Kept frames of a block pass the later blocks only, each with its own norm."""
    torch.manual_seed(0)
    downsampler = ConvDownsampler(4, 5, num_blocks=3)
    for norm in downsampler.norms:
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    levels = downsampler(torch.randn(2, 16, 4), torch.tensor([16, 16]))
    for first in (1, 2):
        again = downsampler(*levels[first - 1], first=first)
        assert len(again) == 3 - first
        for (frames, lengths), (expected, sizes) in zip(again, levels[first:], strict=True):
            torch.testing.assert_close(frames, expected)
            assert torch.equal(lengths, sizes)


def test_masking_in_training_never_takes_padding(tiny_encoder, waves):
    """Otherwise short mixtures of a batch would be masked less than long ones."""
    encoder, seen = HuggingFaceEncoder(tiny_encoder, config={"mask_time_prob": 0.4}).train(), []
    encoder.ssl.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0].clone()), with_kwargs=True
    )
    speech, lengths = batch([waves[0][:3000], waves[1]])
    _, frames = encoder(speech, lengths)
    for _ in range(9):
        encoder(speech, lengths)
    masked = (torch.stack(seen) == encoder.ssl.masked_spec_embed).all(-1)
    assert masked[:, 1].any() and masked[:, 0, : frames[0]].any() and not masked[:, 0, frames[0] :].any()


def test_masking_hides_whole_channels_of_wavlm(tiny_encoder, waves):
    """WavLM's configuration lacks a key that its model reads when channels are masked."""
    masks = {"mask_time_prob": 0.0, "mask_feature_prob": 0.5, "mask_feature_length": 4}
    encoder, seen = HuggingFaceEncoder(tiny_encoder, config=masks).train(), []
    encoder.ssl.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    encoder(*batch(waves))
    hidden = (seen[0] == 0).all(1)
    assert hidden.any(1).all() and not hidden.all(1).any()

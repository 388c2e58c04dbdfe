import pytest
import torch

from espnet2_sop.assembly import build_model
from espnet2_sop.encoder.speech import HuggingFaceEncoder
from espnet2_sop.encoder.whisper import WhisperEncoder
from espnet2_sop.errors import UserError


@pytest.fixture(params=["whisper", "wavlm"])
def built(request, options, tiny_whisper, tiny_encoder):
    """build(dtype): a model for training with one of the two kinds of encoders, without anything random."""
    folder = tiny_whisper if request.param == "whisper" else tiny_encoder

    def build(dtype):
        torch.manual_seed(0)
        conf = {"pretrained": folder, "dtype": dtype}
        return build_model(options("ctc", ["encoder", "downsampler", "separator", "ctc"], encoder_conf=conf)).eval()

    return build


def batch(waves):
    speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
    return speech, torch.tensor([len(w) for w in waves])


def test_bfloat16_rounds_products_and_nothing_else(built, waves):
    """Frames differ by rounding and are float32 again; weights and gradients stay float32."""
    exact, rounded = built("float32"), built("bfloat16")
    frames = []
    for model in (exact, rounded):
        levels = model.encode(*batch(waves))
        wanted = torch.randn(levels[0][0].shape, generator=torch.Generator().manual_seed(1))
        (levels[0][0] * wanted).sum().backward()
        frames.append([x for x, _ in levels])
    for a, b in zip(*frames, strict=True):
        assert b.dtype == torch.float32
        error = (a - b).norm() / a.norm()
        assert 1e-5 < error < 0.05
    for (name, p), q in zip(rounded.encoder.named_parameters(), exact.encoder.parameters(), strict=True):
        assert p.dtype == torch.float32 and (p.grad is None) == (q.grad is None), name
        if p.grad is not None and q.grad.norm() > 1e-3:
            assert p.grad.dtype == torch.float32
            assert torch.nn.functional.cosine_similarity(p.grad.flatten(), q.grad.flatten(), 0) > 0.9, name


@torch.no_grad()
def test_batched_equals_single_but_for_rounding(built, waves):
    model = built("bfloat16")
    frames, lengths = model.encode(*batch(waves))[0]
    for row, length, wave in zip(frames, lengths, waves, strict=True):
        alone = model.encode(*batch([wave]))[0][0][0]
        assert (row[:length] - alone).norm() / alone.norm() < 0.03
        assert not row[length:].any()


@pytest.mark.parametrize(
    ("encoder", "folder"), [(WhisperEncoder, "tiny_whisper"), (HuggingFaceEncoder, "tiny_encoder")]
)
def test_unknown_dtype_is_refused(encoder, folder, request):
    with pytest.raises(UserError, match="encoder_conf.dtype: 'half' is not float32 or bfloat16"):
        encoder(request.getfixturevalue(folder), dtype="half")

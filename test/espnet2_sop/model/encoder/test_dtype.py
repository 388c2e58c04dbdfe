import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.build import build_model
from espnet2_sop.model.encoder.speech import HuggingFaceEncoder
from espnet2_sop.model.encoder.whisper import WhisperEncoder


@pytest.fixture(params=["whisper-conv", "whisper-lora-lstm", "wavlm-lstm"])
def built(request, options, tiny_whisper, tiny_encoder):
    """build(dtype): a model for training with one kind of encoder and Separator, without anything random."""
    encoder, *more, separator = request.param.split("-")
    conf = {"pretrained": tiny_whisper if encoder == "whisper" else tiny_encoder}
    if more:
        conf["lora"] = {"r": 4, "lora_alpha": 8}
    parts = {"separator": separator, "separator_conf": {"hidden_size": 16}}

    def build(dtype):
        torch.manual_seed(0)
        learns = ["encoder", "downsampler", "separator", "ctc"]
        model = build_model(options("ctc", learns, encoder_conf={**conf, "dtype": dtype}, **parts)).eval()
        for name, p in model.named_parameters():
            if "lora_B" in name or ".out." in name:  # where zeros would hide what is behind
                torch.nn.init.normal_(p, std=0.1)
        return model

    return build


def batch(waves):
    speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
    return speech, torch.tensor([len(w) for w in waves])


def test_bfloat16_rounds_products_and_nothing_else(built, waves):
    """Frames and streams differ by rounding and are float32 again; what learns and its gradients stay float32."""
    exact, rounded = built("float32"), built("bfloat16")
    frames = []
    for model in (exact, rounded):
        encoded = model.front_end.encode(*batch(waves))
        streams, _ = model.front_end.streams(encoded)
        for found in (encoded.separator.values, encoded.llm.values, *streams):
            wanted = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
            (found * wanted).sum().backward(retain_graph=True)
        frames.append([encoded.separator.values, encoded.llm.values, *streams])
    for a, b in zip(*frames, strict=True):
        assert b.dtype == torch.float32
        error = (a - b).norm() / a.norm()
        assert 1e-5 < error < 0.05
    for (name, p), q in zip(rounded.named_parameters(), exact.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None and q.grad.norm() > 1e-3:
            assert p.dtype == p.grad.dtype == torch.float32, name
            assert torch.nn.functional.cosine_similarity(p.grad.flatten(), q.grad.flatten(), 0) > 0.9, name


def test_frozen_weights_under_lora_are_kept_as_the_products_need_them(tiny_whisper):
    encoder = WhisperEncoder(tiny_whisper, dtype="bfloat16", lora={"r": 4})
    for name, p in encoder.named_parameters():
        assert p.dtype == (torch.bfloat16 if ".base_layer." in name else torch.float32), name


@torch.no_grad()
def test_batched_equals_single_but_for_rounding(built, waves):
    model = built("bfloat16")
    frames, lengths = model.front_end.encode(*batch(waves)).llm
    for row, length, wave in zip(frames, lengths, waves, strict=True):
        alone = model.front_end.encode(*batch([wave])).llm.values[0]
        assert (row[:length] - alone).norm() / alone.norm() < 0.03
        assert not row[length:].any()


@pytest.mark.parametrize(
    ("encoder", "folder"), [(WhisperEncoder, "tiny_whisper"), (HuggingFaceEncoder, "tiny_encoder")]
)
def test_unknown_dtype_is_refused(encoder, folder, request):
    with pytest.raises(UserError, match="encoder_conf.dtype: 'half' is not one of float32, bfloat16"):
        encoder(request.getfixturevalue(folder), dtype="half")

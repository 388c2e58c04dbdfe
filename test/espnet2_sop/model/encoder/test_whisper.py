import re

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.encoder.choices import encoder_class
from espnet2_sop.model.encoder.speech import HuggingFaceEncoder
from espnet2_sop.model.encoder.whisper import WhisperEncoder


def batch(waves):
    speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
    return speech, torch.tensor([len(w) for w in waves])


def by_transformers(folder, wave):
    """Features by numpy, and transformers' encoder told that so many positions are all it has."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Reference

    extract = WhisperFeatureExtractor.from_pretrained(folder)
    features = torch.from_numpy(extract._np_extract_fbank_features(wave[None], "cpu")).float()
    config = WhisperConfig.from_pretrained(folder, max_source_positions=features.size(-1) // 2)
    state = WhisperModel.from_pretrained(folder, dtype=torch.float32).get_encoder().state_dict()
    state["embed_positions.weight"] = state["embed_positions.weight"][: config.max_source_positions]
    reference = Reference(config).eval()
    reference.load_state_dict(state)
    return reference(features).last_hidden_state[0]


@pytest.mark.parametrize("samples", [16000, 9920, 30 * 16000])
@torch.no_grad()
def test_equals_transformers_encoder(tiny_whisper, samples):
    """On 30 s that is Whisper as it was trained; on less the same, with as many positions as there are frames."""
    wave = np.random.default_rng(1).standard_normal(samples).astype("float32")
    frames, lengths = WhisperEncoder(tiny_whisper).eval()(*batch([wave]))
    assert lengths.tolist() == [samples // 320]
    torch.testing.assert_close(frames[0], by_transformers(tiny_whisper, wave), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_batched_equals_single(tiny_whisper, waves):
    """Padding must not reach a valid frame: neither by spectra, convolutions, the loudest bin nor attention."""
    encoder = WhisperEncoder(tiny_whisper).eval()
    waves = [waves[0] * 100, *waves[1:], waves[0][:5281]]  # 5281 samples: 33 spectra, an odd number
    frames, lengths = encoder(*batch(waves))
    assert lengths.tolist() == [28, 50, 39, 17]
    for row, length, wave in zip(frames, lengths, waves, strict=True):
        alone, _ = encoder(*batch([wave]))
        torch.testing.assert_close(row[:length], alone[0], atol=1e-5, rtol=1e-4)
        assert not row[length:].any()


def test_stride_is_the_distance_of_frames(tiny_whisper):
    """Ten strides more of speech are ten frames more."""
    encoder = WhisperEncoder(tiny_whisper)
    counts = [int(encoder(*batch([torch.randn(n).numpy()]))[1]) for n in (8000, 8000 + 10 * encoder.stride)]
    assert encoder.stride == 320 and counts[1] - counts[0] == 10


def test_convolutions_and_positions_are_frozen(tiny_whisper, waves):
    encoder = WhisperEncoder(tiny_whisper, gradient_checkpointing=True, config={"encoder_layerdrop": 0.5}).train()
    for _ in range(8):
        encoder(*batch(waves))[0].sum().backward()
    without = {name for name, p in encoder.named_parameters() if p.grad is None}
    assert without and all(name.startswith(encoder.never_trained) for name in without)


LORA = {"r": 4, "lora_alpha": 8}


def test_lora_alone_is_trained_and_all_of_it_counts(tiny_whisper, waves):
    """A new adapter changes nothing; every one of its matrices gets a gradient, on all six linear layers, or it would
    silently do nothing; Whisper's own weights get none."""
    torch.manual_seed(0)
    encoder, plain = (WhisperEncoder(tiny_whisper, lora=lora).eval() for lora in (LORA, None))
    torch.testing.assert_close(encoder(*batch(waves))[0], plain(*batch(waves))[0])
    learns = {name for name, _ in encoder.named_parameters() if not name.startswith(encoder.never_trained)}
    assert len(learns) == 2 * 2 * 6 and all(".lora_" in name for name in learns)
    for name, p in encoder.named_parameters():
        p.requires_grad_(name in learns)
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    (encoder(*batch(waves))[0] * torch.randn(24)).sum().backward()
    grads = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert grads.keys() == learns and all(grad.any() for grad in grads.values())
    assert not torch.allclose(encoder(*batch(waves))[0], plain(*batch(waves))[0])


def test_mistakes_in_lora_are_one_line(tiny_whisper):
    with pytest.raises(UserError, match="encoder_conf.lora: no key 'rank'; known: r, lora_alpha"):
        WhisperEncoder(tiny_whisper, lora={"rank": 4})
    with pytest.raises(UserError, match="encoder_conf.lora: PEFT refuses it"):
        WhisperEncoder(tiny_whisper, lora={"r": 0})


@torch.no_grad()
def test_frames_of_the_heads_are_those_of_both_adapters(tiny_whisper, waves):
    """A new one changes nothing; then they are what Whisper gives with both products added to its weights, and the
    other frames, asked for before or after, are as without it."""
    torch.manual_seed(0)
    encoder, plain = WhisperEncoder(tiny_whisper, lora=LORA, heads_lora={"r": 2}).eval(), WhisperEncoder(tiny_whisper)
    without = WhisperEncoder(tiny_whisper, lora=LORA).eval()
    assert torch.equal(encoder(*batch(waves))[0], encoder(*batch(waves), for_heads=True)[0])
    for name, p in encoder.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(p, std=0.1)
    without.load_state_dict({k: v for k, v in encoder.state_dict().items() if ".encoder_heads." not in k})
    for name, layer in encoder.named_modules():
        if isinstance(layer, LoraLayer):
            for adapter in ("encoder", "encoder_heads"):
                product = layer.lora_B[adapter].weight @ layer.lora_A[adapter].weight
                plain.get_submodule(name).weight += product * layer.scaling[adapter]
    for heads in (True, False, True):
        expected = (plain.eval() if heads else without)(*batch(waves))[0]
        torch.testing.assert_close(encoder(*batch(waves), for_heads=heads)[0], expected, rtol=1e-4, atol=1e-5)


def test_adapter_of_the_heads_where_it_cannot_be(options, whisper_parts, tiny_whisper):
    from espnet2_sop.model.build import build_model

    for conf in ({}, {"lora": LORA, "gradient_checkpointing": True}):
        with pytest.raises(UserError, match="heads_lora: needs encoder_conf.lora, and no gradient_checkpointing"):
            WhisperEncoder(tiny_whisper, heads_lora=LORA, **conf)
    with pytest.raises(UserError, match="encoder_conf.heads_lora: no key 'rank'"):
        WhisperEncoder(tiny_whisper, lora=LORA, heads_lora={"rank": 2})
    conf = {"encoder_conf": {"pretrained": tiny_whisper, "lora": LORA, "heads_lora": LORA}}
    tapped = {**whisper_parts, "model_conf": {"objective": "ctc", "trainable": [], "tap": 0}}
    for changes in ({}, tapped):
        with pytest.raises(UserError, match="heads_lora: needs llm: whisper, which reads the encoder, and"):
            build_model(options("ctc", [], **conf, **changes))


def test_checkpoint_of_an_adapted_whisper(options, tiny_whisper, tmp_path):
    """It holds the adapter and no weight of Whisper, and comes back."""
    from espnet2_sop.model.build import build_model
    from espnet2_sop.model.checkpoint import load_checkpoint

    conf = {"pretrained": tiny_whisper, "lora": LORA}
    model, other = (build_model(options("sop", ["encoder"], encoder_conf=conf)) for _ in range(2))
    for p in model.parameters_by_part()["encoder"]:
        torch.nn.init.normal_(p)
    state = model.state_dict()
    assert all(".lora_" in name for name in state if name.startswith("encoder.")) and len(state) > 24
    torch.save(state, tmp_path / "model.pth")
    load_checkpoint(tmp_path / "model.pth", other)
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


def test_class_goes_by_the_type_of_the_model(tiny_whisper, tiny_encoder, tiny_llm):
    assert encoder_class("huggingface", {"pretrained": tiny_whisper}) is WhisperEncoder
    assert encoder_class("huggingface", {"pretrained": tiny_encoder}) is HuggingFaceEncoder
    with pytest.raises(UserError, match="llama model; known: wavlm, hubert, wav2vec2, whisper"):
        encoder_class("huggingface", {"pretrained": tiny_llm})


def test_model_over_whisper(options, tiny_whisper, waves):
    """A key of the other encoders is refused; without it all of a stage works, batched as single."""
    from espnet2_sop.decoding.decoder import Decoder
    from espnet2_sop.model.build import build_model

    with pytest.raises(UserError, match="encoder_conf: no key 'normalize'"):
        build_model(options("ctc", [], encoder_conf={"pretrained": tiny_whisper, "normalize": True}))
    torch.manual_seed(0)
    model = build_model(options("sop", ["encoder", "sop"], encoder_conf={"pretrained": tiny_whisper})).eval()
    assert not any("conv1" in name or "embed_positions" in name for name in model.state_dict())
    decoder = Decoder(model, "sop")
    together = decoder(waves)
    assert together == [decoder([wave])[0] for wave in waves]
    assert len({h.prompt for h in together}) > 1


def test_bad_input(tiny_whisper):
    encoder = WhisperEncoder(tiny_whisper)
    with pytest.raises(UserError, match="speech of 200 samples is shorter than one frame"):
        encoder(torch.zeros(1, 200), torch.tensor([200]))
    with pytest.raises(UserError, match=r"speech of 30.1 s; this Whisper reads at most 30 s"):
        encoder(torch.zeros(1, 481000), torch.tensor([481000]))
    masks = {"apply_spec_augment": True, "mask_feature_prob": 0.1}
    for message, config in {
        "whisper has no key 'droput'": {"droput": 0.1},
        "config.dropout cannot be '0.1'; it is 0.0 by default": {"dropout": "0.1"},
        "config.apply_spec_augment cannot be 1; it is False by default": {"apply_spec_augment": 1},
        "config.mask_feature_length is 81; masks have from 1 to 20": {**masks, "mask_feature_length": 81},
        "config.mask_time_length is 0; masks have from 1 to inf": {**masks, "mask_time_length": 0},
    }.items():
        with pytest.raises(UserError, match=re.escape(message)):
            WhisperEncoder(tiny_whisper, config=config)


@torch.no_grad()
def test_spec_augment_hides_mel_frames_and_bins_in_training_alone(tiny_whisper, waves):
    """As many frames of each row as `mask_time_prob` says of its own length, in runs; whole bins; the same by seed."""
    masks = {"mask_time_prob": 0.3, "mask_time_length": 4, "mask_feature_prob": 0.25, "mask_feature_length": 5}
    encoder = WhisperEncoder(tiny_whisper, config={"apply_spec_augment": True, **masks})
    plain = WhisperEncoder(tiny_whisper, config=masks).train()
    seen = []
    encoder.whisper.conv1.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    speech = batch(waves)
    expected = plain(*speech)[0]
    torch.testing.assert_close(encoder.eval()(*speech)[0], expected, rtol=0, atol=0)
    encoder.train()
    for _ in range(2):
        np.random.seed(7)
        assert not torch.equal(encoder(*speech)[0], expected)
    untouched, masked, again = seen
    torch.testing.assert_close(masked, again, rtol=0, atol=0)
    hidden = (masked == 0) & (untouched != 0)
    assert torch.equal(masked[~hidden], untouched[~hidden])
    for row, samples in zip(hidden, speech[1], strict=True):
        valid = row[:, : int(samples) // encoder.hop]
        frames, bins = valid.all(0), valid.all(1)
        assert 0.1 < frames.float().mean() <= 0.4 and bins.sum() == 5
        assert torch.equal(valid, frames[None] | bins[:, None])


@torch.no_grad()
def test_implementations_of_attention_agree(tiny_whisper, waves):
    speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
    lengths = torch.tensor([len(w) for w in waves])
    sdpa, eager = (
        WhisperEncoder(tiny_whisper, attn_implementation=name).eval()(speech, lengths)[0] for name in ("sdpa", "eager")
    )
    torch.testing.assert_close(sdpa, eager, rtol=1e-4, atol=1e-5)
    assert len(set(map(len, waves))) > 1  # there is padding to be kept out


def test_an_unknown_attention_is_refused(tiny_whisper):
    with pytest.raises(UserError, match="encoder_conf.attn_implementation: 'flash' is not one of sdpa, eager, flash_"):
        WhisperEncoder(tiny_whisper, attn_implementation="flash")

"""If these fail, an upgrade of transformers or PEFT has moved a private name that `model/upstream.py` needs."""

import peft
import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoModel, PreTrainedModel, WhisperForCausalLM, WhisperModel

from espnet2_sop.model import upstream


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("tiny_encoder", "_get_feat_extract_output_lengths"),
        ("tiny_encoder", "_mask_hidden_states"),
        (WhisperModel, "_mask_input_features"),
        (PreTrainedModel, "_keys_to_ignore_on_load_unexpected"),
    ],
)
def test_transformers_still_has(owner, name, request):
    if isinstance(owner, str):
        owner = AutoModel.from_pretrained(request.getfixturevalue(owner))
    assert hasattr(owner, name), f"transformers has no {name} any more: change espnet2_sop/model/upstream.py"


@pytest.fixture
def ssl(tiny_encoder):
    ssl = AutoModel.from_pretrained(tiny_encoder)
    ssl.config.mask_time_prob = 0.5
    return ssl


def test_frame_counts_are_those_of_the_convolutions(ssl):
    samples = torch.tensor([400, 719, 720, 16000])
    found = [ssl.feature_extractor(torch.randn(1, n)).size(2) for n in samples.tolist()]
    assert upstream.frame_counts(ssl, samples).tolist() == found == [1, 1, 2, 49]


def test_masked_frames_are_the_trained_vector_in_training_alone(ssl):
    hidden, mask = torch.randn(2, 30, ssl.config.hidden_size), torch.ones(2, 30, dtype=torch.bool)
    assert torch.equal(upstream.mask_frames(ssl.eval(), hidden.clone(), mask), hidden)
    masked = upstream.mask_frames(ssl.train(), hidden.clone(), mask)
    changed = (masked != hidden).any(2)
    assert 0 < changed.sum() < 60 and torch.equal(masked[changed][0], ssl.masked_spec_embed)


def test_mel_frames_are_masked_in_training_alone(tiny_whisper):
    encoder = AutoModel.from_pretrained(tiny_whisper).get_encoder()
    encoder.config.apply_spec_augment, encoder.config.mask_time_prob = True, 0.3
    features, mask = torch.randn(2, 20, 60), torch.ones(2, 60, dtype=torch.bool)
    assert torch.equal(upstream.mask_mel(encoder.eval(), features.clone(), mask), features)
    masked = upstream.mask_mel(encoder.train(), features.clone(), mask)
    assert 0 < (masked == 0).all(1).sum() < 120


def test_adapters_are_used_and_what_is_trained_stays(tiny_whisper):
    encoder = AutoModel.from_pretrained(tiny_whisper).get_encoder()
    for name in ("first", "second"):
        peft.inject_adapter_in_model(peft.LoraConfig(target_modules=["fc1"], init_lora_weights=False), encoder, name)
    layers = [layer for layer in encoder.modules() if isinstance(layer, LoraLayer)]
    frozen, x = [p for p in encoder.parameters() if not p.requires_grad], torch.randn(3, 24)
    found = {}
    for names in (["first"], ["first", "second"], ["second"]):
        upstream.use_adapters(layers, names)
        message = f"PEFT uses {layers[0].active_adapters}, not {names}: change espnet2_sop/model/upstream.py"
        assert all(layer.active_adapters == names for layer in layers), message
        found[len(names), names[0]] = layers[0](x) - layers[0].base_layer(x)
    torch.testing.assert_close(found[2, "first"], found[1, "first"] + found[1, "second"], rtol=1e-4, atol=1e-5)
    assert [p for p in encoder.parameters() if not p.requires_grad] == frozen


def test_the_decoder_is_loaded_without_a_report_on_the_encoder(tiny_whisper):
    load = {"pretrained_model_name_or_path": tiny_whisper, "output_loading_info": True}
    _, told = WhisperForCausalLM.from_pretrained(**load)
    assert any(name.startswith("model.encoder.") for name in told["unexpected_keys"])
    _, told = upstream.WhisperDecoderAlone.from_pretrained(**load)
    assert not told["unexpected_keys"], "transformers reports: change WhisperDecoderAlone in model/upstream.py"

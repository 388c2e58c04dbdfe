"""If these fail, a checkpoint of another model is taken for this one's, or one of an earlier version is refused."""

import argparse
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.build import build_model
from espnet2_sop.model.checkpoint import check_checkpoint, load_checkpoint, read_state
from espnet2_sop.packaging.locate import read_config

PACKAGE = Path(__file__).parents[3] / "egs2/fotaqmix/sop_asr1/models/whisper_sot.zip"


def test_checkpoint_has_what_is_trained_and_nothing_pretrained(model):
    names = model.state_dict().keys()
    assert not any("feature_extractor" in n for n in names)
    assert not any(n.startswith("llm.") and "lora_" not in n and n != "llm.sc_input" for n in names)
    for part in ("encoder.", "downsampler.", "separator.", "ctc.", "projector.", "llm."):
        assert any(n.startswith(part) for n in names)


def test_checkpoints_are_checked_key_by_key(model, options, tmp_path):
    state = model.state_dict()
    torch.save(state, tmp_path / "good.pth")
    other = build_model(options("sop", ["sop"]))
    load_checkpoint(tmp_path / "good.pth", other)
    assert all(torch.equal(v, state[k]) for k, v in other.state_dict().items())

    def fails(change, message):
        bad = dict(state)
        change(bad)
        torch.save(bad, tmp_path / "bad.pth")
        with pytest.raises(UserError, match=message):
            check_checkpoint(tmp_path / "bad.pth", other)

    fails(lambda s: s.pop("projector.weight"), "another model; missing: projector.weight")
    fails(lambda s: s.update(new=torch.zeros(1)), "another model; not in this model: new")
    fails(lambda s: s.update({"projector.bias": torch.zeros(3)}), "projector.bias has shape")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        check_checkpoint(tmp_path / "broken.pth", other)
    with pytest.raises(UserError, match="no such checkpoint"):
        check_checkpoint(tmp_path / "none.pth", other)


NAMES = (  # of checkpoints since the first version
    *("encoder.ssl.masked_spec_embed", "encoder.ssl.encoder.layers.0.attention.q_proj.weight"),
    *("downsampler.convs.0.weight", "downsampler.norms.2.bias", "separator.lstm.weight_ih_l0"),
    *("separator.branches.2.0.weight", "ctc.heads.0.weight", "ctc.heads.2.bias", "projector.weight", "llm.sc_input"),
    *(f"llm.peft.base_model.model.model.layers.1.self_attn.q_proj.lora_A.{name}.weight" for name in ("sot", "sop")),
)


def test_names_in_checkpoints_are_those_of_the_first_version(model, options, tmp_path):
    """The modules of the front end are named without it, and a file with these names fills them."""
    state = model.state_dict()
    assert {*NAMES} <= state.keys() and not [name for name in state if "front_end" in name]
    order = dict.fromkeys(name.partition(".")[0] for name in state)
    assert [*order] == ["encoder", "downsampler", "separator", "ctc", "projector", "llm"]
    changed = {name: torch.randn_like(value) if value.is_floating_point() else value for name, value in state.items()}
    torch.save(changed, tmp_path / "old.pth")
    other = build_model(options("sop", ["sop"]))
    load_checkpoint(tmp_path / "old.pth", other)
    own = dict(other.named_parameters())
    for name in NAMES:
        inside = "" if name.startswith(("projector.", "llm.")) else "front_end."
        assert torch.equal(own[inside + name], changed[name]), name


def test_the_shipped_package_has_the_names_of_this_model(tmp_path):
    """The same keys as a Whisper of its depth has here, whatever the widths."""
    with zipfile.ZipFile(PACKAGE) as archive:
        archive.extractall(tmp_path)
    config = read_config(tmp_path / "sot", packed=True)
    size = {"d_model": 24, "encoder_layers": 6, "decoder_layers": 6, "vocab_size": 51865, "num_mel_bins": 20}
    small = {
        f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in (("attention_heads", 2), ("ffn_dim", 32))
    }
    WhisperForConditionalGeneration(WhisperConfig(**size, **small)).save_pretrained(tmp_path / "whisper")
    WhisperFeatureExtractor(feature_size=20).save_pretrained(tmp_path / "whisper")
    for part in ("encoder_conf", "llm_conf"):
        config[part]["pretrained"] = str(tmp_path / "whisper")
    model = build_model(argparse.Namespace(**config))
    assert read_state(tmp_path / "sot/model.safetensors").keys() == model.state_dict().keys()

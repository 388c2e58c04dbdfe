"""If these fail, a checkpoint of another model is taken for this one's, or one of an earlier version is refused."""

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.build import build_model
from espnet2_sop.model.checkpoint import check_checkpoint, load_checkpoint


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

"""If these fail, a recipe that cannot be run in the tests would fail at its first training."""

from pathlib import Path

import pytest
import yaml

from espnet2_sop.bin.train import get_parser, merge

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path.parent for path in ROOT.glob("egs2/*/sop_asr1/conf"))


@pytest.mark.parametrize("stage", ["sot", "ctc", "sop", "sot_continued"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_every_key_is_known(recipe, stage, tmp_path, tiny_encoder, tiny_llm, llm_vocab):
    """The model is built as the files say, but of tiny pretrained parts and narrow layers."""
    from espnet2_sop.assembly import build_model

    base, change = (yaml.safe_load((recipe / f"conf/{name}.yaml").read_text()) for name in ("base", f"train_{stage}"))
    config = merge(base, change)
    config["encoder_conf"]["pretrained"], config["llm_conf"]["pretrained"] = tiny_encoder, tiny_llm
    config["llm_conf"].pop("speaker_change", None)  # a token of the real LLM
    config["downsampler_conf"]["output_size"] = 16
    config["separator_conf"] |= {"hidden_size": 8, "branch_size": 8}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    args = get_parser().parse_args(["--config", str(tmp_path / "config.yaml"), "--output_dir", str(tmp_path)])
    args.ctc_vocab = llm_vocab
    model = build_model(args)
    assert model.num_talkers == 3
    assert any(p.requires_grad for p in model.parameters())

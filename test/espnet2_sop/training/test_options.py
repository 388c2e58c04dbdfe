"""If these fail, a training has other options than its configurations say."""

import pytest

from espnet2_sop.training.options import merge_configs


def test_configs_are_merged_in_order(tmp_path):
    """The stage's keys join those of the base inside a section; a later value wins; other options stay."""
    (tmp_path / "base.yaml").write_text("model_conf: {tap: 2, objective: sot}\nseed: 1\n")
    (tmp_path / "stage.yaml").write_text("model_conf: {objective: ctc}\nmax_epoch: 3\n")
    argv = ["--config", str(tmp_path / "base.yaml"), "--ngpu", "0", "--config", str(tmp_path / "stage.yaml")]
    known, rest, config = merge_configs(argv)
    assert rest == ["--ngpu", "0"] and known.task == "sop"
    assert config == {"model_conf": {"tap": 2, "objective": "ctc"}, "seed": 1, "max_epoch": 3}


@pytest.mark.parametrize(("text", "kind"), [("seed: 1", "llm"), ("ctc_vocab: sentencepiece", "sentencepiece")])
def test_a_configuration_names_its_vocabulary(tmp_path, text, kind):
    (tmp_path / "c.yaml").write_text(text)
    _, rest, config = merge_configs([f"--config={tmp_path / 'c.yaml'}", "--vocab_dir", "exp/vocab"])
    assert config["ctc_vocab"] == f"exp/vocab/{kind}" and not rest

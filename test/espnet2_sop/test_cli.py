import subprocess
import sys

import pytest

from espnet2_sop import cli
from espnet2_sop.bin import train, vocab
from espnet2_sop.errors import UserError
from espnet2_sop.files import atomic_write, read_kaldi, read_yaml


def espnet2_sop(*argv):
    return subprocess.run([sys.executable, "-m", "espnet2_sop.cli", *argv], capture_output=True, text=True)


def test_unknown_command_names_the_known_ones():
    result = espnet2_sop("sing")
    assert result.returncode == 2
    assert "no command 'sing'" in result.stderr and "decode" in result.stderr


def test_a_users_mistake_is_one_line_without_a_traceback(tmp_path):
    result = espnet2_sop("decode", "--run", "x", "--mode", "sop", "--out", str(tmp_path), str(tmp_path / "nowhere"))
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("espnet2-sop decode: error: ") and "no mixtures.jsonl" in result.stderr


def test_every_command_of_the_table_exists():
    for name in cli.COMMANDS:
        module = __import__(f"espnet2_sop.bin.{name}", fromlist=["main"])
        assert callable(module.main)


def test_configs_are_merged_in_order(tmp_path):
    """The stage's keys join those of the base inside a section; a later value wins; other options stay."""
    (tmp_path / "base.yaml").write_text("model_conf: {tap: 2, objective: sot}\nseed: 1\n")
    (tmp_path / "stage.yaml").write_text("model_conf: {objective: ctc}\nmax_epoch: 3\n")
    argv = ["--config", str(tmp_path / "base.yaml"), "--ngpu", "0", "--config", str(tmp_path / "stage.yaml")]
    rest, config = train.merge_configs(argv)
    assert rest == ["--ngpu", "0"]
    assert config == {"model_conf": {"tap": 2, "objective": "ctc"}, "seed": 1, "max_epoch": 3}


@pytest.mark.parametrize(("text", "message"), [("a: [1", "broken YAML"), ("- 1", "expected YAML with keys")])
def test_broken_yaml_names_the_file(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=f"c.yaml: {message}") as error:
        read_yaml(tmp_path / "c.yaml")
    assert "\n" not in str(error.value)


def test_vocabulary_of_another_llm_is_refused(tmp_path, llm_vocab, tiny_llm):
    from espnet2_sop.llm.tokenizer import LLMTokenizer
    from espnet2_sop.text.vocabulary import load_vocabulary, save_vocabulary

    tokenizer = LLMTokenizer(tiny_llm)
    assert load_vocabulary(llm_vocab, tokenizer) is tokenizer
    save_vocabulary(tmp_path, "llm", ["a", "b"])
    with pytest.raises(UserError, match="made for another LLM"):
        load_vocabulary(tmp_path, tokenizer)


def test_sentencepiece_round_trip_and_bad_size(tmp_path, tiny_llm):
    from espnet2_sop.text.vocabulary import SentencePieceVocabulary

    (tmp_path / "model.yaml").write_text(f"llm_conf: {{pretrained: {tiny_llm}}}")
    (tmp_path / "text").write_text("".join(f"m{i} RED BOX <sc> IT'S BLUE\n" for i in range(20)))
    argv = ["--kind", "sentencepiece", "--config", str(tmp_path / "model.yaml"), "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match="--data: name the training data"):
        vocab.main(argv)
    vocab.main([*argv, "--data", str(tmp_path), "--size", "30"])
    pieces = SentencePieceVocabulary(tmp_path / "out/spm.model")
    assert pieces.decode(pieces.encode("it's red")) == "it's red"
    assert len((tmp_path / "out/tokens.txt").read_text().splitlines()) == pieces.vocab_size
    with pytest.raises(UserError, match="--size 3"):
        vocab.main([*argv, "--data", str(tmp_path), "--size", "3"])


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as f:
        f.write("new")
        1 / 0  # noqa: B018
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["f"]


def test_kaldi_text_names_the_line_of_a_mistake(tmp_path):
    (tmp_path / "text").write_text("a x\nb\na y\n")
    with pytest.raises(UserError, match="text, line 3: id 'a' came before"):
        read_kaldi(tmp_path / "text")

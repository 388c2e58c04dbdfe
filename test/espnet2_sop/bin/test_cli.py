import subprocess
import sys

import pytest

from espnet2_sop.bin import cli, train, vocab
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, read_kaldi, read_yaml


def espnet2_sop(*argv):
    return subprocess.run([sys.executable, "-m", "espnet2_sop.bin.cli", *argv], capture_output=True, text=True)


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


@pytest.mark.slow
def test_wrong_options_of_training_are_one_line(tmp_path):
    """ESPnet itself answers with hundreds of lines of usage, or with a traceback."""
    (tmp_path / "c.yaml").write_text("no_such_key: 1\n")
    for argv, message in (
        (["--config", str(tmp_path / "c.yaml")], f"unrecognized arguments: no_such_key (from {tmp_path / 'c.yaml'})"),
        (["--no_such_option", "1"], "unrecognized arguments: --no_such_option 1"),
        (["--max_epoch", "two"], "argument --max_epoch: invalid int value: 'two'"),
        (["--max_epoch", "2"], "--output_dir is missing"),
        (["--output_dir", "x", "--ngpu", "99"], "--ngpu 99: several GPUs need --multiprocessing_distributed true"),
        (["--output_dir", "x", "--ngpu", "99", "--multiprocessing_distributed", "true"], "--ngpu 99: torch sees "),
        (["--task", "asr", "--output_dir", "x"], "--token_list is missing"),
    ):
        with pytest.raises(UserError) as error:
            train.main(argv)
        assert str(error.value).startswith(message) and r"\n" not in str(error.value)


def test_mistake_of_a_spawned_process_is_one_line():
    """With several GPUs ESPnet trains in spawned processes, from which only the text of a traceback comes back."""
    import torch

    from espnet2_sop.mixture.audio import num_samples

    with pytest.raises(torch.multiprocessing.ProcessRaisedException) as raised:
        torch.multiprocessing.spawn(num_samples, nprocs=1)  # called with the number of the process: file "0"
    assert str(train.mistake_of_child(raised.value)).startswith("0: no such audio file")
    assert train.mistake_of_child(ValueError("something else")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "broken YAML"),
        ("a: 1\nb: {c: 1, c: 2}", "broken YAML: the key .c. comes twice"),
        ("- 1", "expected YAML with keys and values, .* found a list"),
        ("# a comment", "expected YAML with keys and values, .* found nothing"),
    ],
)
def test_broken_yaml_names_the_file(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=f"c.yaml: {message}") as error:
        read_yaml(tmp_path / "c.yaml")
    assert r"\n" not in str(error.value)


def test_vocabulary_of_another_llm_is_refused(tmp_path, llm_vocab, tiny_llm):
    from espnet2_sop.text.llm_tokenizer import LLMTokenizer
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


def test_token_list_of_characters_is_that_of_espnet(tmp_path):
    """`<sc>` is one token, and text comes back as it was."""
    from espnet2.text.build_tokenizer import build_tokenizer
    from espnet2.text.token_id_converter import TokenIDConverter

    (tmp_path / "text").write_text('m1 RED "BOX" <sc> IT\'S BLUE\n')
    vocab.main(["--kind", "char", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    tokens = build_tokenizer("char", nonsplit_symbol=["<sc>"])
    ids = TokenIDConverter(str(tmp_path / "out/tokens.txt"))
    text = 'it\'s "red" <sc> box'
    pieces = tokens.text2tokens(text)
    assert pieces.count("<sc>") == 1 and 1 not in ids.tokens2ids(pieces), "1 is <unk>"
    assert tokens.tokens2text(ids.ids2tokens(ids.tokens2ids(pieces))) == text
    listed = (tmp_path / "out/tokens.txt").read_text().splitlines()
    assert listed[0] == "<blank>" and listed[-1] == "<sos/eos>" and len(listed) == len(set(listed))


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


def test_message_is_one_line_whatever_it_quotes():
    import pickle

    error = UserError("a\nb\x1b[31m\u2028c.csv: " + "x" * 5000 + "; do this")
    assert str(error).startswith(r"a\nb\x1b[31m\u2028c.csv: xxx") and str(error).endswith("xxx; do this")
    assert len(str(error)) < 2001 and str(pickle.loads(pickle.dumps(error))) == str(error)


def test_message_of_a_process_that_reads_data_is_that_of_the_mistake():
    from torch.utils.data import DataLoader

    from espnet2_sop.mixture.audio import num_samples

    class Files(list):
        def __getitem__(self, index):
            return num_samples(super().__getitem__(index))

    with pytest.raises(UserError) as error:
        list(DataLoader(Files(["no\nfile.wav"]), num_workers=1))
    assert str(error.value).startswith(r"no\nfile.wav: no such audio file")

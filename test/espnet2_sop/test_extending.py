"""docs/extending.md does what it says: its blocks are written to files and used in trainings of two updates."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/extending.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {found[1]: text for _, text in BLOCKS if (found := re.match(r"# (\S+\.(?:py|yaml|sh))\n", text))}
SHORT = {"max_epoch": 1, "num_iters_per_epoch": 2, "keep_nbest_models": 1}
SOT = {"model_conf": {"objective": "sot", "trainable": ["downsampler", "projector", "sot"]}}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe's folder with the files of the page, as the working directory."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


@pytest.fixture
def base(recipe, write_config):
    """conf/base.yaml of tiny models, written as those of the recipes."""
    return write_config(recipe / "conf/base.yaml", encoder="huggingface", separator="lstm", **SHORT)


def write(name, config):
    Path(name).write_text(yaml.safe_dump(config))
    return name


@pytest.fixture(scope="module")
def train(data_options):
    """Two updates: train(out, data, *options) returns the checkpoint."""
    from espnet2_sop.bin import train

    def run(out, data, *options):
        words = data_options(f"{data}/train/simulation.yaml", f"{data}/dev")
        train.main([*map(str, options), "--output_dir", str(out), *words])
        return f"{out}/valid.loss.ave.pth"

    return run


def decode_and_score(run, data, mode, *options):
    """Hypotheses of dev with the right ids, scored; returns the folder."""
    from espnet2_sop.bin import decode, score

    out = Path(run).parent / "decode" / Path(run).name
    decode.main(["--run", run, "--checkpoint", "valid.loss.ave.pth", "--mode", mode, "--out", str(out), f"{data}/dev"])
    score.main([*options, f"{data}/dev", f"{out}/dev"])
    record = json.loads((out / "dev/score.json").read_text())
    assert record["mixtures"] >= 2 and not record["missing"]
    return out / "dev"


def pack_and_decode(run, data, expected, capsys):
    """A package tells which module it needs, and decodes as the run once that is imported."""
    from espnet2_sop.bin import decode, pack

    argv = ["--run", run, "--checkpoint", "valid.loss.ave.pth", "--include_pretrained", "--out", "exp/packed"]
    pack.main(argv)
    assert "The encoder is mel_encoder:MelEncoder, and its module is not in the package" in capsys.readouterr().out
    assert "| encoder | class `mel_encoder:MelEncoder`" in Path("exp/packed/README.md").read_text()
    argv = ["--run", "exp/packed", "--checkpoint", "model.safetensors", "--mode", "sot", "--out", "exp/decode/packed"]
    decode.main([*argv, f"{data}/dev"])
    assert Path("exp/decode/packed/dev/text").read_text() == (expected / "text").read_text()


def configs(*paths):
    return [f"--config={path}" for path in paths]


def test_encoder(recipe, base, train, data, capsys):
    own = ("conf_mel/base.yaml", "conf_mel/train_sot.yaml")
    checkpoint = train("exp/mel", data, *configs(base, *own))
    trained = torch.load(checkpoint, weights_only=True)
    assert any(key.startswith("encoder.lstm.") for key in trained)
    assert not any("window" in key or "filters" in key for key in trained)
    out = decode_and_score("exp/mel", data, "sot")
    pack_and_decode("exp/mel", data, out, capsys)

    encoder = importlib.import_module("mel_encoder").MelEncoder(size=8, num_layers=1).eval()
    speech, lengths = torch.randn(2, 9000), torch.tensor([9000, 7001])
    speech[1, 7001:] = 0
    frames, sizes = encoder(speech, lengths)
    alone, _ = encoder(speech[1:, :7001], lengths[1:])
    assert sizes.tolist() == [(n - 512) // 320 + 1 for n in lengths.tolist()]
    torch.testing.assert_close(frames[1, : sizes[1]], alone[0], atol=1e-5, rtol=1e-5)
    assert not frames[1, sizes[1] :].any()


def test_separator(recipe, base, train, data):
    """In stages 2 and 3, from a stage 1 with the Separator of the package."""
    first = train("exp/sot", data, *configs(base, write("conf/train_sot.yaml", SOT)))
    for stage, trainable in (("ctc", ["separator", "ctc"]), ("sop", ["sop"])):
        write(f"conf/train_{stage}.yaml", {"model_conf": {"objective": stage, "trainable": trainable}})
    second = "conf/train_ctc_attention.yaml"
    heads = train("exp/ctc_attention", data, *configs(base, second), "--init_param", first)
    assert any(key.startswith("separator.shared.1.") for key in torch.load(heads, weights_only=True))
    third = "conf/train_sop_attention.yaml"
    train("exp/sop_attention", data, *configs(base, third), "--init_param", heads)
    decode_and_score("exp/ctc_attention", data, "ctc")
    decode_and_score("exp/sop_attention", data, "sop")

    separator = importlib.import_module("attention_separator").AttentionSeparator(8, 3).eval()
    frames, lengths = torch.randn(2, 7, 8), torch.tensor([7, 4])
    together, alone = separator(frames, lengths), separator(frames[1:, :4], lengths[1:])
    assert len(together) == 3
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1, :4], one[0], atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def tiny_pythia(tmp_path_factory, tiny_llm):
    """A GPT-NeoX of two layers with random weights; its vocabulary has <|padding|> and no reserved tokens."""
    from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

    folder = tmp_path_factory.mktemp("pythia")
    tokenizer = AutoTokenizer.from_pretrained(tiny_llm)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|padding|>"]})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(tokenizer), **sizes, **ids)).save_pretrained(folder)
    return str(folder)


def test_llm_of_another_family(recipe, base, train, data, tiny_pythia):
    text = FILES["conf/llm_pythia.yaml"].replace("EleutherAI/pythia-160m", tiny_pythia)
    Path("conf/llm_pythia.yaml").write_text(text)
    from espnet2_sop.bin import vocab

    vocab.main(["--kind", "llm", *configs("conf/llm_pythia.yaml"), "--out", "vocab"])
    own = configs(base, "conf/llm_pythia.yaml", write("conf/train_sot.yaml", SOT))
    trained = torch.load(train("exp/pythia", data, *own, "--ctc_vocab", "vocab"), weights_only=True)
    assert any("query_key_value.lora_B.sot" in key for key in trained)
    decode_and_score("exp/pythia", data, "sot")


def test_own_class_of_llm(recipe, base, train, data):
    text = FILES["conf/llm_shallow.yaml"]
    Path("conf/llm_shallow.yaml").write_text(text.replace("num_layers: 2", "num_layers: 1"))  # the tiny one has two
    own = configs(base, "conf/llm_shallow.yaml", write("conf/train_sot.yaml", SOT))
    trained = torch.load(train("exp/shallow", data, *own), weights_only=True)
    assert {key.split(".layers.")[1][0] for key in trained if "lora_" in key} == {"0"}
    decode_and_score("exp/shallow", data, "sot")


def test_metric(recipe, capsys):
    """Scored, compared and in the table; equal to the metric that counts `<sc>` as any other word."""
    from espnet2_sop.bin import compare, score, table
    from espnet2_sop.scoring.metrics import order_wer

    for folder, text in (("ref", "one two <sc> three"), ("a/ref", "one two three"), ("b/ref", "one two <sc> three")):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, "text").write_text(f"m1 {text}\nm2 four <sc> five\n")
    own = ["--metric", "change_wer:change_wer"]
    score.main([*own, "ref", "a/ref", "b/ref"])
    record = json.loads(Path("a/ref/score.json").read_text())
    words = [[text.split()] for text in ("one two <sc> three four <sc> five", "one two three four <sc> five")]
    assert record["metrics"]["change_wer"]["errors"] == order_wer(*words).errors == 1
    assert record["metrics"]["change_wer"]["words"] == 7 and record["metrics"]["order_wer"]["errors"] == 0
    capsys.readouterr()
    compare.main(["a/ref", "b/ref", "--metric", "change_wer"])
    assert capsys.readouterr().out.startswith("change WER in percent on ref, 2 mixtures\nA      14.3 ")
    table.main([".", "--out", "."])
    assert [row["change_wer"] for row in json.loads(Path("results.json").read_text())] == [14.29, 0.0]
    score.main(["ref", "b/ref"])
    table.main([".", "--out", "."])
    header, *rows = (line.split(",") for line in Path("results.csv").read_text().splitlines())
    assert [row[header.index("change_wer")] for row in rows] == ["14.29", ""]


def kaldi(folder, speech):
    """A Kaldi directory of a LibriSpeech-like folder."""
    folder.mkdir(parents=True)
    tables = {"wav.scp": [], "text": [], "utt2spk": []}
    for transcript in sorted(speech.rglob("*.trans.txt")):
        for line in transcript.read_text().splitlines():
            name, _, words = line.partition(" ")
            (audio,) = transcript.parent.glob(f"{name}.*")
            samples, rate = soundfile.read(audio)
            soundfile.write(folder / f"{name}.wav", samples, rate)
            tables["wav.scp"].append(f"{name} {folder}/{name}.wav\n")
            tables["text"].append(f"{name} {words}\n")
            tables["utt2spk"].append(f"{name} {name.split('-')[0]}\n")
    for name, lines in tables.items():
        (folder / name).write_text("".join(lines))


@pytest.mark.slow
def test_corpus(corpus, train, tmp_path, monkeypatch):
    """The commands of the page in a folder like the checkout, then the training with its configurations."""
    for name, subset in (("train", "train-mini"), ("dev", "test-mini"), ("test", "test-mini")):
        kaldi(tmp_path / "kaldi" / name, corpus.speech / subset)
    (tmp_path / "egs2").mkdir()
    for name in ("TEMPLATE", "mini_librimix"):
        (tmp_path / "egs2" / name).symlink_to(ROOT / "egs2" / name)
    command = tmp_path / "bin/espnet2-sop"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m espnet2_sop.bin.cli "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def bash(line, folder):
        return subprocess.run(["bash", "-ec", line], cwd=folder, env=env, text=True, capture_output=True)

    (start,) = (text for kind, text in BLOCKS if kind == "sh" and text.startswith("mkdir -p egs2/my_corpus"))
    assert bash(start, tmp_path).returncode == 0
    folder = tmp_path / "egs2/my_corpus/sop_asr1"
    monkeypatch.chdir(folder)
    for name in ("conf/models.yaml", "local/data.sh", "run.sh"):
        text = FILES[name]
        if name.endswith(".sh"):
            text = text.split("\n", 1)[1]
            assert text.startswith("#!/usr/bin/env bash\n")
        Path(name).write_text(text)
    assert bash("chmod +x run.sh local/data.sh && ./run.sh --help", folder).returncode == 0
    missing = bash("local/data.sh", folder)
    assert missing.returncode == 1 and len(missing.stderr.splitlines()) == 1
    done = bash(f"local/data.sh --corpus {tmp_path}/kaldi", folder)
    assert done.returncode == 0, done.stderr
    from espnet2_sop.bin import format, vocab

    for name in ("train", "dev", "test"):
        format.main(["--min_duration", "0.1", f"data/{name}", f"dump/{name}"])
    base = configs("conf/base.yaml", "conf/models.yaml")
    vocab.main(["--kind", "llm", *base, "--out", "exp/vocab/llm"])
    trainer = {"batch_type": "numel", "batch_bins": 60000, "num_workers": 0, "use_matplotlib": False, **SHORT}
    trainer |= {"best_model_criterion": [["valid", "loss", "min"]]}
    small = write("conf/small.yaml", trainer | {"single_talker_epochs": 0})
    train("exp/sot", "dump", *base, *configs("conf/train_sot.yaml", small), "--vocab_dir", "exp/vocab")
    decode_and_score("exp/sot", "dump", "sot")

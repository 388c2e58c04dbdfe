"""ESPnet's own SOT recogniser as a system: trained, decoded and scored on the same data as the others."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import merge, read_kaldi

CONFIG = """
encoder: conformer
encoder_conf: {output_size: 16, attention_heads: 2, linear_units: 16, num_blocks: 1, macaron_style: true,
               rel_pos_type: latest, cnn_module_kernel: 7, dropout_rate: 0.0, positional_dropout_rate: 0.0}
decoder: transformer
decoder_conf: {attention_heads: 2, linear_units: 16, num_blocks: 1, dropout_rate: 0.0, positional_dropout_rate: 0.0}
normalize: utterance_mvn
model_conf: {ctc_weight: 0.0, lsm_weight: 0.1, report_cer: false, report_wer: false}
token_type: char
preprocessor: multi
preprocessor_conf: {speaker_change_symbol: ["<sc>"]}
batch_type: numel
batch_bins: 100000
num_workers: 0
num_att_plot: 0
use_matplotlib: false
use_tensorboard: false
optim: adam
optim_conf: {lr: 0.002}
best_model_criterion: [[valid, acc, max]]
keep_nbest_models: 1
"""


@pytest.fixture(scope="module")
def data(make_data, corpus, tmp_path_factory):
    """Data directories train and dev (two talkers), and tokens.txt."""
    from espnet2_sop.bin import vocab

    rule = {"talkers": {1: 0.5, 2: 0.5}, "noise_prob": 0, "speed": [1, 1]}
    root = make_data(tmp_path_factory.mktemp("data"), [corpus.csv[2]], **rule)
    vocab.main(["--kind", "char", "--data", str(root / "train"), "--out", str(root)])
    return root


@pytest.fixture(scope="module")
def train(data, data_options):
    """Runs `espnet2-sop train --task asr`: train(out, changes of the configuration, *options, source=manifest)."""
    from espnet2_sop.bin import train as command

    def run(out, changes=None, *options, source=data / "train/simulation.yaml"):
        config = out.parent / f"{out.name}.yaml"
        config.write_text(yaml.safe_dump(merge(yaml.safe_load(CONFIG), changes or {})))
        argv = ["--task", "asr", "--config", str(config), "--token_list", str(data / "tokens.txt")]
        argv += [*data_options(source, data / "dev"), "--output_dir", str(out), *options]
        command.main(argv)
        return out

    return run


@pytest.fixture(scope="module")
def run(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("exp") / "espnet_sot", None, "--max_epoch", "2")


def test_resumed_equals_uninterrupted(run, train, tmp_path):
    """New mixtures in every epoch, from the same simulation as the other systems."""
    keep = ("--keep_nbest_models", "2")  # whichever epoch is the better one
    train(tmp_path / "run", None, "--max_epoch", "1", *keep)
    written = (tmp_path / "run/1epoch.pth").stat().st_mtime_ns
    train(tmp_path / "run", None, "--max_epoch", "2", *keep)
    assert (tmp_path / "run/1epoch.pth").stat().st_mtime_ns == written, "epoch 1 was trained again"
    one, two = (torch.load(folder / "2epoch.pth", weights_only=True) for folder in (run, tmp_path / "run"))
    assert one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())


def test_decoding_and_scoring_as_the_other_systems(run, data, tmp_path, capsys):
    from espnet2_sop.bin import decode, score, table

    out = tmp_path / "decode/espnet_sot"
    decode.main(["--run", str(run), "--mode", "espnet", "--out", str(out), str(data / "dev")])
    assert list(read_kaldi(out / "dev/text")) == list(read_kaldi(data / "dev/text"))
    spoken = {key for key, text in read_kaldi(out / "dev/text").items() if text.replace("<sc>", "").strip()}
    assert {s["session_id"] for s in json.loads((out / "dev/hyp.seglst.json").read_text())} == spoken
    assert json.loads((out / "dev/speed.json").read_text())["real_time_factor"] > 0
    score.main(["--data", str(data), str(out / "dev")])
    table.main([str(tmp_path)])
    assert "| espnet_sot " in (tmp_path / "RESULTS.md").read_text()


def test_targets_are_characters_with_sc_as_one(data):
    """Exactly `<space> <sc> <space>` between two talkers, in lower case."""
    import argparse

    from espnet2_sop.training.espnet_sot import BaselineTask

    values = {**BaselineTask.get_default_config(), **yaml.safe_load(CONFIG), "token_list": str(data / "tokens.txt")}
    preprocess = BaselineTask.build_preprocess_fn(argparse.Namespace(**values), train=True)
    tokens = (data / "tokens.txt").read_text().splitlines()
    ids = preprocess("m1", {"speech": np.zeros(10, dtype="float32"), "text": "RED BOX <sc> BLUE KEY"})["text"]
    written = [tokens[i] for i in ids]
    assert written == [*"red", "<space>", *"box", "<space>", "<sc>", "<space>", *"blue", "<space>", *"key"]


@pytest.mark.slow
def test_trained_model_writes_what_it_learnt(train, data, tmp_path):
    """Four mixtures are learnt by heart; so words and `<sc>` come back in the right places."""
    from espnet2_sop.decoding.espnet_sot import BaselineDecoder
    from espnet2_sop.mixture.loader import open_store
    from espnet2_sop.scoring.score import score_set

    source = data / "dev/mixtures.jsonl"
    options = ["--train_shape_file", str(data / "dev/speech_shape"), "--max_epoch", "8"]
    size = {"encoder_conf": {"output_size": 32, "linear_units": 64}, "decoder_conf": {"linear_units": 64}}
    conf = {**size, "num_iters_per_epoch": 60, "optim_conf": {"lr": 0.01}, "grad_clip": 1.0, "batch_bins": 200000}
    out = train(tmp_path / "run", conf | {"model_conf": {"lsm_weight": 0.0}}, *options, source=source)
    store = open_store(source)
    decoder = BaselineDecoder(out, "valid.acc.ave.pth")
    texts = [h.text for h in decoder([store.waveform(name) for name in store.mixtures])]
    score = score_set({m.id: m.text for m in store.mixtures.values()}, dict(zip(store.mixtures, texts, strict=True)))
    assert score.total("slot_wer").rate < 0.5 and score.count_accuracy == 1, texts


def test_frozen_frontend_is_neither_trained_nor_saved(train, data, tiny_encoder, tmp_path):
    from espnet2_sop.decoding.espnet_sot import BaselineDecoder

    wavlm = {"frontend": "frozen_huggingface", "frontend_conf": {"model": tiny_encoder}}
    wavlm |= {"preencoder": "linear", "preencoder_conf": {"input_size": 24, "output_size": 16}}
    wavlm |= {"encoder_conf": {"input_layer": "conv2d2"}}
    out = train(tmp_path / "run", wavlm, "--max_epoch", "1")
    train(tmp_path / "run", wavlm, "--max_epoch", "2")  # resumes from a checkpoint without WavLM
    state = torch.load(out / "2epoch.pth", weights_only=True)
    assert any(key.startswith("preencoder.") for key in state) and not any("frontend.encoder" in key for key in state)
    decoder = BaselineDecoder(out, "valid.acc.ave.pth")
    own = decoder.recogniser.asr_model.frontend.encoder.state_dict()
    from transformers import WavLMModel

    reference = WavLMModel.from_pretrained(tiny_encoder)
    assert all(torch.equal(value, own[key]) for key, value in reference.state_dict().items())
    frontend = decoder.recogniser.asr_model.train().frontend
    assert not frontend.encoder.training and not any(p.requires_grad for p in frontend.parameters())
    with torch.no_grad():
        wave = torch.from_numpy(np.random.default_rng(1).standard_normal(8000).astype("float32"))
        expected = reference.eval()((wave - wave.mean())[None] / torch.sqrt(wave.var(correction=0) + 1e-7))[0]
        frames, lengths = frontend(wave[None], torch.tensor([8000]))
    torch.testing.assert_close(frames, expected, rtol=1e-3, atol=1e-4)
    assert lengths.tolist() == [expected.size(1)]


def test_mistakes_are_one_line(run, train, data, tmp_path):
    from espnet2_sop.bin import decode

    def error(call, *args):
        with pytest.raises(UserError) as raised:
            call(*args)
        assert r"\n" not in str(raised.value)
        return str(raised.value)

    wrong = {"encoder_conf": {"no_such_key": 1}}
    assert "unexpected keyword argument 'no_such_key'" in error(train, tmp_path / "a", wrong)
    assert "no such file" in error(train, tmp_path / "a", None, "--token_list", "nowhere.txt")
    assert "argument --encoder" in error(train, tmp_path / "a", None, "--encoder", "conf")
    assert "optim_conf: adam refuses it" in error(train, tmp_path / "a", {"optim_conf": {"no_such_key": 1}})
    wrong = {"frontend": "frozen_huggingface", "frontend_conf": {"model": str(tmp_path / "nowhere")}}
    assert "nowhere' cannot be loaded" in error(train, tmp_path / "a", wrong)
    argv = ["--run", str(run), "--out", str(tmp_path / "out"), str(data / "dev"), "--mode"]
    assert "was trained with --task asr" in error(decode.main, [*argv, "sot"])
    torch.save({"other": torch.zeros(1)}, run / "other.pth")
    assert "checkpoint of another model" in error(decode.main, [*argv, "espnet", "--checkpoint", "other.pth"])
    (tmp_path / "config.yaml").write_text("model_conf: {objective: sot}\n")
    shutil.copy(run / "valid.acc.ave.pth", tmp_path)
    argv[1] = str(tmp_path)
    assert "was trained without --task asr" in error(decode.main, [*argv, "espnet"])

"""ESPnet's trainer over the task: real training of tiny models on the small corpus, in this process."""

import argparse
import json

import pytest
import torch

from espnet2_sop.errors import UserError
from espnet2_sop.files import read_kaldi


@pytest.fixture(scope="module")
def data(make_data, corpus, tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), list(corpus.csv.values()), "both")


@pytest.fixture(scope="module")
def train(data, tiny_encoder, tiny_llm, llm_vocab, tmp_path_factory):
    """Runs `espnet2-sop train` for a stage: train(out, objective, trainable, *options)."""
    from espnet2_sop.bin import train as command

    config = tmp_path_factory.mktemp("conf") / "base.yaml"
    config.write_text(
        f"""
encoder_conf: {{pretrained: {tiny_encoder}}}
downsampler_conf: {{output_size: 32}}
separator_conf: {{hidden_size: 16, branch_size: 24}}
llm_conf: {{pretrained: {tiny_llm}}}
ctc_vocab: {llm_vocab}
batch_type: numel
batch_bins: 60000
num_workers: 0
use_matplotlib: false
optim: adamw
optim_conf: {{lr: 0.01}}
best_model_criterion: [[valid, loss, min]]
keep_nbest_models: 2
"""
    )

    def run(out, objective, trainable, *options):
        stage = out.parent / f"{out.name}.yaml"
        stage.write_text(f"model_conf: {{objective: {objective}, trainable: [{', '.join(trainable)}]}}")
        train_data, dev = data / "train/simulation.yaml", data / "dev/mixtures.jsonl"
        command.main(
            [
                *("--config", str(config), "--config", str(stage), "--output_dir", str(out)),
                *("--train_data_path_and_name_and_type", f"{train_data},speech,mixture"),
                *("--train_data_path_and_name_and_type", f"{train_data},text,mixture_text"),
                *("--valid_data_path_and_name_and_type", f"{dev},speech,mixture"),
                *("--valid_data_path_and_name_and_type", f"{dev},text,mixture_text"),
                *("--valid_shape_file", str(data / "dev/speech_shape"), *options),
            ]
        )
        return out

    return run


STAGE1 = ["encoder", "downsampler", "projector", "sot"]


@pytest.fixture(scope="module")
def stage1(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("exp") / "stage1", "sot", STAGE1, "--max_epoch", "2")


def test_resumed_equals_uninterrupted(stage1, train, tmp_path):
    """One epoch, then the same command for two: new mixtures, dropout, optimizer and schedule must fall into place."""
    train(tmp_path / "run", "sot", STAGE1, "--max_epoch", "1")
    train(tmp_path / "run", "sot", STAGE1, "--max_epoch", "2")
    one, two = (torch.load(run / "2epoch.pth", weights_only=True) for run in (stage1, tmp_path / "run"))
    assert one.keys() == two.keys()
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    first = torch.load(tmp_path / "run/1epoch.pth", weights_only=True)
    assert any(not torch.equal(v, one[k]) for k, v in first.items())


def test_three_stages_hand_on_their_weights_and_decode(stage1, train, data, tmp_path):
    """Stage 2 must leave stage 1's weights alone, stage 3 those of both; every system then decodes."""
    from espnet2_sop.bin import decode

    average = "valid.loss.ave.pth"
    init = ("--max_epoch", "1", "--init_param")
    stage2 = train(tmp_path / "stage2", "ctc", ["separator", "ctc"], *init, str(stage1 / average))
    stage3 = train(tmp_path / "stage3", "sop", ["sop"], *init, str(stage2 / average))
    one, two, three = (torch.load(run / average, weights_only=True) for run in (stage1, stage2, stage3))
    for name, value in three.items():
        changed = {k for k, old in (("2", one), ("3", two)) if not torch.equal(value, old[name])}
        if name.startswith(("separator.", "ctc.")):
            assert changed == {"2"}, name
        elif ".sop." in name:
            assert changed <= {"2", "3"}, name
        else:
            assert not changed, name
    assert any(not torch.equal(v, two[k]) for k, v in three.items() if ".sop." in k)
    for system, run in (("sot", stage1), ("ctc", stage2), ("sop", stage3)):
        out = tmp_path / "decode" / system
        argv = ["--run", str(run), "--checkpoint", average, "--mode", system, "--out", str(out), str(data / "dev")]
        decode.main(argv)
        ids = list(read_kaldi(out / "dev/text"))
        assert ids == list(read_kaldi(data / "dev/text"))
        assert {s["session_id"] for s in json.loads((out / "dev/hyp.seglst.json").read_text())} <= set(ids)
    argv = ["--run", str(stage2), "--checkpoint", average, "--mode", "sop", "--out", str(tmp_path / "wrong")]
    with pytest.raises(UserError, match="trained for ctc"):
        decode.main([*argv, str(data / "dev")])


def test_parts_that_a_stage_is_the_first_to_train_may_be_others(stage1, train, tmp_path):
    """Another Separator and adapter start anew; what stage 1 has trained is taken over, and must fit."""
    init = ("--max_epoch", "1", "--init_param", str(stage1 / "valid.loss.ave.pth"))
    run = train(tmp_path / "ctc", "ctc", ["separator", "ctc"], *init, "--separator_conf", "branch_size=20")
    one, two = (torch.load(folder / "valid.loss.ave.pth", weights_only=True) for folder in (stage1, run))
    assert two["ctc.heads.0.weight"].size(1) == 20
    own = ("separator.", "ctc.")
    assert all(torch.equal(value, one[name]) for name, value in two.items() if not name.startswith(own))
    with pytest.raises(UserError, match="checkpoint of another model; of another shape: downsampler"):
        train(tmp_path / "other", "ctc", ["separator", "ctc"], *init, "--downsampler_conf", "output_size=16")
    with pytest.raises(UserError, match="of another shape: separator"):
        train(tmp_path / "more", "sot", STAGE1, *init, "--separator_conf", "branch_size=20")


def test_packed_model_gives_the_same_output(stage1, data, tmp_path):
    from espnet2_sop.bin import decode, pack

    average = "valid.loss.ave.pth"
    pack.main(["--run", str(stage1), "--checkpoint", average, "--out", str(tmp_path / "packed")])
    assert (tmp_path / "packed.zip").is_file()
    for run, checkpoint in ((stage1, average), (tmp_path / "packed", "model.safetensors")):
        out = str(tmp_path / f"decode_{run.name}")
        decode.main(["--run", str(run), "--checkpoint", checkpoint, "--mode", "sot", "--out", out, str(data / "dev")])
    assert (tmp_path / "decode_packed/dev/text").read_text() == (tmp_path / "decode_stage1/dev/text").read_text()


def test_checkpoint_of_another_model_is_refused(stage1, train, tmp_path):
    """ESPnet itself would take it without a word."""
    state = torch.load(stage1 / "2epoch.pth", weights_only=True)
    torch.save({f"other.{k}": v for k, v in state.items()}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="checkpoint of another model"):
        train(tmp_path / "run", "ctc", ["ctc"], "--max_epoch", "1", "--init_param", str(tmp_path / "other.pth"))


def test_single_talkers_need_a_simulation():
    from espnet2_sop.task import SOPTask

    options = argparse.Namespace(data_path_and_name_and_type=[("dump/train/mixtures.jsonl", "speech", "mixture")])
    with pytest.raises(UserError, match="--single_talker_epochs: only a simulation"):
        SOPTask.build_sequence_iter_factory(argparse.Namespace(single_talker_epochs=1), options, "train")

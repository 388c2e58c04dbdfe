"""ESPnet's trainer over the task: real training of tiny models on the small corpus, in this process."""

import argparse
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi


@pytest.fixture(scope="module")
def data(train):
    return train.data


STAGE1 = ["encoder", "downsampler", "projector", "sot"]


@pytest.fixture(scope="module")
def stage1(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("exp") / "stage1", "sot", STAGE1, "--max_epoch", "2")


def test_resumed_equals_uninterrupted(stage1, train, tmp_path):
    """One epoch, then the same command for two: new mixtures, dropout, optimizer and schedule must fall into place."""
    train(tmp_path / "run", "sot", STAGE1, "--max_epoch", "1")
    first = tmp_path / "run/1epoch.pth"
    written = first.stat().st_mtime_ns
    train(tmp_path / "run", "sot", STAGE1, "--max_epoch", "2")
    assert first.stat().st_mtime_ns == written, "epoch 1 was trained again"
    one, two = (torch.load(run / "2epoch.pth", weights_only=True) for run in (stage1, tmp_path / "run"))
    assert one.keys() == two.keys()
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    assert any(not torch.equal(v, one[k]) for k, v in torch.load(first, weights_only=True).items())


def test_a_longer_schedule(train, tmp_path):
    """More epochs are another schedule, so another training; who insists goes on with the new schedule."""
    run = tmp_path / "run"
    options = ["--scheduler", "onecyclelr", "--warmup", "0.25", "--num_iters_per_epoch", "2", "--max_epoch"]
    train(run, "sot", STAGE1, *options, "1")
    with pytest.raises(UserError, match="total_steps was 3, is 5; remove the folder to train anew, or .*origin.json"):
        train(run, "sot", STAGE1, *options, "2")
    (run / "origin.json").unlink()
    train(run, "sot", STAGE1, *options, "2")
    state = torch.load(run / "checkpoint.pth", weights_only=False)["schedulers"][0]
    assert (run / "2epoch.pth").is_file() and (state["total_steps"], state["last_epoch"]) == (5, 4)


def test_what_is_not_trained_has_the_weights_of_its_start(stage1, train, tmp_path):
    """Under the name that the checkpoint of a training would have; again after the start has changed."""
    (tmp_path / "untrained.yaml").write_text("train: false\ninit_from: sot\ndecode_mode: sop\n")
    start = tmp_path / "start.pth"
    shutil.copy(stage1 / "valid.loss.ave.pth", start)
    options = ["--config", str(tmp_path / "untrained.yaml"), "--init_param", str(start)]
    run = train(tmp_path / "run", "sop", ["sop"], *options)
    before, after = (torch.load(p, weights_only=True) for p in (start, run / "valid.loss.ave.pth"))
    assert before.keys() <= after.keys() and all(torch.equal(v, after[k]) for k, v in before.items())
    new = [k for k in after if ".lora_B.sop." in k]
    assert new and not any(after[k].any() for k in new)
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith(".")) == [
        "config.yaml", "valid.loss.ave.pth"
    ]  # fmt: skip
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model_conf"]["objective"] == "sop"
    assert not {"train", "init_from", "decode_mode", "warmup", "defaults"} & config.keys()
    torch.save({k: v + 1 for k, v in before.items()}, start)
    train(run, "sop", ["sop"], *options)
    again = torch.load(run / "valid.loss.ave.pth", weights_only=True)
    assert all(torch.equal(v + 1, again[k]) for k, v in before.items())


@pytest.mark.parametrize("harm", ["cut off", "lost", "cut off in the first epoch", "killed before the epoch's file"])
def test_goes_on_after_a_kill_while_writing(stage1, train, tmp_path, capsys, harm):
    """Whatever the moment, the weights in the end are those of an uninterrupted run."""
    run = tmp_path / "run"
    train(run, "sot", STAGE1, "--max_epoch", "1" if harm.endswith("first epoch") else "2")
    checkpoint = run / "checkpoint.pth"
    assert harm.endswith("first epoch") or (run / "checkpoint.previous.pth").exists()
    if harm.startswith("cut off"):
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    elif harm == "lost":
        checkpoint.unlink()
    if not harm.endswith("first epoch"):
        (run / "2epoch.pth").unlink()
    train(run, "sot", STAGE1, "--max_epoch", "2")
    one, two = (torch.load(folder / "2epoch.pth", weights_only=True) for folder in (stage1, run))
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    assert (run / "checkpoint.broken.pth").exists() == ("is broken" in capsys.readouterr().err) == ("cut off" in harm)
    assert not list(run.glob(".*.part"))


def test_a_run_does_not_go_on_with_other_options_or_weights(stage1, train, tmp_path):
    """Else a changed learning rate or a retrained earlier stage would change nothing, in silence."""
    start = tmp_path / "start.pth"
    shutil.copy(stage1 / "1epoch.pth", start)
    options = ["--max_epoch", "1", "--init_param", str(start)]
    run = train(tmp_path / "run", "ctc", ["separator", "ctc"], *options)
    train(run, "ctc", ["separator", "ctc"], *options, "--log_interval", "7")  # has no effect on the weights
    with pytest.raises(UserError, match=r"run was trained otherwise: options.optim_conf.lr was 0.01, is 0.02; remove"):
        train(run, "ctc", ["separator", "ctc"], *options, "--optim_conf", "lr=0.02")
    shutil.copy(stage1 / "2epoch.pth", start)
    with pytest.raises(
        UserError, match=r"trained otherwise: files\..*start.pth was .*; remove the folder to train anew"
    ):
        train(run, "ctc", ["separator", "ctc"], *options)
    (run / "origin.json").unlink()
    train(run, "ctc", ["separator", "ctc"], *options)


@pytest.mark.slow
def test_three_stages_hand_on_their_weights_and_decode(stage1, train, data, tmp_path, capsys):
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
        texts = read_kaldi(out / "dev/text")
        assert list(texts) == list(read_kaldi(data / "dev/text"))
        spoken = {key for key, text in texts.items() if text.replace("<sc>", "").strip()}
        assert {s["session_id"] for s in json.loads((out / "dev/hyp.seglst.json").read_text())} == spoken
    decode_again(argv, out / "dev", capsys)
    argv = ["--run", str(stage2), "--checkpoint", average, "--mode", "sop", "--out", str(tmp_path / "wrong")]
    with pytest.raises(UserError, match="trained for ctc"):
        decode.main([*argv, str(data / "dev")])


def decode_again(argv, out, capsys):
    """The same command does nothing; another option or checkpoint decodes anew, and drops what an earlier one left."""
    from espnet2_sop.bin import decode

    written = (out / "text").stat().st_mtime_ns
    capsys.readouterr()
    decode.main(argv)
    assert (out / "text").stat().st_mtime_ns == written
    assert capsys.readouterr().out == f"{out}: decoded already\n"
    row = {"id": read_first_id(out), "text": "of an earlier run", "prompt": "", "onsets": [], "words": []}
    (out / ".partial.jsonl").write_text(json.dumps(row | {"seconds": 0.1, "audio": 1.0}) + "\n")
    decode.main([*argv, "--beam", "2"])
    assert capsys.readouterr().out.startswith(f"{out}: is decoded anew: options.beam was 1, is 2\n")
    assert "of an earlier run" not in (out / "text").read_text()
    assert (out / "text").stat().st_mtime_ns > written
    other = Path(argv[1]) / "other.pth"
    torch.save({k: v + 0.1 for k, v in torch.load(Path(argv[1]) / argv[3], weights_only=True).items()}, other)
    decode.main([*argv[:3], other.name, *argv[4:], "--beam", "2"])
    assert f"{out}: is decoded anew: files.checkpoint was " in capsys.readouterr().out
    of_prompt = [out / name for name in ("prompt", "onsets", "prompt.ctm")]
    for path in of_prompt:
        path.write_text("of an earlier run\n")
    decode.main([*argv, "--sop_source", "none"])
    assert not any(path.exists() for path in of_prompt)


def read_first_id(out):
    return next(iter(read_kaldi(out / "text")))


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
    options = ["--include_pretrained", "--out", str(tmp_path / "packed")]
    pack.main(["--run", str(stage1), "--checkpoint", average, *options])
    assert (tmp_path / "packed.zip").is_file()
    for run, checkpoint in ((stage1, average), (tmp_path / "packed", "model.safetensors")):
        out = str(tmp_path / f"decode_{run.name}")
        decode.main(["--run", str(run), "--checkpoint", checkpoint, "--mode", "sot", "--out", out, str(data / "dev")])
    assert (tmp_path / "decode_packed/dev/text").read_text() == (tmp_path / "decode_stage1/dev/text").read_text()


def test_a_packed_model_is_trained_on(stage1, train, tmp_path):
    """It was trained for another stage and starts this one as the checkpoint itself would."""
    from espnet2_sop.bin import pack, unpack

    average = "valid.loss.ave.pth"
    pack.main(["--run", str(stage1), "--checkpoint", average, "--out", str(tmp_path / "packed")])
    unpack.main([str(tmp_path / "packed.zip"), "--out", str(tmp_path / "start")])
    for name, start in (("one", stage1 / average), ("two", tmp_path / "start/model.pth")):
        train(tmp_path / name, "ctc", ["separator", "ctc"], "--max_epoch", "1", "--init_param", str(start))
    one, two = (torch.load(tmp_path / name / "1epoch.pth", weights_only=True) for name in ("one", "two"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_checkpoint_of_another_model_is_refused(stage1, train, tmp_path):
    """ESPnet itself would take it without a word."""
    state = torch.load(stage1 / "2epoch.pth", weights_only=True)
    torch.save({f"other.{k}": v for k, v in state.items()}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="checkpoint of another model"):
        train(tmp_path / "run", "ctc", ["ctc"], "--max_epoch", "1", "--init_param", str(tmp_path / "other.pth"))


def test_trainings_take_denormal_numbers_for_zero():
    """With them updates of serialized CTC took three times as long."""
    from espnet2_sop.training.mixture_task import MixtureTask

    found = []

    class Worker:
        @classmethod
        def main_worker(cls, args):
            found.append(bool(torch.tensor(1e-39) * 0.5))

    class Task(MixtureTask, Worker):
        pass

    for kind in (Worker, Task, Worker):
        kind.main_worker(None)
    assert found == [True, False, True], "and the caller has his own numbers back"


def test_single_talkers_need_batches_of_mixtures():
    from espnet2_sop.training.task import SOPTask

    options = argparse.Namespace(data_path_and_name_and_type=[("dump/train/mixtures.jsonl", "speech", "mixture")])
    options.batch_type = "sorted"
    with pytest.raises(UserError, match="--single_talker_epochs: needs .* batch_type numel"):
        SOPTask.build_sequence_iter_factory(
            argparse.Namespace(single_talker_epochs=1, bad_audio="strict"), options, "train"
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--optim_conf", "no_such=1"], "optim_conf: adamw refuses it .*no_such"),
        (["--optim_conf", "lr=-1.0"], "optim_conf: adamw refuses it .*learning rate"),
        (["--scheduler", "warmuplr", "--scheduler_conf", "no_such=1"], "scheduler_conf: warmuplr refuses it .*no_such"),
        (["--scheduler", "onecyclelr", "--scheduler_conf", "total_steps=0"], "scheduler_conf: onecyclelr refuses it"),
        (["--scheduler", "onecyclelr", "--scheduler_conf", "max_lr=0.1"], "num_iters_per_epoch is missing: the length"),
        (["--scheduler", "warmuplr", "--warmup", "0.1"], "warmup: only scheduler onecyclelr has it, not warmuplr"),
    ],
)
def test_optimizer_and_scheduler_refuse_in_one_line(train, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(tmp_path / "run", "sot", STAGE1, *options)

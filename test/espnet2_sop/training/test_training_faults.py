"""Real trainings of tiny models that meet corrupt audio, killed readers, bad gradients, full disks and each other."""

import argparse
import json
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.locks import locked
from espnet2_sop.mixture.loader import MixtureStore
from espnet2_sop.model.sop_model import SOPModel

STAGE = ("sot", ["downsampler", "projector", "sot"])


@pytest.fixture(scope="module")
def straight(train, tmp_path_factory):
    """Two epochs that meet nothing."""
    return train(tmp_path_factory.mktemp("exp") / "run", *STAGE, "--max_epoch", "2")


@pytest.fixture
def corrupt(train, tmp_path):
    """A simulation one of whose utterances is cut off."""
    folder = shutil.copytree(train.data / "train", tmp_path / "train")
    rows = [json.loads(line) for line in (folder / "sources.jsonl").read_text().splitlines()]
    cut = tmp_path / "cut.flac"
    cut.write_bytes(Path(rows[0]["path"]).read_bytes()[:2000])
    rows[0]["path"] = str(cut)
    (folder / "sources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "simulation.yaml"


def weights(run, name="2epoch.pth"):
    return torch.load(run / name, weights_only=True)


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("workers", ["0", "1"])
def test_corrupt_audio_ends_a_strict_training_in_one_line(train, corrupt, tmp_path, workers):
    """With processes that read, torch would give a traceback."""
    with pytest.raises(UserError) as ended:
        train(tmp_path / "run", *STAGE, "--max_epoch", "9", "--num_workers", workers, train_data=corrupt)
    told = str(ended.value)
    assert told.startswith("mixture sim-0") and "cut.flac: the audio file is c" in told and "\n" not in told


@pytest.mark.slow
def test_corrupt_audio_is_skipped_and_a_resumed_run_skips_the_same(train, corrupt, tmp_path):
    options = ["--bad_audio", "skip", "--bad_audio_limit", "0.9", "--max_epoch"]
    whole = train(tmp_path / "whole", *STAGE, *options, "3", train_data=corrupt)
    train(tmp_path / "run", *STAGE, *options, "1", train_data=corrupt)
    run = train(tmp_path / "run", *STAGE, *options, "3", "--num_workers", "1", train_data=corrupt)
    assert same(weights(whole, "3epoch.pth"), weights(run, "3epoch.pth"))
    assert (run / "bad_audio.tsv").read_text() == (whole / "bad_audio.tsv").read_text()
    assert "cut.flac" in (run / "bad_audio.tsv").read_text()
    with pytest.raises(UserError, match="more than bad_audio_limit 0;"):
        train(tmp_path / "none", *STAGE, *options[:2], "--bad_audio_limit", "0", "--max_epoch", "9", train_data=corrupt)


def test_a_killed_reader_is_one_line_and_the_command_goes_on(straight, train, tmp_path, monkeypatch):
    """As the kernel kills one for want of memory, in the second epoch."""
    read = MixtureStore.waveform

    def killed(store, name):
        if torch.utils.data.get_worker_info() and store.drawn[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(store, name)

    options = ["--max_epoch", "2", "--num_workers", "1"]
    with monkeypatch.context() as patch, pytest.raises(UserError) as ended:
        patch.setattr(MixtureStore, "waveform", killed)
        train(tmp_path / "run", *STAGE, *options)
    told = str(ended.value)
    assert told.startswith("a process that reads data was killed") and "\n" not in told
    assert "lower num_workers (now 1) or batch_bins (now 60000)" in told
    assert same(weights(straight), weights(train(tmp_path / "run", *STAGE, *options)))


def spoil(monkeypatch, when):
    """Losses are nan for the calls in training that `when` names."""
    forward, calls = SOPModel.forward, iter(range(10**6))

    def spoilt(self, *args, **kwargs):
        loss, stats, weight = forward(self, *args, **kwargs)
        bad = self.training and when(next(calls))
        return (loss * float("nan") if bad else loss), stats, weight

    monkeypatch.setattr(SOPModel, "forward", spoilt)


def test_an_update_without_a_finite_loss_is_left_out(train, tmp_path, monkeypatch, caplog):
    spoil(monkeypatch, lambda number: number == 1)
    run = train(tmp_path / "run", *STAGE, "--max_epoch", "1")
    assert all(torch.isfinite(value).all() for value in weights(run, "1epoch.pth").values())
    assert "update 2 of the epoch is left out: a loss of nan; mixtures: sim-0" in caplog.text


def test_too_many_of_them_end_the_training_before_a_checkpoint_is_written(straight, train, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(run, *STAGE, "--max_epoch", "1")
    with monkeypatch.context() as patch:
        spoil(patch, lambda number: number >= 1)
        with pytest.raises(UserError, match=r"^2 updates in a row were left out \(nonfinite_limit\).*mixtures sim-0"):
            train(run, *STAGE, "--max_epoch", "2", "--nonfinite_limit", "2")
    assert same(weights(straight), weights(train(run, *STAGE, "--max_epoch", "2")))


def test_a_second_training_in_the_folder_is_refused(train, tmp_path):
    with locked(tmp_path / "run", "training", ""):
        with pytest.raises(UserError, match=rf"run: training of process {os.getpid()} on .* give another --output_dir"):
            train(tmp_path / "run", *STAGE, "--max_epoch", "1")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_ranks_of_one_training_do_not_lock_each_other_out():
    from espnet2_sop.bin import train

    def options(**values):
        given = {"multiprocessing_distributed": False, "dist_rank": None, "dist_launcher": None} | values
        return argparse.Namespace(**given)

    assert train.leads(options()) and train.leads(options(dist_rank=0)) and not train.leads(options(dist_rank=1))
    assert not train.leads(options(dist_rank=1, multiprocessing_distributed=True))


def test_a_full_disk_is_one_line_and_the_command_goes_on(straight, train, tmp_path):
    """The checkpoint of the first epoch fits, that of the second does not."""
    run = tmp_path / "run"
    train(run, *STAGE, "--max_epoch", "1")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match=rf"^{run}/checkpoint.pth: cannot be written \("):
            train(run, *STAGE, "--max_epoch", "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(run.glob(".*.part"))
    assert same(weights(straight), weights(train(run, *STAGE, "--max_epoch", "2")))


def test_what_a_kill_after_the_checkpoint_has_left_undone_is_done(straight, train, tmp_path):
    """Links of the last epoch are missing or old, and weights that should have been removed are there."""
    run = train(tmp_path / "run", *STAGE, "--max_epoch", "2")
    (run / "latest.pth").unlink()
    (run / "valid.loss.best.pth").unlink()
    (run / "valid.loss.ave.pth").unlink()
    (run / "latest.pth").symlink_to("1epoch.pth")
    train(run, *STAGE, "--max_epoch", "2")
    for path in straight.iterdir():
        if path.is_symlink():
            assert os.readlink(run / path.name) == os.readlink(path), path.name
    assert {path.name for path in run.iterdir()} == {path.name for path in straight.iterdir()}


def test_decoding_is_strict_or_leaves_the_mixture_without_hypothesis(model, train, tmp_path, capsys):
    from espnet2_sop.decoding.decoder import Decoder, decode_set
    from espnet2_sop.io.files import read_kaldi

    data = shutil.copytree(train.data / "dev", tmp_path / "dev")
    rows = [json.loads(line) for line in (data / "mixtures.jsonl").read_text().splitlines()]
    rows[0]["sources"][0]["path"] = str(tmp_path / "none.ogg")
    (data / "mixtures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    decoder = Decoder(model, "ctc")
    with pytest.raises(UserError, match=rf"^mixture {rows[0]['id']}: .*none.ogg: no such audio file"):
        decode_set(decoder, data, tmp_path / "strict", 60, 4)
    assert not (tmp_path / "strict/text").exists()
    decode_set(decoder, data, tmp_path / "skip", 60, 4, skip_bad_audio=True)
    assert set(read_kaldi(tmp_path / "skip/text")) == {row["id"] for row in rows[1:]}
    assert (
        (tmp_path / "skip/bad_audio.tsv").read_text().startswith(f"{rows[0]['id']}\t{tmp_path / 'none.ogg'}: no such")
    )
    assert "1 mixtures have no hypothesis" in capsys.readouterr().err

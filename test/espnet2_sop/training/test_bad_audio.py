"""If these fail, one corrupt file ends a week of training, or a talker disappears from the audio but not the text."""

import dataclasses
from pathlib import Path

import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.corpora.librimix import read_librimix
from espnet2_sop.mixture.loader import MixtureStore
from espnet2_sop.mixture.manifest import read_manifest, write_manifest
from espnet2_sop.training.bad_audio import DropBadAudio, ReadableBatches, ReadableEpochs


class Waves(torch.utils.data.Dataset):
    """Waveforms of a store by id."""

    def __init__(self, store):
        self.store = store

    def __getitem__(self, name):
        return name, self.store.waveform(name)


def collate(rows):
    return [name for name, _ in rows], {name: torch.from_numpy(wave) for name, wave in rows}


@pytest.fixture
def manifest(corpus, tmp_path):
    """Four mixtures of two; the second talker of the first, and the only source that it is, is cut off."""
    mixtures = read_librimix([corpus.csv[2]], corpus.speech, corpus.noise, "clean")
    whole = mixtures[0].sources[1].path
    cut = tmp_path / "cut.ogg"
    cut.write_bytes(Path(whole).read_bytes()[:200])
    sources = (mixtures[0].sources[0], dataclasses.replace(mixtures[0].sources[1], path=str(cut)))
    write_manifest(tmp_path / "mixtures.jsonl", [dataclasses.replace(mixtures[0], sources=sources), *mixtures[1:]])
    return tmp_path / "mixtures.jsonl"


@pytest.fixture
def loader(manifest):
    """Builds a loader of two batches: loader(number of workers, first batch)."""

    def build(workers=0, first=slice(0, 3)):
        store = MixtureStore(manifest)
        names = list(store.mixtures)
        batches = [names[first], names[3:]]
        return torch.utils.data.DataLoader(
            Waves(store), batch_sampler=batches, num_workers=workers, collate_fn=DropBadAudio(collate, store)
        )

    return build


def test_strict_names_mixture_and_file(manifest):
    store = MixtureStore(manifest)
    with pytest.raises(UserError, match=r"^mixture \S+: .*cut.ogg: ") as error:
        store.waveform(next(iter(store.mixtures)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_mixture_is_left_out_and_the_others_stay(manifest, loader, workers, tmp_path):
    """Twice, as in two epochs: what is in memory must not turn it into silence."""
    first = read_manifest(manifest)[0].id
    good, log = MixtureStore(manifest), tmp_path / "run.tsv"
    made = loader(workers)
    for epoch in (1, 2):
        read = list(ReadableBatches(made, ("train", epoch), log, 0.25))
        assert [ids for ids, _ in read] == [list(good.mixtures)[1:3], list(good.mixtures)[3:]]
        for ids, waves in read:
            assert all(torch.equal(waves[name], torch.from_numpy(good.waveform(name))) for name in ids)
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    assert lines[0] == ["set", "epoch", "mixture", "reason"]
    assert [line[:3] for line in lines[1:]] == [["train", "1", first], ["train", "2", first]]
    assert all("cut.ogg: " in line[3] for line in lines[1:])


def test_a_batch_of_bad_ones_alone_is_passed_over(loader, tmp_path):
    read = list(ReadableBatches(loader(first=slice(0, 1)), ("train", 1), tmp_path / "run.tsv", 0.5))
    assert [len(ids) for ids, _ in read] == [1]


def test_too_many_end_it_in_one_line(loader, tmp_path):
    with pytest.raises(UserError) as ended:
        list(ReadableBatches(loader(), ("train", 3), tmp_path / "run.tsv", 0.2))
    told = str(ended.value)
    assert told.startswith("1 of 4 mixtures (train, epoch 3) have audio that cannot be read, more than bad_audio_limit")
    assert "cut.ogg" in told and f"all are in {tmp_path / 'run.tsv'}" in told and "\n" not in told


def test_an_epoch_that_is_done_again_is_listed_once(loader, tmp_path):
    """After an interruption; a line that it has cut off stays apart."""
    log = tmp_path / "run.tsv"
    for _ in range(2):
        list(ReadableBatches(loader(), ("train", 1), log, 0.5))
    assert len(log.read_text().splitlines()) == 2
    log.write_text(log.read_text()[:-5])
    list(ReadableBatches(loader(), ("train", 1), log, 0.5))
    assert len(log.read_text().splitlines()) == 3


def test_new_mixtures_forget_the_old_ones(manifest):
    """Ids come again in every epoch of a simulation, with other files."""
    store = MixtureStore(manifest)
    store.skip_bad_audio = True
    name = next(iter(store.mixtures))
    assert not store.waveform(name).any() and name in store.bad
    store._take(list(store.mixtures.values()))
    assert not store.bad


def test_a_factory_titles_its_epochs(loader, tmp_path):
    class Factory:
        def build_iter(self, epoch, shuffle):
            return loader()

    made = ReadableEpochs(Factory(), "valid", tmp_path / "run.tsv", 0.5).build_iter(4)
    assert len(made) == 2 and len(list(made)) == 2
    assert (tmp_path / "run.tsv").read_text().splitlines()[1].startswith("valid\t4\t")

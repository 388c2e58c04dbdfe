"""If these fail, ESPnet's dataset gets other mixtures for its speech than for its text, or stale ones."""

import pickle

import numpy as np
import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.corpora.librimix import read_librimix
from espnet2_sop.mixture.loader import MixtureStore, MixtureTexts, MixtureWaveforms, open_store, register
from espnet2_sop.mixture.manifest import write_manifest
from espnet2_sop.mixture.render import render
from espnet2_sop.mixture.simulation.pool import build_noise_pool, build_pool, write_pool


@pytest.fixture
def simulation(corpus, write_rule, tmp_path):
    write_pool(tmp_path / "sources.jsonl", build_pool(corpus.speech, "train-mini"))
    write_pool(tmp_path / "noises.jsonl", build_noise_pool(corpus.noise / "tr"))
    return write_rule(tmp_path / "simulation.yaml", mixtures_per_epoch=12, talkers={1: 0.5, 2: 0.5})


@pytest.fixture
def manifest(corpus, tmp_path):
    write_manifest(tmp_path / "mixtures.jsonl", read_librimix([corpus.csv[2]], corpus.speech, corpus.noise, "noisy"))
    return tmp_path / "mixtures.jsonl"


def test_loaders_of_a_manifest(manifest):
    store, waves, texts = MixtureStore(manifest), MixtureWaveforms(str(manifest)), MixtureTexts(str(manifest))
    assert list(waves) == list(texts) == list(store.lengths())
    assert len(waves) == len(texts) == 4
    for name, mixture in store.mixtures.items():
        np.testing.assert_array_equal(waves[name], render(mixture, AudioReader()))
        assert waves[name].shape == (store.lengths()[name],)
        assert texts[name] == mixture.text
    store.set_epoch(7)
    assert store.mixtures == MixtureStore(manifest).mixtures


def test_loaders_of_a_simulation_change_together(simulation):
    waves, texts = MixtureWaveforms(str(simulation)), MixtureTexts(simulation)
    assert waves.store is texts.store is open_store(simulation)
    ids, first = list(waves), dict(texts.items())
    waves.store.set_epoch(2)
    assert list(texts) == ids
    assert dict(texts.items()) != first
    for name, length in waves.store.lengths().items():
        assert waves[name].shape == (length,)
        assert texts[name] == waves.store.mixtures[name].text


def test_epochs_can_be_visited_in_any_order(simulation):
    straight, resumed = MixtureStore(simulation), MixtureStore(simulation)
    for epoch in (1, 2, 3):
        straight.set_epoch(epoch)
    resumed.set_epoch(3)
    assert straight.mixtures == resumed.mixtures
    straight.set_epoch(1)
    assert straight.mixtures == MixtureStore(simulation).mixtures


def test_single_talkers_first_then_the_rule(simulation):
    """What a resumed run draws may not depend on whether it saw the epochs of single talkers."""
    straight, resumed = MixtureStore(simulation), MixtureStore(simulation)
    plain = dict(straight.mixtures)
    straight.set_epoch(1, single_talkers=True)
    assert {m.num_talkers for m in straight.mixtures.values()} == {1}
    assert straight.mixtures.keys() == plain.keys()
    straight.set_epoch(1)
    assert straight.mixtures == plain
    straight.set_epoch(2)
    resumed.set_epoch(2)
    assert straight.mixtures == resumed.mixtures


def test_loaders_survive_pickling_as_workers_need(simulation):
    waves, texts = MixtureWaveforms(simulation), MixtureTexts(simulation)
    waves.store.set_epoch(5)
    waves_copy, texts_copy = pickle.loads(pickle.dumps((waves, texts)))
    assert waves_copy.store is texts_copy.store
    assert dict(texts_copy.items()) == dict(texts.items())
    name = next(iter(waves))
    np.testing.assert_array_equal(waves_copy[name], waves[name])


def test_unknown_ids_are_key_errors(manifest):
    assert "none" not in MixtureTexts(manifest)
    with pytest.raises(KeyError):
        MixtureWaveforms(manifest)["none"]


def test_other_files_and_missing_pools_are_refused(simulation, tmp_path):
    with pytest.raises(UserError, match="expected a mixture manifest"):
        MixtureStore(tmp_path / "wav.scp")
    (tmp_path / "sources.jsonl").unlink()
    with pytest.raises(UserError, match="sources.jsonl: no such file"):
        MixtureStore(simulation)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="no mixtures"):
        MixtureStore(tmp_path / "empty.jsonl")


def test_espnet_finds_both_types(simulation):
    from espnet2.train.dataset import ESPnetDataset

    register()
    kinds = [(str(simulation), "speech", "mixture"), (str(simulation), "text", "mixture_text")]
    dataset = ESPnetDataset(kinds, preprocess=lambda uid, data: data | {"text": np.array([len(data["text"])])})
    assert isinstance(dataset.loader_dict["speech"], MixtureWaveforms)
    assert isinstance(dataset.loader_dict["text"], MixtureTexts)
    name, data = dataset["sim-00003"]
    store = open_store(simulation)
    assert data["speech"].shape == (store.lengths()[name],)
    assert data["text"].tolist() == [len(store.mixtures[name].text)]

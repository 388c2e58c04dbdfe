"""If these fail, training misses mixtures, overfills memory, or differs after a resume or between processes."""

import dataclasses

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.loader import MixtureStore
from espnet2_sop.mixture.manifest import write_manifest
from espnet2_sop.mixture.simulation.rule import Simulation
from espnet2_sop.training.iterator import MixtureIterFactory, length_batches, shard

ids = st.dictionaries(st.text("abcdef", min_size=1, max_size=6), st.integers(1, 100), max_size=60)


class Names(torch.utils.data.Dataset):
    """Gives the id alone: no audio is read."""

    def __getitem__(self, name):
        return name, torch.zeros(1)


@pytest.fixture
def factory(config, pool, noises, tmp_path):
    """Factories over stores of one simulation, each a store of its own: factory(**options)."""
    rule = tmp_path / "simulation.yaml"
    rule.write_text(yaml.safe_dump(dataclasses.asdict(config)))
    Simulation(config, pool, noises, []).write(rule, tmp_path)

    def make(**options):
        return MixtureIterFactory(Names(), MixtureStore(rule), batch_bins=400_000, max_batch_size=8, seed=4, **options)

    return make


@given(lengths=ids, bins=st.integers(1, 500), most=st.none() | st.integers(1, 7), seed=st.integers(0, 99))
def test_every_id_is_in_one_batch_and_batches_fit(lengths, bins, most, seed):
    texts = {name: len(name) for name in lengths}
    batches = length_batches(lengths, texts, bins, most, np.random.default_rng(seed))
    assert sorted(name for batch in batches for name in batch) == sorted(lengths)
    for batch in batches:
        assert 1 <= len(batch) <= (most or len(lengths))
        assert len(batch) == 1 or max(lengths[name] for name in batch) * len(batch) <= bins
    assert batches == length_batches(lengths, texts, bins, most, np.random.default_rng(seed))


def padding(batches, lengths):
    """Size of the padded batches over what is in them."""
    return sum(max(lengths[name] for name in batch) * len(batch) for batch in batches) / sum(lengths.values())


def test_batches_hold_similar_audio_and_similar_text_and_change():
    """By audio alone, a third of what the LLM reads would be padding: three talkers say more in the same time."""
    rng = np.random.default_rng(0)
    lengths = {f"m{i}": int(n) for i, n in enumerate(rng.integers(30_000, 300_000, 2000))}
    texts = {name: int(n / 1000 * rng.integers(1, 4)) for name, n in lengths.items()}
    first, second = (length_batches(lengths, texts, 2_000_000, None, np.random.default_rng(seed)) for seed in (1, 2))
    assert padding(first, lengths) < 1.1
    assert padding(first, texts) < 1.25
    nothing_said = length_batches(lengths, dict.fromkeys(lengths, 0), 2_000_000, None, np.random.default_rng(1))
    assert padding(nothing_said, texts) > 1.4
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def test_resume_gives_the_batches_of_an_uninterrupted_run(factory):
    straight, resumed = factory(), factory()
    runs = [[names for names, _ in straight.build_iter(epoch)] for epoch in (1, 2, 3)]
    assert runs[2] == [names for names, _ in resumed.build_iter(3)]
    assert straight.store.mixtures == resumed.store.mixtures
    assert runs[1] != runs[2]


def test_single_talkers_come_in_the_first_epochs_only(factory):
    drawn = factory(single_talker_epochs=2)
    most = []
    for epoch in (1, 2, 3, 1):
        drawn.batches(epoch)
        most.append(max(mixture.num_talkers for mixture in drawn.store.mixtures.values()))
    assert most == [1, 1, 3, 1]


@pytest.mark.parametrize("talkers", [{1, 2, 3}, {2, 3}])
def test_single_talkers_of_a_fixed_set(factory, tmp_path, talkers):
    """The store keeps all mixtures: validation may read the same set."""
    mixtures = [m for m in factory().store.mixtures.values() if m.num_talkers in talkers]
    write_manifest(tmp_path / "mixtures.jsonl", mixtures)
    store = MixtureStore(tmp_path / "mixtures.jsonl")
    fixed = MixtureIterFactory(Names(), store, batch_bins=400_000, single_talker_epochs=2)
    alone = sorted(m.id for m in mixtures if m.num_talkers == 1)
    for epoch, expected in ((1, alone), (2, alone), (3, sorted(m.id for m in mixtures))):
        if not expected:
            with pytest.raises(UserError, match="--single_talker_epochs: no mixture .* has a single talker"):
                fixed.batches(epoch)
            continue
        assert sorted(name for batch in fixed.batches(epoch) for name in batch) == expected
        assert list(store.mixtures.values()) == mixtures


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_every_batch(factory, world_size):
    whole = factory().batches(1)
    parts = [factory(rank=rank, world_size=world_size).batches(1) for rank in range(world_size)]
    for number, batch in enumerate(whole):
        shares = [part[number] for part in parts]
        assert set().union(*shares) == set(batch)
        assert all(shares)  # no process waits for another
        if len(batch) >= world_size:
            assert sorted(name for share in shares for name in share) == sorted(batch)


@given(batch=st.lists(st.integers(), min_size=1, max_size=9), world_size=st.integers(1, 5))
def test_no_process_is_without_work(batch, world_size):
    shares = [shard(batch, rank, world_size) for rank in range(world_size)]
    assert all(shares)
    assert {name for share in shares for name in share} == set(batch)


def test_number_of_iterations_and_order(factory):
    assert len(factory(num_iters_per_epoch=3).build_iter(1)) == 3
    one_round = len(factory().batches(1))
    more = factory(num_iters_per_epoch=2 * one_round + 1).batches(1)  # a learning rate counts on so many updates
    assert len(more) == 2 * one_round + 1 and more[:one_round] == factory().batches(1)
    ordered = factory().batches(1, shuffle=False)
    assert factory().batches(1) != ordered
    assert sorted(map(sorted, factory().batches(1))) == sorted(map(sorted, ordered))
    assert list(factory().build_iter(1, shuffle=False).batch_sampler) == ordered


def test_collate_function_and_workers(factory):
    loader = factory(collate_fn=lambda rows: [name for name, _ in rows], num_workers=1).build_iter(2)
    assert list(loader) == factory().batches(2)

"""If these fail, training mixtures cannot be drawn again, or do not follow their rule."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.simulation.pool import NoiseFile
from espnet2_sop.mixture.simulation.rule import draw, draw_fixed, read_config

RULE = {
    "seed": 1,
    "mixtures_per_epoch": 60,
    "talkers": {1: 0.2, 2: 0.4, 3: 0.4},
    "onsets": [[0.75, 1.25], [1.6, 2.1]],
    "level_db": [-33, -25],
    "noise_prob": 0.5,
    "noise_level_db": [-38, -30],
    "speed": [0.87, 1.15],
    "max_duration": 8,
}


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), epoch=st.integers(1, 1000))
def test_seed_and_epoch_decide_everything(config, pool, noises, seed, epoch):
    config = dataclasses.replace(config, seed=seed, mixtures_per_epoch=10)
    first = draw(config, pool, noises, epoch)
    assert draw(config, list(pool), list(noises), epoch) == first
    others = (
        draw(config, pool, noises, epoch + 1),
        draw(dataclasses.replace(config, seed=seed + 1), pool, noises, epoch),
    )
    for other in others:
        assert [m.id for m in other] == [m.id for m in first]
        assert [m.sources for m in other] != [m.sources for m in first]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_mixtures_follow_the_rule(config, pool, noises, seed):
    levels, files = {u.path: u.level_db for u in pool}, {n.path: n for n in noises}
    for mixture in draw(dataclasses.replace(config, seed=seed), pool, noises, 1):
        assert 1 <= mixture.num_talkers <= 3
        assert mixture.duration <= 8
        assert len({source.speaker for source in mixture.sources}) == mixture.num_talkers
        assert mixture.sources[0].onset == 0
        for source, (low, high) in zip(mixture.sources[1:], config.onsets, strict=False):
            assert low <= source.onset <= high
        for source in mixture.sources:
            assert -33.01 <= levels[source.path] + 20 * np.log10(source.gain) <= -24.99
            assert 0.87 <= source.speed <= 1.15
        if mixture.noise:
            file = files[mixture.noise.path]
            assert 0 <= mixture.noise.offset < file.num_samples
            assert (
                file.num_samples < mixture.num_samples or mixture.noise.offset <= file.num_samples - mixture.num_samples
            )
            assert -38.01 <= file.level_db + 20 * np.log10(mixture.noise.gain) <= -29.99


def test_shares_are_those_of_the_rule(config, pool, noises):
    mixtures = draw(dataclasses.replace(config, mixtures_per_epoch=3000), pool, noises, 1)
    counts = Counter(mixture.num_talkers for mixture in mixtures)
    for number, share in config.talkers.items():
        assert counts[number] / 3000 == pytest.approx(share, abs=0.04)
    assert np.mean([mixture.noise is not None for mixture in mixtures]) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_all_utterances_are_used_about_equally(config, pool, noises, epoch):
    used = Counter(s.path for m in draw(config, pool, noises, epoch) for s in m.sources)
    assert set(used) == {utterance.path for utterance in pool}
    assert max(used.values()) - min(used.values()) <= 2


def test_partners_change_from_epoch_to_epoch(config, pool, noises):
    partners = [
        {frozenset(s.path for s in m.sources) for m in draw(config, pool, noises, epoch) if m.num_talkers > 1}
        for epoch in (1, 2)
    ]
    assert len(partners[0] & partners[1]) < 5


def test_utterances_too_long_for_a_slot_wait_for_another(config, pool, noises):
    config = dataclasses.replace(config, max_duration=2.3, onsets=((0.75, 1.25), (0.8, 1.3)), speed=(1.0, 1.0))
    mixtures = draw(config, pool, noises, 1)
    assert max(mixture.duration for mixture in mixtures) <= 2.3
    assert {s.num_samples for m in mixtures for s in m.sources} == {u.num_samples for u in pool}


def test_what_cannot_be_drawn_is_told(config, pool, noises):
    with pytest.raises(UserError, match="3 talkers need as many different speakers"):
        draw(config, pool[:20], noises, 1)
    with pytest.raises(UserError, match="there are no noises"):
        draw(config, pool, [], 1)
    assert draw(dataclasses.replace(config, noise_prob=0.0), pool, [], 1)
    with pytest.raises(UserError, match="max_duration"):
        draw(dataclasses.replace(config, max_duration=0.5), pool, noises, 1)


def test_config_is_read(config, tmp_path):
    path = tmp_path / "simulation.yaml"
    path.write_text(yaml.safe_dump(RULE))
    assert read_config(path) == config
    path.write_text(yaml.safe_dump(RULE | {"pool": "other.jsonl"}))
    assert read_config(path).pool == "other.jsonl"


@pytest.mark.parametrize("key", RULE)
def test_missing_keys_are_named(tmp_path, key):
    path = tmp_path / "simulation.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in RULE.items() if k != key}))
    with pytest.raises(UserError, match=f"simulation.yaml: the key '{key}' is missing"):
        read_config(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tempo", [1, 1]),
        ("seed", -1),
        ("seed", True),
        ("mixtures_per_epoch", 0),
        ("mixtures_per_epoch", 1.5),
        ("talkers", {1: 0.5, 2: 0.4}),
        ("talkers", {"one": 1.0}),
        ("talkers", {}),
        ("talkers", {1: -0.5, 2: 1.5}),
        ("onsets", [[0.75, 1.25]]),
        ("onsets", [[1.25, 0.75], [1.6, 2.1]]),
        ("onsets", 1.0),
        ("onsets", [[-1, 0], [1, 2]]),
        ("level_db", -30),
        ("level_db", ["low", "high"]),
        ("noise_prob", 1.5),
        ("noise_prob", "often"),
        ("speed", [0, 1]),
        ("max_duration", 0),
        ("max_duration", float("nan")),
        ("pool", 3),
    ],
)
def test_values_that_cannot_be_are_named(tmp_path, key, value):
    path = tmp_path / "simulation.yaml"
    path.write_text(yaml.safe_dump(RULE | {key: value}))
    with pytest.raises(UserError, match=f"simulation.yaml: .*'{key}'"):
        read_config(path)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "seed: 1\n b: 2"])
def test_what_is_no_rule_is_refused(tmp_path, text):
    path = tmp_path / "simulation.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="simulation.yaml"):
        read_config(path)


def test_talkers_are_in_order_of_onset_whatever_the_ranges(config, pool):
    rule = dataclasses.replace(config, talkers={3: 1.0}, onsets=((1.0, 3.0), (0.2, 1.5)), noise_prob=0.0)
    onsets = [[source.onset for source in mixture.sources] for mixture in draw(rule, pool, [], 1)]
    assert all(values == sorted(values) for values in onsets)
    assert {values.index(max(values)) for values in onsets} == {2} and len({tuple(v) for v in onsets}) > 50


@pytest.mark.parametrize(("speed", "limit"), [(0.5, 2.5), (2.0, 0.7)])
def test_length_is_that_after_the_change_of_speed(config, pool, speed, limit):
    """Utterances of 1 to 1.9 s: at half speed only those up to 1.25 s fit, at double speed those up to 1.4 s."""
    rule = dataclasses.replace(config, talkers={1: 1.0}, speed=(speed, speed), max_duration=limit, noise_prob=0.0)
    drawn = draw(rule, pool, [], 1)
    assert max(mixture.duration for mixture in drawn) <= limit
    assert {m.sources[0].num_samples for m in drawn} == {
        u.num_samples for u in pool if u.num_samples <= 16000 * limit * speed
    }


def test_noise_starts_where_all_of_it_is_heard(config, pool):
    """A noise just as long as the mixture has one place, one that is a sample longer has two."""
    rule = dataclasses.replace(config, talkers={1: 1.0}, speed=(1.0, 1.0), noise_prob=1.0, mixtures_per_epoch=40)
    pool = [utterance for utterance in pool if utterance.num_samples == 16000]
    for spare in (0, 1):
        drawn = draw(rule, pool, [NoiseFile("n.wav", 16000 + spare, -30.0)], 1)
        assert {mixture.noise.offset for mixture in drawn} == set(range(spare + 1))


def test_fixed_sets_are_at_their_own_speed(config, pool, noises):
    drawn = draw_fixed(dataclasses.replace(config, speed=(0.5, 0.9)), pool, noises, 2, 5)
    assert {source.speed for mixture in drawn for source in mixture.sources} == {1.0}
    assert all(mixture.noise for mixture in drawn) and [mixture.num_talkers for mixture in drawn] == [2] * 5


def test_rounded_probabilities_are_good_enough(config, pool):
    """numpy wants the sum to be 1 within 1e-8, a rule within 1e-6."""
    rule = dataclasses.replace(config, talkers={1: 0.3333333, 2: 0.3333333, 3: 0.3333333}, noise_prob=0.0)
    assert {mixture.num_talkers for mixture in draw(rule, pool, [], 1)} == {1, 2, 3}

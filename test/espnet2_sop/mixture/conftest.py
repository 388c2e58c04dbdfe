"""A rule and what it draws from, made up: drawing reads no audio."""

import pytest

from espnet2_sop.mixture.pool import NoiseFile, Utterance
from espnet2_sop.mixture.simulate import SimulationConfig


@pytest.fixture(scope="session")
def config():
    return SimulationConfig(
        seed=1,
        mixtures_per_epoch=60,
        talkers={1: 0.2, 2: 0.4, 3: 0.4},
        onsets=((0.75, 1.25), (1.6, 2.1)),
        level_db=(-33.0, -25.0),
        noise_prob=0.5,
        noise_level_db=(-38.0, -30.0),
        speed=(0.87, 1.15),
        max_duration=8.0,
    )


@pytest.fixture(scope="session")
def pool():
    """Six speakers with ten utterances each, from 1 to 1.9 s."""
    return [
        Utterance(f"{s}-1-{n:04d}", f"{s}-{n}.flac", str(s), "ONE TWO", 16000 + 1600 * n, -20.0 - n)
        for s in range(6)
        for n in range(10)
    ]


@pytest.fixture(scope="session")
def noises():
    return [NoiseFile("long.wav", 300_000, -30.0), NoiseFile("short.wav", 8000, -25.0)]

"""If these fail, synthetic noises cannot be made again, or are too loud or too soft."""

import numpy as np
import pytest

from espnet2_sop.mixture.simulation.noise import KINDS, levelled, synthesize
from espnet2_sop.mixture.simulation.pool import audio_files


def test_noises_of_all_kinds_have_length_and_level(corpus):
    voices = audio_files(corpus.speech / "train-mini")
    made = dict(synthesize([7], 7, 1.5, voices))
    assert list(made) == [*(f"{kind}0" for kind in KINDS), f"{next(iter(KINDS))}1"]
    for name, samples in made.items():
        assert samples.shape == (24000,) and samples.dtype == np.float32
        assert np.abs(samples).max() <= 0.8 + 1e-6
        level = 20 * np.log10(samples.std())
        assert level == pytest.approx(-26, abs=0.1) or (level < -26 and np.abs(samples).max() > 0.79), name
    assert not np.array_equal(made["coloured0"], made["coloured1"]), "each has random numbers of its own"
    again = dict(synthesize([7], 7, 1.5, voices))
    assert all(np.array_equal(made[name], again[name]) for name in made)
    assert not np.array_equal(next(synthesize([8], 1, 1.5, voices))[1], made["coloured0"])


def test_clicks_are_softer_so_that_nothing_is_cut_off():
    clicks = np.zeros(16000)
    clicks[::1000] = 1.0
    samples = levelled(clicks)
    assert np.abs(samples).max() == pytest.approx(0.8) and 20 * np.log10(samples.std()) < -26

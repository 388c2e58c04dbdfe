"""If these fail, words are cut in two or lost, or silence is recognised."""

import numpy as np
import pytest

from espnet2_sop.decoding.segmentation import check_limits, segments
from espnet2_sop.io.errors import UserError

RATE = 16000


def noise(seconds, level_db, seed=0):
    rng = np.random.default_rng(seed)
    return (10 ** (level_db / 20) * rng.standard_normal(int(seconds * RATE))).astype(np.float32)


def parts(wave, max_seconds=30, pause_seconds=0.8):
    found = segments(wave, max_seconds, pause_seconds)
    assert all(0 <= a < b <= len(wave) and b - a <= max_seconds * RATE for a, b in found)
    assert all(first[1] <= second[0] for first, second in zip(found, found[1:], strict=False))
    return [(a / RATE, b / RATE) for a, b in found]


@pytest.mark.parametrize("background", [-120, -60, -40])
def test_long_recordings_are_cut_at_pauses(background):
    """Bursts of speech with pauses of 0.5 s (kept) and 1 s and 3 s (cut), clean and noisy."""
    pieces = [(3, -20), (0.5, -120), (4, -25), (1, -120), (6, -18), (3, -120), (20, -22)]
    wave = np.concatenate([noise(*piece, seed) for seed, piece in enumerate(pieces)])
    wave += noise(len(wave) / RATE, background, 9)[: len(wave)]
    expected = [(0, 7.7), (8.3, 14.7), (17.3, 37.5)]
    assert np.array(parts(wave)) == pytest.approx(np.array(expected), abs=0.05)


def test_speech_without_pauses_is_cut_where_it_is_quietest():
    wave = noise(50, -20)
    wave[24 * RATE : int(24.4 * RATE)] *= 0.2
    found = parts(wave)
    assert len(found) == 2 and 24 < found[0][1] < 24.4 and found[1][1] == 50
    assert found[0][1] == found[1][0], "nothing is lost"
    assert sum(b - a for a, b in parts(noise(200, -30))) == pytest.approx(200)


def test_short_recordings_are_whole_or_silent():
    with_pause = np.concatenate([noise(1, -20), noise(3, -120), noise(1, -20)])
    assert parts(with_pause) == [(0, 5)]
    assert parts(noise(30, -40)) == [(0, 30)]
    click = np.zeros(5 * RATE, np.float32)
    click[RATE : RATE + 800] = 0.5
    for silent in (np.zeros(RATE), noise(20, -90), np.full(RATE, 0.3), click, np.zeros(60 * RATE)):
        assert parts(silent.astype(np.float32)) == []


def test_nothing_loud_is_outside_of_segments():
    rng = np.random.default_rng(3)
    for _ in range(20):
        wave = np.concatenate([noise(rng.uniform(0.2, 9), rng.choice([-120, -60, -30, -20])) for _ in range(12)])
        inside = np.zeros(len(wave), bool)
        for a, b in segments(wave, 10, 0.6):
            inside[a:b] = True
        assert np.abs(wave[~inside]).max(initial=0) < 0.02


def test_limits_must_leave_a_choice():
    with pytest.raises(UserError, match="max_seconds: 0.5 is too short"):
        check_limits(0.5, 0.8)
    with pytest.raises(UserError, match="pause_seconds: 0 is no pause"):
        check_limits(30, 0)
    with pytest.raises(UserError, match="max_seconds: nan"):
        check_limits(float("nan"), 1)
    with pytest.raises(UserError, match="pause_seconds: inf is no number of seconds"):
        check_limits(30, float("inf"))

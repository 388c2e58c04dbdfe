"""If these fail, rooms shift onsets or change levels, or are not drawn as the rule says."""

import dataclasses
import sys

import numpy as np
import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.manifest import Mixture, Source
from espnet2_sop.mixture.render import render
from espnet2_sop.mixture.simulation.room import RoomResponse, build_room_pool, reverberate, simulate_rooms
from espnet2_sop.mixture.simulation.rule import draw, draw_fixed

ROOMS = [RoomResponse(f"r{r}", f"r{r}/{p}.flac") for r in range(3) for p in range(3)] + [
    RoomResponse("few", "few/0.flac")
]


@pytest.fixture(scope="session")
def rule(config):
    return dataclasses.replace(config, mixtures_per_epoch=200, room_prob=0.5)


def test_reverberation_is_a_convolution_from_the_direct_path_on():
    rng = np.random.default_rng(1)
    samples = rng.standard_normal(300).astype(np.float32)
    response = 0.05 * rng.standard_normal(80)
    response[20] = 0.8
    heard = reverberate(samples, response.astype(np.float32))
    slow = np.zeros(300 + 79)
    for index, value in enumerate(samples):
        slow[index : index + 80] += value * response
    slow = slow[20:] * np.sqrt((samples**2).sum() / (slow[20:] ** 2).sum())
    assert heard.dtype == np.float32
    assert heard == pytest.approx(slow, abs=1e-5)
    assert not reverberate(np.zeros(9, np.float32), response.astype(np.float32)).any()


def test_real_room_keeps_onset_and_level(an4):
    """Measured responses, real speech: the talker is heard where the manifest says, about as loud."""
    utterance = an4.utterances["cen8-fcaw-b"]
    dry = Source(utterance.path, "fcaw", "X", 0.5, 1.0, 46400)
    reader = AudioReader()
    for path in sorted(an4.rooms.iterdir()):
        source = dataclasses.replace(dry, room=str(path))
        plain, heard = (render(Mixture("m", (s,)), reader) for s in (dry, source))
        assert len(heard) == len(plain)
        assert not heard[:8000].any()
        lags = np.correlate(heard, plain[200:-200], "valid")
        assert abs(int(lags.argmax()) - 200) <= 32  # 2 ms: early reflections blur the direct path
        assert abs(10 * np.log10((heard**2).sum() / (plain**2).sum())) < 1  # the end of the sound is cut off
        assert Mixture("m", (source,)).audio_paths == [utterance.path, str(path)]


def test_rule_puts_talkers_of_one_mixture_into_one_room_at_different_places(rule, pool, noises):
    parts = [dataclasses.replace(u, offset=u.num_samples) for u in pool]
    mixtures = draw(rule, parts, noises, 1, ROOMS)
    rooms = [[s.room for s in m.sources] for m in mixtures]
    share = np.mean([r[0] is not None for r in rooms])
    assert 0.35 < share < 0.65
    for places in rooms:
        assert len({place and place.split("/")[0] for place in places}) == 1
        assert places[0] is None or len(set(places)) == len(places)
    assert {places[0][:2] for places in rooms if places[0]} == {"r0", "r1", "r2"}  # not the one with too few places
    assert draw(rule, parts, noises, 1, ROOMS) == mixtures
    assert all(s.offset == s.num_samples for m in mixtures for s in m.sources)


def test_rule_without_rooms_draws_what_it_drew_before(rule, pool, noises):
    """Adding responses to a rule that does not use them must not change a corpus."""
    dry = dataclasses.replace(rule, room_prob=0.0)
    assert draw(dry, pool, noises, 3, ROOMS) == draw(dry, pool, noises, 3)
    with pytest.raises(UserError, match="room_prob is above 0 but no room has responses for 3 talkers"):
        draw(rule, pool, noises, 1, ROOMS[:2])


def test_fixed_sets_are_the_same_mixtures_with_and_without_noise(rule, pool, noises):
    noisy = draw_fixed(rule, pool, noises, 2, 30, ROOMS)
    clean = draw_fixed(rule, pool, [], 2, 30, ROOMS)
    assert [m.id for m in noisy] == [f"{n:05d}" for n in range(30)]
    assert all(m.noise is not None for m in noisy)
    assert [dataclasses.replace(m, noise=None) for m in noisy] == clean
    assert {(m.num_talkers, s.speed) for m in noisy for s in m.sources} == {(2, 1.0)}
    assert draw_fixed(rule, pool, noises, 2, 30, ROOMS) == noisy


def test_responses_are_found_and_silent_ones_refused(an4, tmp_path):
    pool = build_room_pool(an4.rooms)
    assert [r.path for r in pool] == [str(an4.rooms / f"rir{n}.wav") for n in (1, 2)]
    assert {r.room for r in pool} == {str(an4.rooms)}
    import soundfile

    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16000)
    with pytest.raises(UserError, match="silent.wav: the room response is silent"):
        build_room_pool(tmp_path)


def test_simulated_rooms_have_their_direct_path_in_front():
    pytest.importorskip("pyroomacoustics")
    rooms = list(simulate_rooms(seed=5, count=2, positions=2))
    again = list(simulate_rooms(seed=5, count=2, positions=2))
    for responses, same in zip(rooms, again, strict=True):
        assert len(responses) == 2
        for response, twin in zip(responses, same, strict=True):
            assert np.array_equal(response, twin)
            assert int(np.abs(response).argmax()) == 32
            assert abs(response[32]) == pytest.approx(0.9)
            energy = np.cumsum(response[::-1].astype(float) ** 2)[::-1]
            assert 10 * np.log10(energy[min(len(response), 16000) - 1] / energy[0]) < -20  # it dies away


def test_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    with pytest.raises(UserError, match=r"need pyroomacoustics: pip install 'espnet2_sop\[rooms\]'"):
        next(simulate_rooms(1, 1, 1))

"""If these fail, mixtures do not sound as their manifest says."""

import math

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.manifest import Mixture, Noise, Recording, Source
from espnet2_sop.mixture.render import change_speed, extend_noise, render, render_talkers

LENGTHS = {"a": 50, "b": 300, "n": 70}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("render"), np.random.default_rng(0)
    for name, length in LENGTHS.items():
        soundfile.write(path / f"{name}.wav", rng.integers(-12000, 12000, length).astype(np.int16), 16000)
    return path


def faded(noise: np.ndarray, length: int) -> np.ndarray:
    """Noise shorter than half a second, repeated with fades over half of it; every sample by itself."""
    fade, out = len(noise) // 2, list(noise)
    while len(out) < length:
        start = len(out) - fade
        for i in range(fade):
            weight = 0.5 - 0.5 * math.cos(math.pi * i / (fade - 1))
            out[start + i] = out[start + i] * (1 - weight) + noise[i] * weight
        out += list(noise[fade:])
    return np.array(out[:length])


def slow_render(mixture: Mixture, audio: dict[str, np.ndarray]) -> np.ndarray:
    """Every sample by itself, in double precision; speed 1 only."""
    ends = [round(s.onset * 16000) + s.num_samples for s in mixture.sources]
    noise = mixture.noise and faded(audio[mixture.noise.path], mixture.noise.offset + max(ends))
    out = []
    for t in range(max(ends) if mixture.mode == "max" else min(ends)):
        value = 0.0
        for s in mixture.sources:
            index = t - round(s.onset * 16000)
            if 0 <= index < s.num_samples:
                value += s.gain * audio[s.path][index]
        if mixture.noise:
            value += mixture.noise.gain * noise[mixture.noise.offset + t]
        out.append(value)
    if mixture.peak == "clip":
        return np.clip(out, -1, 1)
    peak = max(abs(value) for value in out)
    return np.array(out) * (0.9 / peak if peak > 0.9 else 1.0)


@settings(max_examples=60)
@given(data=st.data())
def test_rendering_agrees_with_a_slow_loop(folder, data):
    names = data.draw(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3))
    onsets = sorted(data.draw(st.floats(0, 0.02)) for _ in names)
    rows = tuple(
        Source(str(folder / f"{name}.wav"), name, "X", onset, data.draw(st.floats(0, 3)), LENGTHS[name])
        for name, onset in zip(names, onsets, strict=True)
    )
    noise = Noise(str(folder / "n.wav"), data.draw(st.integers(0, 69)), data.draw(st.floats(0, 1)))
    mixture = Mixture(
        "m",
        rows,
        data.draw(st.sampled_from([None, noise])),
        mode=data.draw(st.sampled_from(["max", "min"])),
        peak=data.draw(st.sampled_from(["scale", "clip"])),
    )
    audio = {str(folder / f"{n}.wav"): soundfile.read(folder / f"{n}.wav")[0] for n in LENGTHS}
    waveform = render(mixture, AudioReader(10**6))
    assert waveform.dtype == np.float32
    assert waveform.shape == (mixture.num_samples,)
    tolerance = 2e-6 if mixture.peak == "scale" else 4e-5  # 1 is clipped to the largest number of 16 bits
    np.testing.assert_allclose(waveform, slow_render(mixture, audio), atol=tolerance)


def test_rendering_does_not_depend_on_the_memory(folder):
    rows = (Source(str(folder / "b.wav"), "1", "X", 0.0, 0.7, 300, 1.1),)
    mixture, reader = Mixture("m", rows, Noise(str(folder / "n.wav"), 3, 0.1)), AudioReader(10**6)
    first = render(mixture, reader)
    np.testing.assert_array_equal(first, render(mixture, reader))
    np.testing.assert_array_equal(first, render(mixture, AudioReader()))


@given(length=st.integers(10, 3000), speed=st.floats(0.5, 2.0))
def test_changed_speed_gives_the_length_of_the_manifest(length, speed):
    source = Source("a", "1", "X", 0.0, 1.0, length, speed)
    assert len(change_speed(np.zeros(length, np.float32), speed)) == source.length == round(length / speed)


def test_speed_moves_pitch_and_keeps_level():
    time = np.arange(16000) / 16000
    played = change_speed(np.sin(2 * np.pi * 400 * time).astype(np.float32), 1.25)
    peak = np.abs(np.fft.rfft(played)).argmax() * 16000 / len(played)
    assert peak == pytest.approx(500, abs=2)
    assert played[1000:-1000].std() == pytest.approx(np.sqrt(0.5), rel=0.01)


def test_a_file_of_another_length_is_refused(folder):
    mixture = Mixture("m", (Source(str(folder / "a.wav"), "1", "X", 0.0, 1.0, 51),))
    with pytest.raises(UserError, match="50 samples, but the manifest says 51"):
        render(mixture, AudioReader())


def test_a_noise_offset_behind_the_file_is_refused(folder):
    rows = (Source(str(folder / "a.wav"), "1", "X", 0.0, 1.0, 50),)
    with pytest.raises(UserError, match="behind the end"):
        render(Mixture("m", rows, Noise(str(folder / "n.wav"), 70, 1.0)), AudioReader())


@given(length=st.integers(1, 40000), needed=st.integers(1, 90000))
@settings(max_examples=40)
def test_extended_noise_keeps_its_start_and_its_level(length, needed):
    noise = np.ones(length, np.float32)
    extended = extend_noise(noise, needed)
    assert extended.shape == (needed,)
    assert extended.dtype == np.float32
    if length > 3:  # the two halves of the window add up to one
        np.testing.assert_allclose(extended, 1, atol=1e-6)


@given(speed=st.sampled_from([0.9, 1.1, 0.8]), mode=st.sampled_from(["max", "min"]))
def test_a_mixture_at_another_speed_is_the_whole_mixture_resampled(folder, speed, mode):
    rows = tuple(
        Source(str(folder / f"{name}.wav"), name, "X", onset, 0.3, LENGTHS[name])
        for name, onset in (("b", 0.0), ("a", 0.003))
    )
    mixture = Mixture("m", rows, Noise(str(folder / "n.wav"), 0, 0.3), mode=mode)
    fast = Mixture("m", rows, mixture.noise, mode=mode, speed=speed)
    played = render(fast, AudioReader())
    np.testing.assert_allclose(played, change_speed(render(mixture, AudioReader()), speed), atol=1e-6)
    assert len(played) == fast.num_samples == round(mixture.num_samples / speed)
    assert fast.onsets == [0.0, 0.003 / speed]
    assert fast.spans[1][0] == round(48 / speed)
    assert fast.overlap_ratio == pytest.approx(mixture.overlap_ratio, abs=0.02)


def test_a_stored_mixture_is_read_not_mixed(folder):
    rows = (Source("gone.wav", "1", "X", 0.0, 0.5, 300),)
    mixture = Mixture("m", rows, recording=Recording(str(folder / "b.wav")))
    np.testing.assert_array_equal(render(mixture, AudioReader()), AudioReader().read(folder / "b.wav"))
    with pytest.raises(UserError, match="a.wav: ends before sample 300 of the manifest; prepare the data again"):
        render(Mixture("m", rows, recording=Recording(str(folder / "a.wav"))), AudioReader())


def test_what_is_too_loud_is_cut_off_where_16_bits_end(folder):
    """The largest sample of a 16-bit file is one step below 1."""
    source = Source(str(folder / "b.wav"), "b", "B", 0.0, 50.0, LENGTHS["b"])
    samples = render(Mixture("m", (source,), peak="clip"), AudioReader())
    assert samples.min() == -1 and samples.max() == 32767 / 32768


def test_talkers_alone_sum_to_the_mixture(folder):
    sources = (
        Source(str(folder / "b.wav"), "x", "A", 0.0, 0.5, 300, speed=1.1),
        Source(str(folder / "a.wav"), "y", "B", 0.01, 0.25, 50),
    )
    mixture, reader = Mixture("m", sources), AudioReader()
    talkers = render_talkers(mixture, reader)
    assert talkers.shape == (mixture.num_samples, 2)
    np.testing.assert_allclose(talkers.sum(1), render(mixture, reader), atol=1e-6)
    assert not talkers[:160, 1].any() and not talkers[210:, 1].any() and talkers[160:210, 1].any()


def test_a_recording_has_no_talkers_alone(folder):
    source = Source(str(folder / "a.wav"), "x", "A", 0.0, 1.0, 50)
    mixture = Mixture("m", (source,), recording=Recording(str(folder / "a.wav")))
    with pytest.raises(UserError, match="mixture m: its talkers cannot be had alone"):
        render_talkers(mixture, AudioReader())

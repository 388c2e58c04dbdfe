"""If these fail, unusable audio is taken silently, or what is read depends on what was read before."""

import os
import pickle

import numpy as np
import pytest
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import audio
from espnet2_sop.mixture.audio import AudioReader, num_samples

rng = np.random.default_rng(0)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, rng.integers(-32768, 32768, 1000).astype(np.int16), 16000)
    return path


@pytest.mark.parametrize("cache_bytes", [0, 10_000])
def test_reads_whole_files_and_segments_exactly(wav, cache_bytes):
    expected, _ = soundfile.read(wav, dtype="float32")
    reader = AudioReader(cache_bytes)
    for _ in range(2):  # decoded, then remembered
        samples = reader.read(wav)
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples, expected)
        np.testing.assert_array_equal(reader.read(wav, 100, 250), expected[100:250])
        np.testing.assert_array_equal(reader.read(wav, 900, 5000), expected[900:])
        assert reader.read(wav, 1000, 1200).shape == (0,)


def test_long_files_are_read_in_segments(wav, monkeypatch):
    expected, _ = soundfile.read(wav, dtype="float32")
    monkeypatch.setattr(audio, "LONG_FILE", 500)
    reader = AudioReader(10_000)
    np.testing.assert_array_equal(reader.read(wav, 100, 250), expected[100:250])
    np.testing.assert_array_equal(reader.read(wav, 900, 5000), expected[900:])
    assert reader.read(wav, 2000, 2100).shape == (0,)
    assert reader.used_bytes == 0


def test_memory_is_bounded_and_forgets_the_oldest(tmp_path):
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(1000, np.int16), 16000)
    reader = AudioReader(2 * 2000)
    for name in "abac":  # b was used longest ago when c comes
        reader.read(tmp_path / f"{name}.wav")
    (tmp_path / "a.wav").unlink()
    (tmp_path / "b.wav").unlink()
    assert reader.used_bytes == 4000
    assert len(reader.read(tmp_path / "a.wav")) == 1000
    with pytest.raises(UserError, match="no such audio file"):
        reader.read(tmp_path / "b.wav")


def test_what_the_reader_gives_may_be_changed_without_harm(wav):
    reader = AudioReader(10_000)
    first = reader.read(wav)
    kept = first.copy()
    first *= 0
    np.testing.assert_array_equal(reader.read(wav), kept)


def test_a_copy_for_another_process_is_empty(wav):
    reader = AudioReader(10_000)
    reader.read(wav)
    copy = pickle.loads(pickle.dumps(reader))
    assert (copy.used_bytes, copy.cache_bytes) == (0, 10_000)
    np.testing.assert_array_equal(copy.read(wav), reader.read(wav))


def test_opus_comes_at_16_khz_with_a_stable_length(tmp_path):
    for length in (1, 319, 16001):
        path = tmp_path / f"{length}.ogg"
        soundfile.write(path, 0.1 * rng.standard_normal(length), 16000, format="OGG", subtype="OPUS")
        assert num_samples(path) == length
        first, second = AudioReader().read(path), AudioReader(10**6).read(path)
        assert len(first) == length
        np.testing.assert_array_equal(first, second)


def bad_file(kind: str, path) -> None:
    noise = 0.1 * rng.standard_normal(4000)
    if kind == "rate":
        soundfile.write(path, noise, 8000)
    elif kind == "stereo":
        soundfile.write(path, np.stack([noise, noise], axis=1), 16000)
    elif kind == "no bytes":
        path.touch()
    elif kind == "no samples":
        soundfile.write(path, noise[:0], 16000)
    elif kind == "corrupt":
        path.write_bytes(os.urandom(500))
    elif kind == "not finite":
        soundfile.write(path, noise * np.nan, 16000, subtype="FLOAT")
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such audio file"),
        ("folder", "no such audio file"),
        ("rate", "sample rate is 8000 Hz, 16000 Hz is needed"),
        ("stereo", "has 2 channels"),
        ("no bytes", "empty"),
        ("no samples", "no samples"),
        ("corrupt", "not a readable audio file"),
        ("not finite", "corrupt"),
    ],
)
def test_unusable_audio_is_refused_by_name(tmp_path, kind, said):
    path = tmp_path / "bad.wav"
    bad_file(kind, path)
    with pytest.raises(UserError, match=said) as error:
        AudioReader(10**6).read(path)
    assert str(error.value).startswith(str(path))


def test_cut_off_flac_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, 0.1 * rng.standard_normal(40_000), 16000)
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(UserError, match="cut off|corrupt|not a readable"):
        AudioReader().read(path)


def test_first_channel_of_noise_with_two(tmp_path):
    both = rng.integers(-3000, 3000, (500, 2)).astype(np.int16)
    soundfile.write(tmp_path / "n.wav", both, 16000)
    reader = AudioReader(10**6)
    np.testing.assert_array_equal(reader.read(tmp_path / "n.wav", first_channel=True), both[:, 0] / np.float32(32768))
    with pytest.raises(UserError, match="2 channels"):  # though it is remembered
        reader.read(tmp_path / "n.wav")

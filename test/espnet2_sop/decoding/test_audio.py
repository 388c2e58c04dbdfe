"""If these fail, the model hears something else than what is in the file."""

import numpy as np
import pytest
import soundfile
import soxr

from espnet2_sop.decoding.audio import from_waveform, read_recording
from espnet2_sop.io.errors import UserError

LEFT = (0.3 * np.sin(np.arange(16000 * 25) * 2 * np.pi * 300 / 16000)).astype(np.float32)
RIGHT = (0.2 * np.cos(np.arange(16000 * 25) * 2 * np.pi * 700 / 16000)).astype(np.float32)


@pytest.mark.parametrize(("extension", "error"), [("wav", 4e-5), ("flac", 4e-5), ("ogg", 0.02), ("mp3", 0.05)])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_formats_rates_and_channels(tmp_path, extension, error, rate):
    """Longer than a block of reading: the resampler must not click between blocks."""
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, np.stack([soxr.resample(side, 16000, rate) for side in (LEFT, RIGHT)], 1), rate)
    for channel, expected in ((None, (LEFT + RIGHT) / 2), (0, LEFT), (1, RIGHT)):
        wave = read_recording(path, channel)
        assert wave.dtype == np.float32 and abs(len(wave) - len(expected)) <= 1
        inner = slice(800, len(LEFT) - 800)
        assert np.abs(wave[inner] - expected[inner]).max() < error


def test_16_bit_files_are_read_as_in_decoding(tmp_path):
    from espnet2_sop.mixture.audio import AudioReader

    soundfile.write(tmp_path / "a.wav", LEFT, 16000)
    assert (read_recording(tmp_path / "a.wav") == AudioReader().read(tmp_path / "a.wav")).all()


def test_waveforms_of_all_kinds_are_the_same():
    import torch

    stereo = np.stack([LEFT, RIGHT])
    expected = from_waveform(stereo.mean(0))
    for samples in (stereo, stereo.T, stereo.astype(np.float64), torch.from_numpy(stereo), torch.from_numpy(stereo).T):
        assert np.abs(from_waveform(samples) - expected).max() < 1e-6
    assert np.abs(from_waveform((stereo * 32768).astype(np.int16)) - expected).max() < 1e-4
    assert np.abs(from_waveform(torch.from_numpy(stereo).bfloat16(), None, 1) - RIGHT).max() < 2e-3
    whole = from_waveform(soxr.resample(LEFT, 16000, 48000), 48000)
    assert np.abs(whole[800:-800] - LEFT[800 : len(whole) - 800]).max() < 1e-3


@pytest.mark.parametrize(
    ("samples", "rate", "channel", "message"),
    [
        (LEFT[:1599], None, None, "speech: only 99 ms of audio; 100 ms are needed"),
        (LEFT[:800], None, None, "speech: only 50 ms of audio; 100 ms are needed"),
        (LEFT[:0], 8000, None, "speech: only 0 ms"),
        (np.full(16000, np.nan, np.float32), 8000, None, "speech: samples that are not finite"),
        (np.full(16000, np.inf), None, None, "speech: samples that are not finite"),
        (LEFT, None, 1, "speech: has no channel 1; it has 1, counted from 0"),
        (LEFT, 0, None, "sample_rate: 0 is no number"),
        (np.zeros((2, 3, 4)), None, None, r"speech: a waveform is of one axis.*shape \(2, 3, 4\)"),
        (np.zeros(16000, np.uint8), None, None, "speech: a waveform .* uint8"),
        (["a"], None, None, "speech: a waveform"),
    ],
)
def test_bad_waveforms(samples, rate, channel, message):
    with pytest.raises(UserError, match=message):
        from_waveform(samples, rate, channel)


def test_bad_files(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no audio " * 100)
    soundfile.write(tmp_path / "none.wav", LEFT[:0], 16000)
    soundfile.write(tmp_path / "nan.wav", LEFT * np.nan, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.flac", LEFT, 16000)
    data = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    for name, message in {
        "missing.wav": "no such audio file",
        "empty.wav": "is empty",
        "text.wav": "not a readable audio file",
        "none.wav": "only 0 ms",
        "nan.wav": "not finite",
        "cut.flac": "cut off|corrupt",
    }.items():
        with pytest.raises(UserError, match=f"{name}: .*({message})"):
            read_recording(tmp_path / name)

"""Recordings of any format, sample rate and number of channels as mono 16 kHz."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import open_audio

BLOCK = 2**19  # samples of all channels; a long file is read in blocks: only the result is as long as the recording
SHORTEST = SAMPLE_RATE // 10
FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


def read_recording(path: str | Path, channel: int | None = None) -> np.ndarray:
    """Reads a file of any format that libsndfile knows (WAV, FLAC, Ogg, MP3, ...).

    Args:
        path: Audio file, `FILE.ark:OFFSET` of a Kaldi archive, or a `Command` of a wav.scp.
        channel: Index of the channel, from 0; None is the mean of all.

    Returns:
        (T,) float32, 16 kHz.

    Raises:
        UserError: Missing, unreadable, cut off, shorter than 0.1 s, without the channel, or with samples that are not
            finite.
    """
    path = path if isinstance(path, str) else str(path)  # a `Command` stays one
    with open_audio(path) as audio:
        return read_open(audio, path, channel)


def read_open(audio: soundfile.SoundFile, name: str, channel: int | None = None) -> np.ndarray:
    """Reads audio that is open, on disk or in memory, as `read_recording` does.

    Args:
        audio: At its start.
        name: What messages call it.
        channel: Index of the channel, from 0; None is the mean of all.

    Returns:
        (T,) float32, 16 kHz.

    Raises:
        UserError: As `read_recording`.
    """
    blocks, resampler, count = [], _resampler(audio.samplerate), 0
    try:
        # soundfile seeks behind every block, which libsndfile does not do exactly in MP3: that is read at once
        size = max(audio.frames, 1) if audio.format == "MP3" else max(BLOCK // audio.channels, 1)
        for block in audio.blocks(size, dtype="float32", always_2d=True):
            count += len(block)
            mono = _one_channel(block, channel, name)
            blocks.append(resampler.resample_chunk(mono) if resampler else mono)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{name}: the audio file is corrupt ({error.error_string})") from None
    if count < audio.frames:
        raise UserError(f"{name}: the audio file is cut off: {count} of {audio.frames} samples; copy it again")
    if resampler:
        blocks.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return _checked(np.concatenate([np.zeros(0, np.float32), *blocks]), name)


def from_waveform(samples, rate: int | None = None, channel: int | None = None, name: str = "speech") -> np.ndarray:
    """Converts a waveform in memory as `read_recording` converts a file.

    Args:
        samples: NumPy array or torch tensor (T,), or of two axes, of which the shorter one is that of the channels.
            Floating point with full scale 1, or int16 or int32 with the full scale of the type.
        rate: Samples per second; None is 16000.
        channel: As in `read_recording`.
        name: What messages call the waveform.

    Returns:
        (T,) float32, 16 kHz.

    Raises:
        UserError: Another type or shape, shorter than 0.1 s, without the channel, or with samples that are not finite.
    """
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or not (samples.dtype in FULL_SCALE or np.issubdtype(samples.dtype, np.floating)):
        raise UserError(
            f"{name}: a waveform is of one axis, or two with the channels, and floating point, int16 or int32; "
            f"this is of shape {samples.shape}, {samples.dtype}"
        )
    samples = (samples / FULL_SCALE.get(samples.dtype, 1.0)).astype(np.float32)
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    rate = SAMPLE_RATE if rate is None else rate
    if not rate > 0:
        raise UserError(f"sample_rate: {rate} is no number of samples per second")
    mono = _one_channel(samples[:, None] if samples.ndim == 1 else samples, channel, name)
    resampler = _resampler(rate)
    return _checked(resampler.resample_chunk(mono, last=True) if resampler else mono, name)


def _resampler(rate: int) -> soxr.ResampleStream | None:
    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32") if rate != SAMPLE_RATE else None


def _one_channel(samples: np.ndarray, channel: int | None, name: str) -> np.ndarray:
    """(T, C) -> (T,); samples that are not finite are refused, since a resampler would spread them."""
    if channel is not None and not 0 <= channel < samples.shape[1]:
        raise UserError(f"{name}: has no channel {channel}; it has {samples.shape[1]}, counted from 0")
    if not np.isfinite(samples).all():
        raise UserError(f"{name}: samples that are not finite numbers; the recording is broken")
    return np.ascontiguousarray(samples.mean(1) if channel is None else samples[:, channel])


def _checked(wave: np.ndarray, name: str) -> np.ndarray:
    if len(wave) < SHORTEST:
        raise UserError(f"{name}: only {1000 * len(wave) // SAMPLE_RATE} ms of audio; 100 ms are needed")
    return wave

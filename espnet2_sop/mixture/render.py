"""From a mixture of the manifest to its waveform."""

import numpy as np
import soxr

from espnet2_sop.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.manifest import Mixture, Noise, Recording, Source
from espnet2_sop.mixture.room import reverberate

MAX_AMPLITUDE = 0.9  # as LibriMix
LARGEST = 32767 / 32768  # of 16-bit samples


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Plays samples faster or slower by resampling, so that pitch changes with tempo.

    Args:
        samples: (T,) float32.
        speed: 1.1 makes it 10 % faster.

    Returns:
        (round(T / speed),) float32.
    """
    if speed == 1.0:
        return samples
    length = round(len(samples) / speed)
    played = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE)
    return np.pad(played[:length], (0, max(0, length - len(played))))


def _played(source: Source, reader: AudioReader) -> np.ndarray:
    start = source.offset or 0
    samples = reader.read(source.path, start, None if source.offset is None else start + source.num_samples)
    if len(samples) != source.num_samples:
        raise UserError(
            f"{source.path}: {len(samples)} samples, but the manifest says {source.num_samples}; prepare the data again"
        )
    played = change_speed(samples, source.speed) * np.float32(source.gain)
    return played if source.room is None else reverberate(played, reader.read(source.room, first_channel=True))


def _background(noise: Noise, length: int, reader: AudioReader) -> np.ndarray:
    samples = reader.read(noise.path, noise.offset, noise.offset + length, first_channel=True)
    if not len(samples):
        raise UserError(f"{noise.path}: noise offset {noise.offset} lies behind the end of the file")
    if len(samples) < length:
        whole = reader.read(noise.path, first_channel=True)
        samples = np.concatenate([samples, np.resize(whole, length - len(samples))])
    return samples * np.float32(noise.gain)


def _recorded(recording: Recording, length: int, reader: AudioReader) -> np.ndarray:
    stop = recording.offset_samples + length
    samples = reader.read(recording.path, recording.offset_samples, stop)
    if len(samples) != length:
        raise UserError(f"{recording.path}: ends before sample {stop} of the manifest; prepare the data again")
    return samples


def render(mixture: Mixture, reader: AudioReader) -> np.ndarray:
    """Mixes one mixture as LibriMix does, or reads it if it is a recording.

    1. Each source is read; with a speed other than 1 it is resampled (`change_speed`), then multiplied by its gain
       and, with a room, convolved with its response (`reverberate`).
    2. Zeros go before it up to its onset, rounded to a sample.
    3. It is cut or zero-padded to `mixture.num_samples`: the latest end of a source in mode "max", the earliest
       in mode "min".
    4. Noise is read from its offset; where the file ends, it goes on from the start of the file (LibriMix
       fades between the repetitions, we do not). It is cut to the same length and multiplied by its gain.
    5. All are summed in float32.
    6. If the largest magnitude is over 0.9, the whole mixture is scaled so that it is 0.9. With `mixture.peak`
       "clip", samples outside of the range of 16 bits are cut off instead.

    Args:
        mixture: What to mix.
        reader: Where audio is read.

    Returns:
        Waveform (mixture.num_samples,) float32, 16 kHz.

    Raises:
        UserError: A file cannot be used, or has another length than the manifest says.
    """
    length = mixture.num_samples
    if mixture.recording is not None:
        return _recorded(mixture.recording, length, reader)
    mixed = np.zeros(length, dtype=np.float32)
    for source in mixture.sources:
        played = _played(source, reader)[: max(0, length - source.start)]
        mixed[source.start : source.start + len(played)] += played
    if mixture.noise is not None:
        mixed += _background(mixture.noise, length, reader)
    if mixture.peak == "clip":
        return np.clip(mixed, -1, LARGEST, dtype=np.float32)
    peak = np.abs(mixed).max(initial=0.0)
    if peak > MAX_AMPLITUDE:
        mixed *= np.float32(MAX_AMPLITUDE / peak)
    return mixed

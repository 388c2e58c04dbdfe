"""From a mixture of the manifest to its waveform."""

import numpy as np
import soxr

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.manifest import Mixture, Noise, Recording, Source
from espnet2_sop.mixture.simulation.room import reverberate

MAX_AMPLITUDE = 0.9  # as LibriMix
LARGEST = 32767 / 32768  # of 16-bit samples
FADE = SAMPLE_RATE // 2 + 1  # samples of the cross-fade between a noise and its repetition, as LibriMix


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


def extend_noise(noise: np.ndarray, length: int) -> np.ndarray:
    """Repeats noise with cross-fades, as LibriMix does.

    The last `FADE` samples are cross-faded with the first ones of the next repetition by the two halves of a Hann
    window. Noise of less than a second (LibriMix has none) is cross-faded over half of its length.

    Args:
        noise: (T,) float32, at least one sample.
        length: Samples needed.

    Returns:
        (length,) float32.
    """
    fade = min(FADE, len(noise) // 2)
    rising = np.hanning(2 * fade - 1)[:fade]
    step = len(noise) - fade
    extended = np.empty(length + len(noise))
    extended[: len(noise)] = noise
    for start in range(step, length - fade, step):
        crossing = extended[start : start + fade]
        extended[start : start + fade] = crossing * rising[::-1] + noise[:fade] * rising
        extended[start + fade : start + len(noise)] = noise[fade:]
    return extended[:length].astype(np.float32)


def _background(noise: Noise, length: int, reader: AudioReader) -> np.ndarray:
    stop = noise.offset + length
    samples = reader.read(noise.path, noise.offset, stop, first_channel=True)
    if not len(samples):
        raise UserError(f"{noise.path}: noise offset {noise.offset} lies behind the end of the file")
    if len(samples) < length:
        samples = extend_noise(reader.read(noise.path, first_channel=True), stop)[noise.offset :]
    return samples * np.float32(noise.gain)


def _recorded(recording: Recording, length: int, reader: AudioReader) -> np.ndarray:
    stop = recording.offset_samples + length
    samples = reader.read(recording.path, recording.offset_samples, stop)
    if len(samples) != length:
        raise UserError(f"{recording.path}: ends before sample {stop} of the manifest; prepare the data again")
    return samples


def render_talkers(mixture: Mixture, reader: AudioReader) -> np.ndarray:
    """Each talker of a simulated mixture alone, at the level and time that it has in the sum.

    Args:
        mixture: A mixture that is made from its sources, without a change of speed as a whole.
        reader: Reads the audio files.

    Returns:
        (mixture.num_samples, talkers) float32, 16 kHz, exactly zero before a talker begins and after the end. The
        scaling of mixtures that are too loud (`render`, step 7) is not applied.

    Raises:
        UserError: The mixture is a recording or has a speed, or a file cannot be used or has a length other than in the
            manifest.
    """
    if mixture.recording is not None or mixture.speed != 1:
        raise UserError(f"mixture {mixture.id}: its talkers cannot be had alone; only mixtures made here have them")
    talkers = np.zeros((mixture.num_samples, len(mixture.sources)), dtype=np.float32)
    for column, source in zip(talkers.T, mixture.sources, strict=True):
        played = _played(source, reader)[: max(0, len(column) - source.start)]
        column[source.start : source.start + len(played)] = played
    return talkers


def render(mixture: Mixture, reader: AudioReader) -> np.ndarray:
    """Mixes one mixture as LibriMix does, or reads its recording.

    For rows of a LibriMix CSV these are the steps of LibriMix (create_librimix_from_metadata.py, Cosentino et al.,
    arXiv 2005.11262) and of ESPnet's patch for start offsets (egs2/librimix/sot_asr1), so that the result differs
    from the 16-bit files that they write by their rounding only:

    1. Each source is read; with a speed other than 1 it is resampled (`change_speed`), then multiplied by its gain
       and, with a room, convolved with its response (`reverberate`).
    2. Zeros are put before it up to its onset. (`librimix.py` truncates offsets to whole samples, as the patch does.)
    3. It is cut or zero-padded to `mixture.mixed_samples`: the latest end of a source in mode "max", the earliest
       in mode "min".
    4. Noise is the first channel of its file from its offset on, multiplied by its gain. If the file ends before the
       last talker (in both modes), it is repeated with cross-fades (`extend_noise`).
    5. All are summed in float32. Nothing is normalised: the loudness is in the gains of the CSV.
    6. With a mixture speed other than 1 the sum is resampled.
    7. With `mixture.peak` "clip", samples are clipped to the range of 16 bits, as when a file is written. With
       "scale", a mixture whose largest magnitude is over 0.9 is scaled to 0.9, as LibriMix does when it draws gains;
       mixtures whose gains are drawn independently of the sum need this.

    Args:
        mixture: Mixture of a manifest.
        reader: Reads the audio files.

    Returns:
        Waveform (mixture.num_samples,) float32, 16 kHz.

    Raises:
        UserError: A file cannot be used, or its length is not that of the manifest.
    """
    if mixture.recording is not None:
        return _recorded(mixture.recording, mixture.num_samples, reader)
    length = mixture.mixed_samples
    mixed = np.zeros(length, dtype=np.float32)
    for source in mixture.sources:
        played = _played(source, reader)[: max(0, length - source.start)]
        mixed[source.start : source.start + len(played)] += played
    if mixture.noise is not None:
        longest = max(source.end for source in mixture.sources)
        mixed += _background(mixture.noise, longest, reader)[:length]
    mixed = change_speed(mixed, mixture.speed)
    if mixture.peak == "clip":
        return np.clip(mixed, -1, LARGEST, dtype=np.float32)
    peak = np.abs(mixed).max(initial=0.0)
    if peak > MAX_AMPLITUDE:
        mixed *= np.float32(MAX_AMPLITUDE / peak)
    return mixed

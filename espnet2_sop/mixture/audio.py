"""Reading mono 16 kHz audio with a bounded cache, and writing it."""

import io
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_path
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.kaldi_audio import Command, audio_exists, file_of, open_entry

# Of longer files only the segment that is needed is read, and it is not cached.
LONG_FILE = 600 * SAMPLE_RATE


def open_audio(path: str) -> soundfile.SoundFile:
    """Opens an audio file of any kind.

    Args:
        path: Audio file, `FILE.ark:OFFSET`, or a `Command`, which is run.

    Returns:
        The open file; an archive entry or the output of a command is in memory.

    Raises:
        UserError: Missing, empty or unreadable, or the command fails.
    """
    if isinstance(path, Command):
        return _open_file(io.BytesIO(path.output()), path)
    if not audio_exists(path):
        raise UserError(f"{path}: no such audio file; paths are relative to the working directory")
    if file_of(path) != path:
        return open_entry(path)
    if os.path.getsize(path) == 0:
        raise UserError(f"{path}: the audio file is empty (0 bytes)")
    return _open_file(os.fsencode(path), path)  # soundfile itself takes no name that is no UTF-8


def _open_file(file: bytes | io.BytesIO, path: str) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{path}: not a readable audio file ({getattr(error, 'error_string', error)})") from None


def _open(path: str, first_channel: bool) -> soundfile.SoundFile:
    audio = open_audio(path)
    problem = None
    if audio.samplerate != SAMPLE_RATE:
        problem = f"sample rate is {audio.samplerate} Hz, {SAMPLE_RATE} Hz is needed; resample the file"
    elif audio.channels != 1 and not first_channel:
        problem = f"has {audio.channels} channels, one is needed; keep one channel"
    elif audio.frames <= 0:
        problem = "the audio file holds no samples"
    if problem:
        audio.close()
        raise UserError(f"{path}: {problem}")
    return audio


def num_samples(path: str | Path, first_channel: bool = False) -> int:
    """Number of samples of a mono 16 kHz file, from its header.

    Args:
        path: Audio file.
        first_channel: Accept a file with several channels.

    Returns:
        Samples of one channel.

    Raises:
        UserError: As `AudioReader.read`.
    """
    with _open(str(path), first_channel) as audio:
        return audio.frames


class AudioReader:
    """Reads 16 kHz audio (WAV, FLAC, Ogg Opus, ...) and caches the files used last.

    Samples are always rounded to 16 bits, cached or not, so the result never depends on the cache. LibriSpeech and WHAM
    are 16-bit, so they are unchanged.

    Args:
        cache_bytes: Most bytes in the cache, two for each sample; 0 caches nothing.
    """

    def __init__(self, cache_bytes: int = 0):
        self.cache_bytes = cache_bytes
        self.used_bytes = 0
        self._cache: OrderedDict[tuple[str, bool], np.ndarray] = OrderedDict()

    def read(
        self, path: str | Path, start: int = 0, stop: int | None = None, first_channel: bool = False
    ) -> np.ndarray:
        """Reads a file or a segment of it.

        Args:
            path: Audio file.
            start: First sample.
            stop: Sample after the last one; None or more than there are: to the end of the file.
            first_channel: Take the first channel of a file with several (WHAM noise) instead of refusing it.

        Returns:
            Samples (T,) float32 in [-1, 1).

        Raises:
            UserError: Missing, unreadable, cut off, empty, not 16 kHz, or more than one channel.
        """
        samples = self._samples(str(path), start, stop, first_channel)
        return samples.astype(np.float32) * np.float32(1 / 32768)

    def _samples(self, path: str, start: int, stop: int | None, first_channel: bool) -> np.ndarray:
        key = (path, first_channel)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key][start:stop]
        with _open(path, first_channel) as audio:
            if audio.frames > LONG_FILE:
                stop = audio.frames if stop is None else min(stop, audio.frames)
                return _decode(audio, path, min(start, stop), stop)
            samples = _decode(audio, path, 0, audio.frames)
        self._remember(key, samples)
        return samples[start:stop]

    def _remember(self, key: tuple[str, bool], samples: np.ndarray) -> None:
        if samples.nbytes > self.cache_bytes:
            return
        self._cache[key] = samples
        self.used_bytes += samples.nbytes
        while self.used_bytes > self.cache_bytes:
            self.used_bytes -= self._cache.popitem(last=False)[1].nbytes

    def __getstate__(self) -> dict[str, object]:
        """A copy in another process starts with an empty cache."""
        return {"cache_bytes": self.cache_bytes, "used_bytes": 0, "_cache": OrderedDict()}


def _decode(audio: soundfile.SoundFile, path: str, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop) of the first channel: (stop - start,) int16."""
    try:
        audio.seek(start)
        samples = audio.read(stop - start, dtype="float32", always_2d=True)[:, 0]
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: the audio file is corrupt ({error.error_string})") from None
    if len(samples) != stop - start:
        raise UserError(f"{path}: the audio file is cut off: {len(samples)} of {stop - start} samples; copy it again")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: the audio file is corrupt (samples that are not finite numbers)")
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def write_wav(path: str | Path, samples: np.ndarray) -> None:
    """Writes 16-bit WAV, 16 kHz, completely or not at all; soundfile rounds and clips as for LibriMix.

    Args:
        path: File to write.
        samples: (T,) float.

    Raises:
        UserError: The file cannot be written.
    """
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    try:
        with atomic_path(path) as part:
            part.write_bytes(buffer.getbuffer())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def write_flac(path: Path, samples: np.ndarray) -> None:
    """Writes 16-bit FLAC, 16 kHz, completely or not at all.

    Args:
        path: File to write.
        samples: (T,) float32.
    """
    with atomic_path(path) as part:
        soundfile.write(part, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")

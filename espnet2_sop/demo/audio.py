"""Audio of the demo page: from the file that was recorded or uploaded to the waveform for the model."""

import numpy as np
import soundfile

from espnet2_sop.decoding.audio import read_open
from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE

SILENCE_DB = -60.0  # of full scale; a microphone in a quiet room is above
PEAKS_PER_SECOND = 50
MOST_PEAKS = 2000


def read_audio(path: str, max_seconds: float) -> np.ndarray:
    """Reads an audio file; several channels are averaged, other sample rates are converted.

    Args:
        path: File of a format that libsndfile reads, such as WAV, FLAC, Ogg and MP3. Messages do not name it, as the
            user did not choose its name.
        max_seconds: Longest audio that is accepted.

    Returns:
        Samples (T,) float32, 16 kHz.

    Raises:
        UserError: The file is not audio, cut off, too long, too short or silent.
    """
    try:
        audio = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", error)
        raise UserError(f"not a readable audio file ({reason}); give WAV, FLAC, Ogg or MP3") from None
    with audio:
        seconds = audio.frames / audio.samplerate
        if seconds > max_seconds:
            raise UserError(f"the recording lasts {seconds:.0f} s, at most {max_seconds:g} s are taken; cut it")
        waveform = read_open(audio, "the recording")
    if np.abs(waveform).max() < 10 ** (SILENCE_DB / 20):
        raise UserError(f"the recording is silent (its peak is below {SILENCE_DB:g} dBFS); check the microphone")
    return waveform


def peaks(samples: np.ndarray) -> list[float]:
    """The outline of a waveform for drawing.

    Args:
        samples: (T,) float32, 16 kHz.

    Returns:
        The largest absolute value of each of `PEAKS_PER_SECOND` (fewer in long audio) equal parts of a second, as a
        share of the largest of all.
    """
    number = int(np.clip(len(samples) / SAMPLE_RATE * PEAKS_PER_SECOND, 1, MOST_PEAKS))
    edges = np.linspace(0, len(samples), number, endpoint=False).astype(int)
    outline = np.maximum.reduceat(np.abs(samples), edges)
    return np.round(outline.astype(float) / outline.max(), 3).tolist()

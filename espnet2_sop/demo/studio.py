"""Between the web server and the model: reads audio, waits for its turn, transcribes, says how far it is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.decoding.transcribe.formats import Transcript, render
from espnet2_sop.demo.audio import peaks, read_audio
from espnet2_sop.demo.result import describe
from espnet2_sop.demo.turns import Turns
from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE

EXAMPLE_TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
MOST_EXAMPLES = 24
MOST_WAITING = 8
FORMATS = ("json", "seglst", "vtt")  # to download
MODES = {"ctc": "CTC heads alone", "sot": "LLM without prompt", "sop": "LLM with prompt"}

Event = dict[str, Any]


def find_examples(folder: Path) -> list[Path]:
    """Audio files of a folder in order of their names.

    Raises:
        UserError: There is no such folder, or no audio in it.
    """
    if not folder.is_dir():
        raise UserError(f"--examples {folder}: no such folder")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXAMPLE_TYPES and path.is_file())
    if not found:
        raise UserError(f"--examples {folder}: no audio in it ({', '.join(EXAMPLE_TYPES)})")
    return found[:MOST_EXAMPLES]


@dataclass
class Studio:
    """A model with what the page may do with it.

    Attributes:
        name: Of the model, to be shown.
        transcribe: From a waveform (T,) float32, 16 kHz, a mode and a function that takes the seconds of audio of every
            segment that is done, to talkers.
        modes: What the model was trained for; the first is chosen at the start.
        device: Where the model computes.
        max_seconds: Longest audio.
        examples: Audio files.
    """

    name: str
    transcribe: Callable[[np.ndarray, str, Callable[[float], object]], Sequence[Talker]]
    modes: Sequence[str]
    device: str
    max_seconds: float
    examples: Sequence[Path] = ()
    turns: Turns = field(default_factory=lambda: Turns(MOST_WAITING))
    speed: dict[str, float] = field(default_factory=dict)  # {mode: seconds for a second of audio, of the last call}

    @property
    def max_bytes(self) -> int:
        """Room for stereo of 32 bits at 48 kHz, and a header."""
        return int(self.max_seconds * 48000 * 8) + 65536

    def state(self) -> dict[str, Any]:
        """What the page has to know before it starts."""
        return {
            "model": self.name,
            "device": self.device,
            "modes": [{"name": mode, "title": MODES[mode]} for mode in self.modes],
            "max_seconds": self.max_seconds,
            "max_bytes": self.max_bytes,
            "examples": [path.stem for path in self.examples],
        }

    def run(self, data: bytes, mode: str, name: str, send: Callable[[Event], None]) -> None:
        """Transcribes an audio file and tells of every step.

        Args:
            data: The file as it was uploaded.
            mode: One of `modes`.
            name: What the files for download are called.
            send: Takes events; what it raises ends the work. "read" (seconds, peaks), "waiting" (ahead) once a second,
                "working" (expected seconds or None), "heard" (seconds of audio that are done) and "done" (mode, spent,
                talkers, counts, files).

        Raises:
            UserError: Before any event: the mode or the audio cannot be used. Later: the model refuses the audio.
            Full: Too many are waiting.
        """
        if mode not in self.modes:
            raise UserError(f"mode {mode!r}: this model was trained for {' and '.join(self.modes)}")
        waveform = read_audio(data, self.max_seconds)
        seconds = len(waveform) / SAMPLE_RATE
        send({"event": "read", "seconds": round(seconds, 3), "peaks": peaks(waveform)})
        with self.turns.turn(lambda ahead: send({"event": "waiting", "ahead": ahead})):
            expected = self.speed[mode] * seconds if mode in self.speed else None
            send({"event": "working", "expected": expected})
            start = time.perf_counter()
            done = 0.0

            def progress(part: float) -> None:
                nonlocal done
                done += part
                send({"event": "heard", "seconds": round(done, 3)})

            talkers = self.transcribe(waveform, mode, progress)
            spent = time.perf_counter() - start
            self.speed[mode] = spent / seconds
        transcript = Transcript(name, name, round(seconds, 3), talkers)
        files = {kind: render(kind, transcript) for kind in FORMATS}
        send({"event": "done", "mode": mode, "spent": spent, **describe(talkers), "files": files})

"""A demo server with a stand-in for the model, and a browser that can record."""

import contextlib
import io
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.text.ctm import TimedWord


def talker(number: int, prompt: str, text: str, onset: float, step: float = 0.35, segment=(0.0, 9.0)) -> Talker:
    """A talker whose prompt has a word every `step` seconds."""
    words = tuple(
        TimedWord(number, round(onset + step * i, 3), 0.2, word, 0.4 if i == 1 else 0.9)
        for i, word in enumerate(prompt.split())
    )
    return Talker(text, tuple(text.split()), onset, 0.87, prompt, words, number, *segment)


TALKERS = [
    talker(1, "move the fed box near near the door", "move the red box near the door", 0.1),
    talker(2, "tiger go to the kitchen", "tiger go to the kitchen now", 1.2),
]


def wav(samples: np.ndarray, rate: int = 16000, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype="PCM_16")
    return file.getvalue()


def noise(seconds: float, rate: int = 16000) -> np.ndarray:
    return 0.2 * np.random.default_rng(1).standard_normal(int(seconds * rate)).astype("float32")


@contextlib.contextmanager
def serving(transcribe, **changes):
    """Runs a server on a free port; yields it."""
    from espnet2_sop.demo.server import DemoServer
    from espnet2_sop.demo.studio import Studio

    values = {"name": "exp/sop", "transcribe": transcribe, "modes": ["sop", "ctc"], "device": "cpu", "max_seconds": 10}
    server = DemoServer("127.0.0.1", 0)
    server.studio = Studio(**values | changes)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(talker=talker, TALKERS=TALKERS, wav=wav, noise=noise, serving=serving)


@pytest.fixture(scope="module")
def browser(browse, tmp_path_factory):
    """Chromium whose microphone is a file with noise, so that recording can be tried; it asks nobody for permission."""
    microphone = tmp_path_factory.mktemp("microphone") / "noise.wav"
    microphone.write_bytes(wav(noise(5, 48000), 48000))
    return browse(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
        ready="document.readyState === 'complete' && document.querySelectorAll('#modes input').length > 0",
    )

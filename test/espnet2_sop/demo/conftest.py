"""Pages with a stand-in for the model, and audio to give them."""

import contextlib
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


def noise(seconds: float, rate: int = 16000) -> np.ndarray:
    return 0.2 * np.random.default_rng(1).standard_normal(int(seconds * rate)).astype("float32")


@contextlib.contextmanager
def serving(transcribe, **changes):
    """Serves a page with at most 10 s of audio on a free port; yields its address."""
    from espnet2_sop.demo.app import build_app, launch

    values = {"name": "exp/sop", "modes": ["sop", "ctc"], "max_seconds": 10, **changes}
    app = build_app(transcribe=transcribe, **values)
    try:
        yield launch(app, "127.0.0.1", None, 10)
    finally:
        app.close()


@pytest.fixture(scope="session", autouse=True)
def uploads(tmp_path_factory):
    """The folder where gradio keeps files."""
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(talker=talker, TALKERS=TALKERS, noise=noise, serving=serving)


@pytest.fixture
def wav(tmp_path):
    """Writes samples at 16 kHz: wav(name, samples, rate); the path."""

    def write(name: str, samples: np.ndarray, rate: int = 16000) -> str:
        soundfile.write(tmp_path / name, samples, rate, subtype="PCM_16")
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="module")
def browser(browse, tmp_path_factory):
    """Chromium whose microphone is a file with noise, so that recording can be tried; it asks nobody for permission."""
    microphone = tmp_path_factory.mktemp("microphone") / "noise.wav"
    soundfile.write(microphone, noise(5, 48000), 48000)
    return browse(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
        ready="document.readyState === 'complete' && document.querySelector('button.primary') !== null",
    )

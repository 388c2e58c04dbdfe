"""Synthetic voices of Kokoro-82M or Piper: additional speakers for training."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE

ENGLISH = {"a": "en-us", "b": "en-gb"}  # languages by the first letter of a voice's name: American, British


class Kokoro:
    """Kokoro-82M, a text-to-speech model, by onnxruntime on the CPU.

    Args:
        model: Its ONNX file.
        voices: Its voices, `.bin` or `.npz`.

    Raises:
        UserError: kokoro-onnx is not installed, or a file is missing, broken or without an English voice.
    """

    def __init__(self, model: Path, voices: Path):
        try:
            import kokoro_onnx
        except ImportError:
            raise UserError("synthetic voices need kokoro-onnx: pip install 'espnet2_sop[voices]'") from None
        for path in (model, voices):
            if not path.is_file():
                raise UserError(
                    f"{path}: no such file; model and voices are in https://github.com/thewh1teagle/kokoro-onnx/releases"
                )
        try:
            self.kokoro = kokoro_onnx.Kokoro(str(model), str(voices))
        except Exception as error:  # of onnxruntime or numpy, of many kinds
            raise UserError(f"{model}, {voices}: not model and voices of Kokoro-82M ({error})") from None
        if not self.english:
            raise UserError(f"{voices}: no English voice in it (af_..., am_..., bf_..., bm_...)")

    @property
    def english(self) -> list[str]:
        """Names of the English voices, sorted."""
        return [name for name in self.kokoro.get_voices() if name[:1] in ENGLISH]

    def speakers(self, count: int | None, seed: int) -> list[str]:
        """The English voices, followed by means of two voices, which are additional speakers.

        Args:
            count: Number of speakers; None: the voices alone.
            seed: Seed of the choice of pairs.

        Returns:
            Names for `speak`, such as `af_bella` and `af_bella+bm_george`.

        Raises:
            UserError: There are fewer voices and pairs of them.
        """
        voices = self.english
        pairs = ["+".join(pair) for pair in itertools.combinations(voices, 2)]
        if count is not None and count > len(voices) + len(pairs):
            raise UserError(f"--speakers {count}: {len(voices)} English voices make {len(voices) + len(pairs)} at most")
        more = 0 if count is None else max(0, count - len(voices))
        return [*voices, *np.random.default_rng(seed).permutation(pairs)[:more].tolist()][:count]

    def speak(self, text: str, voice: str, speed: float = 1.0) -> np.ndarray:
        """Says words.

        Args:
            text: Words without punctuation.
            voice: One voice, or two joined by `+` for their mean.
            speed: 1.1 speaks faster; pitch stays.

        Returns:
            (T,) float32, 16 kHz.
        """
        style = np.mean([self.kokoro.get_voice_style(name) for name in voice.split("+")], axis=0).astype(np.float32)
        wave, rate = self.kokoro.create(f"{text.capitalize()}.", voice=style, speed=speed, lang=ENGLISH[voice[0]])
        return np.clip(soxr.resample(wave, rate, SAMPLE_RATE), -1, 1)


class Piper:
    """A Piper voice, small and fast (VITS), of one speaker or of many, by onnxruntime on the CPU.

    Piper draws intonation and rhythm at random, so the same words sound different each time.

    Args:
        model: Its ONNX file; its settings are beside it, `.onnx.json`.

    Raises:
        UserError: piper-tts is not installed, or a file is missing, broken or of another language.
    """

    def __init__(self, model: Path):
        try:
            import piper
        except ImportError:
            raise UserError("voices of Piper need piper-tts: pip install piper-tts") from None
        settings = Path(f"{model}.json")
        for path in (model, settings):
            if not path.is_file():
                raise UserError(f"{path}: no such file; a Piper voice is NAME.onnx and NAME.onnx.json")
        try:
            self.piper = piper.PiperVoice.load(model)
            language = self.piper.config.espeak_voice
        except Exception as error:  # of onnxruntime or json, of many kinds
            raise UserError(f"{model}: not a Piper voice ({error})") from None
        if not language.startswith("en"):
            raise UserError(f"{model}: speaks {language!r}, not English")
        self.settings = piper.SynthesisConfig
        name = re.sub("[^A-Za-z0-9_]", "_", model.stem)
        count = self.piper.config.num_speakers
        self.ids = {name: None} if count == 1 else {f"{name}_{number}": number for number in range(count)}

    def speakers(self, count: int | None, seed: int) -> list[str]:
        """Draws speakers of the voice.

        Args:
            count: Number of speakers; None: all.
            seed: Seed of the choice.

        Returns:
            Names for `speak`.

        Raises:
            UserError: The voice has fewer speakers.
        """
        if count is not None and count > len(self.ids):
            raise UserError(f"--speakers {count}: the voice has {len(self.ids)}")
        return np.random.default_rng(seed).permutation(list(self.ids)).tolist()[:count]

    def speak(self, text: str, voice: str) -> np.ndarray:
        """Says words.

        Args:
            text: Words without punctuation.
            voice: One of its speakers.

        Returns:
            (T,) float32, 16 kHz.
        """
        chunks = list(self.piper.synthesize(f"{text.capitalize()}.", self.settings(speaker_id=self.ids[voice])))
        wave = np.concatenate([chunk.audio_float_array for chunk in chunks])
        return np.clip(soxr.resample(wave, chunks[0].sample_rate, SAMPLE_RATE), -1, 1)


def assign(texts: Sequence[str], voices: Sequence[str], count: int, seed: int) -> dict[str, dict[str, str]]:
    """Assigns random texts to the voices in turn.

    Args:
        texts: Texts, which are used equally often.
        voices: Names of the voices.
        count: Number of utterances.
        seed: Seed of the order of the texts.

    Returns:
        {voice: {utterance: text}}; utterances have ids as in LibriSpeech, `VOICE-SEED-0000`, so that folders of several
        seeds go together.
    """
    rng, waiting = np.random.default_rng(seed), []
    spoken: dict[str, dict[str, str]] = {}
    for number in range(count):
        if not waiting:
            waiting = [texts[i] for i in rng.permutation(len(texts))]
        voice = voices[number % len(voices)]
        spoken.setdefault(voice, {})[f"{voice}-{seed}-{number // len(voices):04d}"] = waiting.pop()
    return spoken

"""If these fail, a Piper voice says other words than its texts tell, or speaks with another speaker's voice."""

import sys
import types

import numpy as np
import pytest

from espnet2_sop.bin import prepare
from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.simulation.pool import build_pool
from espnet2_sop.mixture.simulation.voices import Piper

RATE = 22050


class FakeVoice:
    """Stands for piper.PiperVoice: two tones, whose level tells the speaker."""

    said: list[str] = []

    def __init__(self, speakers, language):
        self.config = types.SimpleNamespace(num_speakers=speakers, espeak_voice=language)

    @classmethod
    def load(cls, model):
        if "broken" in model.name:
            raise ValueError("no ONNX")
        return cls(3 if "many" in model.name else 1, "de" if "german" in model.name else "en-us")

    def synthesize(self, text, config):
        self.said.append(text)
        level = 0.1 * (1 + (config["speaker_id"] or 0))
        wave = np.float32(level * np.sin(2 * np.pi * 200 * np.arange(RATE // 5) / RATE))
        return iter([types.SimpleNamespace(audio_float_array=wave, sample_rate=RATE)] * 2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    fake = types.SimpleNamespace(PiperVoice=FakeVoice, SynthesisConfig=lambda **options: options)
    monkeypatch.setitem(sys.modules, "piper", fake)
    monkeypatch.setattr(FakeVoice, "said", [])
    for name in ("en_US-joe", "many", "german", "broken"):
        (tmp_path / f"{name}.onnx").touch()
        (tmp_path / f"{name}.onnx.json").touch()
    return tmp_path


def test_a_voice_is_a_subset_like_any_other(folder):
    (folder / "prose.txt").write_text("HI THERE\nGOOD BYE\n")
    argv = ["voices", "--texts", str(folder / "prose.txt"), "--model", str(folder / "en_US-joe.onnx")]
    prepare.main([*argv, "--number", "2", "--seed", "1", "--out", str(folder / "speech/joe")])
    pool = build_pool(folder / "speech", "joe")
    assert [u.id for u in pool] == ["en_US_joe-1-0000", "en_US_joe-1-0001"]
    assert {u.text for u in pool} == {"HI THERE", "GOOD BYE"}
    assert sorted(FakeVoice.said) == ["Good bye.", "Hi there."]
    assert [u.num_samples for u in pool] == [6400, 6400]


def test_speakers_of_a_voice_with_many(folder):
    voice = Piper(folder / "many.onnx")
    assert sorted(voice.speakers(None, seed=1)) == ["many_0", "many_1", "many_2"]
    assert voice.speakers(2, seed=1) == voice.speakers(None, seed=1)[:2]
    assert {tuple(voice.speakers(3, seed)) for seed in range(20)} == {
        (a, b, c) for a in voice.ids for b in voice.ids for c in voice.ids if len({a, b, c}) == 3
    }
    assert np.abs(voice.speak("HI", "many_2")).max() == pytest.approx(0.3, rel=0.02)
    with pytest.raises(UserError, match="--speakers 4: the voice has 3"):
        voice.speakers(4, seed=1)


def test_mistakes_are_one_line(folder, monkeypatch):
    with pytest.raises(UserError, match="no.onnx: no such file"):
        Piper(folder / "no.onnx")
    with pytest.raises(UserError, match="broken.onnx: not a Piper voice"):
        Piper(folder / "broken.onnx")
    with pytest.raises(UserError, match="german.onnx: speaks 'de', not English"):
        Piper(folder / "german.onnx")
    (folder / "many.onnx.json").unlink()
    with pytest.raises(UserError, match="many.onnx.json: no such file"):
        Piper(folder / "many.onnx")
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(UserError, match="pip install piper-tts"):
        Piper(folder / "en_US-joe.onnx")

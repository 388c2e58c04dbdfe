"""If these fail, synthetic voices say other words than their texts tell, or cannot be prepared like other speech."""

import sys
import types

import numpy as np
import pytest

from espnet2_sop.bin import prepare
from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.simulation.pool import build_pool, transcripts
from espnet2_sop.mixture.simulation.voices import Kokoro, assign

RATE = 24000


class FakeModel:
    """Stands for kokoro_onnx.Kokoro: a tone whose length tells the text and whose level tells the voice."""

    said: list[tuple[str, float, str]] = []

    def __init__(self, model, voices):
        if "broken" in model:
            raise ValueError("no ONNX")

    def get_voices(self):
        return ["af_one", "bm_two", "zf_three"]

    def get_voice_style(self, name):
        return np.full((1, 256), 0.2 if name == "af_one" else 0.4)

    def create(self, text, voice, speed, lang):
        self.said.append((text, speed, lang))
        time = np.arange(round(RATE * 0.05 * len(text) / speed)) / RATE
        return np.float32(voice.mean() * np.sin(2 * np.pi * 200 * time)), RATE


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kokoro_onnx", types.SimpleNamespace(Kokoro=FakeModel))
    monkeypatch.setattr(FakeModel, "said", [])
    for name in ("model.onnx", "broken.onnx", "voices.npz"):
        (tmp_path / name).touch()
    return tmp_path


def options(corpus, files, number):
    speech = ["--speech_root", str(corpus.speech), "--subset", "train-mini", "--seed", "1"]
    model = ["--model", str(files / "model.onnx"), "--voices", str(files / "voices.npz")]
    return ["voices", *speech, *model, "--number", str(number), "--out", str(files / "speech/voices")]


def test_voices_are_a_subset_like_any_other(corpus, files):
    prepare.main(options(corpus, files, 5))
    pool = build_pool(files / "speech", "voices")
    assert [u.id for u in pool] == ["af_one-1-0000", "af_one-1-0001", "af_one-1-0002", "bm_two-1-0000", "bm_two-1-0001"]
    assert {u.speaker for u in pool} == {"af_one", "bm_two"}
    texts = [u.text for u in build_pool(corpus.speech, "train-mini")]
    assert len({u.text for u in pool} & set(texts)) == 5
    for u in pool:
        assert u.num_samples == pytest.approx(16000 * 0.05 * (len(u.text) + 1), abs=2)  # and a full stop
        amplitude = 0.2 if u.speaker == "af_one" else 0.4
        assert u.level_db == pytest.approx(20 * np.log10(amplitude / np.sqrt(2)), abs=0.1)
    assert {language for _, _, language in FakeModel.said} == {"en-us", "en-gb"}


def test_what_is_there_is_not_spoken_again(corpus, files):
    prepare.main(options(corpus, files, 4))
    before = build_pool(files / "speech", "voices")
    FakeModel.said.clear()
    prepare.main(options(corpus, files, 6))
    assert len(FakeModel.said) == 2
    transcripts.cache_clear()
    assert [u for u in build_pool(files / "speech", "voices") if u in before] == before


def test_other_texts_are_spoken_anew(corpus, files):
    """Another seed, fewer utterances, the same folder: each file says what its text says, and none is left over."""
    prepare.main(options(corpus, files, 6))
    transcripts.cache_clear()
    prepare.main([*options(corpus, files, 5), "--seed", "2"])
    pool = build_pool(files / "speech", "voices")
    assert len(pool) == 5
    transcripts.cache_clear()
    prepare.main(options(corpus, files, 1))
    assert [u.id for u in build_pool(files / "speech", "voices")] == ["af_one-1-0000"]  # the other voice is silent now
    assert all(u.num_samples == pytest.approx(16000 * 0.05 * (len(u.text) + 1), abs=2) for u in pool)


def test_sentences_of_a_file_by_more_speakers_than_voices(corpus, files):
    """Two voices and their mean; another seed gives other ids, so that both folders can be used together."""
    (files / "prose.txt").write_text("The box, please.\n\ngo home\nIt's late!\n")
    given = ["--texts", str(files / "prose.txt"), "--text_style", "librispeech", "--speakers", "3"]
    with pytest.raises(UserError, match="--texts: its sentences are said, so give none of --speech_root"):
        prepare.main([*options(corpus, files, 3), *given])
    argv = ["voices", *options(corpus, files, 3)[5:], *given]
    prepare.main(argv)
    prepare.main([*argv, "--seed", "2", "--out", str(files / "speech/more")])
    pools = [build_pool(files / "speech", name) for name in ("voices", "more")]
    assert {u.speaker for u in pools[0]} == {"af_one", "bm_two", "af_one+bm_two"} == {u.speaker for u in pools[1]}
    assert sorted(u.text for u in pools[0]) == ["GO HOME", "IT'S LATE", "THE BOX PLEASE"]
    assert not {u.id for u in pools[0]} & {u.id for u in pools[1]}
    with pytest.raises(UserError, match="--speakers 4: 2 English voices make 3 at most"):
        prepare.main([*argv, "--speakers", "4"])
    (files / "prose.txt").write_text("go home\nroom 101\n")
    with pytest.raises(UserError, match="prose.txt, line 2: 1 texts have digits"):
        prepare.main(argv)


def test_two_folders_with_the_same_utterance_are_refused(corpus, files):
    prepare.main(options(corpus, files, 2))
    prepare.main([*options(corpus, files, 2), "--out", str(files / "speech/copy")])
    argv = ["noise", "--speech_root", str(files / "speech"), "--subset", "voices", "copy", "--seed", "1"]
    with pytest.raises(UserError, match="af_one-1-0000.flac: the same utterance as .*voices/af_one"):
        prepare.main([*argv, "--number", "1", "--out", str(files / "noise")])


def test_texts_are_used_equally():
    spoken = assign(["a", "b", "c"], ["v", "w"], 9, seed=3)
    assert [len(said) for said in spoken.values()] == [5, 4]
    assert sorted([*spoken["v"].values(), *spoken["w"].values()]) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert spoken == assign(["a", "b", "c"], ["v", "w"], 9, seed=3)
    assert spoken != assign(["a", "b", "c"], ["v", "w"], 9, seed=4)


def test_two_voices_make_a_third(files):
    made = Kokoro(files / "model.onnx", files / "voices.npz").speak("HI THERE", "af_one+bm_two", speed=0.5)
    assert np.abs(made).max() == pytest.approx(0.3, rel=0.02)
    assert FakeModel.said == [("Hi there.", 0.5, "en-us")]


def test_mistakes_are_one_line(files, monkeypatch):
    with pytest.raises(UserError, match="no.onnx: no such file"):
        Kokoro(files / "no.onnx", files / "voices.npz")
    with pytest.raises(UserError, match="broken.onnx, .*: not model and voices of Kokoro-82M"):
        Kokoro(files / "broken.onnx", files / "voices.npz")
    with monkeypatch.context() as other:
        other.setattr(FakeModel, "get_voices", lambda self: ["zf_three"])
        with pytest.raises(UserError, match="voices.npz: no English voice"):
            Kokoro(files / "model.onnx", files / "voices.npz")
    monkeypatch.setitem(sys.modules, "kokoro_onnx", None)
    with pytest.raises(UserError, match=r"pip install 'espnet2_sop\[voices\]'"):
        Kokoro(files / "model.onnx", files / "voices.npz")

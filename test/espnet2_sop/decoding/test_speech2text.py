"""The Python API with tiny models."""

import dataclasses

import numpy as np
import pytest

from espnet2_sop.io.errors import UserError

RATE = 16000


@pytest.fixture(scope="module")
def speech2text(package):
    from espnet2_sop import Speech2Text

    return Speech2Text.from_pretrained(package)


def plain(talkers):
    """Talkers without what rounding in a batch may change."""
    return [dataclasses.replace(talker, confidence=0.0) for talker in talkers]


def test_talkers_are_those_of_the_decoder(speech2text, waves):
    """Text, prompt, onsets and confidences as `Decoder` has them, from a waveform."""
    (expected,) = speech2text.decoder([waves[0]])
    talkers = speech2text(waves[0])
    assert " <sc> ".join(talker.text for talker in talkers) == expected.text and len(talkers) > 0
    assert [talker.slot for talker in talkers] == list(range(1, len(talkers) + 1))
    onsets = [talker.onset for talker in talkers if talker.onset is not None]
    assert set(onsets) <= set(expected.onsets) and onsets
    assert all((t.start, t.end) == (0, 0.562) and 0 < t.confidence <= 1 for t in talkers)
    for talker, written in zip(talkers, expected.talkers, strict=True):
        assert talker.tokens == written.tokens
        assert "".join(talker.tokens).replace("\u0120", " ").split() == talker.text.split() or not talker.text.isascii()


@pytest.mark.parametrize("mode", ["ctc", "sop"])
def test_a_batch_equals_single_calls(package, waves, recordings, mode):
    """Waveforms and files, silence among them; the mean of the channels is the file of one channel."""
    from espnet2_sop import Speech2Text, Talker

    speech2text = Speech2Text.from_pretrained(package, mode=mode)
    mixed = [waves[2], *recordings]
    together, single = speech2text(mixed), [speech2text(item) for item in mixed]
    assert [plain(talkers) for talkers in together] == [plain(talkers) for talkers in single]
    for some, others in zip(together, single, strict=True):
        assert [t.confidence for t in some] == pytest.approx([t.confidence for t in others], abs=1e-4)
    assert together[4] == [] and all(together[:4]) and isinstance(together[0][0], Talker)
    assert [t.text for t in together[1]] == [t.text for t in together[2]]
    assert speech2text.batch([]) == []


def test_confidences_of_ctc_are_those_of_the_peaks(package, waves):
    import torch

    from espnet2_sop import Speech2Text

    speech2text = Speech2Text.from_pretrained(package, mode="ctc")
    model = speech2text.decoder.model
    with torch.inference_mode():
        encoded = model.front_end.encode(torch.from_numpy(waves[1])[None], torch.tensor([len(waves[1])]))
        (slots,) = model.front_end.slots(encoded)
    expected = [np.prod(s.confidences) ** (1 / len(s.tokens)) for s in slots if model.vocabulary.decode(s.tokens)]
    assert [talker.confidence for talker in speech2text(waves[1])] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 2])
def test_confidences_of_the_llm_are_those_of_its_words(speech2text, waves, monkeypatch, beams):
    """The log-probabilities of `generate` (compared with transformers elsewhere), cut at `<sc>`, which is no word."""
    from espnet2_sop.decoding import decoder

    seen, model = [], speech2text.decoder.model
    generate = decoder.generate
    monkeypatch.setattr(decoder, "generate", lambda *args: seen.append(generate(*args)) or seen[-1])
    hypotheses = decoder.Decoder(model, "sop", beams)(waves)
    ((rows, log_probs, _),) = seen
    for ids, values, hypothesis in zip(rows, log_probs, hypotheses, strict=True):
        talkers, own = [], []
        for token, value in [*zip(ids, values, strict=True), (model.tokenizer.sc_id, 0.0)]:
            if token != model.tokenizer.sc_id:
                own.append((token, value))
                continue
            if model.tokenizer.decode([token for token, _ in own]):
                talkers.append(np.exp(np.mean([value for _, value in own])))
            own = []
        assert [talker.confidence for talker in hypothesis.talkers] == pytest.approx(talkers)


def test_long_recordings_have_the_times_of_the_recording(speech2text, waves):
    """Three mixtures with pauses between them: each as if it were alone, moved to its place."""
    from espnet2_sop.decoding.segmentation import segments

    quiet = np.zeros(2 * RATE, np.float32)
    wave = np.concatenate([quiet, waves[0], quiet, waves[1], quiet, waves[2]])
    short = type(speech2text)(speech2text.decoder, max_seconds=3)
    cuts = segments(wave, 3, short.pause_seconds)
    assert len(cuts) == 3
    seconds = []
    talkers = short.batch([wave], progress=seconds.append)[0]
    assert sum(seconds) == pytest.approx(sum(b - a for a, b in cuts) / RATE)
    expected = []
    for a, b in cuts:
        for talker in short(wave[a:b]):
            moved = [word._replace(start=round(word.start + a / RATE, 3)) for word in talker.words]
            onset = None if talker.onset is None else round(talker.onset + a / RATE, 3)
            changes = {"onset": onset, "words": tuple(moved), "start": a / RATE, "end": round(b / RATE, 3)}
            expected.append(dataclasses.replace(talker, **changes))
    assert plain(talkers) == plain(expected) and len(talkers) >= 3
    assert len({(t.start, t.slot) for t in talkers}) == len(talkers)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_types_of_numbers(package, waves, dtype):
    import torch

    from espnet2_sop import Speech2Text

    speech2text = Speech2Text.from_pretrained(package, dtype=dtype)
    assert next(speech2text.decoder.model.llm.base.parameters()).dtype == getattr(torch, dtype)
    assert next(speech2text.decoder.model.front_end.encoder.parameters()).dtype == torch.float32
    assert speech2text(waves[1])[0].text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "sot"}, "--mode sot: this run was trained for sop; use sop or ctc"),
        ({"dtype": "int8"}, "dtype: 'int8' is not one of float32, bfloat16, float16"),
        ({"device": "gpu"}, "device: 'gpu' cannot be used here"),
        ({"num_beams": 0}, "num_beams: 0; 1 is greedy"),
        ({"checkpoint": "best.pth"}, "no best.pth in it"),
        ({"max_seconds": 1}, "max_seconds: 1 is too short"),
        ({"batch_size": 0}, "batch_size: 0 is no limit of a batch"),
        ({"batch_seconds": float("inf")}, "batch_seconds: inf is no limit of a batch"),
    ],
)
def test_bad_choices(package, change, message):
    from espnet2_sop import Speech2Text

    with pytest.raises(UserError, match=message):
        Speech2Text.from_pretrained(package, **change)


def test_bad_recordings(speech2text, recordings):
    with pytest.raises(UserError, match="none.wav: no such audio file"):
        speech2text("none.wav")
    with pytest.raises(UserError, match="a.wav: the file says its own sample rate"):
        speech2text(recordings[0], 16000)
    with pytest.raises(UserError, match=r"speech\[1\]: only 62 ms of audio"):
        speech2text([np.ones(RATE), np.ones(1000)])


def test_checkpoints_of_a_run(tmp_path):
    """The averaged one of either kind, never a guess between two; ESPnet's baseline is refused."""
    from espnet2_sop.packaging.locate import find_weights

    (tmp_path / "config.yaml").write_text("a: 1\n")
    with pytest.raises(UserError, match="no checkpoint in it"):
        find_weights(tmp_path)
    for name in ("valid.ter.ave.pth", "valid.acc.ave.pth", "3epoch.pth"):
        (tmp_path / name).touch()
        if name == "valid.ter.ave.pth":
            assert find_weights(tmp_path).name == name
    with pytest.raises(UserError, match="has valid.acc.ave.pth and valid.ter.ave.pth; choose one"):
        find_weights(tmp_path)
    assert find_weights(tmp_path, checkpoint="3epoch.pth").name == "3epoch.pth"
    (tmp_path / "config.yaml").write_text("token_list: []\n")
    with pytest.raises(UserError, match="trained with --task asr"):
        find_weights(tmp_path)

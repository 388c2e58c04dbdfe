"""The Python API and `espnet2-sop transcribe` with tiny models."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from espnet2_sop.cli import run
from espnet2_sop.errors import UserError
from espnet2_sop.files import read_kaldi

RATE = 16000


@pytest.fixture(scope="module")
def package(options, tmp_path_factory):
    """The run folder of a stage-3 model with random weights."""
    import torch
    import yaml

    from espnet2_sop.assembly import build_model

    torch.manual_seed(3)
    values = options("sop", ["sop"])
    model = build_model(values)
    for p in model.llm.adapter_parameters("sot") + model.llm.adapter_parameters("sop"):
        torch.nn.init.normal_(p, std=0.3)
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(values)))
    torch.save(model.state_dict(), folder / "valid.acc.ave.pth")
    return folder


@pytest.fixture(scope="module")
def speech2text(package):
    from espnet2_sop import Speech2Text

    return Speech2Text.from_pretrained(package)


@pytest.fixture
def recordings(tmp_path, waves):
    """Four files: a mixture, the same in two channels of floating point, a longer one, and a silent one."""
    soundfile.write(tmp_path / "a.wav", waves[0], RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "stereo.wav", np.stack([1.5 * waves[0], waves[0] / 2], 1), RATE, subtype="DOUBLE")
    soundfile.write(tmp_path / "b.flac", np.concatenate(waves) / 5, RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    return [str(tmp_path / name) for name in ("a.wav", "stereo.wav", "b.flac", "silent.wav")]


def plain(talkers):
    """Talkers without what rounding in a batch may change."""
    return [dataclasses.replace(talker, confidence=0.0) for talker in talkers]


def test_import_is_instant():
    code = "import sys, espnet2_sop; assert not {'torch', 'numpy', 'espnet2'} & set(sys.modules); espnet2_sop.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "module 'espnet2_sop' has no attribute 'nothing'" in done.stderr


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
        (slots,) = model.talkers(model.encode(torch.from_numpy(waves[1])[None], torch.tensor([len(waves[1])])))
    expected = [np.prod(s.confidences) ** (1 / len(s.tokens)) for s in slots if model.vocabulary.decode(s.tokens)]
    assert [talker.confidence for talker in speech2text(waves[1])] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 2])
def test_confidences_of_the_llm_are_those_of_its_words(speech2text, waves, monkeypatch, beams):
    """The log-probabilities of `generate` (compared with transformers elsewhere), cut at `<sc>`, which is no word."""
    from espnet2_sop import inference

    seen, model = [], speech2text.decoder.model
    generate = inference.generate
    monkeypatch.setattr(inference, "generate", lambda *args: seen.append(generate(*args)) or seen[-1])
    hypotheses = inference.Decoder(model, "sop", beams)(waves)
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
    from espnet2_sop.transcribe.segmentation import segments

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
    assert next(speech2text.decoder.model.encoder.parameters()).dtype == torch.float32
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
        ({"batch_size": 0}, "batch_size: 0 leaves nothing in a batch"),
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
    from espnet2_sop.transcribe.model import find_weights

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


# ------------------------------------------------------------------------------------------------ the command


def transcribe(package, *argv):
    return run("transcribe", ["--model", str(package), *map(str, argv)])


def test_one_recording_is_printed(package, speech2text, recordings, capsys):
    assert transcribe(package, recordings[0]) == 0
    expected = " <sc> ".join(talker.text for talker in speech2text(recordings[0]))
    assert capsys.readouterr().out == f"a {expected}\n"
    assert transcribe(package, *recordings) == 1
    assert "--out: several recordings or formats need a folder" in capsys.readouterr().err


def test_all_formats_and_a_bad_file(package, speech2text, recordings, tmp_path, capsys):
    """The good ones are there, the bad one is named, the status says so; then it is mended and only it is done."""
    out, bad = tmp_path / "out", tmp_path / "bad.wav"
    bad.write_text("no audio")
    argv = [*recordings, bad, "--out", out, "--format", "text", "json", "seglst", "stm", "vtt", "srt"]
    assert transcribe(package, *argv) == 1
    err = capsys.readouterr().err
    assert "bad.wav: not a readable audio file" in err and "1 of 5 recordings have no transcript" in err
    texts = read_kaldi(out / "text")
    assert list(texts) == ["a", "stereo", "b", "silent"] and texts["silent"] == "" and texts["a"] == texts["stereo"]
    rows = json.loads((out / "transcripts.json").read_text())
    assert [[t["text"] for t in row["talkers"]] for row in rows] == [
        [t.text for t in speech2text(p)] for p in recordings
    ]
    names = {"text", "transcripts.json", "hyp.seglst.json", "hyp.stm", "origin.json"}
    names |= {f"{name}.{kind}" for name in texts for kind in ("vtt", "srt")}
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == names
    before = (out / "text").read_text()
    soundfile.write(bad, soundfile.read(recordings[0])[0], RATE, subtype="FLOAT")
    lines = (out / ".partial.jsonl").read_text().splitlines()
    assert transcribe(package, *argv) == 0
    assert (out / ".partial.jsonl").read_text().splitlines()[:-1] == lines, "the others were not done again"
    assert (out / "text").read_text() == before + before.splitlines(keepends=True)[0].replace("a ", "bad ", 1)


def test_what_is_done_is_kept_and_other_models_are_refused(package, recordings, tmp_path, capsys, monkeypatch):
    from espnet2_sop.bin import transcribe as command

    out = tmp_path / "out"
    assert transcribe(package, *recordings[:2], "--out", out) == 0
    texts = (out / "text").read_text()
    partial = out / ".partial.jsonl"
    whole = partial.read_text()
    first, second = whole.splitlines(keepends=True)
    broken = ["{}\n", "1\n", '{"id": "stereo"}\n', second.replace('"words"', '"other"'), "\ufffd\n"]
    partial.write_text(first + "".join(broken) + second[:40])  # killed while writing
    (out / "text").unlink()
    assert transcribe(package, *recordings[:2], "--out", out) == 0
    assert (out / "text").read_text() == texts
    assert partial.read_text().startswith(whole.splitlines(keepends=True)[0]) and partial.read_text().endswith("}\n")
    with monkeypatch.context() as patched:  # nothing left: no model is opened for another format
        patched.setattr(command, "open_model", None)
        assert transcribe(package, *recordings[:2], "--out", out, "--format", "stm") == 0
    assert (out / "hyp.stm").is_file()
    capsys.readouterr()
    assert transcribe(package, *recordings[:2], "--out", out, "--mode", "ctc") == 1
    err = capsys.readouterr().err
    assert (
        'was made with something else (options.mode was null, is "ctc")' in err and (out / "text").read_text() == texts
    )
    assert transcribe(package, *recordings[:2], "--out", out, "--mode", "ctc", "--overwrite") == 0
    assert (out / "text").read_text() != texts and not (out / "hyp.stm").exists(), "nothing of the other model is left"
    soundfile.write(recordings[1], np.zeros(RATE), RATE)  # another recording of the same name
    assert transcribe(package, *recordings[:2], "--out", out, "--mode", "ctc") == 0
    assert read_kaldi(out / "text")["stereo"] == ""


def test_a_folder_of_something_else_is_left_alone(package, recordings, tmp_path, capsys):
    """A data directory has a `text`, too."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/text").write_text("m1 red\n")
    assert transcribe(package, recordings[0], "--out", tmp_path / "data") == 1
    assert "is a folder with other files" in capsys.readouterr().err
    assert (tmp_path / "data/text").read_text() == "m1 red\n"


def test_a_recording_too_long_for_the_llm_does_not_stop_the_others(package, recordings, tmp_path, capsys, monkeypatch):
    """It fails in the batch of all; they are done one by one."""
    from espnet2_sop import Speech2Text

    opened = Speech2Text.from_pretrained

    def small(*args, **kwargs):
        speech2text = opened(*args, **kwargs)
        llm = speech2text.decoder.model.llm.base.config
        llm.max_position_embeddings = 14
        return speech2text

    monkeypatch.setattr(Speech2Text, "from_pretrained", small)
    assert transcribe(package, *recordings, "--out", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "b.flac: the prompt of a mixture" in err and err.count("no transcript:") == 1
    assert list(read_kaldi(tmp_path / "out/text")) == ["a", "stereo", "silent"]

"""`espnet2-sop transcribe` with a tiny model."""

import json
import os
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_sop.bin.cli import run
from espnet2_sop.decoding.transcribe.run import contents
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.io.provenance import END

RATE = 16000


@pytest.fixture(scope="module")
def speech2text(package):
    from espnet2_sop import Speech2Text

    return Speech2Text.from_pretrained(package)


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
    assert "bad.wav: not a readable audio file" in err
    assert err.endswith("1 of 5 recordings have no transcript, see above; the others are done\n")
    (tmp_path / "worse.wav").write_text("no audio")
    assert transcribe(package, bad, tmp_path / "worse.wav", "--out", tmp_path / "none") == 1
    assert capsys.readouterr().err.endswith("2 of 2 recordings have no transcript, see above\n")
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
        llm.max_position_embeddings = 32
        return speech2text

    monkeypatch.setattr(Speech2Text, "from_pretrained", small)
    assert transcribe(package, *recordings, "--out", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "b.flac: the prompt of a mixture" in err and err.count("no transcript:") == 1
    assert list(read_kaldi(tmp_path / "out/text")) == ["a", "stereo", "silent"]


def visible(folder):
    """{name: contents} of the files that a user sees."""
    return {path.name: path.read_text() for path in folder.iterdir() if path.name[0] != "."}


@pytest.mark.parametrize("wrong", [["--mode", "sot"], ["--channel", "5"]])
def test_what_cannot_be_done_changes_nothing(package, recordings, tmp_path, capsys, wrong):
    """Neither finished transcripts nor a new folder, which the corrected command then takes."""
    argv, out, new = recordings[:2], tmp_path / "out", tmp_path / "new"
    assert transcribe(package, *argv, "--out", out, "--format", "text", "srt") == 0
    before, partial = visible(out), (out / ".partial.jsonl").read_text()
    assert transcribe(package, *argv, "--out", out, "--overwrite", *wrong) == 1
    assert visible(out) == before and (out / ".partial.jsonl").read_text() == partial
    assert transcribe(package, *argv, "--out", new, *wrong) == 1
    assert visible(new) == {}
    assert transcribe(package, *argv, "--out", new) == 0
    assert visible(new)["text"] == before["text"]


def test_a_folder_in_which_nothing_was_made_is_no_conflict(package, recordings, tmp_path):
    """Killed before its first transcript, with other options."""
    assert transcribe(package, recordings[0], "--out", tmp_path / "out") == 0
    (tmp_path / "out/text").unlink()
    partial = tmp_path / "out/.partial.jsonl"
    assert transcribe(package, recordings[0], "--out", tmp_path / "out", "--mode", "ctc") == 1, "there is a transcript"
    partial.unlink()
    assert transcribe(package, recordings[0], "--out", tmp_path / "out", "--mode", "ctc") == 0
    assert json.loads((tmp_path / "out/origin.json").read_text())["options"]["mode"] == "ctc"


def test_no_file_of_a_folder_keeps_old_contents(package, recordings, tmp_path):
    """Formats that are there follow what is recognised anew; a recording that became unreadable loses its subtitles."""
    out = tmp_path / "out"
    assert transcribe(package, *recordings[:2], "--out", out, "--format", "json", "vtt", "srt") == 0
    (out / "other.vtt").write_text("somebody else's")
    soundfile.write(recordings[0], np.zeros(RATE), RATE)
    (tmp_path / "stereo.wav").write_text("no audio any more")
    assert transcribe(package, *recordings[:2], "--out", out) == 1
    files = visible(out)
    assert files.keys() == {"text", "transcripts.json", "a.vtt", "a.srt", "other.vtt", "origin.json"}
    assert files["text"] == "a\n" and files["a.vtt"] == "WEBVTT\n" and files["a.srt"] == ""
    assert [(row["id"], row["talkers"]) for row in json.loads(files["transcripts.json"])] == [("a", [])]
    assert files["other.vtt"] == "somebody else's"


@pytest.fixture
def small_memory(monkeypatch):
    """A decoder that has memory for a number of samples; returns it, to be lowered: [samples]."""
    import torch

    from espnet2_sop.decoding.decoder import Decoder

    room, decode = [10**6], Decoder.__call__

    def call(self, waveforms, references=None):
        if len(waveforms) * max(map(len, waveforms)) > room[0]:
            torch.empty(2**60, dtype=torch.uint8)
        return decode(self, waveforms, references)

    monkeypatch.setattr(Decoder, "__call__", call)
    return room


def test_what_does_not_fit_into_memory_together_is_done_one_by_one(package, recordings, tmp_path, capsys, small_memory):
    assert transcribe(package, *recordings, "--out", tmp_path / "whole") == 0
    small_memory[0] = 10000
    assert transcribe(package, *recordings, "--out", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "b.flac: out of memory: give a smaller batch_size, batch_seconds or max_seconds" in err
    assert err.count("no transcript:") == 1 and "Traceback" not in err
    texts = read_kaldi(tmp_path / "whole/text")
    assert read_kaldi(tmp_path / "out/text") == {name: texts[name] for name in ("a", "stereo", "silent")}


def test_decoding_a_directory_says_what_to_do_when_memory_is_full(package, data, tmp_path, capsys, small_memory):
    small_memory[0] = 1
    argv = ["--run", str(package), "--mode", "ctc", "--out", str(tmp_path / "out"), str(data / "dev")]
    assert run("decode", argv) == 1
    err = capsys.readouterr().err
    assert "espnet2-sop decode: error: out of memory: give a smaller --batch_size or --batch_seconds\n" in err


def test_one_file_that_cannot_be_opened_does_not_end_the_run(package, recordings, tmp_path, capsys):
    """A folder of a name in a table, a file in the place of a folder; a folder whose name is no UTF-8 is read."""
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    shutil.copy(recordings[0], odd / "good.wav")
    table = tmp_path / "wav.scp"
    table.write_text(f"folder {tmp_path}\nbelow {recordings[0]}/x.wav\n")
    argv = [table, odd / "good.wav", "--out", tmp_path / "out", "--format", "json"]
    for _ in range(2):
        assert transcribe(package, *argv) == 1
        err = capsys.readouterr().err
        assert "(Is a directory)" in err and "(Not a directory)" in err and "2 of 3 recordings" in err
        (row,) = json.loads((tmp_path / "out/transcripts.json").read_text())
        assert row["id"] == "good" and row["path"].endswith("caf\\udce9/good.wav")
        lines = (tmp_path / "out/.partial.jsonl").read_text().splitlines()
        assert len(lines) == 1, "it was not recognised again"


def test_entries_of_archives_and_commands_are_recordings(package, recordings, tmp_path, capsys):
    """With the transcript of the file that has the same samples; what is done is not done again."""
    soundfile.write(tmp_path / "a.wav", soundfile.read(recordings[0])[0], RATE, subtype="PCM_16")
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"entry": (rate, samples)}, scp=str(tmp_path / "wav.scp"))
    with open(tmp_path / "wav.scp", "a") as f:
        f.write(f"command echo run >>{tmp_path}/log; cat {tmp_path}/a.wav |\nfails false |\n")
    argv = [tmp_path / "a.wav", tmp_path / "wav.scp", "--out", tmp_path / "out"]
    for _ in range(2):
        assert transcribe(package, *argv) == 1
        assert "false |: the command failed with status 1 (no output)" in capsys.readouterr().err
        texts = read_kaldi(tmp_path / "out/text")
        assert list(texts) == ["a", "entry", "command"] and len(set(texts.values())) == 1 and texts["a"]
    assert (tmp_path / "log").read_text() == 2 * "run\n", "for the length and for the samples"


def test_a_change_in_the_middle_of_a_large_file_is_seen(tmp_path):
    """Size and ends are the same; a small file is what is in it, whenever it was copied."""
    path = tmp_path / "a.wav"
    for size, same in ((1000, True), (2 * END + 1000, False)):
        path.write_bytes(bytes(size))
        os.utime(path, (1, 1))
        first = contents(str(path))
        os.utime(path, (2, 2))
        assert (contents(str(path)) == first) == same

"""If these fail, data directories contradict themselves, or contradictions go unseen."""

import dataclasses
import json
import re

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.mixture.corpora.librimix import read_librimix
from espnet2_sop.mixture.datadir import check_data_dir, read_info, write_data_dir
from espnet2_sop.mixture.manifest import Recording, read_manifest


@pytest.fixture
def mixtures(corpus):
    """Mixtures of two and of three talkers, unsorted."""
    return [m for n in (3, 2) for m in read_librimix([corpus.csv[n]], corpus.speech, corpus.noise, "noisy")]


@pytest.fixture
def folder(mixtures, tmp_path):
    write_data_dir(mixtures, tmp_path / "data", "noisy")
    return tmp_path / "data"


def test_what_is_written_is_consistent(mixtures, folder):
    assert check_data_dir(folder) == []
    assert read_info(folder) == {"num_talkers": None, "condition": "noisy"}
    assert read_manifest(folder / "mixtures.jsonl") == sorted(mixtures, key=lambda m: m.id)


def test_files_say_what_the_mixtures_are(mixtures, folder):
    tables = {p.name: read_kaldi(p) for p in folder.iterdir() if p.suffix not in (".json", ".jsonl")}
    segments = json.loads((folder / "ref.seglst.json").read_text())
    for m in mixtures:
        texts = [source.text for source in m.sources]
        assert tables["text"][m.id] == " <sc> ".join(texts)
        assert [tables[f"text_spk{i}"][m.id] for i in (1, 2, 3)] == texts + [""] * (3 - len(texts))
        assert tables["utt2num_spk"][m.id] == str(len(texts))
        assert tables["onsets"][m.id] == " ".join(f"{source.onset:.3f}" for source in m.sources)
        assert float(tables["utt2dur"][m.id]) == pytest.approx(m.num_samples / 16000, abs=1e-3)
        assert float(tables["utt2overlap"][m.id]) == pytest.approx(m.overlap_ratio, abs=1e-4)
        own = [segment for segment in segments if segment["session_id"] == m.id]
        assert [(s["speaker"], s["words"]) for s in own] == [(str(i), text) for i, text in enumerate(texts, 1)]
        assert all(0 <= s["start_time"] < s["end_time"] <= m.duration + 1e-3 for s in own)


def test_a_folder_is_complete_only_with_its_info(folder, mixtures):
    write_data_dir([m for m in mixtures if m.num_talkers == 2], folder, "noisy", 2)
    assert not (folder / "text_spk3").exists()  # nothing stays of what was there before
    assert check_data_dir(folder) == []
    (folder / "info.json").unlink()
    assert check_data_dir(folder) == [f"{folder}: not a complete data directory (no info.json); prepare it again"]


def test_what_cannot_be_written_is_told(mixtures, tmp_path):
    with pytest.raises(UserError, match="no mixtures"):
        write_data_dir([], tmp_path, "clean")
    with pytest.raises(UserError, match="condition 'loud'"):
        write_data_dir(mixtures, tmp_path, "loud")
    with pytest.raises(UserError, match="comes twice"):
        write_data_dir([*mixtures, mixtures[0]], tmp_path, "noisy")
    with pytest.raises(UserError, match="4 mixtures have not 2 talkers"):
        write_data_dir(mixtures, tmp_path, "noisy", 2)
    assert not (tmp_path / "info.json").exists()


@pytest.mark.parametrize(
    ("name", "pattern", "new", "said"),
    [
        ("text", r" <sc> (\w)", r" <sc>\1", "text, line 1: talkers must be joined by exactly ' <sc> '"),
        ("text", r" <sc> ", r" <sc>  ", "text, line 1: talkers must be joined by exactly ' <sc> '"),
        ("text", r"(\w+) <sc>", r"WRONG <sc>", "text, line 1: differs from the sources"),
        ("text", r"\A\S+ .*\n", "", "text, line 1: id .* where mixtures.jsonl has"),
        ("text", r"\S+ .*\n\Z", "", "text, line 8: 7 ids, mixtures.jsonl has 8"),
        ("text_spk1", r"\A(\S+) .*", r"\1 WRONG", "text_spk1, line 1: 'WRONG', but talker 1 in text says"),
        ("text_spk3", r"\A(\S+).*", r"\1 WRONG", "text_spk3, line 1: 'WRONG', but talker 3"),
        ("utt2num_spk", r"\A(\S+) .*", r"\1 9", "utt2num_spk, line 1: 9 talkers"),
        ("onsets", r"\A(\S+) (\S+) (\S+)", r"\1 \3 \2", "onsets, line 1: "),
        ("utt2dur", r"\A(\S+) .*", r"\1 99.000", "utt2dur, line 1: 99.000"),
        ("utt2overlap", r"\A(\S+) .*", r"\1 0.9999", "utt2overlap, line 1: 0.9999"),
        ("utt2spk", r"\A\S+", "another", "utt2spk, line 1: id 'another'"),
        ("utt2spk", r"\A(.*\n)", r"\1\1", "utt2spk, line 2: id .* came before"),
        ("ref.seglst.json", r'"speaker": "1"', '"speaker": "2"', "ref.seglst.json: differs"),
        ("ref.seglst.json", r"\]\s*\Z", "", "ref.seglst.json, line .*: broken JSON"),
        ("mixtures.jsonl", r'"onset": 0.0', '"onset": 9.0', "mixtures.jsonl, line 1: .*not in order of onset"),
        ("mixtures.jsonl", r"\A(.*\n)(.*\n)", r"\2\1", "mixtures.jsonl, line 2: id .* sort by id"),
        ("mixtures.jsonl", r"\.ogg", ".opus", "mixtures.jsonl, line 1: no such audio file: .*opus"),
        ("info.json", "null", "2", "info.json: 2 talkers"),
        ("info.json", "noisy", "loud", "info.json: condition 'loud'"),
        ("info.json", r"\}", "", "info.json, line 1: broken JSON"),
    ],
)
def test_contradictions_are_found(folder, name, pattern, new, said):
    path = folder / name
    before = path.read_text()
    path.write_text(re.sub(pattern, new, before, count=1))
    assert path.read_text() != before
    problems = check_data_dir(folder)
    assert problems
    assert any(re.search(said, problem) for problem in problems), problems


@pytest.mark.parametrize("name", ["text", "text_spk3", "onsets", "mixtures.jsonl", "ref.seglst.json"])
def test_missing_files_are_found(folder, name):
    (folder / name).unlink()
    assert check_data_dir(folder) == [f"{folder / name}: no such file"]


def test_modes_are_kept(mixtures, tmp_path):
    write_data_dir([dataclasses.replace(m, mode="min") for m in mixtures], tmp_path, "noisy")
    assert check_data_dir(tmp_path) == []
    assert {m.mode for m in read_manifest(tmp_path / "mixtures.jsonl")} == {"min"}


def test_stored_waveforms_are_listed_and_checked(mixtures, tmp_path):
    stored = [dataclasses.replace(m, recording=Recording(m.sources[0].path)) for m in mixtures]
    write_data_dir(stored, tmp_path, "noisy")
    assert read_kaldi(tmp_path / "wav.scp") == {m.id: m.recording.path for m in sorted(stored, key=lambda m: m.id)}
    assert check_data_dir(tmp_path) == []
    scp = (tmp_path / "wav.scp").read_text()
    (tmp_path / "wav.scp").write_text(scp.replace(".ogg", ".wav", 1))
    assert re.search(r"wav.scp, line 1: .*\.wav, mixtures.jsonl has .*\.ogg", check_data_dir(tmp_path)[0])
    (tmp_path / "wav.scp").unlink()
    assert check_data_dir(tmp_path) == [f"{tmp_path / 'wav.scp'}: no such file"]
    part = dataclasses.replace(stored[0], recording=Recording(stored[0].recording.path, 5))
    write_data_dir([part, *stored[1:]], tmp_path, "noisy")
    assert check_data_dir(tmp_path) == []
    assert not (tmp_path / "wav.scp").exists()
    (tmp_path / "wav.scp").write_text(scp)
    assert check_data_dir(tmp_path) == [f"{tmp_path / 'wav.scp'}: not all waveforms are stored; remove it"]
    gone = dataclasses.replace(stored[0], recording=Recording("gone.wav"))
    write_data_dir([gone, *stored[1:]], tmp_path, "noisy")
    assert [problem.partition("file: ")[2] for problem in check_data_dir(tmp_path)] == ["gone.wav"]


def test_mixtures_at_another_speed_have_scaled_times(mixtures, tmp_path):
    write_data_dir(mixtures, tmp_path / "usual", "noisy")
    write_data_dir([dataclasses.replace(m, speed=0.9) for m in mixtures], tmp_path / "slow", "noisy")
    assert check_data_dir(tmp_path / "slow") == []
    usual, slow = (json.loads((tmp_path / name / "ref.seglst.json").read_text()) for name in ("usual", "slow"))
    for a, b in zip(usual, slow, strict=True):
        for key in ("start_time", "end_time"):
            assert b[key] == pytest.approx(a[key] / 0.9, abs=2e-4)
    for name in ("onsets", "utt2dur"):
        tables = [read_kaldi(tmp_path / folder / name) for folder in ("usual", "slow")]
        for key, value in tables[0].items():
            expected = [float(second) / 0.9 for second in value.split()]
            assert [float(second) for second in tables[1][key].split()] == pytest.approx(expected, abs=2e-3)

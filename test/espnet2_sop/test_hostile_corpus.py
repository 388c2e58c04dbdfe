"""A corpus whose ids and texts a shell, CSV, Markdown or HTML would interpret goes through all stages as it is."""

import csv
import html
import json

import fuzzing
import numpy as np
import pytest
import soundfile

from espnet2_sop.bin import cli
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.mixture.datadir import check_data_dir

IDS = ["-rf", "$(touch${IFS}stray)", "`touch`", "\"q'", "é*?[a]", "a;b|c&d>e", "<script>alert(1)</script>", "%s\\n{0}"]
TEXTS = ["<script>alert('x')</script>", "A & \"B\" 'C' `touch stray`", "$(touch stray) | *", "é <b>日本</b> ﷽"]


@pytest.fixture
def prepared(tmp_path):
    """Formatted data of a folder with an odd name; returns the folder of all."""
    root, rng = tmp_path / "a 'b' $(touch stray),c", np.random.default_rng(0)
    chapter = root / "speech" / "part" / "1" / "1"
    chapter.mkdir(parents=True)
    lines = []
    for number, text in enumerate(TEXTS):
        name = f"{number}-1-$(touch stray)'&<i>"
        soundfile.write(chapter / f"{name.replace(' ', '_')}.flac", 0.1 * rng.standard_normal(9600), 16000)
        lines.append(f"{name.replace(' ', '_')} {text}\n")
    (chapter / "1-1.trans.txt").write_text("".join(lines), encoding="utf-8")
    wavs = [f"part/1/1/{line.split()[0]}.flac" for line in lines]
    with open(root / "m.csv", "w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(["mixture_ID", "source_1_path", "source_1_gain", "source_2_path", "source_2_gain", "offset"])
        table.writerows([name, wavs[i % 4], 1, wavs[(i + 1) % 4], 0.5, 0.2] for i, name in enumerate(IDS))
    run("prepare", "librimix", "--csv", root / "m.csv", "--speech_root", root / "speech", "--condition", "clean",
        "--out", root / "data/test set")  # fmt: skip
    run("format", root / "data/test set", root / "dump/test set")
    return root


def run(*argv) -> None:
    assert cli.run(argv[0], [str(word) for word in argv[1:]]) == 0


def test_all_stages_but_the_model(prepared, capsys, monkeypatch):
    monkeypatch.chdir(prepared)
    data = prepared / "dump/test set"
    assert check_data_dir(data) == []
    texts = read_kaldi(data / "text")
    assert sorted(texts) == sorted(IDS)
    assert texts["-rf"] == f"{TEXTS[0]} <sc> {TEXTS[1]}"
    for system, change in (("sot", "x"), ("sop", "<b>y</b>")):
        folder = prepared / "exp/decode" / system / "test set"
        folder.mkdir(parents=True)
        rows = (f"{key} {text} {change}\n" for key, text in texts.items())
        (folder / "text").write_text("".join(rows), encoding="utf-8")
    (folder / "prompt").write_text((folder / "text").read_text())
    run("score", "--data", prepared / "dump", *sorted((prepared / "exp/decode").glob("*/test set")))
    with open(folder / "score.csv", newline="", encoding="utf-8") as f:
        assert sorted(row["id"] for row in csv.DictReader(f)) == sorted(IDS)
    assert json.loads((folder / "score.json").read_text())["per_mixture"].keys() == texts.keys()
    run("table", prepared / "exp")
    run("compare", *(prepared / "exp/decode" / system / "test set" for system in ("sot", "sop")))
    run("report", prepared / "exp")
    assert "\x1b" not in capsys.readouterr().out
    page = (prepared / "exp/report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<b>y" not in page, "a text or an id is markup"
    assert html.escape(IDS[6]) in page or html.escape(IDS[6], quote=False) in page
    assert not list(prepared.parent.rglob("stray"))


@pytest.mark.parametrize(
    ("name", "legal"), [("a b", False), ("a\tb", False), ("a\nb", False), ("\x1b[1m", False), ("a\u200bb", False),
                        ("", False), ("../a", True), ("a/b", True), *((name, True) for name in IDS)],
)  # fmt: skip
def test_what_an_id_may_be(tmp_path, name, legal):
    """Data directories take any characters that can be seen but no blanks; names of WAV files no slash, either."""
    from espnet2_sop.mixture.corpora.stored import store_mixtures
    from espnet2_sop.mixture.datadir import write_data_dir
    from espnet2_sop.mixture.manifest import Mixture, Source, read_manifest

    soundfile.write(tmp_path / "s.wav", np.zeros(1600), 16000)
    mixture = Mixture(name, (Source(str(tmp_path / "s.wav"), "a b\nc", "ONE", 0.0, 1.0, 1600),))
    assert fuzzing.accepts(lambda: write_data_dir([mixture], tmp_path / "data", "clean", 1)) == legal
    if legal:
        assert check_data_dir(tmp_path / "data") == []
        assert read_kaldi(tmp_path / "data/utt2spk") == {name: "a_b_c"}
        assert read_manifest(tmp_path / "data/mixtures.jsonl") == [mixture]
    stored = legal and "/" not in name
    assert fuzzing.accepts(lambda: store_mixtures([mixture], tmp_path / "wav")) == stored
    assert len(list(tmp_path.rglob("*.wav"))) == 1 + stored


def test_no_recording_is_a_command(tmp_path):
    """Kaldi's tools run what ends in a pipe."""
    from espnet2_sop.mixture.datadir import write_data_dir
    from espnet2_sop.mixture.manifest import Mixture, Recording, Source

    for path in ("touch stray |", "|x", " a.wav", "a.wav\n", "a\nb"):
        mixture = Mixture("m", (Source("s.wav", "s", "ONE", 0.0, 1.0, 1600),), recording=Recording(path))
        assert not fuzzing.accepts(lambda m=mixture: write_data_dir([m], tmp_path / "data", "clean"))


def test_errors_of_commands_are_one_line(tmp_path, capsys, monkeypatch):
    """Names of files may hold line breaks and escapes, files may not be writable: one line, no traceback."""
    odd = tmp_path / "a\nb\x1b[31m"
    assert cli.run("stats", [str(odd), "--out", str(tmp_path / "x")]) == 1
    assert cli.run("score", [str(odd), str(odd)]) == 1
    (tmp_path / "file").touch()
    (tmp_path / "text").write_text("a B\n")
    assert cli.run("score", [str(tmp_path), str(tmp_path), "--out", str(tmp_path / "file" / "out")]) == 1
    assert cli.run("score", [str(tmp_path), str(tmp_path), "--out", str(tmp_path / ("x" * 300))]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and all(line.isprintable() and ": error: " in line for line in lines)
    assert "a\\nb\\x1b[31m" in lines[0] and "File name too long" in lines[3]


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "0", "x", "\x1b"])
@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("plan", ["c.yaml", "--seconds"]),
        ("plan", ["c.yaml", "--tokens"]),
        ("format", ["src", "dst", "--max_duration"]),
        ("decode", ["--run", "x", "--mode", "sop", "--out", "o", "d", "--batch_seconds"]),
        ("decode", ["--run", "x", "--mode", "sop", "--out", "o", "d", "--beam"]),
        ("decode", ["--run", "x", "--mode", "sop", "--out", "o", "d", "--batch_size"]),
        ("compare", ["a", "b", "--top"]),
    ],
)
def test_odd_numbers_are_refused(capsys, command, options, value):
    try:
        status = cli.run(command, [*options[:-1], f"{options[-1]}={value}"])
    except SystemExit as stop:  # argparse
        status = stop.code
    err = capsys.readouterr().err
    assert status in (1, 2) and "error: " in err and "Traceback" not in err

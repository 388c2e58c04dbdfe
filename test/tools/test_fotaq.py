"""egs2/fotaqmix/sop_asr1/local/fotaq.py: which recording has which words, and who speaks them."""

import csv
import hashlib
import importlib.util
import io
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

SCRIPT = Path(__file__).resolve().parents[2] / "egs2/fotaqmix/sop_asr1/local/fotaq.py"
RATE, GAME_RATE = 16000, 11025


@pytest.fixture(scope="module")
def fotaq():
    spec = importlib.util.spec_from_file_location("fotaq", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words16(*numbers):
    return struct.pack(f">{len(numbers)}h", *numbers)


def string(text, align, before=0):
    """A string of the game that starts `before` bytes behind a multiple of `align`."""
    data = bytes([len(text)]) + text.encode("cp437")
    return data + bytes(-(before + len(data)) % align if text else 0)


def audio(seconds, tone):
    """A recording; another tone is another recording."""
    file = io.BytesIO()
    wave = 0.3 * np.sin(2 * np.pi * tone * np.arange(round(seconds * GAME_RATE)) / GAME_RATE)
    soundfile.write(file, wave, GAME_RATE, format="WAV")
    return file.getvalue()


def dialogue():
    """File 7 with Bob: two lines of his (one has no number), one of Joe, Joe's first words and both last words."""
    joe, bob, last = b"", b"", b""
    for number, text in ((0x1F, "Hello, *HAthere.*HAno sound*GD"), (-1, "not recorded")):
        bob += words16(0, number)
        bob += string(text, 4, len(bob))
    joe_at = 32 + 96
    for number, text in ((0, "Am I speaking?"), (2, "I have 1940 of 300.")):
        joe += words16(0, number)
        joe += string(text, 4, joe_at + len(joe))
    last_at = joe_at + len(joe) + len(bob)
    for text in ("Goodbye now my friend.", "So long."):
        last += string(text, 2, last_at + len(last))
    head = bytearray(joe_at)
    head[:10] = words16(-1, 0, 7, 2, 2)
    head[22:24] = words16(joe_at + len(joe))
    head[26:28] = words16(last_at)
    return bytes(20) + bytes(head) + joe + bob + last


def cutscene():
    """Two steps: Mary-Lou (object 82), with a frame of animation and two more numbers, then one whose text is hers."""
    steps = words16(82, 0, 0, 0, 0, 1, *[0] * 11, 2) + words16(5, 5) + words16(*[1] * 10) + words16(-2)
    steps += words16(24, *[0] * 17)
    at = 12 + len(steps)
    return (
        bytes(20)
        + words16(0, -2, 0, 0, at, 0)
        + steps
        + string("", 2, at)
        + string("We are not alone here.", 2, at + 1)
    )


MEMBERS = {
    "BOB1.DOG": dialogue(),
    "C9A.CUT": cutscene(),
    "QUEEN.JAS": bytes(26) + words16(1),
    "QUEEN2.JAS": b"It's a  <cough> door. I'm 'sure'.\r\nnot counted",
    "07001FP1.SB": audio(1.5, 200),
    "07001FP2.SB": audio(1.0, 210),
    "07001FP3.SB": audio(1.0, 220),
    "070000J1.SB": audio(1.2, 230),
    "07SSSSJ1.SB": audio(1.2, 230),
    "070002J1.SB": audio(1.4, 240),
    "07XXXXP1.SB": audio(1.1, 250),
    "07XXXXJ1.SB": audio(0.5, 260),
    "JOE00411.SB": audio(2.0, 270),
    "JOE00421.SB": audio(2.0, 280),
    "C9A__011.SB": audio(1.3, 290),
}
TEXTS = {
    "test/fq10/bob": {"fq10-bob-0000": "HELLO THERE", "fq10-bob-0001": "GOODBYE NOW MY FRIEND"},
    "train/fq01/joe": {
        "fq01-joe-0000": "AM I SPEAKING",
        "fq01-joe-0001": "I HAVE NINETEEN FORTY OF THREE HUNDRED",
    },
    "train/fq01/desc": {"fq01-desc-0000": "IT'S A DOOR I'M SURE"},
    "dev/fq08/cut": {"fq08-cut-0000": "WE ARE NOT ALONE HERE"},
}


def write_archive(path, members):
    table, blob = b"", b""
    start = 15 + 21 * len(members)
    for name, data in members.items():
        table += struct.pack(">12scII", name.encode(), b"\0", start + len(blob), len(data))
        blob += data
    path.write_bytes(b"QTBL" + bytes(9) + struct.pack(">H", len(members)) + table + blob)
    return path


@pytest.fixture
def game(fotaq, tmp_path, monkeypatch):
    """A queen.1c that the script takes for the game's."""
    path = write_archive(tmp_path / "queen.1c", MEMBERS)
    monkeypatch.setattr(fotaq, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def read_texts(out):
    return {
        str(path.parent.relative_to(out)): dict(line.split(" ", 1) for line in path.read_text().splitlines())
        for path in out.rglob("*.trans.txt")
    }


def run(fotaq, monkeypatch, *args):
    monkeypatch.setattr("sys.argv", ["fotaq.py", *map(str, args)])
    fotaq.main()


def test_the_folder_is_that_of_librispeech(fotaq, game, tmp_path, monkeypatch, capsys):
    """Texts go with their recordings; without a number, too short, or recorded twice is left out."""
    out = tmp_path / "data/fotaq"
    run(fotaq, monkeypatch, out, "--package", game)
    assert "3 utterances of train, 1 utterances of dev, 2 utterances of test" in capsys.readouterr().out
    assert read_texts(out) == TEXTS
    for chapter, texts in TEXTS.items():
        assert sorted(path.stem for path in (out / chapter).glob("*.flac")) == sorted(texts)
    wave, rate = soundfile.read(out / "test/fq10/bob/fq10-bob-0000.flac")
    assert rate == RATE and len(wave) / RATE == pytest.approx(2.5, abs=0.001)
    spectrum = np.abs(np.fft.rfft(wave[: int(1.5 * RATE)]))
    assert spectrum.argmax() / 1.5 == pytest.approx(200, abs=2)
    assert sorted(path.name for path in out.iterdir()) == ["NOTICE.txt", "dev", "speakers.tsv", "test", "train"]
    rows = list(csv.DictReader((out / "speakers.tsv").open(), delimiter="\t"))
    assert {row["speaker"]: row["utterances"] for row in rows if row["utterances"] != "0"} == {
        "fq01": "3",
        "fq08": "1",
        "fq10": "2",
    }


def test_no_actor_is_in_two_sets(fotaq):
    """By the credits: speakers with a name in common are in one set; and the table knows no other speakers."""
    for speaker, (subset, names) in fotaq.ACTORS.items():
        for other, (other_subset, other_names) in fotaq.ACTORS.items():
            if speaker != other and set(names.split(" or ")) & set(other_names.split(" or ")):
                assert subset == other_subset, (speaker, other)
    rows = list(csv.DictReader(fotaq.TABLE.open(), delimiter="\t"))
    assert {row["speaker"] for row in rows} == {*fotaq.ACTORS, "-"}
    assert len({(row["kind"], row["key"]) for row in rows}) == len(rows)
    assert {row["kind"] for row in rows} == {"dialogue", "object", "line"}


def test_an_interrupted_run_continues(fotaq, game, tmp_path, monkeypatch, capsys):
    """Complete chapters stay, the one that was begun is made anew, and a complete folder is left alone."""
    out = tmp_path / "fotaq"
    write = fotaq.write_chapter

    def stop_at_second(folder, name, lines):
        if any(out.rglob("*.trans.txt")):
            (folder.with_name(f"{folder.name}.part")).mkdir(parents=True)
            raise KeyboardInterrupt
        write(folder, name, lines)

    monkeypatch.setattr(fotaq, "write_chapter", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        run(fotaq, monkeypatch, out, "--package", game)
    assert not (out / "train").exists()
    made = []
    monkeypatch.setattr(fotaq, "write_chapter", lambda *args: made.append(args[1]) or write(*args))
    run(fotaq, monkeypatch, out, "--package", game)
    assert read_texts(out) == TEXTS and len(made) == len(TEXTS) - 1
    run(fotaq, monkeypatch, out, "--package", tmp_path / "gone.deb")
    assert "complete already" in capsys.readouterr().out and len(made) == len(TEXTS) - 1


def test_what_is_too_long_is_cut_between_the_recordings(fotaq):
    pieces = [(audio(seconds, 200), f"piece {n}") for n, seconds in enumerate((9, 6, 2, 17, 3))]
    found = [(round(len(wave) / RATE), text) for wave, text in fotaq.utterances(pieces)]
    assert found == [(15, "PIECE ZERO PIECE ONE"), (2, "PIECE TWO"), (17, ""), (3, "PIECE FOUR")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one *AB two", {"K1.SB": "one", "K2.SB": "two"}),
        ("*XY12345678901one*HA", {"K2.SB": "one"}),
        ("silent*GMone*HA*GD", {"K2.SB": "one"}),
        ("o\r\nne*A", {"K1.SB": "one"}),
        (" ".join(f"w{n}*AA" for n in range(11)), {f"K{n + 1:X}.SB": f"w{n}" for n in range(11)}),
    ],
)
def test_pieces_of_a_line_are_numbered_at_its_codes(fotaq, text, expected):
    assert dict(fotaq.recordings("k", text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's 19:00, the 13th!", "IT'S NINETEEN HUNDRED THE THIRTEENTH"),
        ("12 of 47 for 105 or 2500", "TWELVE OF FORTY SEVEN FOR ONE HUNDRED AND FIVE OR TWO THOUSAND FIVE HUNDRED"),
        ("in 1900 and the 1940's, B2", "IN NINETEEN HUNDRED AND THE NINETEEN FORTIES B TWO"),
        ("'Tis &#@ the ^_ <sneeze> dogs' 'end'", "TIS THE DOGS END"),
        ("...!?", ""),
    ],
)
def test_words_are_as_they_are_spoken(fotaq, text, expected):
    assert fotaq.words(text) == expected


def test_a_debian_package_is_unpacked(fotaq, game, tmp_path, monkeypatch):
    """Fetched or given; its licence is copied. The programs of Debian are replaced, as other systems lack them."""
    calls = []

    def debian(command, folder, advice):
        calls.append(command[0])
        if command[0] == "apt-get":
            Path(folder, f"{fotaq.PACKAGE}_1_all.deb").write_bytes(b"!<arch>")
            return
        tree = Path(command[-1])
        (tree / "usr/games").mkdir(parents=True)
        (tree / "usr/games/queen.1c").write_bytes(game.read_bytes())
        (tree / f"usr/share/doc/{fotaq.PACKAGE}").mkdir(parents=True)
        (tree / f"usr/share/doc/{fotaq.PACKAGE}/copyright").write_text("free of charge\n")

    monkeypatch.setattr(fotaq, "run", debian)
    run(fotaq, monkeypatch, tmp_path / "out")
    assert calls == ["apt-get", "dpkg-deb"]
    assert read_texts(tmp_path / "out") == TEXTS
    assert (tmp_path / "out/LICENCE.txt").read_text() == "free of charge\n"
    assert "MODIFIED" in (tmp_path / "out/NOTICE.txt").read_text()


def test_what_is_missing_or_broken_is_told_in_one_line(fotaq, game, tmp_path, monkeypatch):
    """And nothing is left behind."""
    other = write_archive(tmp_path / "other.1c", {"A.DOG": b""})
    text = tmp_path / "text.deb"
    text.write_text("not a package")
    taken = tmp_path / "taken"
    (taken / "dev").mkdir(parents=True)
    for args, message in (
        ((tmp_path / "out", "--package", tmp_path / "gone.deb"), "gone.deb: no such file"),
        ((tmp_path / "out", "--package", other), "other.1c: its queen.1c is broken or of another version"),
        ((tmp_path / "out", "--package", text), "dpkg-deb.*; text.deb: give a whole Debian package"),
        ((taken, "--package", game), "taken/dev: is there already; remove it or give a new folder"),
    ):
        with pytest.raises(SystemExit, match=message) as stop:
            run(fotaq, monkeypatch, *args)
        assert str(stop.value).startswith("fotaq.py: error: ") and "\n" not in str(stop.value)
        assert not (tmp_path / "out").exists() and len(list(taken.iterdir())) == 1


def test_a_program_that_fails_or_is_missing_says_what_to_do(fotaq, tmp_path, monkeypatch):
    with pytest.raises(fotaq.DataError, match="no program no-such-program here; do this"):
        fotaq.run(["no-such-program"], tmp_path, "do this")

    def fail(*args, **kwargs):
        raise subprocess.CalledProcessError(100, "apt-get", stderr="W: one\nE: Unable to locate package\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(fotaq.DataError, match="apt-get failed .E: Unable to locate package.; run apt-get update"):
        fotaq.read_package(None)


def test_an_archive_without_a_table_is_refused(fotaq):
    with pytest.raises(fotaq.DataError, match="not a queen.1c with a table"):
        fotaq.Archive(b"RIFF" + bytes(20))

"""egs2/fotaqmix/sop_asr1/local/uqm.py: where the clips are cut, and which words become whose text."""

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

SCRIPT = Path(__file__).resolve().parents[2] / "egs2/fotaqmix/sop_asr1/local/uqm.py"
RATE, GAME_RATE = 16000, 11025


@pytest.fixture(scope="module")
def uqm():
    spec = importlib.util.spec_from_file_location("uqm", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def speech(rate, *seconds):
    """A tone, a pause, a tone, and so on; (T,) float32."""
    parts = [np.sin(2 * np.pi * 300 * np.arange(round(s * rate)) / rate) * (n % 2 == 0) for n, s in enumerate(seconds)]
    return 0.3 * np.concatenate(parts).astype(np.float32)


def ogg(*seconds):
    file = io.BytesIO()
    soundfile.write(file, speech(GAME_RATE, *seconds), GAME_RATE, format="OGG", subtype="VORBIS")
    return file.getvalue()


ORZ = """#(HELLO)\torz-000.ogg
We are *happy* people energy, Captain.
There were 12 of us in the other place.
Is it `silly' not to know the Orz?

#(who_you)
Who are you?

#(SHORT)\torz-001.ogg
So much good!

#(NAME0)\torz-002.ogg
Hello again to you, Captain

#(NAME1)
of the ship.

#(GONE)\torz-003.ogg
Nobody has recorded these words.

#(AGAIN)\torz-004.ogg
Is it silly not to know the Orz?
"""
ZOQ = "#(GLAD0)\tzoqfotpik-000.ogg\nWe are a scout vessel.\n#(GLAD1)\tzoqfotpik-001.ogg\nNo, we are not that!\n"
PATHS = {race: f"addons/3dovoice/{race}/{race}.txt" for race in ("orz", "commander")}
PATHS["zoqfotpik"] = "base/comm/zoqfotpik/zoqfotpik.txt"


@pytest.fixture
def game(tmp_path):
    """Three lines with pauses at 2.0 to 2.4 s and 4.4 to 4.8 s, the times a bit beside; and clips without times."""
    folder = tmp_path / "game"
    (folder / "packages").mkdir(parents=True)
    (folder / "addons").mkdir()
    with zipfile.ZipFile(folder / "packages/uqm-0.8.0-content.uqm", "w") as content:
        content.writestr("base/comm/zoqfotpik/zoqfotpik.txt", ZOQ)
    with zipfile.ZipFile(folder / "addons/uqm-0.8.0-voice.uqm", "w") as voice:
        table = ""
        for race, text in PATHS.items():
            own = f"addons/3dovoice/{race}/"
            table += f"comm.{race}.dialogue = CONVERSATION:{text}:{own}:{own}{race}.ts\n"
        voice.writestr("3dovoice/3dovoice.rmp", table)
        voice.writestr("3dovoice/orz/orz.txt", ORZ)
        voice.writestr("3dovoice/orz/orz.ts", "#(HELLO) 2100,2600\n#(who_you) \n#(SHORT) \n#(NAME0) \n#(NAME1) \n")
        for number, seconds in {0: (2, 0.4, 2, 0.4, 2), 1: (1,), 2: (2,), 4: (2,)}.items():
            voice.writestr(f"3dovoice/orz/orz-{number:03d}.ogg", ogg(*seconds))
        voice.writestr("3dovoice/commander/commander.txt", "#(HI)\tcommander-000.ogg\nThis is the starbase.\n")
        voice.writestr("3dovoice/commander/commander.ts", "#(HI) \n")
        voice.writestr("3dovoice/commander/commander-000.ogg", ogg(2))
        voice.writestr("3dovoice/zoqfotpik/zoqfotpik.ts", "#(GLAD0) \n#(GLAD1) \n")
        for number in range(2):
            voice.writestr(f"3dovoice/zoqfotpik/zoqfotpik-{number:03d}.ogg", ogg(2))
    return folder


def test_texts_and_files_are_found_by_their_phrases(uqm):
    """Not those that a phrase without a file goes on, that two phrases share, or whose lines have no times."""
    found = list(uqm.clips(ORZ, "#(HELLO) 2100,2600\n#(NAME1) 5\n"))
    assert [(clip.phrase, clip.file, len(clip.lines), clip.times) for clip in found] == [
        ("HELLO", "orz-000.ogg", 3, [2.1, 4.7]),
        ("SHORT", "orz-001.ogg", 1, []),
        ("GONE", "orz-003.ogg", 1, []),
        ("AGAIN", "orz-004.ogg", 1, []),
    ]
    assert found[0].lines[1] == "There were 12 of us in the other place."
    assert [clip.phrase for clip in uqm.clips(ORZ, "#(HELLO) 2100\n")] == ["SHORT", "GONE", "AGAIN"]
    assert list(uqm.clips("#(A0)\ta.ogg\nOne.\n#(B0)\ta.ogg\nOne.\n", "")) == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("It is *happy spices*... Ur-Quan!", "IT IS HAPPY SPICES UR QUAN"),
        ("`Hold! Do you have `missing days'?'", "HOLD DO YOU HAVE MISSING DAYS"),
        ("the 'Caster which our species' ships don't have", "THE 'CASTER WHICH OUR SPECIES' SHIPS DON'T HAVE"),
        ("at a constant 22 degrees", ""),
        ("(sigh) I am here.", ""),
        ("-<LEAVE ME ALONE!>-", ""),
        ("Aaargh! That hurts.", ""),
        ("So na\u00efve.", ""),
    ],
)
def test_words_are_those_that_are_certain(uqm, line, text):
    assert uqm.words(line) == text


def test_cuts_are_in_the_pauses_near_the_given_times(uqm):
    """A pause that is too far away is none; the nearer of two is taken."""
    wave = speech(RATE, 2, 0.3, 0.4, 0.3, 2, 0.4, 2)
    found = uqm.pauses(wave, [2.2, 2.8, 4.0, 5.3])
    assert found[2] is None
    for place, (start, end) in zip((*found[:2], found[3]), ((2, 2.3), (2.7, 3), (5, 5.4)), strict=True):
        assert start * RATE < place < end * RATE
    assert uqm.pauses(wave, []) == []


def test_lines_without_a_pause_between_them_are_joined(uqm):
    wave = speech(RATE, 4, 0.4, 2, 0.3, 1)
    clip = uqm.Clip("A", "a.ogg", ["One more time.", "Then we go.", "Away from here now.", "Yes."], [2.0, 4.2, 6.5])
    (first, text), (second, other) = uqm.pieces(wave, clip)
    assert (text, other) == ("ONE MORE TIME THEN WE GO", "AWAY FROM HERE NOW")
    assert len(first) / RATE == pytest.approx(4.2, abs=0.15) and len(second) / RATE == pytest.approx(2.35, abs=0.2)


def test_what_is_too_short_to_be_cut_off_goes_with_the_next(uqm):
    wave = speech(RATE, 1, 0.4, 2)
    ((piece, text),) = uqm.pieces(wave, uqm.Clip("A", "a.ogg", ["Yes.", "We are the Orz."], [1.2]))
    assert len(piece) == len(wave) and text == "YES WE ARE THE ORZ"


def test_texts_that_are_too_long_or_too_few_words_for_the_time_are_left_out(uqm):
    for seconds, line in ((16, "word " * 40), (2, "word " * 12), (4, "Three short words.")):
        assert list(uqm.pieces(speech(RATE, seconds), uqm.Clip("A", "a.ogg", [line], []))) == []


def test_the_folder_is_that_of_librispeech(uqm, game, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["uqm.py", str(game), str(tmp_path / "data/uqm")])
    uqm.main()
    assert capsys.readouterr().out == f"{tmp_path / 'data/uqm'}: 5 utterances of 4 speakers\n"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["uqm"]
    texts = {}
    for table in (tmp_path / "data/uqm").rglob("*.trans.txt"):
        own = dict(line.split(" ", 1) for line in table.read_text().splitlines())
        assert table.name == "-".join(table.parts[-3:-1]) + ".trans.txt"
        assert sorted(path.stem for path in table.parent.glob("*.flac")) == sorted(own)
        texts |= own
    assert texts == {
        "uqmorz-orz-00000": "WE ARE HAPPY PEOPLE ENERGY CAPTAIN",
        "uqmorz-orz-00001": "IS IT SILLY NOT TO KNOW THE ORZ",
        "uqmstarbase-commander-00000": "THIS IS THE STARBASE",
        "uqmzoq-zoqfotpik-00000": "WE ARE A SCOUT VESSEL",
        "uqmpik-zoqfotpik-00100": "NO WE ARE NOT THAT",
    }
    for name, seconds in (("uqmorz-orz-00000", 2.2), ("uqmorz-orz-00001", 2.2), ("uqmstarbase-commander-00000", 2.0)):
        (path,) = (tmp_path / "data/uqm").rglob(f"{name}.flac")
        wave, rate = soundfile.read(path)
        assert rate == RATE and len(wave) / RATE == pytest.approx(seconds, abs=0.15)
        assert np.sqrt(np.mean(wave**2)) == pytest.approx(uqm.LEVEL, rel=0.01)


def test_races_that_nobody_understands_are_left_out(uqm, game, tmp_path, monkeypatch):
    monkeypatch.setattr(uqm, "UNINTELLIGIBLE", ("zoqfotpik", "orz"))
    monkeypatch.setattr("sys.argv", ["uqm.py", str(game), str(tmp_path / "uqm")])
    uqm.main()
    assert [path.name for path in (tmp_path / "uqm").iterdir()] == ["uqmstarbase"]


def test_what_is_missing_is_told_in_one_line(uqm, game, tmp_path, monkeypatch):
    """And nothing is left behind, also of what was begun."""
    voice = game / uqm.VOICE
    for out, spoil, message in (
        ("game", lambda: None, "game: is there already"),
        ("uqm", lambda: voice.write_bytes(b"not a zip file"), "game: not the files of version 0.8.0: "),
        ("uqm", lambda: zipfile.ZipFile(voice, "w").close(), "game: not the files of version 0.8.0: .*3dovoice.rmp"),
        ("uqm", voice.unlink, "game: no addons/uqm-0.8.0-voice.uqm here; install the packages uqm-content"),
    ):
        spoil()
        monkeypatch.setattr("sys.argv", ["uqm.py", str(game), str(tmp_path / out)])
        with pytest.raises(SystemExit, match=message) as stop:
            uqm.main()
        assert str(stop.value).startswith("uqm.py: error: ") and "\n" not in str(stop.value)
        assert [path.name for path in tmp_path.iterdir()] == ["game"]

"""egs2/fotaqmix/sop_asr1/local/sky.py: which samples are read, and which words become whose text."""

import importlib.util
import types
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "egs2/fotaqmix/sop_asr1/local/sky.py"
RATE = 16000


@pytest.fixture(scope="module")
def sky():
    spec = importlib.util.spec_from_file_location("sky", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(number, start, size, flags=0):
    return b"".join(value.to_bytes(n, "little") for value, n in ((number, 2), (start, 3), (flags << 22 | size, 3)))


def test_files_are_found_by_the_table(sky, tmp_path):
    """Those below 50000 are pictures and texts; the highest bit of the place says that it is counted in 16 bytes."""
    disk = bytes(range(256)) * 2
    table = [entry(7, 0, 9), entry(50003, 5, 20, flags=2), entry(50001, 1 << 23 | 3, 10)]
    (tmp_path / "sky.dnr").write_bytes(len(table).to_bytes(4, "little") + b"".join(table))
    (tmp_path / "sky.dsk").write_bytes(disk)
    assert list(sky.packed_files(tmp_path)) == [(50003, disk[5:25]), (50001, disk[48:58])]


def test_samples_are_unsigned_bytes_behind_a_header(sky):
    tone = np.sin(2 * np.pi * 400 * np.arange(11025) / 11025)
    wave = sky.unpack(b"\x80" * sky.HEADER + np.uint8(128 + 60 * tone).tobytes())
    assert len(wave) == RATE
    assert np.sqrt(np.mean(wave**2)) == pytest.approx(sky.LEVEL, rel=1e-3)
    assert np.argmax(np.abs(np.fft.rfft(wave))) == 400


def test_windows_hold_what_fits_with_its_gaps(sky):
    assert list(sky.windows([n * RATE for n in (10, 9, 8, 28, 29, 1)])) == [[0, 1, 2], [3], [4], [5]]
    assert list(sky.windows([n * RATE for n in (10, 9, 9)])) == [[0, 1], [2]]
    assert list(sky.windows([])) == []


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        (" Don't you - ever - stop?", "DON'T YOU EVER STOP"),
        (" It was in 1984.", ""),
        (" Nothing & nobody.", ""),
        (" ♪", ""),
    ],
)
def test_words_that_can_be_written_by_rule(sky, heard, text):
    assert sky.words(heard) == text


def test_a_segment_belongs_to_the_utterance_that_it_is_within(sky):
    """Utterances at 0 to 2, 3 to 5, 6 to 8 and 9 to 11 s; a segment over two of them makes both uncertain."""
    segments = [(0.0, 0.8, " One"), (0.8, 2.2, " two."), (3.0, 8.1, " Three and four."), (9.1, None, " Five.")]
    offsets = [{"timestamp": (start, end), "text": text} for start, end, text in segments]
    tokenizer = types.SimpleNamespace(decode=lambda tokens, output_offsets: {"offsets": offsets})
    listener = object.__new__(sky.Listener)
    listener.processor = types.SimpleNamespace(tokenizer=tokenizer)
    window = [np.zeros(2 * RATE, np.float32)] * 4
    assert listener._texts(window, torch.zeros(1)) == ["ONE TWO", "", "", "FIVE"]


def test_what_whisper_says_of_noise_is_not_believed(sky):
    said = ["I AM SORRY", "I AM SORRY", "", "GO ON AND ON AND ON AND ON", "THE", "WE FOUND YOU HERE", "A " * 12 + "B"]
    assert sky.believable(said, [np.zeros(2 * RATE)] * len(said)) == [False] * 5 + [True, False]


@pytest.fixture
def game(tmp_path, monkeypatch):
    """Six utterances of two seconds and more, and one that is too short."""
    (tmp_path / "game").mkdir()
    (tmp_path / "game/sky.dsk").write_bytes(bytes(range(100, 156)) * 2000)
    sizes = [*(22050 + 22 + n for n in (2, 4, 6, 8, 10, 12)), 5000]
    table = [entry(50000 + n, n, size) for n, size in enumerate(sizes)]
    (tmp_path / "game/sky.dnr").write_bytes(len(table).to_bytes(4, "little") + b"".join(table))
    return tmp_path / "game"


def test_an_interrupted_run_goes_on(sky, game, tmp_path, monkeypatch):
    """What Whisper has heard is not heard again; a line that was cut off is."""
    asked = []

    class Pool:
        def __init__(self, *args): ...
        def __enter__(self):
            return self

        def __exit__(self, *args): ...
        def imap(self, function, jobs):
            for batch in jobs:
                asked.extend(len(wave) for window in batch for wave in window)
                yield [["WORD NUMBER " + chr(65 + len(wave) % 26) for wave in window] for window in batch]

    monkeypatch.setattr(sky.multiprocessing, "get_context", lambda kind: types.SimpleNamespace(Pool=Pool))
    monkeypatch.setattr(sky, "group", lambda waves: np.array([1, 1, 2, 1, 1]))
    monkeypatch.setattr(sky, "require", lambda game, out: None)
    monkeypatch.setattr(sky, "FEWEST", 2)
    (tmp_path / ".sky.part").mkdir()
    (tmp_path / ".sky.part/words.tsv").write_text("50000\tWE KNEW THIS\n50001\t\n50002\tNOT WHO")
    monkeypatch.setattr("sys.argv", ["sky.py", str(game), str(tmp_path / "sky")])
    sky.main()
    assert len(asked) == 4
    (table,) = (tmp_path / "sky").rglob("*.trans.txt")
    names, texts = zip(*(line.split(" ", 1) for line in table.read_text().splitlines()), strict=True)
    assert names == tuple(f"sky001-sky-{50000 + n}" for n in (0, 2, 4, 5))
    assert texts[0] == "WE KNEW THIS" and len(set(texts)) == 4
    lines = (tmp_path / "sky/words.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(50000 + n) for n in range(6)]
    assert sorted(path.stem for path in table.parent.glob("*.flac")) == sorted(names)


def test_what_is_missing_is_told_first(sky, game, tmp_path, monkeypatch):
    monkeypatch.setattr(sky.shutil, "which", lambda name: "/bin/ancient")
    monkeypatch.setattr(sky.importlib.util, "find_spec", lambda name: None)
    for arguments, message in (
        ((tmp_path / "none", tmp_path / "sky"), "none: no sky.dnr and sky.dsk here"),
        ((game, tmp_path / "sky"), "Resemblyzer is missing"),
    ):
        with pytest.raises(SystemExit, match=message):
            sky.require(*arguments)
    monkeypatch.setattr(sky.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(SystemExit, match="game: is there already"):
        sky.require(game, game)
    monkeypatch.setattr(sky.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="the program ancient is missing"):
        sky.require(game, tmp_path / "sky")

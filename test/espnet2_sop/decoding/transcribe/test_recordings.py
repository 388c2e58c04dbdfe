"""If these fail, transcripts get the names of other recordings."""

import os

import pytest

from espnet2_sop.decoding.transcribe.recordings import find_recordings
from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.kaldi_audio import Command


def test_files_and_tables(tmp_path):
    table = tmp_path / "wav.scp"
    table.write_text("m1 x/one.flac\nm2 x/with blank.flac\nm3 x.ark:9\nm4 sox x.wav -t wav - |\n")
    found = find_recordings(["a/my talk.mp3", "exit|", table])
    assert found == {
        "my_talk": "a/my talk.mp3", "exit|": "exit|",
        "m1": "x/one.flac", "m2": "x/with blank.flac", "m3": "x.ark:9", "m4": "sox x.wav -t wav - |"}  # fmt: skip
    assert [name for name, path in found.items() if isinstance(path, Command)] == ["m4"]


@pytest.mark.parametrize(
    ("lines", "others", "message"),
    [
        ("", ["a.wav", "b/a.flac"], "a.wav and b/a.flac: both would be named a; name them in a wav.scp"),
        ("m1 | sox x.wav -t wav -\n", [], "wav.scp, line 1: m1 needs an audio file or a command"),
        ("m/1 x.wav\n", [], "m/1 is no name for a file"),
        ("", [], "no recordings in it"),
        ("m1 x.wav\nm1 y.wav\n", [], "wav.scp, line 2: id 'm1' came before"),
    ],
)
def test_bad_tables_and_names(tmp_path, lines, others, message):
    (tmp_path / "wav.scp").write_text(lines)
    with pytest.raises(UserError, match=message):
        find_recordings([tmp_path / "wav.scp", *others])


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\xe2\x80\x8bb", b" ", b"a\x07"])
def test_names_that_cannot_be_written_are_refused(tmp_path, name):
    """No UTF-8, a character without width, nothing but blanks, a bell; a wav.scp names them."""
    path = os.fsdecode(name + b".wav")
    with pytest.raises(UserError, match="is no name that can be written; name the recording in a wav.scp") as refused:
        find_recordings(["a.wav", path])
    assert str(refused.value).isprintable()
    assert find_recordings(["a b.wav"]) == {"a_b": "a b.wav"}


def test_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder; give audio files, or a wav.scp"):
        find_recordings([tmp_path])

"""If these fail, archives of Kaldi and ESPnet are misread, or a file that somebody else wrote runs a command."""

import pickle

import kaldiio
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader, num_samples, open_audio
from espnet2_sop.mixture.kaldi_audio import Command, audio_exists

SAMPLES = np.random.default_rng(0).integers(-3000, 3000, 4000).astype(np.int16)


@pytest.fixture(params=["wav", "AUDIO wav", "AUDIO flac"])
def entries(request, tmp_path):
    """Paths of two recordings in an archive: as Kaldi's wav-copy writes them, and as ESPnet does."""
    kind, *form = request.param.split()
    how = {"write_function": "soundfile", "write_kwargs": {"format": form[0], "subtype": "PCM_16"}} if form else {}
    table = {"a": (16000, SAMPLES), "b": (16000, SAMPLES[::-1].copy())}
    kaldiio.save_ark(str(tmp_path / "x.ark"), table, scp=str(tmp_path / "x.scp"), **how)
    return [line.split()[1] for line in (tmp_path / "x.scp").read_text().splitlines()]


def test_entries_of_archives(entries):
    for path, samples in zip(entries, (SAMPLES, SAMPLES[::-1]), strict=True):
        assert audio_exists(path) and num_samples(path) == len(samples)
        assert (AudioReader().read(path) * 32768 == samples).all()
        assert (AudioReader().read(path, 100, 200) * 32768 == samples[100:200]).all()


def test_a_cut_archive_is_refused(entries, tmp_path):
    archive = tmp_path / "x.ark"
    archive.write_bytes(archive.read_bytes()[:-100])
    assert num_samples(entries[0]) == len(SAMPLES)
    with pytest.raises(UserError, match=r"x.ark:\d+: not a readable audio file"):
        num_samples(entries[1])


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("an object of the archive was made",))


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"PKL" + pickle.dumps(Harmful()), 0, "no audio at this place of the archive"),
        (b"\0BFM \4\1\0\0\0\4\1\0\0\0\0\0\0\0", 0, "no audio at this place of the archive"),
        (b"", 5, "no audio at this place"),
        (b"RIFF", 10**30, "not a readable audio file"),
        (b"RIFF\4\0\0\0abcd", 0, "not a readable audio file"),
    ],
)
def test_what_is_no_audio_is_refused(tmp_path, content, place, message):
    (tmp_path / "x.ark").write_bytes(content)
    with pytest.raises(UserError, match=message) as refused:
        open_audio(f"{tmp_path}/x.ark:{place}")
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"y.ark:3: no such audio file"):
        open_audio(f"{tmp_path}/y.ark:3")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4), st.integers(0, 8000))
def test_any_archive_is_read_or_refused_in_one_line(entries, tmp_path, changes, length):
    content = bytearray((tmp_path / "x.ark").read_bytes())
    for place, value in changes:
        content[place] = value
    (tmp_path / "y.ark").write_bytes(content[:length])
    try:
        with open_audio(entries[0].replace("x.ark", "y.ark")) as audio:
            audio.read()
    except UserError as error:
        assert "y.ark" in str(error) and "\n" not in str(error)


def test_a_file_whose_name_looks_like_an_entry_is_a_file(tmp_path):
    soundfile.write(tmp_path / "x.wav", SAMPLES, 16000)
    path = (tmp_path / "x.wav").rename(tmp_path / "x.ark:7")
    assert num_samples(path) == len(SAMPLES)


def test_output_of_commands(tmp_path):
    soundfile.write(tmp_path / "x.wav", SAMPLES, 16000)
    with open_audio(Command(f"cat {tmp_path}/x.wav | cat |")) as audio:
        assert (audio.read(dtype="int16") == SAMPLES).all()
    for command, reason in (
        ("exit 3 |", r"exit 3 \|: the command failed with status 3 \(no output\)"),
        ("true |", "status 0"),
        ("echo first >&2; echo why >&2; exit 1 |", r"status 1 \(why\)"),
        ("echo text |", "not a readable audio file"),
    ):
        with pytest.raises(UserError, match=reason):
            open_audio(Command(command))


def test_the_path_of_a_manifest_is_never_run(tmp_path):
    path = f"touch {tmp_path}/made |"
    for use in (open_audio, num_samples, AudioReader().read):
        with pytest.raises(UserError, match="no such audio file"):
            use(path)
    with pytest.raises(UserError, match="no such audio file"):
        AudioReader().read(Command(path))
    assert not (tmp_path / "made").exists()

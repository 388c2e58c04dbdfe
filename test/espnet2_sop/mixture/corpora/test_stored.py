"""If these fail, stored mixtures are not those of the manifest, or an interrupted run starts again or stays broken."""

import dataclasses

import numpy as np
import pytest
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.corpora.librimix import at_speeds, read_librimix
from espnet2_sop.mixture.corpora.stored import INDEX, store_mixtures
from espnet2_sop.mixture.render import render


@pytest.fixture
def mixtures(corpus):
    return at_speeds(read_librimix([corpus.csv[2]], corpus.speech, corpus.noise, "both"), (1.0, 1.1))


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.wav")}


@pytest.mark.parametrize("nj", [1, 2])
def test_stored_mixtures_are_the_rendered_ones(mixtures, tmp_path, nj):
    for stored, mixture in zip(store_mixtures(mixtures, tmp_path, nj), mixtures, strict=True):
        assert stored.recording.path == str(tmp_path / f"{mixture.id}.wav")
        assert dataclasses.replace(stored, recording=None) == mixture
        np.testing.assert_allclose(render(stored, AudioReader()), render(mixture, AudioReader()), atol=1.001 / 32768)
        assert stored.audio_paths == [stored.recording.path]
    assert len(times(tmp_path)) == 16


def test_only_what_is_missing_or_another_mixture_is_rendered(mixtures, tmp_path):
    store_mixtures(mixtures, tmp_path)
    before = times(tmp_path)
    store_mixtures(mixtures, tmp_path)
    assert times(tmp_path) == before
    louder = dataclasses.replace(mixtures[0].sources[0], gain=0.01)
    mixtures[0] = dataclasses.replace(mixtures[0], sources=(louder, *mixtures[0].sources[1:]))
    (tmp_path / f"{mixtures[1].id}.wav").unlink()
    index = (tmp_path / INDEX).read_text().splitlines(keepends=True)
    (tmp_path / INDEX).write_text("".join(index[:-1]) + index[-1][:20])  # killed while it wrote
    (tmp_path / ".a.wav.7.part").touch()
    stored = store_mixtures(mixtures, tmp_path)
    changed = {name for name, time in times(tmp_path).items() if time != before[name]}
    assert changed == {f"{mixtures[i].id}.wav" for i in (0, 1, -1)}
    assert not list(tmp_path.glob(".*.part"))
    played, _ = soundfile.read(stored[0].recording.path, dtype="float32")
    np.testing.assert_allclose(played, render(mixtures[0], AudioReader()), atol=1.001 / 32768)


@pytest.mark.parametrize("nj", [1, 2])
def test_mistakes_end_the_work_and_leave_no_parts(mixtures, tmp_path, nj):
    gone = dataclasses.replace(mixtures[3].sources[0], path="gone.flac")
    mixtures[3] = dataclasses.replace(mixtures[3], sources=(gone, *mixtures[3].sources[1:]))
    with pytest.raises(UserError, match="gone.flac: no such audio file"):
        store_mixtures(mixtures, tmp_path, nj)
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*.part"))
    with pytest.raises(UserError, match="cannot be written"):
        (tmp_path / f"{mixtures[0].id}.wav").unlink(missing_ok=True)
        (tmp_path / f"{mixtures[0].id}.wav").mkdir()
        (tmp_path / INDEX).unlink()
        store_mixtures(mixtures[:1], tmp_path)

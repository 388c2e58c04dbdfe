"""If these fail, training draws from utterances with wrong texts or levels, or misses some."""

import shutil

import numpy as np
import pytest
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.simulation.pool import (
    build_noise_pool,
    build_pool,
    read_noise_pool,
    read_pool,
    transcripts,
    write_pool,
)


@pytest.fixture
def copy(corpus, tmp_path):
    """A copy of test-mini that a test may spoil."""
    shutil.copytree(corpus.speech / "test-mini", tmp_path / "test-mini")
    return tmp_path


def test_pool_has_every_utterance_with_its_text_and_level(corpus):
    pool = build_pool(corpus.speech, "train-mini")
    assert len(pool) == 16
    assert [u.id for u in pool] == sorted(u.id for u in pool)
    first = pool[0]
    samples, _ = soundfile.read(first.path)
    assert (first.id, first.speaker, first.num_samples) == ("101-1-0000", "101", len(samples))
    assert first.level_db == pytest.approx(10 * np.log10(np.mean(samples**2)), abs=0.01)
    assert f"{first.id} {first.text}\n" in (corpus.speech / "train-mini/101/1/101-1.trans.txt").read_text()


def test_pools_are_read_back(corpus, tmp_path):
    pool, noises = build_pool(corpus.speech, "test-mini"), build_noise_pool(corpus.noise)
    assert len(noises) == 4
    write_pool(tmp_path / "sources.jsonl", pool)
    write_pool(tmp_path / "noises.jsonl", noises)
    assert read_pool(tmp_path / "sources.jsonl") == pool
    assert read_noise_pool(tmp_path / "noises.jsonl") == noises
    with pytest.raises(UserError, match="noises.jsonl, line 1: utterance without the key 'id', 'speaker', 'text'"):
        read_pool(tmp_path / "noises.jsonl")


def test_audio_without_text_is_refused(copy):
    trans = copy / "test-mini/201/1/201-1.trans.txt"
    trans.write_text("".join(trans.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match="201-1-0000.ogg: no text"):
        build_pool(copy, "test-mini")


def test_text_without_audio_is_refused(copy):
    (copy / "test-mini/202/1/202-1-0003.ogg").unlink()
    with pytest.raises(UserError, match=r"202-1.trans.txt: text without audio: 202-1-0003 \(1 in all\)"):
        build_pool(copy, "test-mini")


def test_an_utterance_in_two_formats_is_refused(copy):
    soundfile.write(copy / "test-mini/201/1/201-1-0001.wav", np.ones(100) * 0.1, 16000)
    with pytest.raises(UserError, match="201-1-0001.wav: the same utterance as"):
        build_pool(copy, "test-mini")


def test_silence_is_refused(copy):
    soundfile.write(copy / "silent.wav", np.zeros(100), 16000)
    with pytest.raises(UserError, match="silent.wav: the audio file is silent"):
        build_noise_pool(copy)


def test_texts_without_words_are_refused(tmp_path):
    (tmp_path / "1-1.trans.txt").write_text("1-1-0000 ONE\n1-1-0001\n")
    with pytest.raises(UserError, match="1-1-0001 has no words"):
        transcripts(tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        build_pool(tmp_path, "train-mini")
    with pytest.raises(UserError, match="no audio file below it"):
        build_noise_pool(tmp_path)

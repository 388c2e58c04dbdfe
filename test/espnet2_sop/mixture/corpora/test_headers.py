"""If these fail, lengths of sources are wrong or old, and mixtures made of them are refused or cut."""

import os

import numpy as np
import pytest
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.corpora import headers
from espnet2_sop.mixture.corpora.headers import read_lengths


@pytest.fixture
def files(tmp_path):
    lengths = {str(tmp_path / f"{n}.flac"): n for n in range(100, 700)}
    for path, length in lengths.items():
        soundfile.write(path, np.zeros(length), 16000)
    return lengths


def test_lengths_are_those_of_the_files(files, tmp_path):
    assert read_lengths([*files, *files]) == files
    assert read_lengths(files, tmp_path / "cache.tsv") == files
    assert read_lengths(files, tmp_path / "cache.tsv") == files


def test_only_new_and_changed_headers_are_read(files, tmp_path, monkeypatch):
    cache, read = tmp_path / "cache.tsv", []
    read_lengths(list(files)[1:], cache)
    monkeypatch.setattr(headers, "num_samples", lambda path: read.append(path) or 7)
    first, changed = list(files)[:2]
    os.utime(changed, ns=(5, 5))
    assert read_lengths(files, cache) == files | {first: 7, changed: 7}
    assert sorted(read) == sorted([first, changed])


def test_a_broken_cache_does_no_harm(files, tmp_path):
    (tmp_path / "cache.tsv").write_text("nonsense\n" + f"{next(iter(files))}\t1\tx\t3\n")
    assert read_lengths(files, tmp_path / "cache.tsv") == files


def test_an_unusable_file_is_named(files, tmp_path):
    soundfile.write(tmp_path / "8k.wav", np.zeros(100), 8000)
    with pytest.raises(UserError, match="8k.wav: sample rate is 8000 Hz"):
        read_lengths([*files, str(tmp_path / "8k.wav")], tmp_path / "cache.tsv")
    assert not (tmp_path / "cache.tsv").exists()

"""Audio of examples. If these fail, what one hears is not what the systems were given."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.manifest import Noise, Recording
from espnet2_sop.mixture.render import render
from espnet2_sop.report.audio import data_uri, find_base, flac, located, read_mixtures


@pytest.fixture
def folder(recipe):
    return recipe / "dump" / "test_2mix_noisy"


def test_audio_is_the_rendered_mixture(recipe, folder, monkeypatch):
    mixture = read_mixtures(folder)["mix3"]
    samples, rate = soundfile.read(io.BytesIO(flac(mixture, folder)), dtype="float32")
    monkeypatch.chdir(recipe)
    assert rate == 16000
    np.testing.assert_allclose(samples, render(mixture, AudioReader()), atol=1 / 32768)


def test_paths_are_relative_to_a_folder_above_the_data_or_to_here(recipe, folder, monkeypatch, tmp_path):
    mixture = read_mixtures(folder)["mix0"]
    assert find_base(mixture, folder) == recipe.resolve()
    monkeypatch.chdir(recipe)
    assert find_base(mixture, folder) == Path()
    os.rename(recipe / "audio", tmp_path / "elsewhere")
    assert find_base(mixture, folder) is None
    with pytest.raises(UserError, match="no audio: audio/0.wav"):
        flac(mixture, folder)


def test_every_path_is_found(folder):
    mixture = read_mixtures(folder)["mix0"]
    whole = replace(
        mixture,
        sources=(replace(mixture.sources[0], room="r.wav"), replace(mixture.sources[1], path="/absolute/b.wav")),
        noise=Noise("n.wav", 0, 1.0),
    )
    assert located(whole, Path("/base")).audio_paths == [
        *("/base/audio/0.wav", "/base/r.wav", "/absolute/b.wav", "/base/n.wav")
    ]
    recorded = located(replace(mixture, recording=Recording("m.wav", 5)), Path("/base"))
    assert recorded.recording == Recording("/base/m.wav", 5)


def test_no_manifest(tmp_path):
    assert read_mixtures(tmp_path) == {}


def test_data_uri():
    assert data_uri(b"\x00\xff", "audio/flac") == "data:audio/flac;base64,AP8="

"""If these fail, a row of LibriMix metadata does not sound as in the corpus that LibriMix and ESPnet generate.

The reference below follows the steps that LibriMix' generator documents (and ESPnet's start offsets), in a straight
line and without anything of the package: read as float32, delay, noise cut or extended, gain, fit lengths, sum, write
as 16 bits.
"""

import csv

import numpy as np
import pytest
import soundfile

from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.corpora.librimix import read_librimix
from espnet2_sop.mixture.corpora.stored import store_mixtures
from espnet2_sop.mixture.render import render

SPEECH = (1.2, 3.1, 2.0, 0.9, 2.6, 1.7)  # s
NOISES = {"long": 8.0, "short": 1.3, "second": 1.01}  # s; all but the first have to be extended


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """LibriSpeech (FLAC) and WHAM (stereo WAV) folders of noise-like audio."""
    root, rng = tmp_path_factory.mktemp("exact"), np.random.default_rng(5)
    for number, seconds in enumerate(SPEECH):
        folder = root / f"LibriSpeech/test-clean/{number}/7"
        folder.mkdir(parents=True)
        samples = rng.normal(0, 0.15, int(seconds * 16000) + number).clip(-1, 0.99)
        soundfile.write(folder / f"{number}-7-0000.flac", samples, 16000, subtype="PCM_16")
        (folder / f"{number}-7.trans.txt").write_text(f"{number}-7-0000 TALKER {number}\n")
    (root / "wham_noise/tt").mkdir(parents=True)
    for name, seconds in NOISES.items():
        samples = rng.normal(0, 0.05, (int(seconds * 16000) + 3, 2))
        soundfile.write(root / f"wham_noise/tt/{name}.wav", samples, 16000, subtype="PCM_16")
    return root


def write_rows(tree, talkers: int, offsets: bool):
    """Six rows: each noise twice, gains from soft to clipping, offsets of full precision or none."""
    rng, rows = np.random.default_rng(talkers), []
    for number in range(6):
        chosen = rng.permutation(len(SPEECH))[:talkers]
        row = {"mixture_ID": "_".join(f"{n}-7-0000" for n in chosen) + f"-{number}"}
        for i, n in enumerate(chosen, 1):
            row[f"source_{i}_path"] = f"test-clean/{n}/7/{n}-7-0000.flac"
            row[f"source_{i}_gain"] = repr(float(rng.uniform(0.2, 1.0) * (4 if number == 5 else 1)))
        row |= {"noise_path": f"tt/{list(NOISES)[number % 3]}.wav", "noise_gain": repr(float(rng.uniform(0.3, 2)))}
        for i in range(1, talkers):
            low = 1.0 if i == 1 else 2.5
            name = "offset" if talkers == 2 else f"offset{i}"
            row[name] = repr(float(rng.uniform(low, low + 0.5))) if offsets else "0.0"
        rows.append(row)
    rows[0]["offset" if talkers == 2 else "offset1"] = "1.177" if offsets else "0"  # 18831.99... in binary
    path = tree / f"{talkers}-{offsets}.csv"
    with open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path, rows


def reference(tree, row: dict[str, str], talkers: int, mode: str, noisy: bool) -> np.ndarray:
    """The generated file of one row: (T,) int16."""
    tracks = []
    for i in range(1, talkers + 1):
        speech = soundfile.read(tree / "LibriSpeech" / row[f"source_{i}_path"], dtype="float32")[0]
        if i > 1:
            delay = float(row["offset" if talkers == 2 else f"offset{i - 1}"])
            speech = np.concatenate([np.zeros(int(delay * 16000), np.float32), speech])
        tracks.append(speech)
    longest = max(map(len, tracks))
    recorded = soundfile.read(tree / "wham_noise" / row["noise_path"], dtype="float32", stop=longest)[0][:, 0]
    fade, noise = 8001, recorded.astype(np.float64)
    up = (1 - np.cos(np.pi * np.arange(fade) / (fade - 1))) / 2
    while len(noise) < longest:
        crossed = noise[-fade:] * up[::-1] + recorded[:fade] * up
        noise = np.concatenate([noise[:-fade], crossed, recorded[fade:]])
    tracks.append(noise[:longest])
    gains = [float(row[f"source_{i}_gain"]) for i in range(1, talkers + 1)] + [float(row["noise_gain"])]
    tracks = [track * gain for track, gain in zip(tracks, gains, strict=True)]
    length = (min if mode == "min" else max)(map(len, tracks))
    tracks = [np.pad(track[:length], (0, max(0, length - len(track)))) for track in tracks]
    mixed = np.sum(tracks if noisy else tracks[:-1], axis=0).astype(np.float32)
    path = tree / "reference.wav"
    soundfile.write(path, mixed, 16000)
    return soundfile.read(path, dtype="int16")[0]


@pytest.mark.parametrize("offsets", [True, False])
@pytest.mark.parametrize("condition", ["clean", "noisy"])
@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("talkers", [2, 3])
def test_mixtures_are_those_of_the_generator(tree, tmp_path, talkers, mode, condition, offsets):
    path, rows = write_rows(tree, talkers, offsets)
    mixtures = read_librimix([path], tree / "LibriSpeech", tree / "wham_noise", condition, mode)
    clipped = 0
    for mixture, stored, row in zip(mixtures, store_mixtures(mixtures, tmp_path), rows, strict=True):
        expected = reference(tree, row, talkers, mode, condition == "noisy")
        clipped += np.abs(expected.astype(int)).max() >= 32767
        rendered = render(mixture, AudioReader(10**7))
        assert rendered.shape == expected.shape
        assert np.abs(rendered * 32768 - expected).max() <= 1.001
        written = soundfile.read(stored.recording.path, dtype="int16")[0]
        assert np.abs(written.astype(int) - expected).max() <= 1
        assert (written != expected).mean() < 1e-3  # float32 sums: a rounding here and there
        assert soundfile.info(stored.recording.path).subtype == "PCM_16"
    assert clipped  # one row at least is louder than 16 bits

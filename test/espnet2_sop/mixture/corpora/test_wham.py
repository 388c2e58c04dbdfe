"""If these fail, LibriMix' training noises of changed speed are missing, or others than its own."""

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, resample_poly, sosfiltfilt

from espnet2_sop.mixture.corpora.librimix import read_librimix
from espnet2_sop.mixture.corpora.wham import find_noises
from espnet2_sop.mixture.manifest import Noise


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(2)
    (tmp_path / "wham_noise/tr").mkdir(parents=True)
    for name in ("a_1.2_b_-1.2", "spoken", "here", "heresp08"):
        low = sosfiltfilt(butter(8, 0.6, output="sos"), rng.normal(0, 0.1, (20000, 2)), axis=0)
        soundfile.write(tmp_path / f"wham_noise/tr/{name}.wav", low, 16000, subtype="PCM_16")
    return tmp_path / "wham_noise"


NAMES = [
    "tr/a_1.2_b_-1.2sp08.wav",
    "tr/a_1.2_b_-1.2sp12.wav",
    "tr/a_1.2_b_-1.2.wav",
    "tr/spoken.wav",
    "tr/heresp08.wav",
]


def test_noises_of_changed_speed_are_made_from_the_first_channel(root, tmp_path):
    out = tmp_path / "made"
    noises = find_noises(NAMES, root, out)
    assert [noise.path for noise in noises.new] == [str(out / name) for name in NAMES[:2]]
    assert noises.needed == [*(str(root / name) for name in NAMES[2:]), *[str(root / NAMES[2])] * 2]
    assert list(noises.paths.values()) == [*(str(out / n) for n in NAMES[:2]), *(str(root / n) for n in NAMES[2:])]
    noises.make()
    plain = soundfile.read(root / NAMES[2])[0][:, 0]
    for name, up, down in ((NAMES[0], 5, 4), (NAMES[1], 5, 6)):
        made, rate = soundfile.read(out / name)
        assert (rate, soundfile.info(out / name).subtype) == (16000, "PCM_16")
        assert made.shape == (round(len(plain) * up / down),)
        other = resample_poly(plain, up, down, window=("kaiser", 12.0))[: len(made)]
        np.testing.assert_allclose(made[500:-500], other[500:-500], atol=2e-3)


def test_what_is_there_is_not_made_again(root, tmp_path):
    find_noises(NAMES, root, tmp_path / "made").make(nj=2)
    again = find_noises(NAMES, root, tmp_path / "made")
    assert again.new == []
    assert all(path.startswith(str(tmp_path / "made")) for path in list(again.paths.values())[:2])


def test_without_a_folder_nothing_is_made(root):
    noises = find_noises(NAMES, root)
    assert noises.new == []
    assert noises.needed == list(noises.paths.values()) == [str(root / name) for name in NAMES]


def test_a_table_may_name_noises_that_are_to_be_made(corpus, root, tmp_path):
    table = tmp_path / "metadata.csv"
    text = corpus.csv[2].read_text()
    table.write_text(text.replace("tt/noise0.ogg", NAMES[0]).replace("tt/noise1.ogg", "tr/spoken.wav"))
    mixtures = read_librimix([table], corpus.speech, root, "noisy", noise_augmented=tmp_path / "made")
    assert {m.noise for m in mixtures} == {
        Noise(str(tmp_path / "made" / NAMES[0]), 0, 0.5),
        Noise(str(root / "tr/spoken.wav"), 0, 0.5),
    }
    assert (tmp_path / "made" / NAMES[0]).is_file()

"""If these fail, LibriSpeechMix is not the one of the literature."""

import io
import json

import numpy as np
import pytest
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.corpora.librispeechmix import read_librispeechmix
from espnet2_sop.mixture.render import render


def write_audio(path, samples):
    """Writes samples (T,) as 16 kHz audio; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, 16000)
    return path


def record(number=0, **changes):
    """A line with the keys of the published lists."""
    values = {
        "id": f"dev-clean-2mix/dev-clean-2mix-{number:04d}",
        "mixed_wav": f"dev-clean-2mix/dev-clean-2mix-{number:04d}.wav",
        "wavs": ["dev-clean/1/2/1-2-0003.wav", "dev-clean/4/5/4-5-0006.wav"],
        "delays": [0.0, 0.10006249],  # 1600.99984 samples
        "durations": [0.5, 0.75],
        "texts": ["ONE TWO", "THREE'S FOUR"],
        "speakers": ["1", "4"],
        "genders": ["m", "f"],
        "speaker_profile": [["dev-clean/1/2/1-2-0001.wav"]],
        "speaker_profile_index": [0, 0],
    }
    return values | changes


@pytest.fixture
def speech(tmp_path):
    rng = np.random.default_rng(1)
    for name, seconds in (("dev-clean/1/2/1-2-0003.flac", 0.5), ("dev-clean/4/5/4-5-0006.flac", 0.75)):
        write_audio(tmp_path / name, np.clip(0.5 * rng.standard_normal(int(16000 * seconds)), -0.99, 0.99))
    return tmp_path


def write(folder, *records):
    path = folder / "dev-clean-2mix.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def official(values, root):
    """The waveform by the facts of the generator: sources at int(delay), summed, written as 16-bit WAV."""
    length = max(int(d * 16000) + int(16000 * s) for d, s in zip(values["delays"], values["durations"], strict=True))
    mixed = [0.0] * length
    for wav, delay in zip(values["wavs"], values["delays"], strict=True):
        for index, sample in enumerate(soundfile.read(root / wav.replace(".wav", ".flac"))[0]):
            mixed[int(delay * 16000) + index] += sample
    stored = io.BytesIO()
    soundfile.write(stored, np.array(mixed), 16000, format="WAV")
    stored.seek(0)
    return soundfile.read(stored, dtype="int16")[0]


def test_mixtures_are_those_of_the_generator(speech):
    values = record()
    (mixture,) = read_librispeechmix(write(speech, values), speech)
    assert (mixture.id, mixture.text) == ("dev-clean-2mix-0000", "ONE TWO <sc> THREE'S FOUR")
    assert [s.start for s in mixture.sources] == [0, 1600]
    waveform = render(mixture, AudioReader())
    expected = official(values, speech)
    assert (np.abs(expected.astype(int)) >= 32767).sum() > 20  # clipping is part of it
    assert np.array_equal(np.rint(waveform * 32768), expected)


def test_sources_are_sorted_by_delay_and_wav_files_are_read_where_they_are(speech):
    samples, _ = soundfile.read(speech / "dev-clean/1/2/1-2-0003.flac")
    soundfile.write(speech / "dev-clean/1/2/1-2-0003.wav", samples, 16000)
    (mixture,) = read_librispeechmix(write(speech, record(delays=[0.3, 0.1])), speech)
    assert [s.speaker for s in mixture.sources] == ["4", "1"]
    assert mixture.sources[1].path.endswith(".wav")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ["ONE"]}, "line 2: dev-clean-2mix/dev-clean-2mix-0001 has 2 wavs, 1 texts, 2 speakers"),
        ({"delays": [0, "1"]}, "line 2: 'delays' of .* must be a list"),
        ({"delays": [0, -1]}, "line 2: 'delays' of .* must be seconds from 0 on"),
        ({"speakers": "14"}, "line 2: 'speakers' of .* must be a list"),
        ({"texts": ["ONE", " "]}, "line 2: talker 2 has no words"),
        ({"durations": [0.5, 0.8]}, "line 2: .*4-5-0006.flac has 0.75 s, the list says 0.8 s"),
        ({"id": "a b"}, "line 2: 'id' must be a name without blanks"),
        ({"id": "x/dev-clean-2mix-0000"}, "line 2: id 'dev-clean-2mix-0000' came before"),
        (
            {"wavs": ["a.wav", "b.wav"]},
            r"2mix.jsonl: 2 audio file\(s\) are missing: .*a.flac, .*b.flac; is .* LibriSpeech",
        ),
    ],
)
def test_mistakes_are_named(speech, changes, message):
    with pytest.raises(UserError, match=message):
        read_librispeechmix(write(speech, record(), record(1, **changes)), speech)


def test_broken_lists_are_named(speech):
    path = write(speech, record())
    path.write_text(path.read_text() + "{")
    with pytest.raises(UserError, match="line 2: broken JSON"):
        read_librispeechmix(path, speech)
    path.write_text("[]\n")
    with pytest.raises(UserError, match="line 1: a mixture that is no object; needed are id, wavs"):
        read_librispeechmix(path, speech)
    path.write_text('{"id": "a", "wavs": []}\n')
    with pytest.raises(UserError, match="line 1: a mixture without the key 'texts', 'speakers', 'delays'"):
        read_librispeechmix(path, speech)
    path.write_text("")
    with pytest.raises(UserError, match="no mixtures in it"):
        read_librispeechmix(path, speech)

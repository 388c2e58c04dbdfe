"""If these fail, other corpora do not go the whole way from `prepare` to what the trainer reads."""

import numpy as np
import pytest
import soundfile

from espnet2_sop.bin import format, prepare, stats
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.mixture.datadir import check_data_dir, read_info
from espnet2_sop.mixture.loader import MixtureStore


@pytest.fixture
def rule(write_rule, tmp_path):
    return write_rule(tmp_path / "rule.yaml")


@pytest.fixture
def kaldi(an4, tmp_path):
    (tmp_path / "kaldi").mkdir()
    for name, value in (("wav.scp", "path"), ("text", "text"), ("utt2spk", "speaker")):
        rows = [f"{utt} {getattr(u, value)}\n" for utt, u in sorted(an4.utterances.items())]
        (tmp_path / "kaldi" / name).write_text("".join(rows).replace("ELEVEN", "Eleven,"))
    return tmp_path / "kaldi"


def run(mode, *options):
    prepare.main([mode, *map(str, options)])


def test_simulation_from_kaldi_with_real_noise_and_rooms(an4, kaldi, write_rule, tmp_path, capsys):
    rule = write_rule(tmp_path / "rule.yaml", room_prob=1.0, talkers={2: 1.0})
    options = ["--kaldi", kaldi, "--config", rule, "--noise_root", an4.noise]
    with pytest.raises(UserError, match="room_prob is above 0, so --room_root is needed"):
        run("simulation", *options, "--out", tmp_path / "train")
    options += ["--room_root", an4.rooms, "--text_style", "librispeech"]
    run("simulation", *options, "--out", tmp_path / "train")
    assert "7 utterances of 5 speakers in 2 room responses and 2 noises" in capsys.readouterr().out
    format.main([str(tmp_path / "train"), str(tmp_path / "dump")])
    store = MixtureStore(tmp_path / "dump/simulation.yaml")
    assert "ELEVEN TWENTY SEVEN FIFTY SEVEN" in {s.text for m in store.mixtures.values() for s in m.sources}
    for name, mixture in store.mixtures.items():
        waveform = store.waveform(name)
        assert len(waveform) == mixture.num_samples and np.isfinite(waveform).all()
        assert {s.room for s in mixture.sources} == {str(an4.rooms / f"rir{n}.wav") for n in (1, 2)}
    run("simulation", *options, "--out", tmp_path / "train")
    assert "skipped" in capsys.readouterr().out


def test_fixed_sets_from_a_librispeech_folder(corpus, rule, tmp_path, capsys):
    options = ["--speech_root", corpus.speech, "--subset", "test-mini", "--config", rule, "--number", 5]
    with pytest.raises(UserError, match="--noise_root is needed"):
        run("fixed", *options, "--talkers", 2, "--condition", "noisy", "--out", tmp_path / "test")
    noise = ["--noise_root", corpus.noise / "tt"]
    run("fixed", *options, *noise, "--talkers", 1, 3, "--condition", "both", "--out", tmp_path / "dev")
    assert "20 mixtures" in capsys.readouterr().out
    assert check_data_dir(tmp_path / "dev") == []
    assert read_info(tmp_path / "dev") == {"num_talkers": None, "condition": "both"}
    assert {name[:10] for name in read_kaldi(tmp_path / "dev/text")} == {
        f"{n}mix-{c}_"[:10] for n in (1, 3) for c in ("clean", "noisy")
    }
    run("fixed", *options, "--talkers", 2, "--condition", "clean", "--out", tmp_path / "test")
    assert read_info(tmp_path / "test") == {"num_talkers": 2, "condition": "clean"}
    format.main([str(tmp_path / "test"), str(tmp_path / "dump")])
    stats.main([str(tmp_path / "dump"), "--out", str(tmp_path / "stats.json")])
    with pytest.raises(UserError, match="'onsets': 4 talkers need 3 ranges"):
        run("fixed", *options, "--talkers", 4, "--condition", "clean", "--out", tmp_path / "four")


def test_epochs_of_a_simulation_as_a_fixed_set(corpus, rule, tmp_path, capsys):
    """A training that reads the simulation has the same waveforms in these epochs."""
    pool = ["--speech_root", corpus.speech, "--subset", "test-mini", "--noise_root", corpus.noise / "tt"]
    run("simulation", *pool, "--config", rule, "--out", tmp_path / "train")
    simulation = tmp_path / "train/simulation.yaml"
    options = ["--simulation", simulation, "--epochs", 2, 1, 2, "--out", tmp_path / "kept"]
    run("epochs", *options)
    assert check_data_dir(tmp_path / "kept") == []
    kept = MixtureStore(tmp_path / "kept/mixtures.jsonl")
    store, drawn = MixtureStore(simulation), {}
    for epoch in (1, 2):
        store.set_epoch(epoch)
        drawn |= {f"epoch{epoch}-{name}": store.waveform(name) for name in store.mixtures}
    assert kept.mixtures.keys() == drawn.keys() and len(drawn) == 2 * len(store.mixtures)
    assert all(np.array_equal(kept.waveform(name), samples) for name, samples in drawn.items())
    run("epochs", *options)
    assert "skipped" in capsys.readouterr().out
    simulation.write_text(simulation.read_text().replace("seed: ", "seed: 1"))
    run("epochs", *options)
    assert "skipped" not in capsys.readouterr().out
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        run("epochs", "--simulation", tmp_path / "nowhere.yaml", "--epochs", 1, "--out", tmp_path / "none")


def test_segments_of_commands_are_cut_from_their_output(an4, tmp_path):
    """The data directory names files: trainings run no commands."""
    path = an4.utterances["cen8-fcaw-b"].path
    rows = {
        "wav.scp": f"rec cat {path} |",
        "segments": "a rec 0.5 1.25\nb rec 1.0 2.9",
        "text": "a ELEVEN\nb TWENTY SEVEN",
        "utt2spk": "a x\nb y",
    }
    for name, text in rows.items():
        (tmp_path / name).write_text(f"{text}\n")
    run("segments", "--kaldi", tmp_path, "--out", tmp_path / "test")
    assert check_data_dir(tmp_path / "test") == []
    store = MixtureStore(tmp_path / "test/mixtures.jsonl")
    (mixture,) = store.mixtures.values()
    assert mixture.audio_paths == [str(tmp_path / "test/recordings_1/rec.wav")]
    samples, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(store.waveform(mixture.id), samples[8000:46400])


def test_segments_of_an_stm(an4, tmp_path, capsys):
    rng = np.random.default_rng(1)
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio/m1.flac", 0.1 * rng.standard_normal(160000), 16000)
    (tmp_path / "x.stm").write_text("m1 1 bob 2.0 3.5 Yes, please!\nm1 1 al 1.0 2.5 it's late\nm1 1 al 6 7 (uh)\n")
    options = ["--stm", tmp_path / "x.stm", "--audio", tmp_path / "audio", "--text_style", "librispeech"]
    run("segments", *options, "--out", tmp_path / "test")
    assert "2 mixtures" in capsys.readouterr().out
    assert check_data_dir(tmp_path / "test") == []
    assert read_kaldi(tmp_path / "test/text") == {
        "m1-0000100-0000350": "IT'S LATE <sc> YES PLEASE",
        "m1-0000600-0000700": "UH",
    }
    assert read_kaldi(tmp_path / "test/onsets")["m1-0000100-0000350"] == "0.000 1.000"
    store = MixtureStore(tmp_path / "test/mixtures.jsonl")
    samples, _ = soundfile.read(tmp_path / "audio/m1.flac", dtype="float32")
    assert np.array_equal(store.waveform("m1-0000100-0000350"), samples[16000:56000])
    with pytest.raises(UserError, match="give one of --stm"):
        run("segments", "--stm", tmp_path / "x.stm", "--out", tmp_path / "test2")
    with pytest.raises(UserError, match="no region of the recordings is left"):
        run("segments", *options, "--max_duration", 0.5, "--out", tmp_path / "test3")


def test_noises_and_rooms_are_written(corpus, tmp_path, capsys):
    pytest.importorskip("pyroomacoustics")
    voices = ["--speech_root", corpus.speech, "--subset", "train-mini"]
    run("noise", *voices, "--number", 3, "--seconds", 1, "--seed", 1, "--out", tmp_path / "noise")
    assert sorted(p.name for p in (tmp_path / "noise").glob("*.flac")) == [
        "coloured0.flac",
        "crowd0.flac",
        "engine0.flac",
    ]
    run("rooms", "--number", 1, "--positions", 2, "--seed", 1, "--out", tmp_path / "rooms")
    assert sorted(p.name for p in (tmp_path / "rooms/room0000").iterdir()) == ["0.flac", "1.flac"]
    assert "1 rooms with 2 positions" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [[], ["--speech_root", "a"], ["--subset", "a"], ["--speech_root", "a", "--subset", "b", "--kaldi", "c"]],
)
def test_one_kind_of_utterances_is_needed(options, rule, an4, tmp_path):
    with pytest.raises(UserError, match=r"give one of --speech_root \(with --subset\), --kaldi and --lhotse"):
        run("simulation", *options, "--config", rule, "--noise_root", an4.noise, "--out", tmp_path / "train")


@pytest.mark.parametrize("value", ["0", "-1", "two"])
def test_numbers_are_checked(value, capsys):
    with pytest.raises(SystemExit):
        run("rooms", "--number", value, "--seed", 1, "--out", "x")
    assert "--number" in capsys.readouterr().err

"""If these fail, `prepare`, `format` or `stats` do not turn a corpus into data directories that can be trained on."""

import json
import os

import numpy as np
import pytest
import soundfile

from espnet2_sop.bin import format, prepare, stats, validate
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.mixture.datadir import check_data_dir, read_info
from espnet2_sop.mixture.loader import MixtureStore
from espnet2_sop.mixture.simulation.rule import Simulation
from espnet2_sop.text.vocabulary import SentencePieceVocabulary, save_vocabulary


def librimix(corpus, out, *options, talkers=(2,)):
    csvs = [str(corpus.csv[n]) for n in talkers]
    roots = ["--speech_root", str(corpus.speech), "--noise_root", str(corpus.noise)]
    prepare.main(["librimix", "--csv", *csvs, *roots, "--out", str(out), *options])


@pytest.fixture
def rule(write_rule, tmp_path):
    return write_rule(tmp_path / "rule.yaml", mixtures_per_epoch=10)


def simulation(corpus, rule, out):
    roots = ["--speech_root", str(corpus.speech), "--noise_root", str(corpus.noise / "tr")]
    prepare.main(["simulation", *roots, "--subset", "train-mini", "--config", str(rule), "--out", str(out)])


def test_one_set_keeps_the_ids_of_its_csv(corpus, tmp_path):
    librimix(corpus, tmp_path / "test", "--condition", "noisy")
    assert check_data_dir(tmp_path / "test") == []
    assert read_info(tmp_path / "test") == {"num_talkers": 2, "condition": "noisy"}
    assert all(name.startswith("20") for name in read_kaldi(tmp_path / "test/text"))


def test_many_sets_in_one_get_prefixes(corpus, tmp_path):
    librimix(corpus, tmp_path / "dev", "--condition", "both", talkers=(1, 2, 3))
    assert check_data_dir(tmp_path / "dev") == []
    assert read_info(tmp_path / "dev") == {"num_talkers": None, "condition": "both"}
    names = list(read_kaldi(tmp_path / "dev/text"))
    assert len(names) == 24
    assert {name.split("_")[0] for name in names} == {f"{n}mix-{c}" for n in (1, 2, 3) for c in ("clean", "noisy")}


def test_done_work_is_skipped_until_something_changes(corpus, tmp_path, capsys):
    librimix(corpus, tmp_path / "test", "--condition", "clean")
    assert "4 mixtures" in capsys.readouterr().out
    librimix(corpus, tmp_path / "test", "--condition", "clean")
    assert "done already, skipped" in capsys.readouterr().out
    librimix(corpus, tmp_path / "test", "--condition", "noisy")
    assert "4 mixtures" in capsys.readouterr().out
    later = (tmp_path / "test/.done.json").stat().st_mtime_ns + 10**9
    for command in ("4 kept, 0 dropped", "skipped"):
        format.main([str(tmp_path / "test"), str(tmp_path / "dump")])
        assert command in capsys.readouterr().out
    os.utime(tmp_path / "test/text", ns=(later, later))
    format.main([str(tmp_path / "test"), str(tmp_path / "dump")])
    assert "4 kept" in capsys.readouterr().out


def test_simulation_is_prepared_formatted_and_counted(corpus, rule, tmp_path, capsys):
    simulation(corpus, rule, tmp_path / "train")
    assert "16 utterances of 4 speakers and 2 noises" in capsys.readouterr().out
    simulation(corpus, rule, tmp_path / "train")
    assert "skipped" in capsys.readouterr().out
    durations = sorted(u.num_samples / 16000 for u in Simulation.read(tmp_path / "train/simulation.yaml").pool)
    limit = (durations[-1] + durations[-2]) / 2
    format.main([str(tmp_path / "train"), str(tmp_path / "dump"), "--max_duration", str(limit)])
    assert "15 kept, 1 dropped (1 longer than" in capsys.readouterr().out
    assert len(Simulation.read(tmp_path / "dump/simulation.yaml").pool) == 15
    stats.main([str(tmp_path / "dump"), "--out", str(tmp_path / "stats.json")])
    numbers = json.loads((tmp_path / "stats.json").read_text())["sets"][str(tmp_path / "dump")]
    assert numbers["mixtures"] == 10
    assert sum(numbers["talkers"].values()) == 10


def test_mixtures_are_filtered_by_length(corpus, tmp_path, capsys):
    librimix(corpus, tmp_path / "test", "--condition", "clean", talkers=(1, 2, 3))
    durations = sorted(float(d) for d in read_kaldi(tmp_path / "test/utt2dur").values())
    limits = ["--max_duration", str(durations[-3] + 1e-3), "--min_duration", str(durations[1] - 1e-3)]
    format.main([str(tmp_path / "test"), str(tmp_path / "dump"), *limits])
    out = capsys.readouterr().out
    assert "9 kept, 3 dropped" in out
    assert "2 longer than" in out
    assert "1 shorter than" in out
    assert check_data_dir(tmp_path / "dump") == []
    assert read_info(tmp_path / "dump") == read_info(tmp_path / "test")
    shapes = read_kaldi(tmp_path / "dump/speech_shape")
    lengths = MixtureStore(tmp_path / "dump/mixtures.jsonl").lengths()
    assert {name: int(shape) for name, shape in shapes.items()} == lengths
    assert list(shapes) == sorted(shapes)
    with pytest.raises(UserError, match="nothing is 50 to 60 s long"):
        limits = ["--max_duration", "60", "--min_duration", "50"]
        format.main([str(tmp_path / "test"), str(tmp_path / "dump"), *limits])


def test_format_fails_with_the_first_problems(corpus, tmp_path):
    librimix(corpus, tmp_path / "test", "--condition", "clean")
    path = tmp_path / "test/mixtures.jsonl"
    path.write_text(path.read_text().replace(".ogg", ".gone"))
    with pytest.raises(UserError, match="line 1: no such audio file.*; .*and 2 more problems"):
        format.main([str(tmp_path / "test"), str(tmp_path / "dump")])
    assert not (tmp_path / "dump/info.json").exists()
    assert not (tmp_path / "dump/.done.json").exists()


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such data directory"):
        format.main([str(tmp_path / "none"), str(tmp_path / "dump")])
    with pytest.raises(UserError, match="same folder"):
        format.main([str(tmp_path), str(tmp_path)])
    with pytest.raises(UserError, match="no info.json"):
        format.main([str(tmp_path), str(tmp_path / "dump")])
    with pytest.raises(UserError, match="no such data directory"):
        stats.main([str(tmp_path / "none"), "--out", str(tmp_path / "stats.json")])


def test_noise_is_asked_for_when_the_rule_needs_it(corpus, rule, write_rule, tmp_path):
    options = ["--speech_root", str(corpus.speech), "--subset", "train-mini", "--config", str(rule)]
    with pytest.raises(UserError, match="--noise_root is needed"):
        prepare.main(["simulation", *options, "--out", str(tmp_path / "train")])
    write_rule(rule, noise_prob=0)
    prepare.main(["simulation", *options, "--out", str(tmp_path / "train")])
    format.main([str(tmp_path / "train"), str(tmp_path / "dump")])
    assert len(MixtureStore(tmp_path / "dump/simulation.yaml").mixtures) == 8


def test_statistics_count_words_and_tokens(corpus, tmp_path, capsys):
    librimix(corpus, tmp_path / "test", "--condition", "clean", talkers=(1, 2))
    texts = [row.replace(" <sc>", "") for row in read_kaldi(tmp_path / "test/text").values()]
    SentencePieceVocabulary.train(texts, 30, tmp_path)
    save_vocabulary(tmp_path, "sentencepiece", ["a"] * 30)
    stats.main([str(tmp_path / "test"), "--out", str(tmp_path / "stats.json"), "--vocab", str(tmp_path)])
    numbers = json.loads((tmp_path / "stats.json").read_text())["sets"][str(tmp_path / "test")]
    assert numbers["words"] == sum(len(text.split()) for text in texts)
    assert numbers["talkers"] == {"1": 4, "2": 4}
    durations = [float(d) for d in read_kaldi(tmp_path / "test/utt2dur").values()]
    assert numbers["max_duration"] == pytest.approx(max(durations), abs=0.01)
    assert numbers["hours"] == pytest.approx(sum(durations) / 3600, abs=1e-3)
    assert numbers["tokens"] >= numbers["words"]
    table = capsys.readouterr().out
    assert f"| {tmp_path / 'test'} | 8 |" in table
    save_vocabulary(tmp_path, "llm", ["a"])
    stats.main([str(tmp_path / "test"), "--out", str(tmp_path / "stats.json"), "--vocab", str(tmp_path)])
    assert "not counted" in capsys.readouterr().out


def test_mixtures_are_stored_and_stay_stored_when_formatted(corpus, tmp_path):
    options = ["--condition", "noisy", "--mode", "min", "--speed_perturb", "0.9 1.0 1.1"]
    librimix(corpus, tmp_path / "mixed", *options)
    librimix(corpus, tmp_path / "train", *options, "--store_mixtures", str(tmp_path / "wav"), "--nj", "2")
    for name in ("text", "onsets", "utt2dur", "utt2overlap", "ref.seglst.json"):
        assert (tmp_path / "train" / name).read_text() == (tmp_path / "mixed" / name).read_text()
    assert not (tmp_path / "mixed/wav.scp").exists()
    scp = read_kaldi(tmp_path / "train/wav.scp")
    assert scp == {name: str(tmp_path / f"wav/train/{name}.wav") for name in read_kaldi(tmp_path / "train/text")}
    assert [name[:6] for name in scp if name.startswith("sp")] == ["sp0.9-"] * 4 + ["sp1.1-"] * 4
    format.main([str(tmp_path / "train"), str(tmp_path / "dump"), "--min_duration", "0.1"])
    assert read_kaldi(tmp_path / "dump/wav.scp") == scp
    mixed, stored = MixtureStore(tmp_path / "mixed/mixtures.jsonl"), MixtureStore(tmp_path / "dump/mixtures.jsonl")
    for name in scp:
        np.testing.assert_allclose(stored.waveform(name), mixed.waveform(name), atol=1.001 / 32768)
    librimix(corpus, tmp_path / "train", *options)  # no longer stored
    assert not (tmp_path / "train/wav.scp").exists()


def test_the_number_of_processes_is_no_reason_to_work_again(corpus, tmp_path, capsys):
    librimix(corpus, tmp_path / "test", "--condition", "clean")
    librimix(corpus, tmp_path / "test", "--condition", "clean", "--nj", "3")
    assert "done already, skipped" in capsys.readouterr().out
    librimix(corpus, tmp_path / "test", "--condition", "clean", "--mode", "min")
    assert "4 mixtures" in capsys.readouterr().out


@pytest.mark.parametrize("speeds", ["", "fast", "0.9 0.9", "0.1", "nan"])
def test_speeds_that_cannot_be_are_refused(corpus, tmp_path, capsys, speeds):
    with pytest.raises(SystemExit):
        librimix(corpus, tmp_path / "test", "--condition", "clean", "--speed_perturb", speeds)
    assert "--speed_perturb" in capsys.readouterr().err


def test_offsets_are_drawn_for_tables_without(corpus, tmp_path, capsys):
    tables = []
    for talkers, last in ((2, 1), (3, 2)):
        lines = [line.rsplit(",", last)[0] for line in corpus.csv[talkers].read_text().splitlines()]
        tables.append(tmp_path / f"in/{talkers}.csv")
        tables[-1].parent.mkdir(exist_ok=True)
        tables[-1].write_text("\n".join(lines))
    arguments = ["offsets", "--csv", *map(str, tables), "--out", str(tmp_path / "out"), "--seed", "1"]
    prepare.main(arguments)
    prepare.main(arguments)
    assert ["8 mixtures" in line for line in capsys.readouterr().out.splitlines()] == [True, False]
    roots = ["--speech_root", str(corpus.speech), "--condition", "clean", "--out", str(tmp_path / "data")]
    with pytest.raises(UserError, match="missing column offset: .*`espnet2-sop prepare offsets` draws them"):
        prepare.main(["librimix", "--csv", *map(str, tables), *roots])
    prepare.main(["librimix", "--csv", *(str(tmp_path / "out" / table.name) for table in tables), *roots])
    starts = [[float(second) for second in row.split()] for row in read_kaldi(tmp_path / "data/onsets").values()]
    assert all(1 <= start[1] <= 1.5 for start in starts)
    assert sum(2.5 <= start[2] <= 3 for start in starts if len(start) == 3) == 4
    with pytest.raises(UserError, match="the same name"):
        prepare.main([*arguments, "--csv", str(tables[0]), str(tables[0])])
    with pytest.raises(UserError, match="give another --out"):
        prepare.main(["offsets", "--csv", str(tables[0]), "--out", str(tables[0].parent)])


def test_all_missing_files_are_listed_beside_the_output(corpus, tmp_path):
    table = tmp_path / "2.csv"
    table.write_text(corpus.csv[2].read_text().replace(".ogg", "sp08.wav"))
    roots = ["--speech_root", str(corpus.speech), "--noise_root", str(corpus.noise), "--condition", "noisy"]
    with pytest.raises(UserError, match=r"9 audio file.* all are listed in .*test/missing.txt; .*--noise_augmented"):
        prepare.main(["librimix", "--csv", str(table), *roots, "--out", str(tmp_path / "test")])
    assert len((tmp_path / "test/missing.txt").read_text().splitlines()) == 9
    librimix(corpus, tmp_path / "test", "--condition", "noisy")
    assert not (tmp_path / "test/missing.txt").exists()


def test_missing_audio_of_a_simulation_is_found(corpus, write_rule, tmp_path, capsys):
    """Utterances, noises and room responses alike, before a training stops at the first mixture that needs them."""
    rooms, noise = tmp_path / "rooms/a", tmp_path / "noise"
    for path in (rooms / "0.wav", rooms / "1.wav", rooms / "2.wav", noise / "n.wav"):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.eye(1, 800)[0] * 0.9, 16000)
    options = ["--config", str(write_rule(tmp_path / "rule.yaml", room_prob=0.5))]
    options += ["--speech_root", str(corpus.speech), "--subset", "train-mini"]
    options += ["--noise_root", str(noise), "--room_root", str(rooms.parent)]
    prepare.main(["simulation", *options, "--out", str(tmp_path / "train")])
    format.main([str(tmp_path / "train"), str(tmp_path / "dump")])
    assert (tmp_path / "dump/rooms.jsonl").read_text() == (tmp_path / "train/rooms.jsonl").read_text()
    capsys.readouterr()
    validate.main([str(tmp_path / "dump")])
    assert "ok: 16 utterances of 4 speakers in 3 room responses and 1 noises" in capsys.readouterr().out
    for gone in (rooms / "1.wav", noise / "n.wav"):
        kept = gone.rename(tmp_path / "kept.wav")
        with pytest.raises(SystemExit):
            validate.main([str(tmp_path / "dump")])
        assert capsys.readouterr().out == f"{tmp_path / 'dump'}: no such audio file: {gone}\n"
        with pytest.raises(UserError, match=f"1 audio files are missing, such as {gone}"):
            format.main([str(tmp_path / "train"), str(tmp_path / "again")])
        kept.rename(gone)


def test_validate_prints_every_problem(corpus, rule, tmp_path, capsys):
    librimix(corpus, tmp_path / "test", "--condition", "clean", talkers=(2, 3))
    simulation(corpus, rule, tmp_path / "train")
    capsys.readouterr()
    validate.main([str(tmp_path / "test"), str(tmp_path / "train")])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{tmp_path / 'test'}: ok: 8 mixtures of 2, 3 talker(s), 0.0")
    assert said[1] == f"{tmp_path / 'train'}: ok: 16 utterances of 4 speakers and 2 noises to draw from"
    for name in ("utt2dur", "onsets"):
        path = tmp_path / "test" / name
        path.write_text(path.read_text().replace("0.", "7."))
    pool = tmp_path / "train/sources.jsonl"
    pool.write_text(pool.read_text().replace(".flac", ".gone", 1))
    with pytest.raises(SystemExit) as status:
        validate.main([str(tmp_path / "test"), str(tmp_path / "train")])
    said = capsys.readouterr().out.splitlines()
    assert status.value.code == 1
    assert len([line for line in said if "onsets, line " in line]) == 8
    assert any("utt2dur, line " in line for line in said)
    assert said[-1].startswith(f"{tmp_path / 'train'}: no such audio file: ")
    with pytest.raises(SystemExit):
        validate.main([str(tmp_path / "nowhere")])
    assert "no info.json" in capsys.readouterr().out

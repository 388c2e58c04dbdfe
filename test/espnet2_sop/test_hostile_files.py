"""Every file that somebody else may have written is understood, or refused in one line; nothing else may happen."""

import json
import os
from pathlib import Path

import fuzzing
import pytest

from espnet2_sop.io.files import read_kaldi, read_yaml, write_kaldi
from espnet2_sop.io.json_shapes import read_json
from espnet2_sop.mixture.manifest import Mixture, Noise, Recording, Source, read_manifest, write_manifest

ROWS = [
    {"id": "a", "recording_id": "r", "start": 0.1, "duration": 0.4, "text": "ONE TWO", "speaker": "s"},
    {"id": "b", "recording_id": "r", "start": 0.3, "duration": 0.5, "text": "THREE", "speaker": "t"},
]


def mixtures() -> list[Mixture]:
    sources = (
        Source("a.wav", "s", "ONE TWO", 0.0, 1.0, 8000),
        Source("b.wav", "t", "DREI", 0.1, 0.5, 9000, 1.1, 5, "r"),
    )
    return [
        Mixture("m1", sources, Noise("n.wav", 3, 0.1)),
        Mixture("m2", sources[:1], recording=Recording("m2.wav"), peak="clip"),
    ]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def json_lines(path: Path, *rows: dict) -> Path:
    return written(path, "".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def recording(corpus, tmp_path):
    """A recording of at least half a second as `r.flac` in a folder of its own."""
    (tmp_path / "audio").mkdir()
    path = tmp_path / "audio/r.flac"
    path.symlink_to(next((corpus.speech / "train-mini").rglob("*.flac")))
    return path


def test_tables(tmp_path):
    table = written(tmp_path / "text", "a ONE <sc> TWO\nb\nc DREI\n")
    fuzzing.fuzz(table, lambda: write_kaldi(tmp_path / "copy", read_kaldi(table).items()))


def test_yaml(tmp_path):
    path = written(tmp_path / "c.yaml", "a: &x {b: [1, 2.5, null], c: yes}\nd: *x\n'e': 2001-01-01\nf: |\n  text\n")
    fuzzing.fuzz(path, lambda: read_yaml(path))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
        "a: " + "[" * 3000,
        "a: " + "[" * 60 + "]" * 60,
        "a: !!python/object/apply:os.system [id]",
        *(f"a: !!{kind} x" for kind in ("int", "float", "bool", "timestamp", "binary", "set")),
        "1: x",
        "? [a]\n: x",
        "a: 2001-99-99",
        "a: " + "9" * 5000,
    ],
)
def test_yaml_bombs_and_tags(tmp_path, text):
    path = written(tmp_path / "c.yaml", text)
    assert not fuzzing.accepts(lambda: read_yaml(path), path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[1, NaN]", '"\\ud800"', "9" * 5000, "[" * 60 + "]" * 60, "", "{'a': 1}"]
)
def test_json_that_is_none(tmp_path, text):
    path = written(tmp_path / "x.json", text)
    assert not fuzzing.accepts(lambda: read_json(path), path)


def test_manifests(tmp_path):
    path = tmp_path / "mixtures.jsonl"
    write_manifest(path, mixtures())

    def use():
        read = read_manifest(path)
        for m in read:
            assert m.num_samples >= 0 and 0 <= m.overlap_ratio <= 1 and len(m.spans) == len(m.onsets) and m.text
        write_manifest(tmp_path / "copy.jsonl", read)
        assert read_manifest(tmp_path / "copy.jsonl") == read

    fuzzing.fuzz(path, use, json_lines=True)


def test_data_directories(tmp_path):
    """`validate` names problems, each in one line, and never fails itself."""
    from espnet2_sop.bin.validate import validate
    from espnet2_sop.mixture.datadir import write_data_dir

    folder = tmp_path / "data"
    write_data_dir(mixtures(), folder, "both")
    for name in ("info.json", "ref.seglst.json", "text", "utt2dur", "text_spk2", "mixtures.jsonl"):
        fuzzing.fuzz(folder / name, lambda: validate(folder))


def test_librimix(corpus, tmp_path):
    from espnet2_sop.mixture.corpora.librimix import read_librimix, read_metadata
    from espnet2_sop.mixture.corpora.offsets import draw_offsets

    path = written(tmp_path / "m.csv", corpus.csv[2].read_text())
    fuzzing.fuzz(path, lambda: read_librimix([path], corpus.speech, corpus.noise, "noisy"))
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join(line.rpartition(",")[0] for line in (header, *rows)) + "\n")

    def offsets():
        draw_offsets(path, tmp_path / "out.csv", 0)
        assert len(read_metadata(tmp_path / "out.csv").rows) == len(read_metadata(path).rows)

    fuzzing.fuzz(path, offsets)


def test_librispeech_texts(tmp_path):
    from espnet2_sop.mixture.simulation.pool import transcripts

    path = written(tmp_path / "1-1.trans.txt", "1-1-0001 ONE TWO\n1-1-0002 THREE\n")
    fuzzing.fuzz(path, lambda: transcripts.__wrapped__(tmp_path))


def test_librispeechmix(corpus, tmp_path):
    from espnet2_sop.mixture.corpora.librispeechmix import read_librispeechmix

    wavs = sorted((corpus.speech / "train-mini").rglob("*.flac"))[:2]
    row = {"id": "x/x-0", "wavs": [str(wav) for wav in wavs], "delays": [0.0, 0.2], "texts": ["ONE", "TWO"]}
    path = json_lines(tmp_path / "list.jsonl", row | {"speakers": ["1", "2"]})
    fuzzing.fuzz(path, lambda: read_librispeechmix(path, corpus.speech), json_lines=True)


def regions(spans):
    from espnet2_sop.mixture.corpora.regions import RegionConfig, cut_regions
    from espnet2_sop.mixture.corpora.spans import style_texts

    cut_regions(style_texts(spans, "as_is"), RegionConfig(0.0, 20.0, 3))


def test_stm_of_recordings(recording, tmp_path):
    from espnet2_sop.mixture.corpora.stm import read_stm

    path = written(tmp_path / "r.stm", ";; comment\nr 1 s 0.0 0.3 <o,f0> ONE TWO\nr 1 t 0.2 0.45 THREE\n")
    use = lambda: regions(read_stm(path, recording.parent))  # noqa: E731
    use()
    fuzzing.fuzz(path, lambda: read_stm(path, recording.parent))


def test_kaldi_directories(recording, tmp_path):
    from espnet2_sop.mixture.corpora.kaldi import read_kaldi_dir

    folder = tmp_path / "kaldi"
    written(folder / "wav.scp", f"r {recording}\n")
    written(folder / "segments", "u1 r 0.0 0.3\nu2 r 0.2 0.45\n")
    written(folder / "text", "u1 ONE\nu2 TWO\n")
    written(folder / "utt2spk", "u1 s\nu2 t\n")
    regions(read_kaldi_dir(folder))
    for name in ("wav.scp", "segments", "text", "utt2spk"):
        use = lambda: read_kaldi_dir(folder)  # noqa: E731
        if name == "text":  # a text that lacks an utterance is found beside the file that has it
            use = lambda: fuzzing.accepts(lambda: read_kaldi_dir(folder))  # noqa: E731
        fuzzing.fuzz(folder / name, use)


def test_lhotse(recording, tmp_path):
    from espnet2_sop.mixture.corpora.lhotse import read_lhotse

    source = {"type": "file", "channels": [0], "source": str(recording)}
    recordings = json_lines(tmp_path / "recordings.jsonl", {"id": "r", "sources": [source]})
    supervisions = json_lines(tmp_path / "supervisions.jsonl", *ROWS)
    use = lambda: read_lhotse(recordings, supervisions)  # noqa: E731
    fuzzing.fuzz(recordings, use, json_lines=True)
    fuzzing.fuzz(supervisions, use, json_lines=True)


def test_simulations(write_rule, tmp_path):
    """Whatever the rule and its pools say, mixtures are drawn, or one line says why not."""
    from espnet2_sop.mixture.simulation.pool import NoiseFile, Utterance, write_pool
    from espnet2_sop.mixture.simulation.rule import Simulation

    pool = [Utterance(f"{s}-{n}", f"{s}-{n}.wav", str(s), "ONE TWO", 8000, -20.0) for s in range(3) for n in range(2)]
    write_pool(tmp_path / "sources.jsonl", pool)
    write_pool(tmp_path / "noises.jsonl", [NoiseFile("n.wav", 20000, -30.0)])
    rule = write_rule(tmp_path / "simulation.yaml", mixtures_per_epoch=2)

    def use():
        for mixture in Simulation.read(rule).draw(1)[:2]:
            assert mixture.num_samples > 0 and mixture.text

    def with_others():  # a message about what was drawn names no file
        fuzzing.accepts(use)

    for path in (rule, tmp_path / "sources.jsonl", tmp_path / "noises.jsonl"):
        fuzzing.fuzz(path, with_others, json_lines=path.suffix == ".jsonl")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text", "a one <sc> two\nb three\n"),
        ("x.stm", "a 1 s 0.0 1.5 one\na 1 t 1.0 2.0 <o> two\nb 1 s 0 1 three\n"),
        ("x.json", json.dumps([{"session_id": "a", "speaker": "s", "words": "one", "start_time": 0, "end_time": 1.5},
                               {"session_id": "b", "speaker": 1, "words": "two"}])),
    ],
)  # fmt: skip
def test_transcripts(tmp_path, name, text):
    from espnet2_sop.scoring.mixture_metadata import read_metadata
    from espnet2_sop.scoring.transcripts import read_transcripts, words_of_talkers

    path = written(tmp_path / name, text)

    def use():
        sessions = read_transcripts(path)
        read_metadata(path, sessions, "clean")
        assert all(all(words) for session in sessions.values() for words in words_of_talkers(session))

    fuzzing.fuzz(path, use)


def test_metadata(tmp_path):
    from espnet2_sop.report.experiment import optional_numbers
    from espnet2_sop.scoring.mixture_metadata import conditions_of, numbers

    table = written(tmp_path / "utt2dur", "a 1.5\nb 2\n")
    fuzzing.fuzz(table, lambda: numbers(table))
    fuzzing.fuzz(table, lambda: optional_numbers(table))
    write_manifest(tmp_path / "mixtures.jsonl", mixtures())
    fuzzing.fuzz(tmp_path / "mixtures.jsonl", lambda: conditions_of(tmp_path / "mixtures.jsonl"), json_lines=True)


def test_words_with_times(tmp_path):
    from espnet2_sop.text.ctm import read_ctm, write_ctm

    path = written(tmp_path / "prompt.ctm", "a 1 0.10 0.02 one 0.90\na 2 0.50 0.02 two 1.00\n")
    fuzzing.fuzz(path, lambda: write_ctm(tmp_path / "copy", read_ctm(path).items()))


@pytest.fixture
def scored(tmp_path):
    """An experiment with one scored set; returns the folder of score.json."""
    from espnet2_sop.scoring.record import score, write_record

    texts = {"a": "one two <sc> three", "b": "four"}
    write_kaldi(tmp_path / "data/test/text", texts.items())
    folder = tmp_path / "exp/decode/sop/test"
    write_kaldi(folder / "text", (texts | {"b": "four five"}).items())
    write_record(folder, score(tmp_path / "data/test", folder))
    return folder


def test_scores(scored):
    from espnet2_sop.scoring.record import compare_records, read_record
    from espnet2_sop.scoring.tables.breakdowns import breakdowns
    from espnet2_sop.scoring.tables.one_set import report as one_report
    from espnet2_sop.scoring.tables.results import flat, report, result_row, set_labels

    def use():
        record = read_record(scored / "score.json")
        labels = set_labels([record])
        (
            str(report([record], {}, {})),
            str(breakdowns([record], labels)),
            str(one_report(record)),
            flat(result_row(record)),
        )
        compare_records(record, record)

    fuzzing.fuzz(scored / "score.json", use)


def test_entries(scored, tmp_path):
    """`table --append` keeps what was in the file, and reads what others have left in the experiment."""
    from espnet2_sop.scoring.tables.entry import entry_name
    from espnet2_sop.scoring.tables.environment import decoders
    from espnet2_sop.scoring.tables.trainings import run_row

    speed = written(scored / "speed.json", json.dumps({"real_time_factor": 0.1, "gpu": None, "threads": 2}))
    fuzzing.fuzz(speed, lambda: decoders(tmp_path / "exp"))
    run = written(tmp_path / "exp/stage1_sot/config.yaml", "seed: 1\nmodel_conf: {trainable: [sot]}\nllm_conf: {}\n")
    fuzzing.fuzz(run, lambda: (run_row("sot", run), entry_name([], {"sot": run})))


def test_results_file_of_others_is_appended_to(scored, tmp_path):
    from espnet2_sop.scoring.tables.entry import append_entry

    results = tmp_path / "R.md"
    results.write_bytes(b"\xef\xbb\xbf# \xc3\xa4\r\n<!-- entry x -->\0\x1b[31m" + b"x" * 10000)
    assert append_entry(tmp_path / "exp", results) in results.read_text()
    assert results.read_text().startswith("# ä\n<!-- entry x -->\0\x1b[31mxx")
    results.write_bytes(b"\xff")
    assert not fuzzing.accepts(lambda: append_entry(tmp_path / "exp", results), results)
    assert results.read_bytes() == b"\xff"


def test_training_logs(tmp_path):
    from espnet2_sop.report.training_log import read_run

    line = "INFO: 1epoch results: [train] loss=0.4, time=1 minute and 2.5 seconds, total_count=100, [valid] loss=0.5\n"
    log = written(tmp_path / "stage1_sot/train.log", line)
    fuzzing.fuzz(log, lambda: read_run(log.parent))


def test_vocabularies(tmp_path):
    from types import SimpleNamespace

    from espnet2_sop.text.vocabulary import load_vocabulary, save_vocabulary

    save_vocabulary(tmp_path / "vocab", "llm", ["a", "b"])
    path = tmp_path / "vocab/vocabulary.json"

    def use():
        try:
            load_vocabulary(path.parent, SimpleNamespace(vocab_size=2))
        except Exception as error:  # it names the folder
            raise type(error)(str(error).replace(str(path.parent), str(path))) from None

    fuzzing.fuzz(path, use)


def test_what_the_package_wrote_itself(tmp_path):
    """Marks and memories that are broken are as if they were not there."""
    from espnet2_sop.io import done, provenance
    from espnet2_sop.mixture.corpora import stored
    from espnet2_sop.mixture.corpora.headers import _known

    provenance.write_origin(tmp_path, {"options": {"a": 1}, "files": {}})
    fuzzing.fuzz(tmp_path / "origin.json", lambda: provenance.changes(tmp_path, {"options": {"a": 2}}))
    done.finish(tmp_path, {"a": 1})
    fuzzing.fuzz(tmp_path / done.MARK, lambda: done.is_done(tmp_path, {"a": 1}, []))
    index = written(tmp_path / stored.INDEX, "a 0123\nb 4567\n")
    fuzzing.fuzz(index, lambda: stored._stored(tmp_path))
    cache = written(tmp_path / "lengths.tsv", "/a b.wav\t12\t34\t56\n")
    fuzzing.fuzz(cache, lambda: _known(cache))


def test_names_that_are_no_files(tmp_path):
    """Names of files with line breaks, escapes and bytes that are no text are shown in one line, too."""
    for name in ("a\nb", "\x1b[31mred", os.fsdecode(b"\xff"), "x" * 300, "a\0b"):
        for use in (read_kaldi, read_yaml, read_json, read_manifest):
            assert not fuzzing.accepts(lambda use=use, name=name: use(tmp_path / name))

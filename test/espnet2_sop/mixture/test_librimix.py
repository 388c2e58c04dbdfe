"""If these fail, LibriMix metadata turn into other mixtures than LibriMix makes, or mistakes in them pass."""

import csv

import numpy as np
import pytest

from espnet2_sop.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.librimix import read_librimix_csv
from espnet2_sop.mixture.render import render


def rows_of(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def rewrite(tmp_path, rows):
    path = tmp_path / "metadata.csv"
    with open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("num_talkers", [1, 2, 3])
@pytest.mark.parametrize("condition", ["clean", "noisy"])
def test_rows_become_mixtures(corpus, num_talkers, condition):
    mixtures = read_librimix_csv(corpus.csv[num_talkers], corpus.speech, corpus.noise, condition)
    rows = rows_of(corpus.csv[num_talkers])
    assert [mixture.id for mixture in mixtures] == [row["mixture_ID"] for row in rows]
    for mixture, row in zip(mixtures, rows, strict=True):
        assert mixture.num_talkers == num_talkers
        onsets = [0.0, *(float(value) for key, value in row.items() if key.startswith("offset"))]
        assert [source.onset for source in mixture.sources] == onsets
        for i, source in enumerate(mixture.sources, 1):
            assert source.path == str(corpus.speech / row[f"source_{i}_path"])
            assert source.gain == float(row[f"source_{i}_gain"])
            assert source.text.isupper()
            assert source.speaker == row[f"source_{i}_path"].split("/")[1]
        assert (mixture.noise is not None) == (condition == "noisy")
        assert len(render(mixture, AudioReader())) == mixture.num_samples


def test_clean_needs_no_noise_at_all(corpus, tmp_path):
    rows = [{k: v for k, v in row.items() if "noise" not in k} for row in rows_of(corpus.csv[2])]
    assert len(read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, None, "clean")) == 4
    with pytest.raises(UserError, match="missing column noise_path, noise_gain"):
        read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, corpus.noise, "noisy")
    with pytest.raises(UserError, match="needs the folder of noises"):
        read_librimix_csv(corpus.csv[2], corpus.speech, None, "noisy")


def test_sources_are_sorted_by_onset(corpus, tmp_path):
    rows = [row | {"offset1": "0.9", "offset2": "0.1"} for row in rows_of(corpus.csv[3])]
    mixture = read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, None, "clean")[0]
    assert [source.onset for source in mixture.sources] == [0.0, 0.1, 0.9]
    assert [s.path for s in mixture.sources[1:]] == [str(corpus.speech / rows[0][f"source_{i}_path"]) for i in (3, 2)]


def test_two_talkers_may_use_offset1(corpus, tmp_path):
    rows = [{("offset1" if k == "offset" else k): v for k, v in row.items()} for row in rows_of(corpus.csv[2])]
    expected = read_librimix_csv(corpus.csv[2], corpus.speech, None, "clean")
    assert read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, None, "clean") == expected


@pytest.mark.parametrize(
    ("num_talkers", "gone", "said"),
    [
        (2, ["offset"], "missing column offset: 2 talkers need 1 start offset"),
        (3, ["offset2"], "missing column offset2: 3 talkers need 2 start offset"),
        (3, ["offset1", "offset2"], "missing column offset1, offset2"),
        (2, ["mixture_ID", "source_2_gain"], "missing column mixture_ID, source_2_gain"),
        (1, ["source_1_path"], "missing column source_1_path"),
    ],
)
def test_missing_columns_are_named(corpus, tmp_path, num_talkers, gone, said):
    rows = [{k: v for k, v in row.items() if k not in gone} for row in rows_of(corpus.csv[num_talkers])]
    with pytest.raises(UserError, match=said):
        read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, corpus.noise, "noisy")


def test_three_talkers_with_one_offset_are_refused(corpus, tmp_path):
    rows = [{("offset" if k == "offset1" else k): v for k, v in row.items() if k != "offset2"}
            for row in rows_of(corpus.csv[3])]  # fmt: skip
    with pytest.raises(UserError, match="missing column offset1, offset2"):
        read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, None, "clean")


def test_all_missing_files_are_counted(corpus, tmp_path):
    rows = [row | {"source_1_path": f"gone/{i}.flac"} for i, row in enumerate(rows_of(corpus.csv[2]))]
    with pytest.raises(UserError, match=r"4 audio file\(s\) are missing, such as .*gone/0.flac, .*gone/1.flac"):
        read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, None, "clean")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("offset", "soon", "line 2: column 'offset' must be a number, got 'soon'"),
        ("offset", "-1", "line 2: column 'offset' must not be negative"),
        ("offset", "nan", "line 2: column 'offset' must not be negative"),
        ("source_1_gain", "", "line 2: column 'source_1_gain' must be a number"),
        ("mixture_ID", "a b", "line 2: mixture_ID 'a b'"),
    ],
)
def test_wrong_values_are_told_with_their_line(corpus, tmp_path, column, value, said):
    rows = rows_of(corpus.csv[2])
    rows[0][column] = value
    with pytest.raises(UserError, match=said):
        read_librimix_csv(rewrite(tmp_path, rows), corpus.speech, None, "clean")


def test_repeated_short_and_empty_tables_are_refused(corpus, tmp_path):
    rows = rows_of(corpus.csv[1])
    with pytest.raises(UserError, match="line 6: mixture_ID"):
        read_librimix_csv(rewrite(tmp_path, [*rows, rows[0]]), corpus.speech, None, "clean")
    path = rewrite(tmp_path, rows)
    path.write_text(path.read_text() + "only-an-id\n")
    with pytest.raises(UserError, match="line 6: not as many values"):
        read_librimix_csv(path, corpus.speech, None, "clean")
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(UserError, match="no mixtures"):
        read_librimix_csv(path, corpus.speech, None, "clean")


def test_audio_without_text_is_named(corpus, tmp_path):
    folder = tmp_path / "test-mini/999/1"
    folder.mkdir(parents=True)
    (folder / "999-1-0000.ogg").write_bytes((corpus.speech / "test-mini/201/1/201-1-0000.ogg").read_bytes())
    rows = [rows_of(corpus.csv[1])[0] | {"source_1_path": "test-mini/999/1/999-1-0000.ogg"}]
    with pytest.raises(UserError, match="999-1-0000.ogg: no text for it"):
        read_librimix_csv(rewrite(tmp_path, rows), tmp_path, None, "clean")


def test_noise_goes_on_from_its_start_when_it_is_short(corpus):
    mixture = read_librimix_csv(corpus.csv[1], corpus.speech, corpus.noise, "noisy")[1]  # noise of 0.4 s
    clean = read_librimix_csv(corpus.csv[1], corpus.speech, None, "clean")[1]
    noise = render(mixture, AudioReader()) - render(clean, AudioReader())
    np.testing.assert_allclose(noise[:1600], noise[6400:8000], atol=1e-6)

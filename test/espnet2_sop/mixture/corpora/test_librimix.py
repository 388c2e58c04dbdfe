"""If these fail, LibriMix metadata turn into other mixtures than LibriMix makes, or mistakes in them pass."""

import csv

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.corpora.librimix import at_speeds, read_librimix
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
    mixtures = read_librimix([corpus.csv[num_talkers]], corpus.speech, corpus.noise, condition)
    rows = rows_of(corpus.csv[num_talkers])
    assert [mixture.id for mixture in mixtures] == [row["mixture_ID"] for row in rows]
    for mixture, row in zip(mixtures, rows, strict=True):
        assert mixture.num_talkers == num_talkers
        offsets = [float(value) for key, value in row.items() if key.startswith("offset")]
        assert [source.start for source in mixture.sources] == [0, *(int(16000 * offset) for offset in offsets)]
        assert mixture.peak == "clip"
        for i, source in enumerate(mixture.sources, 1):
            assert source.path == str(corpus.speech / row[f"source_{i}_path"])
            assert source.gain == float(row[f"source_{i}_gain"])
            assert source.text.isupper()
            assert source.speaker == row[f"source_{i}_path"].split("/")[1]
        assert (mixture.noise is not None) == (condition == "noisy")
        assert len(render(mixture, AudioReader())) == mixture.num_samples


def test_clean_needs_no_noise_at_all(corpus, tmp_path):
    rows = [{k: v for k, v in row.items() if "noise" not in k} for row in rows_of(corpus.csv[2])]
    assert len(read_librimix([rewrite(tmp_path, rows)], corpus.speech, None, "clean")) == 4
    with pytest.raises(UserError, match="missing column noise_path, noise_gain"):
        read_librimix([rewrite(tmp_path, rows)], corpus.speech, corpus.noise, "noisy")
    with pytest.raises(UserError, match="needs the folder of noises"):
        read_librimix([corpus.csv[2]], corpus.speech, None, "noisy")


def test_sources_are_sorted_by_onset(corpus, tmp_path):
    rows = [row | {"offset1": "0.9", "offset2": "0.1"} for row in rows_of(corpus.csv[3])]
    mixture = read_librimix([rewrite(tmp_path, rows)], corpus.speech, None, "clean")[0]
    assert [source.onset for source in mixture.sources] == [0.0, 0.1, 0.9]
    assert [s.path for s in mixture.sources[1:]] == [str(corpus.speech / rows[0][f"source_{i}_path"]) for i in (3, 2)]


def test_two_talkers_may_use_offset1(corpus, tmp_path):
    rows = [{("offset1" if k == "offset" else k): v for k, v in row.items()} for row in rows_of(corpus.csv[2])]
    expected = read_librimix([corpus.csv[2]], corpus.speech, None, "clean")
    assert read_librimix([rewrite(tmp_path, rows)], corpus.speech, None, "clean") == expected


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
        read_librimix([rewrite(tmp_path, rows)], corpus.speech, corpus.noise, "noisy")


def test_three_talkers_with_one_offset_are_refused(corpus, tmp_path):
    rows = [{("offset" if k == "offset1" else k): v for k, v in row.items() if k != "offset2"}
            for row in rows_of(corpus.csv[3])]  # fmt: skip
    with pytest.raises(UserError, match="missing column offset1, offset2"):
        read_librimix([rewrite(tmp_path, rows)], corpus.speech, None, "clean")


def test_all_missing_files_are_counted(corpus, tmp_path):
    rows = [row | {"source_1_path": f"gone/{i}.flac"} for i, row in enumerate(rows_of(corpus.csv[2]))]
    with pytest.raises(UserError, match=r"4 audio file\(s\) are missing, such as .*gone/0.flac, .*gone/1.flac"):
        read_librimix([rewrite(tmp_path, rows)], corpus.speech, None, "clean")


def test_all_missing_files_of_all_tables_are_listed(corpus, tmp_path):
    rows = [row | {"source_1_path": f"gone/{i}.flac"} for i, row in enumerate(rows_of(corpus.csv[2]))]
    tables, listing = [corpus.csv[1], rewrite(tmp_path, rows)], tmp_path / "out/missing.txt"
    with pytest.raises(UserError, match=r"6 audio file\(s\) are missing.*; all are listed in .*out/missing.txt;"):
        read_librimix(tables, corpus.speech, tmp_path, "both", missing_list=listing)
    gone = [*(corpus.speech / f"gone/{i}.flac" for i in range(4)), *(tmp_path / f"tt/noise{i}.ogg" for i in (0, 1))]
    assert sorted(listing.read_text().splitlines()) == sorted(map(str, gone))
    read_librimix([corpus.csv[1]], corpus.speech, None, "clean", missing_list=listing)
    assert not listing.exists()


def test_many_tables_and_both_conditions_get_prefixes(corpus):
    mixtures = read_librimix([corpus.csv[2], corpus.csv[3]], corpus.speech, corpus.noise, "both", "min")
    assert [m.id.split("_")[0] for m in mixtures[::4]] == ["2mix-clean", "2mix-noisy", "3mix-clean", "3mix-noisy"]
    assert {m.mode for m in mixtures} == {"min"}
    clean, noisy = mixtures[:4], mixtures[4:8]
    assert [m.sources for m in clean] == [m.sources for m in noisy]
    with pytest.raises(UserError, match="condition 'loud'; one of: clean, noisy, both"):
        read_librimix([corpus.csv[2]], corpus.speech, None, "loud")


def test_mixtures_at_other_speeds_get_prefixes_and_scaled_onsets(corpus):
    mixtures = read_librimix([corpus.csv[3]], corpus.speech, corpus.noise, "noisy")
    perturbed = at_speeds(mixtures, (0.9, 1.0, 1.1))
    assert perturbed[4:8] == mixtures
    for slow, usual, fast in zip(perturbed[:4], mixtures, perturbed[8:], strict=True):
        assert (slow.id, fast.id) == (f"sp0.9-{usual.id}", f"sp1.1-{usual.id}")
        assert slow.onsets == pytest.approx([onset / 0.9 for onset in usual.onsets])
        assert fast.num_samples == round(usual.num_samples / 1.1)
        assert len(render(slow, AudioReader())) == slow.num_samples


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("offset", "soon", "line 2: column 'offset' must be a number, got 'soon'"),
        ("offset", "-1", "line 2: column 'offset' must not be negative"),
        ("offset", "nan", "line 2: column 'offset' must be a number"),
        ("source_2_gain", "inf", "line 2: column 'source_2_gain' must be a number"),
        ("source_1_gain", "", "line 2: column 'source_1_gain' must be a number"),
        ("mixture_ID", "a b", "line 2: mixture_ID 'a b'"),
    ],
)
def test_wrong_values_are_told_with_their_line(corpus, tmp_path, column, value, said):
    rows = rows_of(corpus.csv[2])
    rows[0][column] = value
    with pytest.raises(UserError, match=said):
        read_librimix([rewrite(tmp_path, rows)], corpus.speech, None, "clean")


def test_repeated_short_and_empty_tables_are_refused(corpus, tmp_path):
    rows = rows_of(corpus.csv[1])
    with pytest.raises(UserError, match="line 6: mixture_ID"):
        read_librimix([rewrite(tmp_path, [*rows, rows[0]])], corpus.speech, None, "clean")
    path = rewrite(tmp_path, rows)
    path.write_text(path.read_text() + "only-an-id\n")
    with pytest.raises(UserError, match="line 6: not as many values"):
        read_librimix([path], corpus.speech, None, "clean")
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(UserError, match="no mixtures"):
        read_librimix([path], corpus.speech, None, "clean")


def test_audio_without_text_is_named(corpus, tmp_path):
    folder = tmp_path / "test-mini/999/1"
    folder.mkdir(parents=True)
    (folder / "999-1-0000.ogg").write_bytes((corpus.speech / "test-mini/201/1/201-1-0000.ogg").read_bytes())
    rows = [rows_of(corpus.csv[1])[0] | {"source_1_path": "test-mini/999/1/999-1-0000.ogg"}]
    with pytest.raises(UserError, match="999-1-0000.ogg: no text for it"):
        read_librimix([rewrite(tmp_path, rows)], tmp_path, None, "clean")

"""If these fail, mixtures are put into the wrong overlap, onset or length group."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import write_kaldi
from espnet2_sop.mixture.datadir import write_data_dir
from espnet2_sop.mixture.manifest import Mixture, Noise, Recording, Source
from espnet2_sop.scoring.mixture_metadata import MixtureMetadata, overlap_ratio, read_metadata, smallest_gap
from espnet2_sop.scoring.transcripts import Utterance, read_transcripts

SPANS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(0, 10)), max_size=5)


def source(onset, seconds, speaker):
    return Source("x.wav", speaker, "A B", onset, 1.0, int(seconds * 16000))


MIXTURES = [
    Mixture("m1", (source(0, 4, "a"), source(1, 2, "b"), source(3.5, 1.5, "c")), Noise("n.wav", 0, 1.0)),
    Mixture("m2", (source(0, 2, "a"),)),
    Mixture("m3", (source(0, 2, "a"), source(2.5, 2, "b")), recording=Recording("r.wav")),
]
METADATA = {"m1": (0.5, 1.0, 5.0), "m2": (0.0, None, 2.0), "m3": (0.0, 2.5, 4.5)}


@pytest.mark.parametrize(("condition", "conditions"), [("noisy", ["noisy"] * 3), ("both", ["noisy", "clean", None])])
def test_tables_of_a_data_directory(tmp_path, condition, conditions):
    write_data_dir(MIXTURES, tmp_path, condition)
    metadata = read_metadata(tmp_path, read_transcripts(tmp_path), condition)
    assert metadata == {
        key: MixtureMetadata(*METADATA[key], known) for key, known in zip(METADATA, conditions, strict=True)
    }


def test_times_give_the_same(tmp_path):
    write_data_dir(MIXTURES, tmp_path, "clean")
    path = tmp_path / "ref.seglst.json"
    metadata = read_metadata(path, read_transcripts(path), "unspecified")
    assert metadata == {key: MixtureMetadata(*known) for key, known in METADATA.items()}


def test_what_is_not_there_is_unknown(tmp_path):
    write_kaldi(tmp_path / "text", [("a", "B")])
    assert read_metadata(tmp_path, read_transcripts(tmp_path), "clean") == {"a": MixtureMetadata(condition="clean")}
    (tmp_path / "x.json").write_text(json.dumps([{"session_id": "a", "speaker": "b", "words": "c"}]))
    assert read_metadata(tmp_path / "x.json", read_transcripts(tmp_path / "x.json"), "") == {"a": MixtureMetadata()}


@given(SPANS)
def test_overlap_ratio_against_counting_slices(spans):
    """Time in slices of one second; a talker who overlaps with himself is one talker."""
    session = [Utterance(talker, [], start, start + length) for talker, start, length in spans]
    active = [{t for t, start, length in spans if start <= second < start + length} for second in range(40)]
    speech = sum(len(talkers) >= 1 for talkers in active)
    assert overlap_ratio(session) == (sum(len(talkers) >= 2 for talkers in active) / speech if speech else 0)


def test_smallest_gap():
    assert smallest_gap([3.0, 0.0, 1.2]) == 1.2
    assert smallest_gap([1.0]) is smallest_gap([]) is None


def test_bad_tables(tmp_path):
    write_kaldi(tmp_path / "text", [("a", "B")])
    (tmp_path / "utt2overlap").write_text("a much\n")
    with pytest.raises(UserError, match="utt2overlap, line 1: 'much' are no numbers; prepare"):
        read_metadata(tmp_path, read_transcripts(tmp_path), "clean")
    (tmp_path / "utt2overlap").write_text("a 0.5\n")
    (tmp_path / "mixtures.jsonl").write_text('{"id": "a", "noise": null}\n{\n')
    with pytest.raises(UserError, match="mixtures.jsonl, line 2: broken JSON"):
        read_metadata(tmp_path, read_transcripts(tmp_path), "both")

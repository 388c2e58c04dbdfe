"""If these fail, other tools cannot read the transcripts, or read something else."""

import json

import pytest

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.decoding.transcribe import formats
from espnet2_sop.decoding.transcribe.formats import Transcript
from espnet2_sop.scoring.transcripts import read_transcripts, words_of_talkers


def spoken(text, slot, start, end):
    return Talker(text, (), start + 0.1, 0.5, "", (), slot, start, end)


@pytest.fixture
def transcripts():
    """A recording of two segments, one that is silent, one whose words look like markup of STM."""
    return [
        Transcript("long", "a.wav", 9.0, [spoken("red box", 1, 0, 4), spoken("go", 2, 0, 4), spoken("now", 1, 5, 9)]),
        Transcript("silent", "b.wav", 1.0, []),
        Transcript("odd", "c.wav", 4.0, [spoken("<b> it's &", 1, 0.0, 4.0)]),
    ]


def test_own_scoring_reads_all_formats_alike(transcripts, tmp_path):
    formats.write(tmp_path, ["text", "seglst", "stm"], transcripts)
    expected = {"long": [["red", "box", "now"], ["go"]], "odd": [["b", "it's"]]}
    for name, silent in (("text", {"silent": []}), ("hyp.seglst.json", {}), ("hyp.stm", {})):
        found = read_transcripts(tmp_path / name)
        assert {key: words_of_talkers(session) for key, session in found.items()} == expected | silent


def test_meeteval_reads_segments_and_times(transcripts, tmp_path):
    import meeteval

    formats.write(tmp_path, ["seglst", "stm"], transcripts)
    expected = [
        ("long", "1", "red box", 0.1, 4.0),
        ("long", "2", "go", 0.1, 4.0),
        ("long", "1", "now", 5.1, 9.0),
    ]
    for path in (tmp_path / "hyp.seglst.json", tmp_path / "hyp.stm"):
        segments = meeteval.io.load(path).to_seglst()
        found = [
            (s["session_id"], s["speaker"], s["words"], float(s["start_time"]), float(s["end_time"])) for s in segments
        ]
        assert sorted(found)[:3] == sorted(expected) and len(found) == 4


def test_json_has_everything_and_is_read_back(talkers, tmp_path):
    transcript = Transcript("a", "a.wav", 20.0, talkers)
    (row,) = json.loads(formats.as_json([transcript]))
    assert row["talkers"][0]["words"][1] == {
        "talker": 1, "start": 10.8, "duration": 0.2, "word": "fox", "confidence": 0.5}  # fmt: skip
    assert row["talkers"][1]["onset"] is None and row["seconds"] == 20.0
    assert formats.of_row(row) == transcript


def test_stm_is_in_order_of_start(talkers):
    lines = formats.stm([Transcript("a", "a.wav", 20.0, talkers)]).splitlines()
    assert [line.split()[:5] for line in lines[:1]] == [["a", "1", "2", "10.000", "14.000"]]
    assert lines[1].startswith("a 1 1 10.400 12.300 red box")

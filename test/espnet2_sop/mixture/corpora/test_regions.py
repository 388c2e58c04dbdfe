"""If these fail, conversations are cut within words, or words go to the wrong region or talker."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.corpora.regions import RegionConfig, cut_regions
from espnet2_sop.mixture.corpora.spans import Span
from espnet2_sop.mixture.manifest import read_manifest, write_manifest
from espnet2_sop.mixture.render import render

LENGTH = 60.0
ANY = RegionConfig(max_pause=0.0, max_duration=1000.0, max_talkers=99)


def write_audio(path, samples):
    """Writes samples (T,) as 16 kHz audio; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, 16000)
    return path


@pytest.fixture(scope="module")
def meeting(tmp_path_factory):
    path = tmp_path_factory.mktemp("meeting") / "m1.wav"
    return str(write_audio(path, 0.1 * np.random.default_rng(1).standard_normal(int(LENGTH * 16000))))


def spans(meeting, *rows):
    return [Span(f"u{i}", meeting, who, text, a, b, f"x.stm, line {i}") for i, (who, a, b, text) in enumerate(rows, 1)]


def test_a_region_is_what_overlaps(meeting, tmp_path):
    rows = spans(
        meeting,
        ("bob", 2.0, 4.5, "b one"),
        ("alice", 1.0, 3.0, "a one"),
        ("alice", 4.0, 5.0, "a two"),
        ("carol", 7.0, 8.0, "c"),
    )
    mixtures, dropped = cut_regions(rows, ANY)
    assert not dropped
    assert [m.id for m in mixtures] == ["m1-0000100-0000500", "m1-0000700-0000800"]
    first, second = mixtures
    assert first.text == "a one a two <sc> b one"
    assert [(s.speaker, s.onset, s.num_samples) for s in first.sources] == [("alice", 0, 64000), ("bob", 1, 40000)]
    assert (first.num_samples, first.recording.offset_samples) == (64000, 16000)
    assert second.text == "c"
    write_manifest(tmp_path / "m.jsonl", mixtures)
    assert read_manifest(tmp_path / "m.jsonl") == mixtures
    assert np.array_equal(render(first, AudioReader()), AudioReader().read(meeting, 16000, 80000))
    assert first.audio_paths == [meeting]


def test_pauses_join_and_long_regions_are_cut_at_the_longest_silence(meeting):
    rows = spans(meeting, ("a", 0, 2, "1"), ("b", 2.5, 4, "2"), ("a", 4.25, 6, "3"), ("b", 9, 10, "4"))
    texts = lambda **changes: [m.text for m in cut_regions(rows, RegionConfig(**{**vars(ANY), **changes}))[0]]  # noqa: E731
    assert texts() == ["1", "2", "3", "4"]
    assert texts(max_pause=0.3) == ["1", "2 <sc> 3", "4"]
    assert texts(max_pause=0.5) == ["1 3 <sc> 2", "4"]
    assert texts(max_pause=0.5, max_duration=5) == ["1", "2 <sc> 3", "4"]
    assert texts(max_pause=9, max_duration=4) == ["1", "2 <sc> 3", "4"]
    assert texts(max_pause=9) == ["1 3 <sc> 2 4"]


def test_what_cannot_be_used_is_counted(meeting):
    rows = spans(
        meeting,
        ("a", 0, 3, "1"),
        ("b", 2, 5, "2"),
        ("a", 10, 11, "3"),
        ("b", 10, 11, "4"),
        ("c", 10.5, 11, "5"),
        ("a", 20, 21, "6"),
    )
    mixtures, dropped = cut_regions(rows, RegionConfig(0.0, 4.0, 2))
    assert [m.text for m in mixtures] == ["6"]
    assert dropped == {"longer than max_duration without a silence": 1, "more than 2 talkers": 1}


@settings(max_examples=50)
@given(data=st.data())
def test_every_word_is_in_one_region_and_no_region_is_cut_within_one(meeting, data):
    rows = []
    for who in "abc":
        edges = sorted(data.draw(st.lists(st.integers(0, 2900), unique=True, max_size=12)))
        pairs = zip(edges[::2], edges[1::2], strict=False)
        rows += [(who, a / 50, b / 50, f"{who}{n}") for n, (a, b) in enumerate(pairs)]
    config = RegionConfig(data.draw(st.sampled_from([0.0, 0.5, 2.0])), data.draw(st.sampled_from([5.0, 20.0])), 3)
    mixtures, dropped = cut_regions(spans(meeting, *rows), config)
    placed = {}
    for m in mixtures:
        assert m.duration <= config.max_duration
        for source in m.sources:
            for word in source.text.split():
                assert word[0] == source.speaker
                placed[word] = (m.recording.offset_samples, m.recording.offset_samples + m.num_samples)
        assert [s.onset for s in m.sources] == sorted(s.onset for s in m.sources)
    assert sum(len(s.text.split()) for m in mixtures for s in m.sources) == len(placed)
    assert dropped or len(placed) == len(rows)
    for _, a, b, word in rows:
        if word in placed:
            low, high = placed[word]
            assert low <= round(a * 16000) < round(b * 16000) <= high
    used = sorted(set(placed.values()))
    assert all(before[1] <= after[0] for before, after in zip(used, used[1:], strict=False))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", 1, 3, "x"), ("a", 2.5, 4, "y")], "line 2: speaker a starts at 2.5 s, while the segment of .*line 1"),
        ([("a", 1, 9, "x"), ("a", 2, 3, "y"), ("a", 4, 5, "z")], "line 2: speaker a starts at 2 s"),
        ([("a", 59, 61, "x")], "line 1: u1 is from 59 to 61 s, but .*m1.wav has only 60.00 s"),
        ([("a", 60, 60.05, "x")], "line 1: u1 is from 60 to 60.05 s"),
        ([("a", None, None, "x")], "line 1: utterance u1 has no start and end"),
    ],
)
def test_mistakes_are_named(meeting, rows, message):
    with pytest.raises(UserError, match=message):
        cut_regions(spans(meeting, *rows), ANY)


def test_two_recordings_with_one_name(meeting, tmp_path):
    other = str(write_audio(tmp_path / "m1.wav", np.full(32000, 0.1)))
    with pytest.raises(UserError, match="a second recording with this name"):
        cut_regions(spans(meeting, ("a", 0, 1, "x")) + spans(other, ("a", 0, 1, "x")), ANY)


def test_recording_that_became_shorter_is_noticed(meeting, tmp_path):
    path = str(write_audio(tmp_path / "m2.wav", np.full(32000, 0.1)))
    (mixture,), _ = cut_regions(spans(path, ("a", 0.5, 2, "x")), ANY)
    write_audio(tmp_path / "m2.wav", np.full(30000, 0.1))
    with pytest.raises(UserError, match="m2.wav: ends before sample 32000 of the manifest"):
        render(mixture, AudioReader())

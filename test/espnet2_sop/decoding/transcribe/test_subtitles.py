"""If these fail, players show nothing, the wrong talker, or words as markup. webvtt-py and srt are other readers."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.decoding.transcribe.subtitles import LONGEST, LONGEST_TEXT, cues, srt, stamp, timed, vtt
from espnet2_sop.text.ctm import TimedWord


def read_vtt(text):
    """[(start, end, voice, words)] by webvtt-py."""
    import html

    import webvtt

    def seconds(stamp):  # webvtt-py's own are whole ones
        hours, minutes, rest = stamp.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(rest)

    captions = webvtt.from_buffer(io.StringIO(text)).captions
    return [(seconds(c.start), seconds(c.end), c.voice, html.unescape(c.text)) for c in captions]


def read_srt(text):
    """[(start, end, words)] by srt, which is told to forgive nothing."""
    import srt as reader

    return [
        (s.start.total_seconds(), s.end.total_seconds(), s.content) for s in reader.parse(text, ignore_errors=False)
    ]


def test_talkers_overlap_and_markup_is_shown_as_text(talkers):
    shown = read_vtt(vtt(talkers))
    assert [(voice, words) for _, _, voice, words in shown] == [
        ("Talker 2", "two words"),
        ("Talker 1", "red box & <b> --> go"),
    ]
    assert shown[0][1] > shown[1][0], "both talk at that time"
    assert "<b>" not in vtt(talkers) and vtt(talkers).count("-->") == 2
    assert [words for *_, words in read_srt(srt(talkers))] == [
        "Talker 2: two words",
        "Talker 1: red box & \u2039b\u203a --\u203a go",
    ]


def test_words_take_the_times_of_the_prompt(talkers):
    """`-->` replaces `fox`; what is between `red` and that is spread evenly."""
    found = timed(talkers[0])
    assert [word for _, _, word in found] == ["red", "box", "&", "<b>", "-->", "go"]
    assert [start for start, _, _ in found] == pytest.approx([10.4, 10.5, 10.6, 10.7, 10.8, 12.0])
    assert [found[i][1] for i in (4, 5)] == pytest.approx([11.0, 12.3])
    assert [start for start, _, _ in timed(talkers[1])] == pytest.approx([10.0, 12.0]), "spread over the segment"


def test_long_speech_is_cut_into_readable_cues():
    heard = tuple(TimedWord(1, 0.3 * i + (5 if i > 40 else 0), 0.2, f"word{i}", 1) for i in range(90))
    words = " ".join(word.word for word in heard)
    found = cues([Talker(words, (), 0.0, 0.9, words, heard, 1, 0.0, 40.0)])
    assert " ".join(cue.text for cue in found) == words
    assert all(len(cue.text) <= LONGEST_TEXT and cue.end - cue.start <= 1000 * LONGEST for cue in found)
    assert all(first.end <= second.start for first, second in zip(found, found[1:], strict=False))
    assert any(cue.text.startswith("word41 ") for cue in found), "a new cue behind the pause"


def test_a_word_that_is_spread_over_a_long_segment_is_not_shown_for_all_of_it():
    (cue,) = cues([Talker("hello", (), None, 0.9, "", (), 1, 2.0, 30.0)])
    assert (cue.start, cue.end) == (2000, 2000 + 1000 * LONGEST)


def test_nothing_said_is_an_empty_file():
    assert vtt([]) == "WEBVTT\n" and srt([]) == ""


@pytest.mark.parametrize(
    ("time", "text"), [(0, "00:00:00.000"), (3_599_999, "00:59:59.999"), (360_000_000, "100:00:00.000")]
)
def test_stamps(time, text):
    assert stamp(time, ".") == text


WORDS = st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8), max_size=12)


@given(st.lists(st.tuples(WORDS, WORDS, st.integers(1, 3)), max_size=5))
def test_any_talkers_are_valid_subtitles(said):
    """Words of prompt and text at random: readers find every word, in order, with start before end."""
    talkers = []
    for number, (prompt, words, slot) in enumerate(said):
        heard = tuple(TimedWord(slot, round(10 * number + 0.5 * i, 3), 0.08, w, 1) for i, w in enumerate(prompt))
        onset = heard[0].start if heard else None
        talkers.append(Talker(" ".join(words), (), onset, 1, "", heard, slot, 10.0 * number, 10.0 * number + 10))
    assert all(cue.end - cue.start <= 1000 * LONGEST for cue in cues(talkers))
    shown = read_vtt(vtt(talkers))
    assert all(start < end for start, end, *_ in shown)
    assert [start for start, *_ in shown] == sorted(start for start, *_ in shown)
    for slot in (1, 2, 3):
        expected = [word for _, words, own in said if own == slot for word in words]
        assert " ".join(text for *_, voice, text in shown if voice == f"Talker {slot}").split() == expected
    assert all(start < end for start, end, _ in read_srt(srt(talkers)))

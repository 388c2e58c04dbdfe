"""If these fail, STM files are misread, or what they lack goes unnoticed."""

import pytest
from meeteval.io import STM

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.corpora.spans import style_texts
from espnet2_sop.mixture.corpora.stm import read_stm

GOOD = """;; a comment
meeting 1 alice 0.00 2.50 <o,f0,female> so what now
meeting 1 bob 2.00 3.25 I do not know

meeting 1 inter_segment_gap 3.25 4.00 ignore_time_segment_in_scoring
other 1 carol 1.5 2 well
other 1 carol 2.5 3
"""


@pytest.fixture
def audio(tmp_path):
    for name in ("meeting.wav", "deep/other.flac"):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audio" / name).touch()
    return tmp_path / "audio"


def test_lines_become_utterances(audio, tmp_path):
    path = tmp_path / "x.stm"
    path.write_text(GOOD)
    spans = read_stm(path, audio)
    assert [(s.speaker, s.start, s.end) for s in spans] == [
        ("alice", 0, 2.5),
        ("bob", 2, 3.25),
        ("carol", 1.5, 2),
        ("carol", 2.5, 3),
    ]
    assert [s.path for s in spans] == [str(audio / n) for n in ("meeting.wav",) * 2 + ("deep/other.flac",) * 2]
    assert [s.where for s in spans] == [f"{path}, line {n}" for n in (2, 3, 6, 7)]
    assert [s.text for s in style_texts(spans, "as_is")] == ["so what now", "I do not know", "well"]
    assert [s.text for s in style_texts(spans, "librispeech")] == ["SO WHAT NOW", "I DO NOT KNOW", "WELL"]


def test_agrees_with_meeteval(audio, tmp_path):
    path = tmp_path / "x.stm"
    path.write_text("\n".join(line for line in GOOD.splitlines() if "ignore_time" not in line and "<o" not in line))
    for span, line in zip(read_stm(path, audio), STM.load(path), strict=True):
        assert (span.speaker, span.start, span.end) == (line.speaker_id, float(line.begin_time), float(line.end_time))
        assert span.text.strip() == line.transcript.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SPEAKER meeting 1 0.0 2.5 <NA> <NA> alice <NA> <NA>\n", "line 1: this is RTTM, .* no words; give an STM"),
        ("meeting 1 alice 0\n", "line 1: expected 'recording channel speaker start end words'"),
        ("meeting 1 alice zero 1 a\n", "line 1: start and end must be seconds"),
        ("meeting 1 alice 2 1 a\n", "line 1: start 2 and end 1"),
        ("nine 1 alice 1 2 a\nten 1 bob 1 2 a\n", r"2 recording\(s\) are not below .*: nine, ten"),
        (";; nothing\n", "no segments in it"),
    ],
)
def test_mistakes_are_named(audio, tmp_path, text, message):
    path = tmp_path / "x.stm"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_stm(path, audio)


def test_wrong_folders_and_texts_are_named(audio, tmp_path):
    path = tmp_path / "x.stm"
    path.write_text("meeting 1 alice 0 1 Room 5\n")
    spans = read_stm(path, audio)
    with pytest.raises(UserError, match="line 1: 1 texts have digits, such as 'ROOM 5'; spell numbers out"):
        style_texts(spans, "librispeech")
    path.write_text("meeting 1 alice 0 1\n")
    with pytest.raises(UserError, match="line 1: no utterance has words"):
        style_texts(read_stm(path, audio), "as_is")
    with pytest.raises(UserError, match="no such folder"):
        read_stm(path, tmp_path / "none")
    (audio / "meeting.flac").touch()
    with pytest.raises(UserError, match="a second recording named 'meeting'"):
        read_stm(path, audio)

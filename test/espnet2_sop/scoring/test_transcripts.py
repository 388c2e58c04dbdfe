"""If these fail, a reference or hypothesis of another tool is misread, or its mistakes go unnoticed."""

import json

import meeteval
import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.scoring.transcripts import of_text, read_transcripts, shown, words_of_talkers

STM = """;; comment
one 1 bob 2.0 3.5 <o,f0,male> I see.
one 1 alice 0.5 2.5 Hello, you

one 1 alice 4 4 <unk> two
one 1 gap 5 6 ignore_time_segment_in_scoring
two 1 bob 0 1
"""
SEGLST = [
    {"session_id": "one", "speaker": "bob", "start_time": 2.0, "end_time": 3.5, "words": "I see."},
    {"session_id": "one", "speaker": "alice", "start_time": 0.5, "end_time": 2.5, "words": "Hello, you"},
    {"session_id": "one", "speaker": "alice", "start_time": 4, "end_time": 4, "words": "<unk> two"},
    {"session_id": "two", "speaker": "bob", "start_time": 0, "end_time": 1, "words": ""},
]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_stm_and_seglst_are_the_same(tmp_path):
    stm = read_transcripts(write(tmp_path / "a.stm", STM))
    assert stm == read_transcripts(write(tmp_path / "a.json", SEGLST))
    assert list(stm) == ["one", "two"]
    assert words_of_talkers(stm["one"]) == [["hello", "you", "unk", "two"], ["i", "see"]]  # by first start
    assert words_of_talkers(stm["two"]) == [] and shown(stm["two"]) == ""
    assert shown(stm["one"]) == "hello you unk two <sc> i see"


def test_numbers_as_ids_are_names(tmp_path):
    segment = {"session_id": 7, "speaker": 1, "words": "a", "start_time": "0.5", "end_time": "1"}
    sessions = read_transcripts(write(tmp_path / "a.json", [segment]))
    assert list(sessions) == ["7"] and sessions["7"][0].talker == "1" and sessions["7"][0].start == 0.5


def test_without_times_the_order_of_the_file_counts(tmp_path):
    segments = [{key: s[key] for key in ("session_id", "speaker", "words")} for s in SEGLST]
    session = read_transcripts(write(tmp_path / "a.json", segments))["one"]
    assert [u.talker for u in session] == ["bob", "alice", "alice"] and session[0].start is None
    segments[0] |= {"start_time": 9, "end_time": 10}  # one alone has times
    assert read_transcripts(write(tmp_path / "a.json", segments))["one"][0].talker == "bob"


def test_kaldi_text_of_folder_and_file(tmp_path):
    write(tmp_path / "text", "b Red <sc>  blue, blue\na\n")
    sessions = read_transcripts(tmp_path)
    assert sessions == read_transcripts(tmp_path / "text") == {"b": of_text("red <sc> blue blue"), "a": []}
    assert words_of_talkers(sessions["b"]) == [["red"], ["blue", "blue"]]


def test_meeteval_reads_the_same_stm(tmp_path):
    path = write(tmp_path / "a.stm", "".join(line for line in STM.splitlines(True) if "gap" not in line))
    lines = [(s["session_id"], s["speaker"], s["start_time"]) for s in meeteval.io.load(path).to_seglst()]
    ours = [(key, u.talker, u.start) for key, session in read_transcripts(path).items() for u in session]
    assert sorted(ours) == sorted((key, talker, float(start)) for key, talker, start in lines)


BAD = {
    "x.stm": {
        "one 1 bob 2.0 3.5 a\none 1 bob 2.0\n": "x.stm, line 2: expected 'recording channel speaker start end words'",
        "one 1 bob a 3.5 b\n": "x.stm, line 1: start and end must be seconds, got 'a' and '3.5'",
        "one 1 bob 4 3.5 b\n": "x.stm, line 1: start 4 and end 3.5: needed is 0 <= start <= end",
        "one 1 bob 0 inf b\n": "x.stm, line 1: start 0 and end inf",
        "one 1 bob 0 nan b\n": "x.stm, line 1: start 0 and end nan",
    },
    "x.json": {
        '[\n{"session_id": "a",\n]': "x.json, line 3: broken JSON",
        '{"a": 1}': "x.json: expected SegLST, a JSON list",
        '[{"session_id": "a", "words": "b"}]': "x.json, segment 1: a segment of SegLST is an object with session_id",
        "[3]": "x.json, segment 1: a segment of SegLST",
        '[{"session_id": "a", "speaker": "b", "words": ["c"]}]': "x.json, segment 1: words must be one string",
        '[{"session_id": "a", "speaker": "b", "words": "c <sc> d"}]': "segment 1: <sc> in the words; give each talker",
    },
    "text": {
        "a b\na c\n": "text, line 2: id 'a' came before",
        "a b\n\n": "text, line 2: no id at the start",
    },
}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name in BAD for content in BAD[name]])
def test_bad_files(tmp_path, name, content):
    with pytest.raises(UserError) as error:
        read_transcripts(write(tmp_path / name, content))
    assert BAD[name][content] in str(error.value) and r"\n" not in str(error.value)


@pytest.mark.parametrize("name", ["none", "none.json", "none.stm"])
def test_missing_file(tmp_path, name):
    with pytest.raises(UserError, match="no such file"):
        read_transcripts(tmp_path / name)


def test_not_utf8(tmp_path):
    (tmp_path / "x.stm").write_bytes(b"one 1 bob 0 1 \xff\n")
    with pytest.raises(UserError, match="x.stm: not UTF-8"):
        read_transcripts(tmp_path / "x.stm")

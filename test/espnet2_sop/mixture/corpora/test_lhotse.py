"""If these fail, lhotse manifests are misread, or their mistakes go unnoticed."""

import gzip
import json

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.corpora.lhotse import read_lhotse
from espnet2_sop.mixture.corpora.spans import pool_of_spans


def recording(name, path, **changes):
    """A line as lhotse 1.33 writes it."""
    source = {"type": "file", "channels": [0], "source": path}
    values = {"id": name, "sources": [source], "sampling_rate": 16000, "num_samples": 46400, "duration": 2.9}
    return values | {"channel_ids": [0]} | changes


def supervision(name="a", **changes):
    values = {"id": name, "recording_id": "rec", "start": 0.5, "duration": 0.75, "channel": 0}
    return values | {"text": "ELEVEN", "language": "English", "speaker": "fcaw"} | changes


def write(path, *records):
    with gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w") as f:
        f.writelines(json.dumps(record) + "\n" for record in records)
    return path


@pytest.fixture
def real(an4):
    return an4.utterances["cen8-fcaw-b"].path


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_supervisions_are_parts_of_recordings(real, tmp_path, ending):
    recordings = write(tmp_path / f"recordings.{ending}", recording("rec", real))
    second = supervision("b", start=1.25, duration=1.65, text="TWENTY SEVEN")
    supervisions = write(tmp_path / f"supervisions.{ending}", supervision(), second)
    pool = pool_of_spans(read_lhotse(recordings, supervisions))
    assert [(u.id, u.path, u.speaker, u.text, u.offset, u.num_samples) for u in pool] == [
        ("a", real, "fcaw", "ELEVEN", 8000, 12000),
        ("b", real, "fcaw", "TWENTY SEVEN", 20000, 26400),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recording_id": "other"}, "supervisions.jsonl, line 1: recording 'other' is not in .*recordings.jsonl"),
        ({"text": None}, "line 1: supervision 'a' has no text"),
        ({"speaker": 5}, "line 1: supervision 'a' has no speaker"),
        ({"start": "x"}, "line 1: start and duration of 'a' must be numbers"),
        ({"duration": 0}, "line 1: start 0.5 and end 0.5: needed is"),
        ({"duration": 9}, "line 1: a is from 0.5 to 9.5 s, but .* has only 2.90 s"),
    ],
)
def test_wrong_supervisions_are_named(real, tmp_path, changes, message):
    recordings = write(tmp_path / "recordings.jsonl", recording("rec", real))
    supervisions = write(tmp_path / "supervisions.jsonl", supervision(**changes))
    with pytest.raises(UserError, match=message):
        pool_of_spans(read_lhotse(recordings, supervisions))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": [{"type": "command", "source": "sox"}]}, "line 1: recording 'rec' is of type 'command'"),
        ({"sources": [{}, {}]}, "line 1: recording 'rec' needs one source"),
        ({"transforms": [{"name": "Speed"}]}, "line 1: recording 'rec' is to be changed while reading"),
        ({"sources": [{"type": "file", "source": "x.wav"}]}, r"recordings.jsonl: 1 audio file\(s\) are missing: x.wav"),
    ],
)
def test_wrong_recordings_are_named(real, tmp_path, changes, message):
    recordings = write(tmp_path / "recordings.jsonl", recording("rec", real, **changes))
    with pytest.raises(UserError, match=message):
        read_lhotse(recordings, write(tmp_path / "supervisions.jsonl", supervision()))


def test_broken_files_are_named(real, tmp_path):
    recordings = write(tmp_path / "recordings.jsonl", recording("rec", real))
    path = tmp_path / "supervisions.jsonl"
    path.write_text(json.dumps(supervision()) + "\n{'id': 1}\n")
    with pytest.raises(UserError, match="supervisions.jsonl, line 2: broken JSON"):
        read_lhotse(recordings, path)
    path.write_text("[1]\n")
    with pytest.raises(UserError, match="line 1: expected an object with id, recording_id, start, duration"):
        read_lhotse(recordings, path)
    path.write_text("")
    with pytest.raises(UserError, match="nothing in it"):
        read_lhotse(recordings, path)
    packed = tmp_path / "supervisions.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(supervision()).encode())[:-9])
    with pytest.raises(UserError, match="supervisions.jsonl.gz: cannot be read"):
        read_lhotse(recordings, packed)
    packed.write_text("plain text")
    with pytest.raises(UserError, match="supervisions.jsonl.gz: cannot be read"):
        read_lhotse(recordings, packed)

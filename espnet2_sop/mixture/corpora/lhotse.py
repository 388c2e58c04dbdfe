"""lhotse manifests of recordings and supervisions, read without lhotse."""

from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import is_name
from espnet2_sop.io.json_shapes import is_number
from espnet2_sop.mixture.corpora.spans import Span, require_files, seconds
from espnet2_sop.mixture.manifest import read_json_lines


def _records(path: Path, keys: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """[("file, line n", object)] of a JSON Lines file (.gz or not) whose objects have these keys."""
    records = []
    for where, record in read_json_lines(path):
        if not isinstance(record, dict) or any(key not in record for key in keys):
            raise UserError(f"{where}: expected an object with {', '.join(keys)}, such as lhotse writes")
        if not is_name(record["id"]):
            raise UserError(f"{where}: 'id' must be a name without blanks, got {record['id']!r}")
        records.append((where, record))
    if not records:
        raise UserError(f"{path}: nothing in it")
    return records


def _audio_file(where: str, recording: dict[str, Any]) -> str:
    sources = recording["sources"]
    if recording.get("transforms"):
        raise UserError(f"{where}: recording {recording['id']!r} is to be changed while reading; store it changed")
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        raise UserError(f"{where}: recording {recording['id']!r} needs one source, in one file")
    if sources[0].get("type") != "file" or not isinstance(sources[0].get("source"), str):
        kind = sources[0].get("type")
        raise UserError(f"{where}: recording {recording['id']!r} is of type {kind!r}; store it as a file")
    return sources[0]["source"]


def read_lhotse(recordings: str | Path, supervisions: str | Path) -> list[Span]:
    """Reads two lhotse manifests.

    Args:
        recordings: `recordings.jsonl` or `recordings.jsonl.gz`.
        supervisions: `supervisions.jsonl` or `supervisions.jsonl.gz`.

    Returns:
        One utterance for each supervision, in the order of the file.

    Raises:
        UserError: Broken JSON (with its line), keys missing, a recording that is unknown or not in one audio file, a
            supervision without text or speaker, or audio files missing (all are named).
    """
    recordings, supervisions = Path(recordings), Path(supervisions)
    files = {record["id"]: _audio_file(where, record) for where, record in _records(recordings, ("id", "sources"))}
    spans = []
    for where, record in _records(supervisions, ("id", "recording_id", "start", "duration")):
        name = record["id"]
        if not isinstance(record["recording_id"], str) or record["recording_id"] not in files:
            raise UserError(f"{where}: recording {record['recording_id']!r} is not in {recordings}")
        for key in ("text", "speaker"):
            if not isinstance(record.get(key), str):
                raise UserError(f"{where}: supervision {name!r} has no {key}; every utterance needs one")
        if not (is_number(record["start"]) and is_number(record["duration"])):
            raise UserError(f"{where}: start and duration of {name!r} must be numbers")
        times = seconds(record["start"], record["start"] + record["duration"], where)
        spans.append(Span(name, files[record["recording_id"]], record["speaker"], record["text"], *times, where))
    require_files(recordings, (span.path for span in spans), "paths are relative to the working directory")
    return spans

"""Marks of finished work, so that a step that is run again does nothing twice."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from espnet2_sop.io.files import atomic_write

MARK = ".done.json"


def is_done(folder: Path, options: Mapping[str, object], inputs: Iterable[Path]) -> bool:
    """Whether `folder` was finished with the same options, and after the last change of all inputs."""
    mark = folder / MARK
    try:
        same = json.loads(mark.read_text(encoding="utf-8")) == json.loads(json.dumps(options, default=str))
        return same and all(mark.stat().st_mtime_ns >= path.stat().st_mtime_ns for path in inputs)
    except (OSError, ValueError, RecursionError):  # not there, or not what `finish` wrote
        return False


def start(folder: Path) -> None:
    """Takes the mark away before the work is done anew."""
    (folder / MARK).unlink(missing_ok=True)


def finish(folder: Path, options: Mapping[str, object]) -> None:
    """Marks the work as finished with these options."""
    with atomic_write(folder / MARK) as f:
        json.dump(options, f, default=str)

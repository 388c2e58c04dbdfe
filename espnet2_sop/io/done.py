"""Marks of finished steps, so that a step that is run again is skipped."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from espnet2_sop.io.files import atomic_write

MARK = ".done.json"


def is_done(folder: Path, options: Mapping[str, object], inputs: Iterable[Path]) -> bool:
    """Whether a step was finished with these options and no input has changed since.

    Args:
        folder: Output folder of the step.
        options: Its options by name.
        inputs: Files that it reads.

    Returns:
        True if the mark has the same options and is not older than any input.
    """
    mark = folder / MARK
    try:
        same = json.loads(mark.read_text(encoding="utf-8")) == json.loads(json.dumps(options, default=str))
        return same and all(mark.stat().st_mtime_ns >= path.stat().st_mtime_ns for path in inputs)
    except (OSError, ValueError, RecursionError):  # not there, or not what `finish` wrote
        return False


def start(folder: Path) -> None:
    """Removes the mark before the step is done again."""
    (folder / MARK).unlink(missing_ok=True)


def finish(folder: Path, options: Mapping[str, object]) -> None:
    """Marks a step as finished.

    Args:
        folder: Output folder of the step.
        options: Its options by name.
    """
    with atomic_write(folder / MARK) as f:
        json.dump(options, f, default=str)

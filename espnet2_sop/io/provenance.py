"""Provenance: what a result was made from is kept beside it, and compared before the result is used again."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.io.json_shapes import read_json

NAME = "origin.json"
PARTIAL = ".partial.jsonl"  # what interrupted work has done so far
END = 4 * 2**20  # bytes of a large file that are looked at on either side
SHOWN = 3  # differences in a message


def fingerprint(path: str | Path) -> str:
    """Size and hash of a file; of a large one its first and last 4 MiB.

    The end of a `.pth` file holds the checksums of all its tensors.

    Raises:
        UserError: The file is missing or cannot be read.
    """
    try:
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            digest = hashlib.sha256(f.read(END))
            f.seek(max(f.tell(), size - END))
            digest.update(f.read())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None
    return f"{size} bytes, sha256 {digest.hexdigest()[:16]}"


def write_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    """Writes down what results are made from, before they are made.

    Args:
        folder: Folder of the results.
        origin: Options and fingerprints of files.
    """
    with atomic_write(folder / NAME) as f:
        json.dump(origin, f, indent=1, default=str)


def changes(folder: Path, origin: Mapping[str, Any]) -> list[str] | None:
    """Compares what results were made from with what they would be made from now.

    Args:
        folder: Folder of the results, with the file of `write_origin`.
        origin: Options and fingerprints; dictionaries are compared key by key.

    Returns:
        A text for each key that differs; None if there is no such file, or it cannot be read.
    """
    try:
        earlier = flat(read_json(folder / NAME, {}))
    except UserError:
        return None
    later = flat(json.loads(json.dumps(origin, default=str)))
    keys = [key for key in {**earlier, **later} if earlier.get(key) != later.get(key)]
    return [f"{key} was {json.dumps(earlier.get(key))}, is {json.dumps(later.get(key))}" for key in keys]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dictionaries.

    Args:
        values: The dictionary.
        prefix: Put before every key.

    Returns:
        One dictionary whose keys are joined by dots.
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


def listed(lines: list[str]) -> str:
    """The first changes, for a message."""
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more

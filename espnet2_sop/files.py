"""Small text files: written whole or not at all, read with the place of every mistake."""

import contextlib
import functools
import gzip
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from espnet2_sop.disk import written_to
from espnet2_sop.errors import UserError
from espnet2_sop.lock import claimed


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name that becomes `path` only when everything is written.

    The name is always the same, so what a killed process has left is written over by the next one; two processes that
    write the same file take turns.

    Args:
        path: Where the file shall be; missing folders are made.

    Yields:
        The name to write to, in the same folder. If the block raises, what was at `path` stays as it was.

    Raises:
        UserError: The disk is full or broken.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with claimed(part):
        try:
            with written_to(path, part):
                yield part
                os.replace(part, path)
        except BaseException:  # not after the replacement: the name may be another process' by then
            part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[str]]:
    """Opens a text file that takes its name only when everything is written (`atomic_path`).

    Yields:
        A UTF-8 text handle.
    """
    with atomic_path(path) as part, open(part, "w", encoding="utf-8") as f:
        yield f
        f.flush()
        os.fsync(f.fileno())  # some file systems say only now that they are full


def open_text(path: str | Path) -> IO[str]:
    """Opens a UTF-8 text file for reading, a compressed one if its name ends in `.gz`; a missing one is a UserError."""
    try:
        return gzip.open(path, "rt", encoding="utf-8") if str(path).endswith(".gz") else open(path, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_kaldi(path: str | Path) -> dict[str, str]:
    """Reads a Kaldi text file: `<id> <value>` a line, the value may be empty.

    Returns:
        {id: value} in the order of the file.

    Raises:
        UserError: The file is missing, an id comes twice, or a line has no id.
    """
    table: dict[str, str] = {}
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            key, _, value = line.rstrip("\n").partition(" ")
            if not key:
                raise UserError(f"{path}, line {number}: no id at the start of the line")
            if key in table:
                raise UserError(f"{path}, line {number}: id {key!r} came before; ids must be unique")
            table[key] = value.strip()
    return table


def write_kaldi(path: str | Path, rows: Iterable[tuple[str, object]]) -> None:
    """Writes `<id> <value>` lines in the order given; an empty value leaves the id alone."""
    with atomic_write(path) as f:
        for key, value in rows:
            f.write(f"{key} {value}".rstrip() + "\n")


def read_yaml(path: str | Path) -> dict:
    """Reads a YAML file of keys and values.

    Raises:
        UserError: The file is missing, or is not YAML with keys and values.
    """
    import yaml

    with open_text(path) as f:
        try:
            values = yaml.safe_load(f)
        except yaml.YAMLError as error:
            raise UserError(f"{path}: broken YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected YAML with keys and values")
    return values


def read_configs(paths: Iterable[str | Path]) -> dict[str, Any]:
    """Reads YAML files and merges them, dictionaries key by key; later files win.

    A file that names another class of encoder or Separator than those before it also starts its keys anew.

    Raises:
        UserError: A file is missing or is not YAML with keys and values.
    """

    def add(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
        other = [f"{part}_conf" for part in ("encoder", "separator")
                 if part in base and change.get(part, base[part]) != base[part]]  # fmt: skip
        return merge({k: v for k, v in base.items() if k not in other}, change)

    return functools.reduce(add, map(read_yaml, paths), {})


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `change`; dictionaries in both are merged in turn."""
    both = {k: merge(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v
            for k, v in change.items()}  # fmt: skip
    return {**base, **both}

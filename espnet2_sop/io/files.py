"""Small text files: written whole or not at all; mistakes are reported with file and line."""

import contextlib
import functools
import gzip
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from espnet2_sop.io.disk import written_to
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.locks import claimed

DEEPEST = 50  # lists and dictionaries inside one another
NESTED = f"nested more than {DEEPEST} times, or without end"
DEFAULTS = "defaults"  # key that names the file whose keys a configuration starts from
MOST_PARTS = 100_000  # of a YAML file, what its aliases stand for included


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name that becomes `path` only when everything is written.

    The name is always the same, so the next process overwrites what a killed one has left. Two processes that write
    the same file take turns.

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


@contextlib.contextmanager
def open_text(path: str | Path) -> Iterator[IO[str]]:
    """Opens a UTF-8 text file for reading, with or without byte order mark, a compressed one if its name ends in `.gz`.

    Raises:
        UserError: It is missing or cannot be opened; or what the block reads is not UTF-8, or is broken compression.
    """
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        file = opener(path, "rt", encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None
    with file:
        try:
            yield file
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise UserError(f"{path}: not UTF-8 ({error.reason}, byte {byte:#x}); convert it") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{path}: cannot be read ({error}); write it again") from None


def is_name(name: object) -> bool:
    """Whether something can be an id: characters that can be seen, no blanks."""
    return isinstance(name, str) and name != "" and name.isprintable() and " " not in name


def read_kaldi(path: str | Path) -> dict[str, str]:
    """Reads a Kaldi text file: `<id> <value>` a line, the value may be empty.

    Returns:
        {id: value} in the order of the file.

    Raises:
        UserError: The file is missing, an id comes twice or has characters that cannot be seen, or a line has no id.
    """
    table: dict[str, str] = {}
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            key, *value = line.split(maxsplit=1) or [""]
            if not key or not line.startswith(key):
                raise UserError(f"{path}, line {number}: no id at the start of the line")
            if not is_name(key):
                raise UserError(f"{path}, line {number}: id {key!r} has characters that cannot be seen")
            if key in table:
                raise UserError(f"{path}, line {number}: id {key!r} came before; ids must be unique")
            table[key] = value[0].strip() if value else ""
    return table


def write_kaldi(path: str | Path, rows: Iterable[tuple[str, object]]) -> None:
    """Writes `<id> <value>` lines in the order given; of an empty value only the id is written.

    Args:
        path: File to write, whole or not at all.
        rows: Pairs of id and value.

    Raises:
        UserError: `read_kaldi` could not read a line: its id is not valid, or its value has a line break.
    """
    with atomic_write(path) as f:
        for key, value in rows:
            line = f"{key} {value}".rstrip()
            if not is_name(key) or "\n" in line or "\r" in line:
                raise UserError(f"{path}: {line!r} cannot be written as one line; ids have no blanks, values no breaks")
            f.write(f"{line}\n")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file of keys and values.

    Raises:
        UserError: The file is missing, is not YAML with texts as keys, has a key twice, or its aliases refer to
            themselves or stand for more than anybody could have written.
    """
    import yaml

    with open_text(path) as f:
        try:
            values = yaml.load(f, Loader=_yaml_loader())
        except RecursionError:
            raise UserError(f"{path}: {NESTED}") from None
        except UnicodeDecodeError:
            raise
        # a value that its tag does not fit (`!!int x`) raises what comes first
        except (yaml.YAMLError, ValueError, AttributeError, LookupError, TypeError) as error:
            raise UserError(f"{path}: broken YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise UserError(f"{path}: expected YAML with keys and values, `key: value` in each line; found {found}")
    if odd := [key for key in values if not isinstance(key, str)]:
        raise UserError(f"{path}: the key {odd[0]!r} is no text")
    require_shallow(values, path, MOST_PARTS)
    return values


@functools.cache
def _yaml_loader() -> type:
    """PyYAML's safe loader, but a key that a mapping has twice is an error: the first value would be lost unseen."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor):
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if (key.tag, key.value) in seen:
                        twice = f"the key {key.value!r} comes twice; keep one"
                        raise yaml.composer.ComposerError(None, None, twice, key.start_mark)
                    seen.add((key.tag, key.value))
            return node

    return Loader


def require_shallow(value: Any, where: str | Path, most: float = math.inf) -> None:
    """Refuses values that are nested too deep, or too large.

    Args:
        value: Lists and dictionaries of a file.
        where: File, or "file, line n", for the message.
        most: Most values on one level of nesting.

    Raises:
        UserError: More than `DEEPEST` levels, or more than `most` values on one of them.
    """
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list | tuple)
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]  # fmt: skip
        if not level:
            return
        if len(level) > most:
            break
    raise UserError(f"{where}: {NESTED}")


def read_configs(paths: Iterable[str | Path]) -> dict[str, Any]:
    """Reads YAML files and merges them, dictionaries key by key; later files win.

    A file with `defaults: OTHER.yaml` is preceded by that file. A file that names another class of encoder or
    Separator than those before it also starts its keys anew.

    Returns:
        The merged configuration, without `defaults`.

    Raises:
        UserError: A file is missing or is not YAML with keys and values, or `defaults` is wrong.
    """

    def add(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
        other = [f"{part}_conf" for part in ("encoder", "separator")
                 if part in base and change.get(part, base[part]) != base[part]]  # fmt: skip
        return merge({k: v for k, v in base.items() if k not in other}, change)

    found = functools.reduce(add, map(read_yaml, with_defaults(paths)), {})
    found.pop(DEFAULTS, None)
    return found


def with_defaults(paths: Iterable[str | Path]) -> list[Path]:
    """Adds the files that `defaults` names, each before the file that names it, unless it came earlier.

    Raises:
        UserError: A file is missing, `defaults` is not the name of a file, or files name each other in a circle.
    """
    order: list[Path] = []
    for path in map(Path, paths):
        chain = _inherited(path)
        order += [*(inner for inner in chain if inner not in order), path]
    return order


def _inherited(path: Path) -> list[Path]:
    """The files that a file is based on, the most distant one first."""
    chain = [path]
    while (name := read_yaml(chain[0]).get(DEFAULTS)) is not None:
        if not isinstance(name, str):
            raise UserError(f"{chain[0]}: {DEFAULTS}: {name!r} is not a file name; write {DEFAULTS}: train_sop.yaml")
        other = Path(os.path.normpath(chain[0].parent / name))
        if not other.is_file():
            raise UserError(f"{chain[0]}: {DEFAULTS}: {other} is missing; the name is relative to {chain[0].parent}")
        if other in map(_normal, chain):
            raise UserError(f"{chain[0]}: {DEFAULTS}: {other} is based on this file; take it out of one of them")
        chain.insert(0, other)
    return chain[:-1]


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Merges two dictionaries, and in turn the dictionaries that both have under a key.

    Args:
        base: Values.
        change: Values that win over those of `base`.

    Returns:
        A new dictionary.
    """
    both = {k: merge(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v
            for k, v in change.items()}  # fmt: skip
    return {**base, **both}

"""JSON of other people: mistakes are reported with their place, shapes are checked before use."""

import json
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import NESTED, open_text, require_shallow

NUMBER = (int, float)
LARGEST = 1e12  # seconds, samples and counts beyond it are mistakes, and overflow where they are multiplied


def parse_json(text: str, where: str, advice: str = "", whole_file: bool = False) -> Any:
    """Parses JSON; NaN, lone surrogates and very deep nesting are refused.

    Args:
        text: JSON.
        where: File, or "file, line n", for messages.
        advice: What to do, for messages; starts with "; ".
        whole_file: The text is a whole file, and messages name the line in it.

    Returns:
        The value.

    Raises:
        UserError: The text is not JSON, or is refused.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if whole_file else ""
        raise UserError(f"{where}{line}: broken JSON ({error.msg}, column {error.colno}){advice}") from None
    except UnicodeEncodeError:
        raise UserError(f"{where}: broken JSON (half of a character, such as \\ud800){advice}") from None
    except ValueError as error:  # also numbers of more than 4300 digits
        raise UserError(f"{where}: broken JSON ({str(error).partition(':')[0]}){advice}") from None
    except RecursionError:
        raise UserError(f"{where}: {NESTED}{advice}") from None
    require_shallow(value, where)
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def read_json(path: str | Path, shape: Any = object, advice: str = "write it again") -> Any:
    """Reads a JSON file and checks its shape.

    Args:
        path: The file.
        shape: What it must hold (`misfit`).
        advice: What to do when it does not.

    Returns:
        The value.

    Raises:
        UserError: The file is missing, is not JSON, or has another shape.
    """
    with open_text(path) as f:
        value = parse_json(f.read(), str(path), f"; {advice}", whole_file=True)
    if problem := misfit(value, shape):
        raise UserError(f"{path}: {problem}; {advice}")
    return value


def is_number(value: Any) -> bool:
    """Whether a value is a number that can be, at most `LARGEST`; True and False are none."""
    return isinstance(value, NUMBER) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def misfit(value: Any, shape: Any, place: str = "") -> str | None:
    """The first place where a value has not the shape it should have.

    Args:
        value: What JSON gave.
        shape: A type; `None` for null; a tuple of types of which one must fit; `[shape]` for a list of any length,
            `[shape, shape]` for one of two; `{str: shape}` for an object with any keys, `{"key": shape}` for one with
            these and perhaps others.
        place: Where the value is, for the message.

    Returns:
        A text such as "metrics.cpwer.rate is 'x'", None if all is well.

    >>> misfit({"a": [1, "x"]}, {"a": [int]})
    "a.1 is 'x'"
    """
    pairs: list[tuple[Any, Any, Any]] = []  # what is inside: its key, itself, its shape
    if isinstance(shape, tuple):
        fits = any(misfit(value, one) is None for one in shape)
    elif isinstance(shape, dict):
        fits = isinstance(value, dict)
        if fits and str in shape:
            pairs = [(key, item, shape[str]) for key, item in value.items()]
        elif fits:
            if missing := [key for key in shape if key not in value]:
                return f"{place}{' has ' * bool(place)}no {', '.join(missing)}"
            pairs = [(key, value[key], inner) for key, inner in shape.items()]
    elif isinstance(shape, list):
        fits = isinstance(value, list) and len(shape) in (1, len(value))
        if fits:
            shapes = shape if len(shape) == len(value) else shape * len(value)
            pairs = [(number, *pair) for number, pair in enumerate(zip(value, shapes, strict=True))]
    elif shape in NUMBER:
        fits = is_number(value) and (shape is float or isinstance(value, int))
    else:
        fits = value is None if shape is None else isinstance(value, shape)
    if not fits:
        return f"{place or 'the whole'} is {value!r}"
    dot = f"{place}." if place else ""
    return next((text for key, item, inner in pairs if (text := misfit(item, inner, f"{dot}{key}"))), None)

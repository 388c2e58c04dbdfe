"""Files as nobody should write them: valid ones with a few changes, and no sense at all."""

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espnet2_sop.io.errors import LONGEST, UserError

MANY = int(os.environ.get("FUZZ_EXAMPLES", 0))  # for a long search, with new examples every time
SETTINGS = settings(
    max_examples=MANY or 25,
    derandomize=not MANY,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
ODD_TEXTS = [
    *(
        "\0",
        "\ufeff",
        "\r\n",
        "\n",
        " ",
        "\t",
        "\x1b[31m",
        "\u2028",
        "\u200b",
        "x" * 200_000,
        "x" * 300,
        "[" * 5000,
        "ü",
        "<sc>",
    ),
    *(
        "-1",
        "0",
        "1e999",
        "1e308",
        "9" * 400,
        "9" * 5000,
        "NaN",
        "-Infinity",
        "true",
        "null",
        "[]",
        "{}",
        '""',
        '"',
        "'",
    ),
    *(
        "../x",
        "/",
        "$(id)",
        "`id`",
        ";",
        "|",
        "-rf",
        "*",
        "a b",
        "\\ud800",
        "&a [*a]",
        "!!int x",
        "!!timestamp x",
        ": ",
    ),
]
ODD_VALUES = [
    *(
        None,
        True,
        -1,
        0,
        0.5,
        1e308,
        10**400,
        float("nan"),
        "",
        " ",
        "a b",
        "x\ny",
        "\x1b[31m",
        "\ud800",
        "../x",
        "<sc>",
    ),
    *([], {}, [[]], {"a": 1}, [1, 2], "1", "²", json.loads("[" * 100 + "]" * 100)),
]
CUTS = (r"(\n)", r'([\s,:|"{}\[\]]+)', "()")  # lines, fields, characters


@st.composite
def changed_texts(draw: st.DrawFn, valid: str) -> bytes:
    """A valid text with one to three lines, fields or characters left out, doubled, replaced or moved; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(lambda t: t.encode())))
    text = valid
    for _ in range(draw(st.integers(1, 3))):
        parts = re.split(draw(st.sampled_from(CUTS)), text)
        at, other = (draw(st.integers(0, len(parts) - 1)) for _ in range(2))
        odd = draw(st.sampled_from(ODD_TEXTS))
        parts[at : at + 1] = draw(st.sampled_from([[], [parts[at]] * 2, [odd], [parts[at], odd], [parts[other]]]))
        text = "".join(parts)
    data = text.encode()
    return data[: len(data) // 2] + b"\xff" + data[len(data) // 2 :] if draw(st.integers(0, 19)) == 0 else data


@st.composite
def changed_values(draw: st.DrawFn, valid: Any) -> Any:
    """A JSON value in which one or two inner values are left out or replaced by what nobody expects there."""
    value = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(value))
        if not places:
            return draw(st.sampled_from(ODD_VALUES))
        holder, key = draw(st.sampled_from(places))
        if draw(st.integers(0, 5)) == 0:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))  # it may be changed in turn
    return value


def _places(value: Any):
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def fuzz(path: Path, use: Callable[[], Any], json_lines: bool = False) -> None:
    """Changes a valid file in many ways; each time `use` must understand it or say in one line what is wrong with it.

    Args:
        path: The file; afterwards it is valid again. JSON is changed as a text and as a value.
        use: Reads the file and does with it what is done with a valid one.
        json_lines: The file is JSON Lines.
    """
    valid = path.read_bytes()
    use()
    text = valid.decode()
    kinds = [changed_texts(text)]
    if json_lines:
        lines = changed_values([json.loads(line) for line in text.splitlines()])
        kinds.append(lines.map(lambda v: "\n".join(map(json.dumps, v if isinstance(v, list) else [v])).encode()))
    elif path.suffix == ".json":
        kinds.append(changed_values(json.loads(text)).map(lambda v: json.dumps(v).encode()))

    @SETTINGS
    @given(st.one_of(kinds))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        accepts(use, path)

    try:
        check()
    finally:
        path.write_bytes(valid)


def accepts(use: Callable[[], Any], path: Path | None = None) -> bool:
    """Whether `use` goes well; if not, it must be a UserError of one line, which names the file."""
    try:
        use()
    except UserError as error:
        message = str(error)
        assert message.isprintable() and 10 < len(message) <= LONGEST, message
        assert path is None or path.name in message, message
        return False
    return True

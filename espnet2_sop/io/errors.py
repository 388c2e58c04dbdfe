"""`UserError`: raised for mistakes of the user, printed as one line."""

import re
from collections.abc import Iterable

LONGEST = 2000  # characters of a message; the end, which says what to do, is kept


class UserError(Exception):
    """A mistake in the input; its text is one line that says what is wrong, where, and what to do."""

    def __init__(self, text: object):
        super().__init__(printable(without_traceback(str(text))))


def require_choice[T](option: str, value: T, choices: Iterable[T]) -> T:
    """Checks an option that takes only certain values.

    Args:
        option: Its name, for the error message.
        value: The value given.
        choices: The values allowed.

    Returns:
        The value.

    Raises:
        UserError: It is not one of the choices.
    """
    choices = list(choices)
    if value not in choices:
        raise UserError(f"{option}: {value!r} is not one of {', '.join(map(str, choices))}")
    return value


def without_traceback(text: str) -> str:
    """The message of a UserError if the text is its traceback, else the text as it is.

    Torch hands on errors of processes that read data, or train side by side, as the text of a traceback.
    """
    found = re.findall(rf"^{UserError.__module__}\.{UserError.__name__}: (.+)$", text, re.MULTILINE)
    return found[-1] if found else text


def printable(text: str) -> str:
    r"""The text as it may be printed or logged, whatever file names and contents are quoted in it.

    Line breaks, terminal escapes and other characters that cannot be seen are written as in Python (`\n`, `\x1b`), and
    the middle of a very long text is left out.

    >>> printable("a\nb\x1b[31m.csv")
    'a\\nb\\x1b[31m.csv'
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    half = LONGEST // 2 - 5
    return text if len(text) <= LONGEST else f"{text[:half]} [...] {text[-half:]}"

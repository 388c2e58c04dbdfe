"""The error that a user can mend."""

import re

LONGEST = 2000  # characters of a message; the end, which says what to do, is kept


class UserError(Exception):
    """A mistake in the input; its text is one line that says what is wrong, where, and what to do."""

    def __init__(self, text: object):
        # torch makes one of the whole traceback of a process that reads data or trains beside others
        found = re.findall(rf"^{__name__}\.UserError: (.+)$", str(text), re.MULTILINE)
        super().__init__(printable(found[-1] if found else str(text)))


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

"""The error that a user can mend."""

import re


class UserError(Exception):
    """A mistake in the input; its text is one line that says what is wrong, where, and what to do."""


def one_line(text: str) -> str:
    """The text of a UserError without the traceback of the process that it comes from.

    Torch gives what was raised in a process that reads data, or that trains beside others, as the text of a traceback.
    """
    found = re.findall(rf"^{UserError.__module__}\.{UserError.__name__}: (.+)$", text, re.MULTILINE)
    return found[-1] if found else text

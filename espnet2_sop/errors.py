"""The error that a user can mend."""


class UserError(Exception):
    """A mistake in the input; its text is one line that says what is wrong, where, and what to do."""

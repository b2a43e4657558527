"""How a command answers bad input: one line on stderr, a non-zero exit status, no traceback."""

import sys
from typing import NoReturn


class UserError(Exception):
    """Something the user can put right. The message is one line: the input, what was wrong, what would be right."""


class Interrupted(Exception):
    """A signal (Ctrl-C, SIGTERM) has stopped a run, which can be resumed.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum


def one_line(error: BaseException) -> str:
    """The error's message on a single line."""
    return " ".join(str(error).split()) or type(error).__name__


def refuse(error: UserError) -> NoReturn:
    """End the process as bad input does."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    sys.exit(2)

"""The errors that a command answers with one line on stderr and a non-zero exit status, without a traceback."""

import sys
from typing import NoReturn


class UserError(Exception):
    """A fault that the user can mend.

    The message is one line that names the input, what is wrong with it, and what would be right.
    """


class Interrupted(Exception):
    """A signal (Ctrl-C, SIGTERM) has stopped a run, which can be resumed.

    Args:
        signum: the number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum


def one_line(error: BaseException) -> str:
    """Return the message of an error on a single line; its class name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def refuse(error: UserError) -> NoReturn:
    """Print the error in one line and end the process with status 2."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    sys.exit(2)

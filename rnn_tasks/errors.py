"""The errors that a command answers with one line on stderr and a non-zero exit status, without a traceback."""

import errno
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

LONGEST_LINE = 500  # characters of a message

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """A fault that the user can mend.

    The message is one line that names the input, what is wrong with it, and what would be right.

    Args:
        message: its control characters are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escaped(message))


class Interrupted(BaseException):
    """A signal (Ctrl-C, SIGTERM) has stopped a run, which can be resumed.

    As with KeyboardInterrupt, ``except Exception`` does not catch it.

    Args:
        signum: the number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum


def one_line(error: BaseException) -> str:
    """Return the message of an error on a single line of printable text; its class name where it has none."""
    return printable(" ".join(str(error).split()) or type(error).__name__)


def printable(text: str) -> str:
    """Return a text of at most LONGEST_LINE characters, its middle left out, and its control characters escaped."""
    text = escaped(text)
    if len(text) <= LONGEST_LINE:
        return text
    half = (LONGEST_LINE - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def escaped(text: str) -> str:
    """Return a text whose control characters are written as in Python's strings."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def tell(text: str) -> None:
    """Print a line for the user on stderr; nothing stops where that is closed or cannot be written."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


def refuse(error: UserError) -> NoReturn:
    """Print the error in one line and end the process with status 2."""
    tell(f"error: {one_line(error)}")
    sys.exit(2)


def file_error(error: OSError, run: Path | None = None) -> UserError:
    """Return what an error of the file system means for the user, in one line.

    Args:
        error: as the system raised it.
        run: the directory of the run that it stopped.
    """
    place = error.filename if isinstance(error.filename, str) else run
    reason = error.strerror or one_line(error)
    if error.errno in FULL:
        advice = "make room"
    elif error.errno in FORBIDDEN:
        advice = "make it writable"
    else:
        advice = "mend that"
    then = f", then resume={run}" if run else ", then try again"
    return UserError(f"{place or 'standard output, or a file'}: cannot be written or read ({reason}); {advice}{then}")

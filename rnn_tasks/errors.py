"""How a command answers bad input: one line on stderr, a non-zero exit status, no traceback."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from functools import wraps
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


def command(main: Callable[..., int | None]) -> Callable[..., None]:
    """Turn ``main`` into a command: a UserError ends it with one line and status 2, Ctrl-C with status 130."""

    @wraps(main)
    def run(*args: object, **kwargs: object) -> None:
        try:
            sys.exit(main(*args, **kwargs))
        except UserError as error:
            refuse(error)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(141)

    return run


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        refuse(UserError(f"{message} (see --help)"))


def parser(doc: str) -> ArgumentParser:
    """A command-line parser that answers bad input in one line.

    Args:
        doc: the module's docstring.
    """
    return _Parser(description=doc.replace("``", ""))

"""The command line: parsers, the kinds of their arguments, and how a command ends."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from functools import wraps
from typing import NoReturn

from rnn_tasks.errors import UserError, refuse


def positive(text: str) -> int:
    """A whole number from 1."""
    if not (text.isdecimal() and int(text)):
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def replicate(text: str) -> int | str:
    """A number from 0, or a word."""
    if text in ("best", "all") or text.isdecimal():
        return int(text) if text.isdecimal() else text
    raise ArgumentTypeError(f"{text!r} is no replicate: a number from 0, best or all")


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


def port(text: str) -> int:
    """A number from 1 to 65535."""
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)

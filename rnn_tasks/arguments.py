"""Parsers of command-line arguments, the types of these arguments, and how a command ends."""

import logging
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from textwrap import fill
from typing import NoReturn

from rnn_tasks.checks import LONGEST
from rnn_tasks.errors import Interrupted, UserError, file_error, refuse, tell


def _number(text: str) -> int | None:
    """Return a whole number from 0 in ASCII digits; None for another text."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    if not _number(text):
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def replicate(text: str) -> int | str:
    """Parse the number of a replicate, counted from 0, or "best" or "all"."""
    if text in ("best", "all"):
        return text
    if (number := _number(text)) is not None:
        return number
    raise ArgumentTypeError(f"{text!r} is no replicate: a number from 0, best or all")


def port(text: str) -> int:
    """Parse the number of a port, from 1 to 65535."""
    if not 1 <= (_number(text) or 0) <= 65535:
        raise ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)


def lengths(text: str) -> list[int]:
    """Parse the lengths in a text like "1-40,100,1000", sorted, each once."""
    numbers: set[int] = set()
    for part in text.split(","):
        if not (match := re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", part.strip())):
            raise ArgumentTypeError(f"{text!r} is no list of lengths like 1-40,100,1000")
        low, high = int(match[1]), int(match[2] or match[1])
        if not 1 <= low <= high <= LONGEST:
            raise ArgumentTypeError(f"{part!r} is no range within 1-{LONGEST}, like 1-40")
        numbers |= set(range(low, high + 1))
    return sorted(numbers)


def require_place(option: str, file: Path, example: str) -> None:
    """Check that a file can be made, before the work that fills it.

    Args:
        option: that names the file, like "--to".
        file: its path.
        example: what it could be called.

    Raises:
        UserError: its directory is missing, or it is one itself.
    """
    if file.is_dir():
        raise UserError(f"{option} {file}: is a directory; name a file in it, like {file / example}")
    if not file.parent.is_dir():
        raise UserError(f"{option} {file}: {file.parent} is no directory; make it first, or name another place")


def program() -> str:
    """Return the running command as it was called, like "rnn-tasks predict" or "python -m rnn_tasks.predict"."""
    path, package = Path(sys.argv[0]), Path(__file__).parent.resolve()
    if path.suffix != ".py" or package not in path.resolve().parents:
        return path.name.removesuffix(".exe")
    parts = path.resolve().relative_to(package.parent).with_suffix("").parts
    return f"python -m {'.'.join(part for part in parts if part != '__main__')}"


def command_line(name: str, arguments: str = "") -> str:
    """Return how to call a command of this project, in the way in which the running one was called.

    Args:
        name: like "train".
        arguments: what stands behind it.
    """
    called = program()
    if called == f"rnn-{name}":
        line = called
    elif called.startswith("rnn-"):
        line = f"rnn-tasks {name}"
    elif called.startswith("python -m rnn_tasks "):
        line = f"python -m rnn_tasks {name}"
    else:
        line = f"python -m rnn_tasks.{name}"
    return f"{line} {arguments}".strip()


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        refuse(UserError(f"{message} (see {self.prog} --help)"))


def parser(doc: str | None) -> ArgumentParser:
    """Return a command-line parser that answers bad input in one line, and whose help shows an example.

    Args:
        doc: the docstring of the command's module, "Do this: ``python -m rnn_tasks.NAME ...``." and more; None under
            ``python -OO``.
    """
    text = re.sub(r"python -m rnn_tasks\.(\w+)", lambda match: command_line(match[1]), (doc or "").replace("``", ""))
    first, _, more = text.partition("\n")
    summary, _, example = first.removesuffix(".").partition(": ")
    return _Parser(
        prog=program(),
        description=fill(" ".join([f"{summary}.", *more.split()])) if summary else None,
        epilog=f"example:\n  {example}" if example else None,
        formatter_class=RawDescriptionHelpFormatter,  # the example stays in one line, to be copied
    )


def add_trust(parser: ArgumentParser) -> None:
    """Add ``--trust``, which lets a run name classes that did not come with this package."""
    help = "run code that the run names and that did not come with rnn_tasks, though it was not made by you here"
    parser.add_argument("--trust", action="store_true", help=help)


def command(main: Callable[..., int | None]) -> Callable[..., None]:
    """Turn ``main`` into a command.

    A UserError, or a file that cannot be read or written, ends it with one line and status 2, a signal with status 128
    and its number, a closed pipe with status 141. Modules are imported from the working directory, too, however the
    command is called.
    """

    @wraps(main)
    def run(*args: object, **kwargs: object) -> None:
        if (here := os.getcwd()) not in sys.path:  # `python -m` has it there, an installed script has not
            sys.path.insert(0, here)
        open_closed_streams()
        logging.raiseExceptions = False  # no tracebacks where Hydra's remarks cannot be printed
        try:
            status = _status(main, *args, **kwargs)
            sys.stdout.flush()
        except UserError as error:
            refuse(error)
        except (KeyboardInterrupt, Interrupted) as stop:
            tell("stopped")
            sys.exit(128 + getattr(stop, "signum", 2))
        except BrokenPipeError:
            discard_output()
            sys.exit(141)
        except OSError as error:
            if error.filename is None:
                discard_output()
            refuse(file_error(error))
        sys.exit(status)

    return run


def _status(main: Callable[..., int | None], *args: object, **kwargs: object) -> int | str | None:
    try:
        return main(*args, **kwargs)
    except SystemExit as ended:
        return ended.code


def open_closed_streams() -> None:
    """Replace standard streams that are closed, as of a daemon, by empty ones."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        with suppress(OSError):
            os.fstat(number)
            if getattr(sys, name) is not None:
                continue
        mode = "w" if number else "r"
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor != number:
            os.dup2(descriptor, number)
            os.close(descriptor)
        setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def discard_output() -> None:
    """Let what is still to be printed vanish, where the standard streams cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
            continue
        with suppress(OSError, ValueError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)

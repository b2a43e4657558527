"""The command line of training: flags, overrides, a run to resume."""

import re
from dataclasses import dataclass
from typing import NoReturn

from rnn_tasks.config.composition import REQUIRED, not_chosen
from rnn_tasks.config.naming import with_quoted_regex
from rnn_tasks.config.sweeping import LAUNCHING
from rnn_tasks.errors import UserError
from rnn_tasks.internals import flags_with_values, hydra_parser

INFORMATION = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # values of --info
INFO = "--info=all"  # what --info means without a value
MULTIRUN = ("-m", "--multirun")
EPOCHS = "trainer.max_epochs="


def arguments(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split a command line into flags (with their values) and overrides; Hydra wants this order, people mix them.

    Raises:
        UserError: Hydra has no such flag, or a word is neither a flag nor an override.
    """
    parser = hydra_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    takes_value = flags_with_values(parser)
    flags: list[str] = []
    overrides: list[str] = []
    words = iter(argv)
    for word in words:
        flag, _, value = word.partition("=")
        if not word.startswith("-"):
            if flags[-1:] == [INFO] and word in INFORMATION:
                flags[-1] = f"--info={word}"
            else:
                overrides.append(_checked(word))
        elif flag in ("--info", "-i"):  # its value is optional: with one of its own it takes no override for that
            flags.append(f"--info={value}" if value else INFO)
        elif flag not in takes_value:
            raise UserError(f"{flag}: no such flag; there are {', '.join(f for f in takes_value if f[:2] == '--')}")
        else:
            flags.append(word)
            if takes_value[flag] and "=" not in word:
                flags += [following] if (following := next(words, None)) else []
    parser.parse_args([*flags, *overrides])
    return flags, overrides


def _checked(word: str) -> str:
    """Return an override, or refuse one of which it can be told what was meant."""
    if not re.match(r"[+~]*[A-Za-z_]", word):
        raise UserError(f"{word}: not of the form key=value")
    if any("\ud800" <= character <= "\udfff" for character in word):
        raise UserError(f"{word}: has characters that this locale cannot read; set LC_ALL=C.UTF-8")
    if word == "~scheduler":
        return "scheduler=none"
    if word.startswith("~") and word[1:] in REQUIRED:
        raise not_chosen(word[1:])
    return with_quoted_regex(word)


@dataclass(frozen=True)
class Resumption:
    """What ``resume=RUN`` asks for.

    Attributes:
        named: the run, or the sweep.
        epochs: that ``trainer.max_epochs=N`` gives a run instead of its own.
        launching: words that say where a sweep goes on.
    """

    named: str
    epochs: int | None = None
    launching: tuple[str, ...] = ()


def to_resume(flags: list[str], overrides: list[str]) -> Resumption | None:
    """Return what ``resume=RUN`` asks for, before Hydra would make a new run; None without ``resume=``.

    Raises:
        UserError: anything else stands on the command line, or no run is named.
    """
    named = [word.removeprefix("resume=") for word in overrides if word.startswith("resume=")]
    if not named:
        return None
    epochs = [word.removeprefix(EPOCHS) for word in overrides if word.startswith(EPOCHS)]
    launching = [word for word in overrides if word.startswith(LAUNCHING)]
    others = [word for word in overrides if not word.startswith(("resume=", EPOCHS, *LAUNCHING))]
    if others := [*(flag for flag in flags if flag not in MULTIRUN), *others, *named[1:], *epochs[1:]]:
        raise UserError(
            f"{others[0]}: nothing but trainer.max_epochs, or of a sweep its launcher, can stand beside resume=, which"
            " goes on with the configuration that is there"
        )
    run = named[0]
    if len(run) > 1 and run[0] == run[-1] and run[0] in "'\"":  # as Hydra's values may be quoted
        run = run[1:-1]
    if not run:
        raise UserError("resume=: names no run; give its directory")
    if not all(re.fullmatch(r"[0-9]{1,9}", number) for number in epochs):
        raise UserError(f"{EPOCHS}{epochs[0]}: must be a whole number")
    return Resumption(run, int(epochs[0]) if epochs else None, tuple(launching))


def _refuse(message: str) -> NoReturn:
    raise UserError(message)

"""The command line of training: flags, overrides, a run to resume."""

import re
from typing import NoReturn

from rnn_tasks.config.composition import REQUIRED, not_chosen
from rnn_tasks.errors import UserError
from rnn_tasks.internals import flags_with_values, hydra_parser


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
    last: list[str] = []
    words = iter(argv)
    for word in words:
        flag = word.split("=")[0]
        if not word.startswith("-"):
            if not re.match(r"[+~]*[A-Za-z_]", word):
                raise UserError(f"{word}: not of the form key=value")
            if (group := word.removesuffix("=null")) in REQUIRED and group != word:
                raise not_chosen(group)
            overrides.append(word)
        elif flag == "--info":  # its value is optional: nothing may follow it
            last = [word]
        elif flag not in takes_value:
            raise UserError(f"{flag}: no such flag; there are {', '.join(f for f in takes_value if f[:2] == '--')}")
        else:
            flags.append(word)
            if takes_value[flag] and "=" not in word:
                flags += [value] if (value := next(words, None)) else []
    parser.parse_args([*flags, *overrides, *last])
    return flags, overrides + last


def constant_keys(overrides: list[str]) -> str:
    """Return the override that keeps keys with one value in all runs of a sweep out of the names of directories."""
    keys = [word.lstrip("+~").split("=")[0] for word in overrides if "," not in word and not word.startswith("hydra")]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(dict.fromkeys(['name', *keys]))}]"


def run_to_resume(flags: list[str], overrides: list[str]) -> str | None:
    """Return what ``resume=RUN`` names, before Hydra would make a new run; None without ``resume=``.

    Raises:
        UserError: anything else stands on the command line, or no run is named.
    """
    named = [word.removeprefix("resume=") for word in overrides if word.startswith("resume=")]
    if not named:
        return None
    others = [*flags, *(word for word in overrides if not word.startswith("resume=")), *named[1:]]
    if others:
        raise UserError(f"{others[0]}: nothing can stand beside resume=, a run goes on with its own configuration")
    if not named[0]:
        raise UserError("resume=: names no run; give its directory")
    return named[0]


def _refuse(message: str) -> NoReturn:
    raise UserError(message)

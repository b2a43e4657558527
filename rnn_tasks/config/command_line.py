"""What stands on the command line of training: flags, overrides, a run to go on with."""

import re
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from rnn_tasks.config.composition import CHOSEN, _not_chosen
from rnn_tasks.errors import UserError


def arguments(argv: list[str]) -> tuple[list[str], list[str]]:
    """A command line's flags (with their values) and overrides; argparse wants them in this order, a person in any.

    Raises:
        UserError: Hydra has no such flag.
    """
    parser = get_args_parser()
    parser.error = _refuse
    takes_value = {flag: action.nargs is None for action in parser._actions for flag in action.option_strings}
    flags, overrides, last = [], [], []
    words = iter(argv)
    for word in words:
        flag = word.split("=")[0]
        if not word.startswith("-"):
            if not re.match(r"[+~]*[A-Za-z_]", word):
                raise UserError(f"{word}: not of the form key=value")
            if (group := word.removesuffix("=null")) in (*CHOSEN, "logger") and group != word:
                raise _not_chosen(group)
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
    """An override that leaves out of the names of a sweep's directories what is the same for all its runs."""
    keys = [word.lstrip("+~").split("=")[0] for word in overrides if "," not in word and not word.startswith("hydra")]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(dict.fromkeys(['name', *keys]))}]"


def run_to_resume(flags: list[str], overrides: list[str]) -> Path | None:
    """The directory of ``resume=RUN``, which is taken here because Hydra would make a new run first.

    Raises:
        UserError: something else stands beside it.
    """
    named = [word.removeprefix("resume=") for word in overrides if word.startswith("resume=")]
    if not named:
        return None
    others = [*flags, *(word for word in overrides if not word.startswith("resume=")), *named[1:]]
    if others:
        raise UserError(f"{others[0]}: nothing can stand beside resume=, a run goes on with its own configuration")
    if not named[0]:
        raise UserError("resume=: names no run; give its directory")
    return Path(named[0])


def _refuse(message: str) -> NoReturn:
    raise UserError(message)

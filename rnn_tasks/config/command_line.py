"""The command line of training: flags, overrides, a run to resume."""

import re
from collections.abc import Sequence
from itertools import islice, product
from typing import NoReturn

from hydra.core.override_parser.types import Override

from rnn_tasks.config.composition import REQUIRED, directory_name, not_chosen, parsed
from rnn_tasks.errors import UserError
from rnn_tasks.internals import flags_with_values, hydra_parser

INFORMATION = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # values of --info
INFO = "--info=all"  # what --info means without a value
SWEEP = "hydra.sweep.dir"
NAMING = ("hydra.sweep.subdir", "hydra.job.override_dirname", "hydra.job.config")  # what names the runs of a sweep
MOST_RUNS = 10_000  # of a sweep, of which the names are told beforehand
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
    return word


def constant_and_swept(words: Sequence[str]) -> tuple[list[Override], list[Override]]:
    """Return the overrides that all runs of a sweep have in common, and those that list values.

    Raises:
        UserError: a word is no override, or the name of the sweep is swept.
    """
    overrides = parsed(words)
    constant = [override for override in overrides if not override.is_sweep_override()]
    swept = [override for override in overrides if override.is_sweep_override()]
    if "name" in map(key_of, swept):
        raise UserError("name: cannot be swept, it names the sweep; its runs are named by what is swept")
    return constant, swept


def key_of(override: Override) -> str:
    """Return the key of an override, without the sign for adding or removing."""
    return override.get_key_element().lstrip("+~")


def for_a_sweep(overrides: list[str]) -> list[str]:
    """Return the overrides that give each run of a sweep a directory of its own, named by what is swept alone.

    Raises:
        UserError: as for ``constant_and_swept``, or runs would share a directory or lie in several sweeps.
    """
    constant, swept = constant_and_swept(overrides)
    for override in (*constant, *swept):
        _check_places(override, [key_of(each) for each in swept])
    given, varied = [key_of(each) for each in constant], {key_of(each) for each in swept}
    keys = dict.fromkeys(["name", *(key for key in given if not key.startswith("hydra"))])
    added = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(keys)}]"]
    if {"task", "task.name", "experiment"} & varied and SWEEP not in given:
        added.append(f"{SWEEP}=outputs/sweeps/${{name}}")  # one place, whatever the task of a run
    return added


def runs_of_a_sweep(words: Sequence[str]) -> list[str]:
    """Return the names of the directories that the runs of a sweep get.

    Args:
        words: the overrides of the sweep; a later one of a key wins.

    Raises:
        UserError: a word is no override.
        HydraException: a word sweeps over what only another sweeper knows, or what only a configuration tells.
    """
    last = {each.get_key_element(): each for each in parsed(words)}
    swept = {key: each for key, each in last.items() if each.is_sweep_override()}
    choices = [[f"{key}={value}" for value in each.sweep_string_iterator()] for key, each in swept.items()]
    return [directory_name(",".join(sorted(chosen))) for chosen in islice(product(*choices), MOST_RUNS)]


def _check_places(override: Override, swept: list[str]) -> None:
    """Refuse what would give runs of a sweep one directory, or the sweep several.

    Args:
        override: of the command line.
        swept: the keys of which several values are given.

    Raises:
        UserError: the override does that.
    """
    key = key_of(override)
    if key.startswith(NAMING):
        raise UserError(f"{override.input_line}: cannot be set, a run of a sweep is named by what is swept")
    groups = {"task", "experiment", "debug"} & set(swept)  # set keys anywhere
    used = re.findall(r"\$\{([\w./]+)\}", str(override.input_line)) if key == SWEEP else []
    moving = [
        each for each in used if each != "name" and (groups or any(f"{each}.".startswith(f"{k}.") for k in swept))
    ]
    if moving or (key == SWEEP and key in swept):
        what = f"without ${{{moving[0]}}}, which is swept" if moving else "not several"
        raise UserError(f"{override.input_line}: must be one directory for all runs of the sweep, {what}")


def run_to_resume(flags: list[str], overrides: list[str]) -> tuple[str, int | None] | None:
    """Return what ``resume=RUN`` names, before Hydra would make a new run; None without ``resume=``.

    Returns:
        The run, and the epochs that ``trainer.max_epochs=N`` gives it instead of its own.

    Raises:
        UserError: anything else stands on the command line, or no run is named.
    """
    named = [word.removeprefix("resume=") for word in overrides if word.startswith("resume=")]
    if not named:
        return None
    epochs = [word.removeprefix(EPOCHS) for word in overrides if word.startswith(EPOCHS)]
    others = [word for word in overrides if not word.startswith(("resume=", EPOCHS))]
    if others := [*flags, *others, *named[1:], *epochs[1:]]:
        raise UserError(
            f"{others[0]}: nothing but trainer.max_epochs can stand beside resume=, a run goes on with its own"
            " configuration"
        )
    run = named[0]
    if len(run) > 1 and run[0] == run[-1] and run[0] in "'\"":  # as Hydra's values may be quoted
        run = run[1:-1]
    if not run:
        raise UserError("resume=: names no run; give its directory")
    if not all(re.fullmatch(r"[0-9]{1,9}", number) for number in epochs):
        raise UserError(f"{EPOCHS}{epochs[0]}: must be a whole number")
    return run, int(epochs[0]) if epochs else None


def _refuse(message: str) -> NoReturn:
    raise UserError(message)

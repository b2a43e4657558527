"""Sweeps: what all runs have in common, what each has for itself, and in which directory it lies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice, product
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra.conf import HydraConf
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from rnn_tasks.config.composition import composing, parsed, refusals
from rnn_tasks.config.naming import key_of, plain, quoted, run_name, with_quoted_regex
from rnn_tasks.errors import UserError

PLACE = "hydra.sweep.dir"
NAMING = ("hydra.sweep.subdir", "hydra.job.override_dirname", "hydra.job.config")  # what names the runs of a sweep
LAUNCHING = ("hydra/launcher", "hydra.launcher.")  # where a sweep runs, no part of what it is
PLACES = ("hydra.sweep.", "hydra.run.")
SETTING_TASKS = ("task", "task.name", "experiment")  # keys
FOLDS, FOLD = "task.folds", "task.fold"
MOST_RUNS = 10_000  # of a sweep, of which the names are told beforehand


@dataclass(frozen=True)
class Plan:
    """A sweep, as its command line or its experiment says it.

    Attributes:
        overrides: what all runs have in common, and words of Hydra's own.
        swept: the values of each key, as they are written; of a key whose values the sweeper chooses as it goes, a text
            like "interval(0.001, 0.1)".
        flags: ``--config-dir`` and ``--config-name``, each with its value.
    """

    overrides: list[str]
    swept: dict[str, list[str] | str]
    flags: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """Return the overrides that make this sweep."""
        return [*self.overrides, *(f"{key}={_as_sweep(texts)}" for key, texts in self.swept.items())]

    def jobs(self) -> list[list[str]]:
        """Return the swept overrides of each run; nothing where the sweeper chooses as it goes."""
        if not all(isinstance(texts, list) for texts in self.swept.values()):
            return []
        return [
            list(chosen) for chosen in product(*([f"{key}={text}" for text in self.swept[key]] for key in self.swept))
        ]

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return what each run has for itself, by the names of the runs; nothing where the sweeper chooses as it goes.

        Raises:
            UserError: a value is not of Hydra's grammar.
        """
        if sum(map(len, self.swept.values())) > MOST_RUNS:
            return {}
        each = []
        for key, texts in self.swept.items():
            if isinstance(texts, str):
                return {}
            values = [plain(override.value()) for override in parsed([f"{key}={text}" for text in texts])]
            each.append([(key.lstrip("+~"), value) for value in values])
        choices = [dict(chosen) for chosen in islice(product(*each), MOST_RUNS)]
        return {run_name(chosen): chosen for chosen in choices}


def plan(words: Sequence[str], hydra: HydraConf, flags: Sequence[str] = ()) -> Plan:
    """Return the sweep that a command line makes.

    Args:
        words: its overrides; a later one of a key wins, and all win over the experiment's.
        hydra: Hydra's own configuration, with the sweeper and the values that the experiment sweeps over.
        flags: of the command line that say where configurations are.

    Raises:
        UserError: a word is no override, or does not list its values where the sweeper takes one after the other.
    """
    given = parsed(words)
    params = {key: values for key, values in (hydra.sweeper.get("params") or {}).items() if values is not None}
    own = parsed([f"{key}={values}" for key, values in params.items()])
    last = {key_of(each): each for each in (*own, *given)}
    kept = [each for each in last.values() if not key_of(each).startswith((*LAUNCHING, *PLACES, *NAMING))]
    swept = [each for each in kept if each.is_sweep_override() or each in own]
    takes_all = hydra.sweeper._target_.endswith(".BasicSweeper")  # others choose as they go
    values = {each.get_key_element(): _values(each) if takes_all else _text(each) for each in swept}
    return Plan([str(each.input_line) for each in kept if each not in swept], values, list(flags))


def planned(words: Sequence[str]) -> tuple[Plan, str]:
    """Return the sweep that ``python -m rnn_tasks.train --multirun WORDS`` makes, and its directory.

    Raises:
        UserError: a word is no override, or is refused.
    """
    words = [with_quoted_regex(word) for word in words]
    with composing():
        constant = [str(each.input_line) for each in constant_and_swept(words)[0]]
        hydra = hydra_compose("config", [*for_a_sweep(words), *constant], return_hydra_config=True).hydra
        made = plan(words, hydra)
        require_one_place(made, hydra)
        return made, hydra.sweep.dir


def require_one_place(made: Plan, hydra: HydraConf) -> None:
    """Refuse a sweep over tasks, by an experiment, whose directory depends on the task.

    Raises:
        UserError: it does.
    """
    varied = [key for key in made.swept if key.lstrip("+") in SETTING_TASKS]
    place = str(OmegaConf.to_container(hydra.sweep, resolve=False)["dir"])  # type: ignore[index, call-overload]
    if varied and "${task" in place:
        raise UserError(f"{varied[0]}: is swept by the experiment; give one place, like {PLACE}=outputs/sweeps/NAME")


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [_text(override)]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: must list its values, like 1,3,5 or range(4); Optuna takes intervals")
    with refusals():
        return list(override.sweep_string_iterator())


def _as_sweep(texts: list[str] | str) -> str:
    if isinstance(texts, str):
        return texts
    return ",".join(texts) if len(texts) > 1 else f"choice({texts[0]})"  # which Hydra takes for several values


def _text(override: Override) -> str:
    return str(override.input_line).partition("=")[2]


def constant_and_swept(words: Sequence[str]) -> tuple[list[Override], list[Override]]:
    """Return the overrides that all runs of a sweep have in common, and those that list values.

    Raises:
        UserError: a word is no override.
    """
    overrides = parsed(words)
    constant = [override for override in overrides if not override.is_sweep_override()]
    return constant, [override for override in overrides if override.is_sweep_override()]


def with_all_folds(words: Sequence[str]) -> list[str]:
    """Return overrides in which ``task.folds=5`` without ``task.fold`` is followed by all folds, as a sweep over them.

    Raises:
        UserError: a word is no override, or a sweeper other than Hydra's own would choose among the folds.
    """
    last = {key_of(override): override for override in parsed(words)}
    folds = last[FOLDS].value() if FOLDS in last and FOLD not in last else None
    if type(folds) is not int or not 2 <= folds <= MOST_RUNS:  # which the task refuses, or nothing is asked for
        return list(words)
    sweeper = last.get("hydra/sweeper")
    if sweeper is not None and sweeper.value() != "basic":
        raise UserError(f"{FOLDS}={folds}: {sweeper.input_line} would choose among the folds; name one, like {FOLD}=0")
    return [*words, f"{FOLD}=range({folds})"]


def for_a_sweep(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that give each run of a sweep a directory of its own, named by what is swept alone.

    Raises:
        UserError: a word is no override, or runs would share a directory or lie in several sweeps.
    """
    constant, swept = constant_and_swept(overrides)
    last = {key_of(override): override for override in parsed(overrides)}
    for override in (*constant, *swept):
        _check_places(override, [key_of(each) for each in swept])
    given = [key for key, override in last.items() if not override.is_sweep_override()]
    varied = last.keys() - set(given)
    keys = dict.fromkeys(key for key in (*given, "name") if key not in varied and not key.startswith("hydra"))
    added = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(keys)}]"]
    if PLACE not in given and {"name", *SETTING_TASKS} & varied:  # one place for all runs
        name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f") if "name" in varied else "${name}"
        folder = "${task.name}" if varied.isdisjoint(SETTING_TASKS) else "sweeps"
        added.append(f"{PLACE}=outputs/{folder}/{name}")
    return added


def in_directory(sweep: Path) -> str:
    """Return the override that makes a sweep in a directory."""
    return f"{PLACE}={quoted(str(sweep))}"


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
    used = re.findall(r"\$\{([\w./]+)\}", str(override.input_line)) if key == PLACE else []
    moving = [
        each for each in used if (groups and each != "name") or any(f"{each}.".startswith(f"{k}.") for k in swept)
    ]
    if moving or (key == PLACE and key in swept):
        what = f"without ${{{moving[0]}}}, which is swept" if moving else "not several"
        raise UserError(f"{override.input_line}: must be one directory for all runs of the sweep, {what}")

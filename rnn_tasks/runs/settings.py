"""The settings of a sweep: runs that differ in their seed alone, or in their fold of the data, count as one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rnn_tasks.config.naming import run_name
from rnn_tasks.runs.sweeps import STATES, SweepRow

if TYPE_CHECKING:
    from rnn_tasks.runs.solving import Network

SEED, FOLD = "seed", "task.fold"


@dataclass(frozen=True)
class Setting:
    """The runs of a sweep that differ in their seed or fold alone, or a single run.

    Attributes:
        name: that of the run, of several runs without their seeds and folds.
        choices: what it has for itself, by the keys that were swept, without seed and fold.
        rows: its runs.
    """

    name: str
    choices: dict[str, Any]
    rows: list[SweepRow] = field(default_factory=list)

    @property
    def finished(self) -> list[SweepRow]:
        """Its finished runs."""
        return [row for row in self.rows if row.state == "done"]

    @property
    def networks(self) -> list[Network]:
        """The networks of its finished runs, each seed once."""
        return _each_seed_once(self.finished)

    @property
    def networks_so_far(self) -> list[Network]:
        """The networks of all its runs, those of unfinished ones as their last validation found them."""
        return _each_seed_once(self.rows)

    @property
    def seconds(self) -> float | None:
        """The time that its finished runs took together; None if none has finished."""
        times = [row.seconds for row in self.rows if row.seconds is not None]
        return round(sum(times), 1) if times else None

    @property
    def state(self) -> str:
        """The state of its run, with a note; of several how many are in which, with the first note of a failure."""
        if len(self.rows) == 1:
            return str(self.rows[0])
        reasons = [f"{row.run} {row}" for row in self.rows if row.state == "failed"]
        return "; ".join([count_states(self.rows), *reasons[:1]])


def _each_seed_once(rows: Sequence[SweepRow]) -> list[Network]:
    """Return the networks of runs; those of equal choices and equal seeds are the same network."""
    return list({(_text(_without(row, SEED)), each.seed): each for row in rows for each in row.networks}.values())


def _without(row: SweepRow, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.swept.items() if key not in keys}


def _text(choices: dict[str, Any]) -> str:
    return json.dumps(choices, sort_keys=True, default=str)


def _name(row: SweepRow, choices: dict[str, Any]) -> str:
    if choices == row.swept:
        return row.run
    return run_name(choices) if choices else "all folds" if FOLD in row.swept else "all seeds"


def settings_of(rows: Sequence[SweepRow]) -> list[Setting]:
    """Return the settings of a sweep in the order of its runs."""
    settings: dict[str, Setting] = {}
    for row in rows:
        choices = _without(row, SEED, FOLD)
        name = _name(row, choices)
        settings.setdefault(name, Setting(name, choices)).rows.append(row)
    return list(settings.values())


def merged(settings: Sequence[Setting], keys: Sequence[str]) -> Setting:
    """Return several settings as one, of which only some choices are told.

    Args:
        settings: they agree in the choices that are told.
        keys: of these choices.
    """
    choices = {key: settings[0].choices[key] for key in keys}
    return Setting(run_name(choices), choices, [row for setting in settings for row in setting.rows])


def count_states(rows: Sequence[SweepRow]) -> str:
    """Return how many runs are in which state, like "4 done, 1 running, 1 failed"."""
    numbers = Counter(row.state for row in rows)
    return ", ".join(f"{numbers[state]} {state}" for state in STATES if numbers[state]) or "none"

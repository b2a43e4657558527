"""Sweeps: directories of runs, and what a table or a plot shows of them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tabulate import tabulate

from rnn_tasks.config.command_line import runs_of_a_sweep
from rnn_tasks.config.stored import read_yaml
from rnn_tasks.errors import UserError, one_line, printable, tell
from rnn_tasks.files import read_text, write_atomically
from rnn_tasks.runs.directory import CONFIG
from rnn_tasks.runs.results import RESULT, read_result

if TYPE_CHECKING:  # these import torch, which takes seconds: a sweep with a wrong key is refused before
    from rnn_tasks.runs.tables import Row

FAILURE = "error.txt"
TITLES = {"accuracy": "accuracy", "sequence_accuracy": "exact match", "loss": "loss"}  # of columns
FEWEST_VALUES = 3  # of a number, for a plot over it

T = TypeVar("T")


@dataclass(frozen=True)
class SweepRow:
    """What the table of a sweep shows of a run.

    Attributes:
        run: its name.
        splits: metrics of "test" and "val", where these were measured.
        seconds: how long it took, None if it has not finished.
        failed: why it has no result, None if it has one.
        trial: whether it was a trial, of which nothing is kept.
    """

    run: str
    splits: dict[str, Row] = field(default_factory=dict)
    seconds: float | None = None
    failed: str | None = None
    trial: bool = False


def note_failure(run: Path, error: Exception) -> None:
    """Print why a run of a sweep failed and write it to its directory; the sweep goes on."""
    reason = one_line(error)
    tell(f"error: {reason}")
    with suppress(OSError):  # the summary then says that it stopped before its end
        run.mkdir(parents=True, exist_ok=True)
        write_atomically(run / FAILURE, reason + "\n")


def sweep_results(sweep: Path) -> dict[str, dict[str, Any] | None]:
    """Read each run's result.json, in the natural order of the runs' names; None if it has not finished."""
    directories = sorted((path.name for path in sweep.iterdir() if path.is_dir() and path.name[0] != "."), key=_natural)
    return {name: _result(sweep / name) for name in directories}


def _result(run: Path) -> dict[str, Any] | None:
    with suppress(UserError):
        return read_result(run)
    return None


def sweep_rows(sweep: Path) -> list[SweepRow]:
    """Return a row for each run of a sweep, also for those that have not begun."""
    from rnn_tasks.runs.tables import Row

    rows = []
    results = sweep_results(sweep)
    for name in sorted({*results, *_planned(sweep, set(results))}, key=_natural):
        result = results.get(name)
        if result is None:
            trial = _is_trial(sweep / name)
            rows.append(SweepRow(name, failed=None if trial else _why(sweep / name), trial=trial))
        else:
            metrics = result["metrics"]
            splits = {split: Row.of(split, metrics[split]) for split in ("test", "val") if split in metrics}
            rows.append(SweepRow(name, splits, result["seconds"]))
    return rows


def _planned(sweep: Path, begun: set[str]) -> list[str]:
    """Return the names of the runs that the last command was to make, if they are known and those begun are of them."""
    with suppress(Exception):  # without Hydra's note, or with a sweeper that chooses as it goes
        hydra = read_yaml(sweep / "multirun.yaml")["hydra"]
        params = [f"{key}={value}" for key, value in (hydra["sweeper"]["params"] or {}).items()]
        names = runs_of_a_sweep([*params, *hydra["overrides"]["task"]])
        return names if begun & set(names) else []
    return []


def _is_trial(run: Path) -> bool:
    """Return whether a run without a result was one of ``trainer.fast_dev_run``."""
    with suppress(Exception):  # of a damaged configuration
        return not (run / FAILURE).exists() and bool(read_yaml(run / CONFIG)["trainer"]["fast_dev_run"])
    return False


def _why(run: Path) -> str:
    """Return why a run has no result."""
    if not run.exists():
        return "not begun"
    if (run / RESULT).exists():
        return f"{RESULT} is damaged"
    try:
        return printable(read_text(run / FAILURE, 10_000).strip())
    except (OSError, ValueError):
        return "stopped before its end"


def sweep_table(rows: list[SweepRow], style: str) -> str:
    """Return the rows as a table in one of tabulate's styles.

    It leaves out the exact match where that is the accuracy in all rows, and else, with intervals, the accuracy in
    validation, which would make it too wide.
    """
    from rnn_tasks.runs.tables import count_perfect, percent

    splits = [split for row in rows for split in row.splits.values()]
    several = any(split.several for split in splits)
    parts = not all(split.whole for split in splits if split.name == "test")
    cells = []
    for row in rows:
        texts = {"run": row.run}
        for name, split in row.splits.items():
            if name == "test" or not (parts and several):
                texts[f"{name} accuracy"] = percent(split.accuracy, best=True)
            if parts:
                texts[f"{name} exact match"] = percent(split.exact_match, best=True)
            if several:
                texts[f"{name} at 100 %"] = count_perfect(split.exact_match)
        ended = {"failed": row.failed} if row.seconds is None else {"seconds": f"{row.seconds:g}"}
        if row.trial:
            ended = {"result": "a trial, nothing is kept"}
        cells.append(texts | ended)
    return tabulate(cells, headers="keys", tablefmt=style, disable_numparse=True)


def csv_row(row: SweepRow) -> dict[str, Any]:
    """Return a row of summary.csv, numbers in full: means over the replicates that have not failed.

    A column for each key that was swept has its value, as the name of the run's directory has it.
    Of several replicates there are also the 95 % interval of a mean (low, high), the best, and how many are perfect.
    """
    choices = {key: _number(text) for key, text in swept(row.run).items()}
    cells: dict[str, Any] = {"run": row.run, **choices, "failed": row.failed}
    for name, split in row.splits.items():
        for title, share in (("accuracy", split.accuracy), ("exact match", split.exact_match)):
            cells[f"{name} {title}"] = share and share.mean
            if share and split.several:
                low, high = share.within
                cells |= {f"{name} {title} low": low, f"{name} {title} high": high, f"{name} {title} best": share.most}
        if split.exact_match and split.several:
            cells |= {f"{name} at 100 %": split.exact_match.perfect, f"{name} replicates": split.exact_match.count}
        cells[f"{name} loss"] = split.loss and split.loss.mean
    return cells | {"seconds": row.seconds}


def network_rows(sweep: Path) -> list[dict[str, Any]]:
    """Return the rows of networks.csv, one for each network of each finished run; a failed one has no numbers."""
    rows = []
    finished = {name: result for name, result in sweep_results(sweep).items() if result}
    for name, result in finished.items():
        choices = {key: _number(text) for key, text in swept(name).items()}
        for replicate in range(result["replicates"]):
            row = {"run": name, **choices, "replicate": replicate, "seed": result["seed"] + replicate}
            for split in ("test", "val"):
                metrics = result["metrics"].get(split, {})
                row |= {
                    f"{split} {title}": metrics[kind][replicate] for kind, title in TITLES.items() if kind in metrics
                }
            rows.append(row)
    return rows


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def swept(name: str) -> dict[str, str]:
    """Return the keys and values in the name of a run of a sweep; a comma within a value stays in it.

    >>> swept("model.hidden=3,task.lengths=_1,5_a9c86a4d")
    {'model.hidden': '3', 'task.lengths': '_1,5_a9c86a4d'}
    """
    parts = re.split(r",(?=[^,=]+=)", name) if "=" in name else []
    return dict(part.partition("=")[::2] for part in parts)


def by_number(values: dict[str, T]) -> tuple[str, dict[str, dict[float, T]]]:
    """Arrange values of runs for a plot over the number that was swept most, a line for each choice of all else.

    Args:
        values: of any kind, by names of runs like "model=rnn,task.batch_size=8".

    Returns:
        The key of the number and, by the names of the lines, the values at each of its settings, in order; an empty
        key and no lines if no number has three settings.
    """
    choices = {name: swept(name) for name in values}
    settings: dict[str, set[float]] = {}
    for pairs in choices.values():
        for key, text in pairs.items():
            with suppress(ValueError):
                settings.setdefault(key, set()).add(float(text))
    settings.pop("seed", None)  # is no quantity
    key = max(settings, key=lambda key: len(settings[key]), default="")
    if not key or len(settings[key]) < FEWEST_VALUES or not all(key in pairs for pairs in choices.values()):
        return "", {}
    lines: dict[str, dict[float, T]] = {}
    for name, pairs in choices.items():
        rest = ",".join(f"{other}={text}" for other, text in pairs.items() if other != key)
        lines.setdefault(rest, {})[float(pairs[key])] = values[name]
    return key, {name: dict(sorted(points.items())) for name, points in lines.items()}


def _natural(name: str) -> list[str | float]:
    """Return a sort key that puts model.hidden=10 behind model.hidden=9."""
    return [float(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+\.?\d*)", name))]

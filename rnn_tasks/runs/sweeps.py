"""Sweeps: directories of runs, and in which state each run is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_tasks.config.stored import checked, read_yaml
from rnn_tasks.config.sweeping import Plan
from rnn_tasks.errors import UserError, file_error, one_line, printable, tell
from rnn_tasks.files import read_text, refuse_ways_out, write_atomically
from rnn_tasks.runs.directory import CONFIG, FAILURE, InUse, is_held
from rnn_tasks.runs.identity import changes_numbers
from rnn_tasks.runs.migration import migrated
from rnn_tasks.runs.plans import read_plan, write_plan
from rnn_tasks.runs.results import RESULT, read_result

if TYPE_CHECKING:  # these import torch, which takes seconds: a sweep with a wrong key is refused before
    from rnn_tasks.runs.solving import Network
    from rnn_tasks.runs.tables import Row

FILES = (CONFIG, RESULT, FAILURE)  # one of them lies in the directory of each run that has begun
STATES = ("done", "running", "stopped", "failed", "missing", "trial")  # of a run


@dataclass(frozen=True)
class SweepRow:
    """What the table of a sweep shows of a run.

    Attributes:
        run: its name.
        state: "done"; "running", a process holds its directory; "stopped" before its end, to be gone on with; "failed";
            "missing", it has not begun; or a "trial", of which nothing is kept.
        swept: what it has for itself, by the keys that were swept.
        splits: metrics of "test" and "val", where these were measured; of a run that has not finished, of "val" so far.
        networks: what has become of each, or of a run that has not finished, so far in validation.
        bar: the share of sequences that a network must get right to have solved its task.
        seconds: how long it took, None if it has not finished.
        note: why it has failed, or how far it has come.
        result: the content of result.json, None if it has not finished.
    """

    run: str
    state: str
    swept: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, Row] = field(default_factory=dict)
    networks: list[Network] = field(default_factory=list, repr=False)
    bar: float = 1.0
    seconds: float | None = None
    note: str = ""
    result: dict[str, Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.state}: {self.note}" if self.note else self.state


def begin(sweep: Path, plan: Plan) -> None:
    """Write down what a sweep is to make, in its directory.

    Raises:
        UserError: a run lies there, or another sweep, or the directory cannot be written.
    """
    if (sweep / CONFIG).exists():
        raise UserError(f"{sweep}: holds a run; take another name= for the sweep")
    begun = _known_plan(sweep) if _has_runs(sweep) else None
    if begun and (difference := _difference(begun, plan)):
        raise UserError(f"{sweep}: holds a sweep {difference}; take another name=, or resume={sweep} for that one")
    try:
        write_plan(sweep, plan)
    except OSError as error:
        raise file_error(error) from error


def _has_runs(sweep: Path) -> bool:
    """Return whether a run of a sweep has begun, and was not refused."""
    return sweep.is_dir() and any(_has_begun(sweep / name, (CONFIG, RESULT)) for name in _directories(sweep))


def _known_plan(sweep: Path) -> Plan | None:
    """Return what the last command was to make; None if no command has made the sweep, or its plan is damaged."""
    with suppress(UserError):
        return read_plan(sweep)
    return None


def _difference(old: Plan, new: Plan) -> str:
    """Return in what two sweeps in one directory differ, beside the values of the swept keys; nothing if they agree."""
    if set(old.swept) != set(new.swept):
        over, not_over = (" and ".join(sorted(each)) or "nothing" for each in (old.swept, new.swept))
        return f"over {over}, not over {not_over}"
    there, here = (
        dict(word.lstrip("+").split("=", 1) for word in plan.overrides if "=" in word) for plan in (old, new)
    )
    keys = [key for key in {**there, **here} if changes_numbers(key) and there.get(key) != here.get(key)]
    texts = {key: f"with {key}={there[key]}" if key in there else f"without {key}" for key in keys}
    return ", ".join(f"{text} (here {here.get(key, 'without')})" for key, text in texts.items())


def note_failure(run: Path, error: Exception, named: bool = False) -> None:
    """Print why a run of a sweep failed and write it to its directory, if no other process trains there.

    Args:
        run: its directory.
        error: why.
        named: print the name of the run, too, where other lines do not tell which it is.
    """
    reason = one_line(error)
    tell(f"error: {run.name}: {reason}" if named else f"error: {reason}")
    if isinstance(error, InUse):
        return
    with suppress(OSError):  # the summary then says that it was stopped
        run.mkdir(parents=True, exist_ok=True)
        write_atomically(run / FAILURE, reason + "\n")


def sweep_results(sweep: Path) -> dict[str, dict[str, Any] | None]:
    """Read each run's result.json, in the natural order of the runs' names; None if it has not finished."""
    return {name: _result(sweep / name) for name in sorted(_directories(sweep), key=natural_order)}


def _directories(sweep: Path) -> list[str]:
    return [path.name for path in sweep.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _result(run: Path) -> dict[str, Any] | None:
    with suppress(UserError):
        return read_result(run)
    return None


def sweep_rows(sweep: Path, bar: float = 1.0) -> list[SweepRow]:
    """Return a row for each run of a sweep, also for those that have not begun, in the order of what was swept first.

    Args:
        sweep: its directory.
        bar: the share of sequences that a network must get right to have solved its task.
    """
    plan = _known_plan(sweep)
    planned = plan.runs() if plan else {}
    files = (CONFIG, RESULT) if planned else FILES  # a run that another command was to make may have been refused
    begun = [name for name in _directories(sweep) if _has_begun(sweep / name, files)]
    names = sorted({*begun, *planned}, key=natural_order)
    rows = [replace(_row(sweep / name, planned.get(name, {}), bar), bar=bar) for name in names]
    if len({tuple(row.swept) for row in rows}) > 1:  # of a damaged one it is not known
        return rows
    return sorted(rows, key=lambda row: [natural_order(str(value)) for value in row.swept.values()])


def _has_begun(run: Path, files: Sequence[str] = FILES) -> bool:
    return any((run / file).exists() for file in files)


def _row(run: Path, planned: dict[str, Any], bar: float) -> SweepRow:
    try:
        refuse_ways_out(run)
    except UserError as error:
        return SweepRow(run.name, "failed", planned, note=str(error))
    held = is_held(run)  # before the result is read, which may be written at this moment
    result = _result(run)
    if result is None or _is_refused(run):
        return _unfinished_row(run, planned, held, bar)
    from rnn_tasks.runs.solving import networks_of

    networks = networks_of(result, _history(run), bar)
    splits = _splits({split: result["metrics"][split] for split in ("test", "val") if split in result["metrics"]})
    swept = _swept(result["config"]) or planned
    return SweepRow(run.name, "done", swept, splits, networks, seconds=result["seconds"], result=result)


def _unfinished_row(run: Path, planned: dict[str, Any], held: bool, bar: float) -> SweepRow:
    config = _config(run)
    state, note = _state(run, config, held)
    row = SweepRow(run.name, state, _swept(config) or planned, note=note)
    if state not in ("running", "stopped") or not (history := _history(run)):
        return row
    from rnn_tasks.runs.solving import networks_so_far

    with suppress(Exception):  # a damaged configuration raises many kinds
        networks = networks_so_far(checked(migrated(config)), history, bar)
        numbers = [network.metrics["val"] for network in networks]
        val = {kind: [each[kind] for each in numbers] for kind in (numbers[0] if numbers else ())}
        return replace(row, networks=networks, splits=_splits({"val": val} if val else {}))
    return row


def _swept(config: dict[str, Any]) -> dict[str, Any]:
    swept = config.get("swept")
    return {str(key): value for key, value in swept.items()} if isinstance(swept, dict) else {}


def _splits(metrics: dict[str, Any]) -> dict[str, Row]:
    from rnn_tasks.runs.tables import Row

    return {split: Row.of(split, values) for split, values in metrics.items()}


def _history(run: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's history.csv; none where it is missing or damaged."""
    from rnn_tasks.training.history import HISTORY, read_history

    with suppress(UserError):
        return read_history(run / HISTORY)
    return []


def _is_refused(run: Path) -> bool:
    """Return whether the last attempt at a finished run has failed: it was another run in the same directory."""
    with suppress(OSError):
        return (run / FAILURE).stat().st_mtime_ns > (run / RESULT).stat().st_mtime_ns
    return False


def _config(run: Path) -> dict[str, Any]:
    """Return the configuration of a run as it stands; nothing where it is missing or damaged."""
    with suppress(Exception):
        return read_yaml(run / CONFIG)
    return {}


def _state(run: Path, config: dict[str, Any], held: bool) -> tuple[str, str]:
    """Return the state of a run without a result, and a note on it; ``held`` by a process."""
    if held:
        return "running", _progress(run, config)
    if not _has_begun(run):
        return "missing", ""
    try:
        if (run / FAILURE).exists():
            return "failed", printable(read_text(run / FAILURE, 10_000).strip())
        if (run / RESULT).exists():
            return "failed", f"{RESULT} is damaged"
        if config["trainer"]["fast_dev_run"]:
            return "trial", "nothing is kept"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return "stopped", _progress(run, config)


def _progress(run: Path, config: dict[str, Any]) -> str:
    from rnn_tasks.training.history import HISTORY, epochs_done

    with suppress(OSError, ValueError, KeyError, TypeError):
        return f"{epochs_done(run / HISTORY)} of {int(config['trainer']['max_epochs'])} epochs"
    return ""


def natural_order(name: str) -> list[str | float]:
    """Return a sort key that puts model.hidden=10 behind model.hidden=9."""
    return [float(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+\.?\d*)", name))]

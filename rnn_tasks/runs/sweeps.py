"""A sweep: a directory of runs, and one table over them."""

import csv
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from tabulate import tabulate

from rnn_tasks import runs
from rnn_tasks.errors import one_line

FAILURE = "error.txt"
MOST_CURVES = 6  # that can be told apart


def note_failure(run: Path, error: Exception) -> None:
    """Keep why a run of a sweep failed; the sweep goes on."""
    reason = one_line(error)
    print(f"error: {reason}", file=sys.stderr)
    run.mkdir(parents=True, exist_ok=True)
    (run / FAILURE).write_text(reason + "\n")


def results(sweep: Path) -> dict[str, dict[str, Any] | None]:
    """What result.json of each run holds, in the natural order of their names; None of one that has not finished."""
    found = sorted((path for path in sweep.iterdir() if path.is_dir()), key=_natural)
    return {run.name: runs.read_result(run) for run in found}


def rows(sweep: Path) -> list[dict[str, Any]]:
    """A row for each run of a sweep: its figures, means over several replicates, or the reason why it failed."""
    from rnn_tasks.training.intervals import summarize

    found = []
    for name, result in results(sweep).items():
        row: dict[str, Any] = {"run": name}
        reason, ended = sweep / name / FAILURE, sweep / name / "result.json"
        if result is None or (reason.exists() and reason.stat().st_mtime > ended.stat().st_mtime):
            row["failed"] = reason.read_text().strip() if reason.exists() else "stopped before its end"
        else:
            for split in ("test", "val"):
                for kind, word in (("accuracy", "accuracy"), ("sequence_accuracy", "whole"), ("loss", "loss")):
                    if split not in result["metrics"]:
                        continue
                    told, title = summarize(result["metrics"][split][kind]), f"{split} {word}"
                    row[title] = told.mean
                    if told.count > 1 and word != "loss":
                        low, high = told.within
                        row |= {f"{title} low": low, f"{title} high": high, f"{title} best": told.most}
                    if told.count > 1 and word == "whole":
                        row[f"{split} at 100 %"] = f"{told.perfect} of {told.count}"
            row["seconds"] = result["seconds"]
        found.append(row)
    return found


def table(found: list[dict[str, Any]], style: str) -> str:
    """The rows as tabulate's ``style`` shows them: no losses, and a mean with its interval and the best in one cell."""
    hidden = ["loss", " low", " high", " best"]
    if all(row.get("test accuracy") == row.get("test whole") for row in found):
        hidden.append(" whole")
    elif any("test whole low" in row for row in found):  # the table is wide enough
        hidden.append("val accuracy")
    shown = []
    for row in found:
        cells = {}
        for title, value in row.items():
            if title.endswith(tuple(hidden)):
                continue
            share = title.endswith(("accuracy", "whole"))
            cells[title] = f"{value:.2%}" if share else value
            if f"{title} low" in row:
                low, high, best = (row[f"{title} {word}"] * 100 for word in ("low", "high", "best"))
                cells[title] = f"{value * 100:.2f} [{low:.2f}, {high:.2f}], best {best:.2f}"
        shown.append(cells)
    return tabulate(shown, headers="keys", tablefmt=style)


def plot(sweep: Path) -> None:
    """Draw the test accuracy of all runs: over the length where there are several, over the number that was swept."""
    found = {name: result for name, result in results(sweep).items() if result and "test" in result["metrics"]}
    tests = {name: result["metrics"]["test"] for name, result in found.items()}
    curves = {name: test["by_length"] for name, test in tests.items() if len(test["by_length"]) > 1}
    key, lines = by_number({name: test["sequence_accuracy"] for name, test in tests.items()})
    from rnn_tasks.runs import plots

    if 1 <= len(curves) <= MOST_CURVES:
        first = found[next(iter(curves))]
        chance, trained = first["metrics"]["test"]["chance"], first["config"]["task"]["lengths"]
        plots.by_length(curves, chance, trained).savefig(sweep / "test_by_length.png")
    if key:
        plots.by_number(key, lines).savefig(sweep / f"test_by_{key}.png")


def by_number(runs: dict[str, Any]) -> tuple[str, dict[str, dict[float, Any]]]:
    """What was found at each value of the number that was swept most, a line for each choice of all else.

    Args:
        runs: what was found, by names like model=rnn,task.batch_size=8.

    Returns:
        The key, empty where there is none, and by the names of the lines what was found at each of its values.
    """
    split = {name: dict(part.partition("=")[::2] for part in name.split(",")) for name in runs}
    values: dict[str, set[float]] = {}
    for choices in split.values():
        for key, value in choices.items():
            with suppress(ValueError):
                values.setdefault(key, set()).add(float(value))
    values.pop("seed", None)  # is no quantity
    key = max(values, key=lambda key: len(values[key]), default="")
    if not key or len(values[key]) < 3 or not all(key in choices for choices in split.values()):
        return "", {}
    lines: dict[str, dict[float, Any]] = {}
    for name, choices in split.items():
        rest = ",".join(f"{other}={value}" for other, value in choices.items() if other != key)
        lines.setdefault(rest, {})[float(choices[key])] = runs[name]
    return key, {name: dict(sorted(points.items())) for name, points in lines.items()}


def write_summary(sweep: Path) -> bool:
    """Leave summary.csv, summary.md and a plot in a sweep's directory and print the table; tell if all has finished."""
    found = rows(sweep)
    with (sweep / "summary.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(title for row in found for title in row)))
        writer.writeheader()
        writer.writerows(found)
    (sweep / "summary.md").write_text(table(found, "github") + "\n")
    plot(sweep)
    print(f"\n{table(found, 'simple')}\n{sweep}")
    return not any("failed" in row for row in found)


class SweepSummary(Callback):
    """Summarizes a sweep that has come to its end; its exit status tells if all runs have finished."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not write_summary(Path(config.hydra.sweep.dir)):
            sys.exit(1)


def _natural(run: Path) -> list[Any]:
    """Sorts model.hidden=10 behind model.hidden=9."""
    return [float(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+\.?\d*)", run.name))]

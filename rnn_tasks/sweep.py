"""A sweep: a directory of runs, and one table over them."""

import csv
import re
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from tabulate import tabulate

from rnn_tasks import runs
from rnn_tasks.errors import one_line

FAILURE = "error.txt"


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
    from rnn_tasks.metrics import spread

    found = []
    for name, result in results(sweep).items():
        row: dict[str, Any] = {"run": name}
        if result is None:
            reason = sweep / name / FAILURE
            row["failed"] = reason.read_text().strip() if reason.exists() else "stopped before its end"
        else:
            for split in ("test", "val"):
                for kind, title in (("accuracy", "accuracy"), ("sequence_accuracy", "whole"), ("loss", "loss")):
                    if split in result["metrics"]:
                        numbers = result["metrics"][split][kind]
                        told, title = spread(numbers), f"{split} {title}"
                        row[title] = told.mean
                        if len(numbers) > 1 and kind != "loss":
                            row |= {f"{title} low": told.low, f"{title} high": told.high, f"{title} best": told.most}
                        if len(numbers) > 1 and kind == "sequence_accuracy":
                            row[f"{split} at 100 %"] = f"{told.perfect} of {told.count}"
            row["seconds"] = result["seconds"]
        found.append(row)
    return found


def table(found: list[dict[str, Any]], style: str) -> str:
    """The rows as tabulate's ``style`` shows them, without the losses; a mean with its interval in one cell."""
    shown = []
    for row in found:
        cells = {}
        for title, value in row.items():
            if "loss" in title or title.endswith((" low", " high")):
                continue
            share = ("accuracy" in title or "whole" in title) and not isinstance(value, str)
            cells[title] = f"{value:.2%}" if share else value
            if f"{title} low" in row:
                cells[title] += f" [{row[f'{title} low'] * 100:.2f}, {row[f'{title} high'] * 100:.2f}]"
        shown.append(cells)
    return tabulate(shown, headers="keys", tablefmt=style)


def plot(sweep: Path) -> None:
    """Draw the test accuracy of all runs over the length, where there are several lengths."""
    tests = {name: result["metrics"].get("test") for name, result in results(sweep).items() if result}
    curves = {name: test["by_length"] for name, test in tests.items() if test and len(test["by_length"]) > 1}
    if curves:
        from rnn_tasks import plots

        chance = next(iter(tests.values()))["chance"]
        plots.by_length(curves, chance).savefig(sweep / "test_by_length.png")


def summarize(sweep: Path) -> bool:
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


class Summary(Callback):
    """Summarizes a sweep that has come to its end; its exit status tells if all runs have finished."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not summarize(Path(config.hydra.sweep.dir)):
            sys.exit(1)


def _natural(run: Path) -> list[Any]:
    """Sorts model.hidden=10 behind model.hidden=9."""
    return [float(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+\.?\d*)", run.name))]

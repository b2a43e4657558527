"""A sweep: a directory of runs, and one table over them."""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from tabulate import tabulate

FAILURE = "error.txt"


def note_failure(run: Path, error: Exception) -> None:
    """Keep why a run of a sweep failed; the sweep goes on."""
    reason = " ".join(str(error).split()) or type(error).__name__
    print(f"error: {reason}", file=sys.stderr)
    run.mkdir(parents=True, exist_ok=True)
    (run / FAILURE).write_text(reason + "\n")


def rows(sweep: Path) -> list[dict[str, Any]]:
    """A row for each run of a sweep: its test and validation figures, or the reason why it failed."""
    found = []
    for run in sorted((path for path in sweep.iterdir() if path.is_dir()), key=_natural):
        row: dict[str, Any] = {"run": run.name}
        if (run / "result.json").exists():
            result = json.loads((run / "result.json").read_text())
            for split in ("test", "val"):
                if (values := result["metrics"].get(split)) is None:
                    continue
                row[f"{split} accuracy"] = values["accuracy"][0]
                row[f"{split} whole"] = values["sequence_accuracy"][0]
                row[f"{split} loss"] = values["loss"][0]
            row["seconds"] = result["seconds"]
        else:
            reason = run / FAILURE
            row["failed"] = reason.read_text().strip() if reason.exists() else "stopped before its end"
        found.append(row)
    return found


def _natural(run: Path) -> list[Any]:
    """Sorts model.hidden=10 behind model.hidden=9."""
    return [float(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+\.?\d*)", run.name))]


def table(found: list[dict[str, Any]], style: str) -> str:
    """The rows as tabulate's ``style`` shows them."""
    shown = [
        {key: f"{value:.2%}" if type(value) is float and key != "seconds" else value for key, value in row.items()}
        for row in ({key: value for key, value in row.items() if "loss" not in key} for row in found)
    ]
    return tabulate(shown, headers="keys", tablefmt=style)


class Summary(Callback):
    """Writes summary.csv and summary.md when a sweep has ended, and shows the table."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep = Path(config.hydra.sweep.dir)
        found = rows(sweep)
        columns = list(dict.fromkeys(key for row in found for key in row))
        with (sweep / "summary.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(found)
        (sweep / "summary.md").write_text(table(found, "github") + "\n")
        print(f"\n{table(found, 'simple')}\n{sweep}")
        if any("failed" in row for row in found):
            sys.exit(1)

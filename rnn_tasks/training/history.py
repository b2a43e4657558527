"""history.csv: losses and accuracies, a row for each epoch and replicate."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

from rnn_tasks.files import write_atomically
from rnn_tasks.training.metrics import KINDS

COLUMNS = ["epoch", "replicate", *(f"{split}_{kind}" for split in ("train", "val") for kind in KINDS)]


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write history.csv anew, atomically."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of history.csv, numbers as numbers; a row that a kill cut short is left out."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [{key: (int if key in COLUMNS[:2] else float)(text) for key, text in row.items() if text} for row in rows]

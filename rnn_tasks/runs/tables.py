"""Metrics as tables for the terminal."""

from pathlib import Path
from typing import Any

from tabulate import tabulate

from rnn_tasks.training.intervals import summarize

PERFECT = " at 100 %"


def print_result(result: dict[str, Any], run: Path) -> None:
    """Print the metrics of a run, a split a row, and its directory."""
    names = {"train": "training", "val": "validation", "test": "test"}
    metrics = {name: result["metrics"][split] for split, name in names.items() if split in result["metrics"]}
    chance = result["metrics"].get("test", {}).get("chance")
    notes = [f"chance {chance:.2%}"] if chance else []
    replicates = result["replicates"]
    each = f", each of {replicates} replicates" if replicates > 1 else ""
    notes += [f"{result['parameters']} parameters{each}", f"{result['seconds']:.0f} seconds"]
    print(f"{table(metrics)}\n{', '.join(notes)}\n{run}")


def metrics_table(metrics: dict[str, Any]) -> str:
    """Test metrics, a length a row."""
    by_length = metrics["by_length"] if len(metrics["by_length"]) > 1 else {}
    return table({**{f"length {length}": values for length, values in by_length.items()}, "all": metrics}) + (
        f"\nchance {metrics['chance']:.2%}"
    )


def shown(numbers: list[float | None]) -> dict[str, str]:
    """What a table shows of an accuracy: of several replicates the mean with its interval, the best and the share."""
    if len(numbers) == 1:
        return {"": f"{numbers[0]:.2%}"}
    told = summarize(numbers)
    failed = f" ({told.failed} failed)" if told.failed else ""
    low, high = told.within
    return {
        "": f"{told.mean:.2%} [{low * 100:.2f}, {high * 100:.2f}]",
        " best": f"{told.most:.2%}",
        PERFECT: f"{told.perfect} of {told.count}{failed}",
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """A row for each split or length; of several replicates means with their 95 % intervals."""
    parts = {"accuracy": "accuracy"}
    if any(values["accuracy"] != values["sequence_accuracy"] for values in rows.values()):
        parts["sequence_accuracy"] = "whole"
    told = []
    for name, values in rows.items():
        row = {"": name, "sequences": values.get("n", ""), "loss": f"{summarize(values['loss']).mean:.3g}"}
        for kind, title in parts.items():
            row |= {f"{title}{part}": text for part, text in shown(values[kind]).items() if part != PERFECT}
        if "calibration_error" in values:
            row["calibration error"] = f"{summarize(values['calibration_error']).mean:.2%}"
        told.append(row | {PERFECT.strip(): text for part, text in shown(values[kind]).items() if part == PERFECT})
    return tabulate(told, headers="keys", disable_numparse=True, colalign=("left", *("right",) * (len(told[0]) - 1)))

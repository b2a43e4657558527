"""What tables show of a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from rnn_tasks.errors import printable
from rnn_tasks.runs.settings import Setting, count_states, settings_of
from rnn_tasks.runs.sweeps import SweepRow

TITLES = {"accuracy": "accuracy", "sequence_accuracy": "exact match", "loss": "loss"}  # of columns
LAST = {"state": 1, "seconds": 2}  # columns
LONGEST_NAME = 22  # characters of a setting; of a longer one the table has a column for each key


def counted_states(rows: list[SweepRow]) -> str:
    """Return how many runs are in which state, like "6 runs: 4 done, 1 running, 1 failed"."""
    return f"{len(rows)} run{'s' * (len(rows) != 1)}: {count_states(rows)}"


def tables_of(rows: list[SweepRow], style: str) -> list[str]:
    """Return the table of a sweep, and of a cross-validation that of its folds, in one of tabulate's styles."""
    from rnn_tasks.runs.folds import fold_table

    folds = fold_table(rows, style)
    return [sweep_table(rows, style), *([folds] if folds else [])]


def sweep_table(rows: list[SweepRow], style: str) -> str:
    """Return a table with a row for each setting, in one of tabulate's styles.

    Runs that differ in their seed or fold alone share a row. With several networks it has the exact match in the test
    alone, with interval and best, which are wide; the others are in summary.csv.
    """
    settings = settings_of(rows)
    columns = _shown_metrics(rows, settings)
    names = _names([setting.name for setting in settings], [setting.choices for setting in settings])
    cells = []
    for setting, named in zip(settings, names, strict=True):
        texts = named | _solving_cells(setting)
        for split, kind in columns:
            texts[f"{split} {TITLES[kind]}"] = _measured_cell(setting, split, kind)
        if len(setting.finished) < len(setting.rows):
            texts["state"] = setting.state
        if setting.seconds is not None:
            texts["seconds"] = f"{setting.seconds:g}"
        cells.append(texts)
    titles = sorted({title: None for row in cells for title in row}, key=lambda title: LAST.get(title, 0))
    filled = [[row.get(title, "") for title in titles] for row in cells]
    return tabulate(filled, headers=titles, tablefmt=style, disable_numparse=True)


def _shown_metrics(rows: list[SweepRow], settings: list[Setting]) -> list[tuple[str, str]]:
    """Return the splits and kinds of metrics that a table shows; exact match is left out where it is the accuracy.

    How many answers a sequence has is known from the runs that have finished.
    """
    done = [split for row in rows if row.state == "done" for split in row.splits.values()]
    judge = "test" if any(split.name == "test" for split in done) else "val"
    whole = bool(done) and all(split.whole for split in done if split.name == judge)
    judged = "accuracy" if whole else "sequence_accuracy"
    if any(len(setting.networks_so_far) > 1 for setting in settings):
        return [(judge, judged)]
    shown = [("test", judged), ("val", judged)] if whole else [("test", "accuracy"), ("test", judged), ("val", judged)]
    measured = {split for row in rows for split in row.splits}
    return [(split, kind) for split, kind in shown if split in measured]


def _names(names: list[str], choices: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the cells that say which setting a row is: its name, or where that is long a cell for each key."""
    keys = list(choices[0]) if choices else []
    alike = all(set(each) == set(keys) for each in choices)
    if max(map(len, names), default=0) <= LONGEST_NAME or not keys or not alike:
        return [{"run": printable(name)} for name in names]
    short = short_names(keys)
    return [{printable(short[key]): printable(text_of(each[key])) for key in keys} for each in choices]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last parts of keys, like hidden for model.hidden; the whole key where two would be alike."""
    last = {key: key.replace("/", ".").rpartition(".")[2] for key in keys}
    taken = [*last.values(), "solved", *LAST]
    return {key: name if taken.count(name) == 1 else key for key, name in last.items()}


def text_of(value: Any) -> str:
    """Return the value of a swept key as text: a word as it is, a fraction in six digits, all else as JSON."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _solving_cells(setting: Setting) -> dict[str, str]:
    from rnn_tasks.runs.solving import count_solved, share_solved, steps_until_solved

    networks = setting.networks or setting.networks_so_far
    (solved, count), share, steps = count_solved(networks), share_solved(networks), steps_until_solved(networks)
    if share is None:
        return {"solved": "", "steps until solved": ""}
    text = ("yes" if solved else "no") if count == 1 else f"{solved} of {count}"
    if not setting.networks:
        text += " so far"
    elif count > 1:
        text += f", {whole_percent(share.value)} % [{whole_percent(share.low)}, {whole_percent(share.high)}]"
        failed = sum(network.failed for network in networks)
        text += f", {failed} failed" if failed else ""
    if steps is None:
        return {"solved": text, "steps until solved": "unknown" if solved else "never" if setting.networks else ""}
    known = sum(network.steps is not None for network in networks)
    quartiles = f" [{steps.low:,.0f}, {steps.high:,.0f}]" if known > 1 else ""
    partly = f" of {known}" if known < solved else ""
    return {"solved": text, "steps until solved": f"{steps.value:,.0f}{quartiles}{partly}"}


def whole_percent(share: float) -> str:
    """Return a share in whole per cent; one that is neither 0 nor 1 is never rounded to 0 or 100.

    >>> whole_percent(0.875), whole_percent(0.999), whole_percent(0.001)
    ('88', '>99', '<1')
    """
    text = f"{share * 100:.0f}"
    if text == "100" and share < 1:
        return ">99"
    return "<1" if text == "0" and share > 0 else text


def _measured_cell(setting: Setting, split: str, kind: str) -> str:
    from rnn_tasks.runs.solving import numbers_of
    from rnn_tasks.runs.tables import percent
    from rnn_tasks.training.intervals import summarize

    numbers = numbers_of(setting.networks or setting.networks_so_far, split, kind)
    if not numbers:
        return ""
    return percent(None if all(number is None for number in numbers) else summarize(numbers), best=True)


def csv_row(row: SweepRow) -> dict[str, Any]:
    """Return a row of summary.csv, numbers in full: means over the replicates that have not failed.

    A column for each key that was swept has its value. Of several replicates there are also the 95 % interval of a mean
    or share (low, high), the best, how many are perfect, and the quartiles of the steps (low, high).
    """
    cells: dict[str, Any] = {"run": row.run, **_cells(row.swept), "state": row.state, "note": row.note}
    cells |= _solving_columns(row)
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


def _solving_columns(row: SweepRow) -> dict[str, Any]:
    from rnn_tasks.runs.solving import count_solved, share_solved, steps_until_solved

    (solved, count), share = count_solved(row.networks), share_solved(row.networks)
    if share is None:
        return {"solved at": row.bar, "solved": None, "not solved": None, "steps until solved": None}
    steps = steps_until_solved(row.networks)
    cells: dict[str, Any] = {"solved at": row.bar, "solved": solved, "not solved": count - solved}
    if count > 1:
        cells |= {"solved share": share.value, "solved share low": share.low, "solved share high": share.high}
    cells["steps until solved"] = steps and steps.value
    if count > 1:
        cells |= {"steps until solved low": steps and steps.low, "steps until solved high": steps and steps.high}
    return cells


def network_rows(rows: Sequence[SweepRow]) -> list[dict[str, Any]]:
    """Return the rows of networks.csv, one for each network of each finished run; a failed one has no numbers."""
    return [
        {
            "run": row.run,
            **_cells({key: value for key, value in row.swept.items() if key != "seed"}),
            "replicate": replicate,
            "seed": network.seed,
            "failed": network.failed,
            **_measured_columns_of(network.metrics),
            "solved": network.solved,
            "steps until solved": network.steps,
        }
        for row in rows
        if row.state == "done"
        for replicate, network in enumerate(row.networks)
    ]


def network_columns(rows: Sequence[SweepRow]) -> list[str]:
    """Return the columns of networks.csv, which are the same while no run has finished."""
    keys = dict.fromkeys(key for row in rows for key in row.swept if key != "seed")
    measured = _measured_columns_of({})
    return ["run", *keys, "replicate", "seed", "failed", *measured, "solved", "steps until solved"]


def _measured_columns_of(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    return {
        f"{split} {title}": metrics.get(split, {}).get(kind)
        for split in ("test", "val")
        for kind, title in TITLES.items()
    }


def _cells(swept: dict[str, Any]) -> dict[str, Any]:
    """Return the values of swept keys as cells of a table: lists and mappings as JSON."""
    return {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in swept.items()}

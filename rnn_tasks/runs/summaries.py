"""The summary of a sweep: tables and plots in its directory, and a table on the terminal."""

import csv
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from rnn_tasks.checks import DIRECTORY, DIRECTORY_RULE
from rnn_tasks.config import plan, require_one_place
from rnn_tasks.config.launchers import require_packages
from rnn_tasks.errors import UserError, one_line, refuse, tell
from rnn_tasks.files import write_atomically
from rnn_tasks.runs import sweep_tables, sweeps
from rnn_tasks.runs.settings import settings_of

PICTURE, SUMMARY, NETWORKS, TABLE = "sweep.png", "summary.csv", "networks.csv", "summary.md"  # in the directory
MOST_CURVES = 6  # of one plot, so that they can be told apart


def plot(sweep: Path, rows: list[sweeps.SweepRow]) -> None:
    """Save the picture of the sweep, and the test accuracy over the length where there are several."""
    from rnn_tasks.runs import plots, sweep_plots

    results = {row.run: row.result for row in rows if row.result and "test" in row.result["metrics"]}
    tests = {name: result["metrics"]["test"] for name, result in results.items()}
    curves = {name: test["by_length"] for name, test in tests.items() if len(test["by_length"]) > 1}
    if 1 <= len(curves) <= MOST_CURVES:
        first = next(iter(curves))
        measured = sorted(map(int, curves[first]))  # a file has the same lengths in all sets
        trained = results[first]["config"]["task"].get("lengths", (measured[0], measured[-1]))
        plots.save(plots.by_length(curves, tests[first]["chance"], trained), sweep / "test_by_length.png")
    if figure := sweep_plots.picture(settings_of(rows)):
        plots.save(figure, sweep / PICTURE)


def write_files(sweep: Path, rows: list[sweeps.SweepRow]) -> None:
    """Write summary.csv, networks.csv, summary.md and plots of a sweep to its directory.

    Raises:
        OSError: it cannot be written.
    """
    cells = [sweep_tables.csv_row(row) for row in rows]
    titles = sorted({title: None for row in cells for title in row}, key=lambda title: title == "seconds")
    _write_csv(sweep / SUMMARY, titles, cells)
    write_networks(sweep / NETWORKS, rows)
    write_atomically(sweep / TABLE, "\n\n".join(sweep_tables.tables_of(rows, "github")) + "\n")
    plot(sweep, rows)


def write_networks(file: Path, rows: list[sweeps.SweepRow]) -> None:
    """Write a CSV file with a row for each network of the finished runs of a sweep, see sweep_tables.network_rows.

    Raises:
        OSError: it cannot be written.
    """
    _write_csv(file, sweep_tables.network_columns(rows), sweep_tables.network_rows(rows))


def write_summary(sweep: Path, show: bool = True) -> bool:
    """Write the files of a sweep's summary, see write_files, and print the table.

    Args:
        sweep: its directory.
        show: whether the table is printed.

    Returns:
        Whether all runs have finished.
    """
    rows = sweeps.sweep_rows(sweep)
    write_files(sweep, rows)
    if show:
        tables = "\n\n".join(sweep_tables.tables_of(rows, "simple"))
        print(f"\n{tables}\n{sweep}", flush=True)
    return all(row.state in ("done", "trial") for row in rows)


def _write_csv(file: Path, titles: list[str], rows: list[dict[str, Any]]) -> None:
    text = StringIO(newline="")
    writer = csv.DictWriter(text, titles)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(file, text.getvalue())


def summarize(sweep: Path, show: bool = True) -> bool:
    """Write the summary of a sweep; what prevents it is told in one line, and the runs stay as they are.

    Args:
        sweep: its directory.
        show: whether the table is printed.

    Returns:
        Whether all runs have finished and the summary was written.
    """
    try:
        return write_summary(sweep, show)
    except Exception as error:
        tell(f"error: {sweep}: its summary cannot be written ({one_line(error)}); its runs are as they were")
        return False


def objective(result: dict[str, Any]) -> float | None:
    """Return the mean sequence accuracy in validation over the replicates that have not failed, for Hydra's sweepers.

    Source: https://hydra.cc/docs/plugins/optuna_sweeper, which maximizes or minimizes what a job returns.
    """
    numbers = result["metrics"].get("val", {}).get("sequence_accuracy", [])
    numbers = [number for number in numbers if number is not None]
    return sum(numbers) / len(numbers) if numbers else None


class SweepSummary(Callback):
    """Writes down what a sweep is to make at its start, and summarizes it at its end.

    The exit status is 1 if a run has not finished, or the summary is not written.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        hydra = config.hydra
        flags = ["--config-name", hydra.job.config_name] if hydra.job.config_name != "config" else []
        for source in hydra.runtime.config_sources:
            flags += ["--config-dir", source.path] if source.provider == "command-line" else []
        own = [word for word in hydra.overrides.hydra if not word.startswith("hydra.mode=")]
        try:
            require_packages(hydra)
            words = [*hydra.overrides.task, *own]
            made = plan(words, hydra, flags)
            require_one_place(made, hydra)
            if not re.fullmatch(DIRECTORY, str(config.name)):
                raise UserError(f"name={config.name}: must be {DIRECTORY_RULE}")
            sweeps.begin(Path(hydra.sweep.dir), made)
        except UserError as error:  # of an ordinary exception Hydra would only warn
            refuse(error)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not summarize(Path(config.hydra.sweep.dir)):
            sys.exit(1)

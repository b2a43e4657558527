"""The page with the table of the field."""

import math
from collections.abc import Iterable
from pathlib import Path

from rnn_tasks.errors import tell
from rnn_tasks.files import write_atomically
from rnn_tasks.report.archive import pack
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.formatting import mean_of
from rnn_tasks.report.markup import Table
from rnn_tasks.report.page import older_note, quick_note, render
from rnn_tasks.report.suite.entries import Entry, entries
from rnn_tasks.report.suite.pictures import survival_grid
from rnn_tasks.report.suite.published import figures
from rnn_tasks.report.suite.rules import RULES
from rnn_tasks.runs.solving import steps_until_solved
from rnn_tasks.training.intervals import hundredths, summarize

MODELS = "suite_models"
HEADINGS = (
    *("task", "cell", "units", "rate", "in range", "best of 10", "mean [95 %]", "at every length"),
    *("at 2,000 steps", "steps until solved", "seconds"),
)


def write(root: Path, file: Path, archive: Path | None = None) -> None:
    """Write the page on the runs below a directory as Markdown, with its picture beside it.

    Args:
        root: the directory.
        file: an .md file.
        archive: a file for the runs that the page has used, see archive.pack.
    """
    evidence = Evidence(root)
    found, missing = entries(evidence)
    for number, entry in enumerate(found, 1):
        tell(f"suite: lengths, {number} of {len(found)}: {entry.task}, {entry.cell}")
        entry.measured  # noqa: B018  # so that it is known how far the measurement is
    chosen = [entry.run for entry in found]
    plain = [entry for entry in found if not _best_possible(entry)]
    values = {
        "regular": _table(entry for entry in plain if entry.regular and entry.experiment != MODELS),
        "others": _table(entry for entry in plain if not entry.regular and entry.experiment != MODELS),
        "models": _table(entry for entry in plain if entry.experiment == MODELS),
        "bits": _bits(entry for entry in found if _best_possible(entry)),
        "published": _published(found),
        "rules": {name: (rule.__doc__ or "").strip() for name, rule in RULES.items()},
        "notes": [note for note in (quick_note(chosen, "suite"), older_note(chosen)) if note],
        "missing": missing,
        "minutes": f"{sum(run.result['seconds'] for entry in found for run in entry.runs) / 60:,.0f}",
        "networks": f"{sum(run.replicates for entry in found for run in entry.runs):,}",
        "images": file.stem,
    }
    images = file.parent / file.stem
    images.mkdir(parents=True, exist_ok=True)
    survival_grid([entry for entry in plain if entry.experiment != MODELS], images / "survival.png")
    write_atomically(file, render("suite.md.j2", values))
    if archive:
        pack(evidence, archive)


def _table(rows: Iterable[Entry]) -> Table:
    cells = [
        (
            entry.task,
            entry.cell,
            str(entry.run.value("model.hidden")),
            f"{entry.run.value('optimizer.lr'):g}",
            _count(entry.right_in_range, entry),
            "failed" if entry.best_of_ten is None else hundredths(entry.best_of_ten),
            _mean(entry),
            _count(entry.right_at_all, entry),
            "" if entry.right_far is None else _count(entry.right_far, entry),
            _steps(entry),
            f"{entry.run.result['seconds']:.0f}",
        )
        for entry in rows
    ]
    return Table(HEADINGS, cells)


def _count(count: int, entry: Entry) -> str:
    return f"{count} of {entry.run.replicates}"


def _mean(entry: Entry) -> str:
    if all(score is None for score in entry.scores):
        return "all failed"
    summary = summarize(entry.scores)
    low, high = summary.within
    return f"{hundredths(summary.mean)} [{hundredths(low)}, {hundredths(high)}]"


def _steps(entry: Entry) -> str:
    steps = steps_until_solved(entry.networks)
    return "" if steps is None else f"{steps.value:,.0f}"


def _best_possible(entry: Entry) -> float | None:
    """Return the loss of the best possible answers, where these cannot be known for certain."""
    return entry.run.result["metrics"]["test"].get("best_loss")


def _bits(rows: Iterable[Entry]) -> Table:
    cells = []
    for entry in rows:
        best = _best_possible(entry) or 0.0
        above = [None if loss is None else (loss - best) / math.log(2) for loss in entry.run.metric("test", "loss")]
        summary = summarize(above)
        cells.append(
            (
                *(entry.task, entry.cell, str(entry.run.value("model.hidden"))),
                f"{mean_of(above):.4f} [{summary.low:.4f}, {summary.high:.4f}]",
                f"{summary.least:.4f}",
                f"{best / math.log(2):.4f}",
                f"{entry.run.result['seconds']:.0f}",
            )
        )
    headings = ("task", "cell", "units", "bits above the optimum: mean [95 %]", "best", "optimum", "seconds")
    return Table(headings, cells)


def _published(found: list[Entry]) -> list[Table]:
    """Return a table for each source."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for figure in figures():
        judgement = figure.judged(found)
        cells = (figure.claim, f"`{figure.run}`" if figure.run else "", judgement.measured, str(judgement.n or ""))
        rows.setdefault(figure.source, []).append((*cells, f"**{judgement.verdict}**", judgement.why))
    headings = ("published", "networks", "measured [95 %]", "n", "verdict", "why")
    return [Table(headings, cells, caption=source) for source, cells in rows.items()]

"""The tables of the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rnn_tasks.report.claims import JudgedClaim
from rnn_tasks.report.finished import FULL, OLDER, OTHER, FinishedRun
from rnn_tasks.report.markup import Table
from rnn_tasks.training.intervals import Summary, hundredths, summarize

EXTENT = {FULL: "in full", OLDER: "in full, other numerics", OTHER: "other values"}


@dataclass(frozen=True)
class ExperimentRow:
    """Claimed and measured accuracies of a run.

    Attributes:
        selector: of the run, see Evidence.run.
        claimed: the claimed accuracies in per cent, by split; with one for "test".
        test, val: the measured accuracies, over the replicates.
        reached: number of replicates that reach the claim on the test set.
        examples: number of test sequences.
        chance: accuracy of guessing.
    """

    selector: str
    claimed: dict[str, float]
    test: Summary
    val: Summary
    reached: int
    examples: int
    chance: float

    @classmethod
    def of(cls, selector: str, claimed: dict[str, float], run: FinishedRun) -> "ExperimentRow":
        """Return the row of a run.

        Raises:
            Missing: it was not tested or not validated.
        """
        test = run.metric("test")
        reached = sum((accuracy or 0) >= claimed["test"] / 100 for accuracy in test)
        summaries = summarize(test), summarize(run.metric("val"))
        return cls(selector, claimed, *summaries, reached, run.examples("test"), run.chance)

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the row."""
        validation = f" ({self.claimed['val']:g})" if "val" in self.claimed else ""
        return (
            f"`{self.selector}`",
            f"{self.claimed['test']:g}{validation}",
            _mean_and_interval(self.test),
            hundredths(self.test.most),
            f"{self.reached} of {self.test.count}",
            _mean_and_interval(self.val),
            f"{self.examples:,}",
            f"{self.chance * 100:.0f}",
        )


def experiments_table(rows: Iterable[ExperimentRow]) -> Table:
    """Return a row for each run of which the student's report gives an accuracy."""
    headings = (
        *("experiment", "claimed: test (validation)", "test: mean [95 %]", "best", "reached it"),
        *("validation: mean [95 %]", "test examples", "chance"),
    )
    return Table(headings, [row.cells() for row in rows])


def runs_table(runs: Iterable[FinishedRun], root: Path) -> Table:
    """Return a row for each run that the report rests on, with its directory below ``root``."""
    rows = [
        (
            f"`{run.result['experiment']}`",
            f"`{run.path.relative_to(root)}`",
            str(run.replicates),
            str(run.epochs),
            f"{run.result['seconds'] / 60:.1f}",
            EXTENT[run.tier],
        )
        for run in sorted(runs, key=lambda run: str(run.path))
    ]
    return Table(("experiment", "directory", "networks", "epochs", "minutes", "run"), rows)


def claims_table(claims: Iterable[JudgedClaim]) -> Table:
    """Return a row for each claim."""
    rows = [
        (
            judged.claim.claim,
            f"`{judged.claim.run}`",
            judged.claim.claimed_text,
            judged.judgement.measured,
            str(judged.judgement.n or ""),
            f"**{judged.judgement.verdict}**",
            judged.judgement.why,
        )
        for judged in claims
    ]
    return Table(("claim", "run", "reported", "measured [95 %]", "n", "verdict", "why"), rows)


def _mean_and_interval(summary: Summary) -> str:
    low, high = summary.within
    return f"{hundredths(summary.mean)} [{hundredths(low)}, {hundredths(high)}]"

"""The rows of the table: of each task and cell the run whose learning rate is the best in validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from rnn_tasks.report import kept
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.experiments import SUITE, swept
from rnn_tasks.report.finished import FinishedRun, Missing
from rnn_tasks.report.formatting import Numbers, mean_of
from rnn_tasks.runs import evaluation, solving
from rnn_tasks.runs.run import Run
from rnn_tasks.training import lengths

CHOSEN, CELL = "optimizer.lr", "model"  # what is chosen in validation, and what has a row of its own in each task
TEN = 10  # networks that the best is taken from, as in published tables
LONGEST, FAR = 500, 2000  # steps
SOME, SAMPLES, FAR_SAMPLES = 16, 100, 50  # lengths beyond those of training, and sequences of each


@dataclass(frozen=True)
class Entry:
    """The networks of a cell on a task.

    Attributes:
        experiment: of the suite.
        setting: what tells it from the other entries of the experiment, by key, the cell left out.
        run: the best of ``runs`` in validation.
        runs: one for each learning rate.
    """

    experiment: str
    setting: Mapping[str, Any]
    run: FinishedRun
    runs: tuple[FinishedRun, ...]

    @property
    def task(self) -> str:
        """The task with what is special about it, like "tomita, grammar 3"."""
        words = [f"{key.rpartition('.')[2]} {value}" for key, value in self.setting.items() if key != "task"]
        return ", ".join([self.run.config.task.name, *words])

    @property
    def cell(self) -> str:
        return str(self.run.value(CELL))

    @cached_property
    def measured(self) -> dict[str, Any]:
        """What ``measure`` gives, once for each run."""
        return kept.measured_once(self.run, kept.LENGTHS, lambda: measure(self.run.load("all")))

    @property
    def regular(self) -> bool:
        """Whether the right answers are those of a finite automaton."""
        return self.measured["regular"]

    @property
    def beyond(self) -> lengths.ByLength:
        """The metrics at lengths beyond those of training, or on the test set where a task has no other lengths."""
        return self.measured["beyond"]

    @property
    def scores(self) -> Numbers:
        """The accuracy of each network, in the mean over the lengths."""
        return lengths.mean_over_lengths(self.beyond)

    @property
    def right_in_range(self) -> int:
        """The number of networks that make no error in the test set, at the lengths of training."""
        longest = self.run.config.task.get("lengths", [0, 0])[1]
        own = {length: values for length, values in self.run.by_length().items() if int(length) <= longest}
        shares = [values["sequence_accuracy"] for values in (own or self.run.by_length()).values()]
        return sum(all(share == 1 for share in network) for network in zip(*shares, strict=True))

    @property
    def best_of_ten(self) -> float | None:
        """The best score of the first ten networks; None if all of them have failed."""
        return max((score for score in self.scores[:TEN] if score is not None), default=None)

    @property
    def right_at_all(self) -> int:
        """The number of networks that make no error at any tested length."""
        return sum(self._flawless)

    @property
    def right_far(self) -> int | None:
        """The number of networks that make no error at about 2,000 steps either; None without such sequences."""
        far = self.measured["far"]
        if not far:
            return None
        (metrics,) = far.values()
        pairs = zip(self._flawless, metrics["sequence_accuracy"], strict=True)
        return sum(flawless and share == 1 for flawless, share in pairs)

    @property
    def _flawless(self) -> list[bool]:
        live = [score is not None for score in self.scores]
        return [a and error is None for a, error in zip(live, lengths.first_errors(self.beyond), strict=True)]

    @cached_property
    def networks(self) -> list[solving.Network]:
        """What has become of each network at the lengths of training."""
        return solving.networks_of(self.run.result, self.run.history)


def entries(evidence: Evidence) -> tuple[list[Entry], list[str]]:
    """Return the rows of the table, in the order of the experiments and their sweeps, and what is missing."""
    found: list[Entry] = []
    missing: list[str] = []
    for experiment in SUITE:
        choices, runs = swept(experiment), evidence.by_values(experiment)
        groups: dict[tuple[Any, ...], list[FinishedRun]] = {}
        for values in product(*choices.values()):
            fixed = tuple((key, value) for key, value in zip(choices, values, strict=True) if key != CHOSEN)
            groups.setdefault(fixed, []).extend([runs[values]] if values in runs else [])
        lacking = sum(len(own) < len(choices[CHOSEN]) for own in groups.values())
        if lacking:
            missing.append(f"of `experiment={experiment}` {lacking} of {len(groups)} rows lack runs")
        for setting, own in groups.items():
            if own:
                others = {key: value for key, value in setting if key != CELL}
                found.append(Entry(experiment, others, best_in_validation(own), tuple(own)))
    evidence.used |= {run.path: run for entry in found for run in entry.runs}
    return found, missing


def best_in_validation(runs: Iterable[FinishedRun]) -> FinishedRun:
    """Return the run with the greatest mean exact match in validation; of equal ones that with the lowest loss."""

    def rank(run: FinishedRun) -> tuple[float, float]:
        exact = [share or 0.0 for share in run.metric("val", "sequence_accuracy")]  # a failed network gets none right
        losses = run.metric("val", "loss")
        return mean_of(exact), -mean_of(losses) if any(loss is not None for loss in losses) else float("-inf")

    return max(runs, key=rank)


def measure(run: Run) -> dict[str, Any]:
    """Measure a run at lengths beyond those of its training.

    Returns:
        "regular", whether the task has an automaton. "beyond", the metrics at up to 16 lengths of at most 500, with 100
        sequences each; of a task without such lengths those of its own test set. "far", the metrics at the greatest
        length of 1,900 to 2,000, with 50 sequences; empty if there is none.
    """
    task = run.task
    longer = task.lengths_with_examples(task.lengths[1] + 1, LONGEST)
    far = task.lengths_with_examples(FAR - 100, FAR)[-1:] if longer else []
    beyond = evaluation.evaluate(run, _spread(longer), SAMPLES) if longer else evaluation.evaluate(run)
    return {
        "regular": task.automaton is not None,
        "beyond": beyond["by_length"],
        "far": evaluation.evaluate(run, far, FAR_SAMPLES)["by_length"] if far else {},
    }


def _spread(numbers: list[int]) -> list[int]:
    """Return at most SOME of rising numbers, evenly spread, the first and the last among them."""
    if len(numbers) <= SOME:
        return numbers
    step = (len(numbers) - 1) / (SOME - 1)
    return [numbers[round(i * step)] for i in range(SOME)]


def chosen(found: Iterable[Entry], selector: str) -> list[Entry]:
    """Return the entries that a selector like "suite task=parity model=lstm" names.

    Raises:
        Missing: there is none.
    """
    experiment, *values = selector.split()
    wanted = [value.partition("=")[::2] for value in values]
    own = [entry for entry in found if entry.experiment == experiment]
    named = [entry for entry in own if all(str(entry.run.value(key)) == value for key, value in wanted)]
    if not named:
        raise Missing(f"no finished run of `python -m rnn_tasks.train experiment={selector}`")
    return named

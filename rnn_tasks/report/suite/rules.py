"""The rules that judge published figures by what the networks of the suite have done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from rnn_tasks.report import verdicts
from rnn_tasks.report.judgement import FAILS, HOLDS, OPEN, Judgement
from rnn_tasks.report.suite.entries import TEN, Entry, best_in_validation
from rnn_tasks.training.intervals import summarize, wilson

Rule = Callable[..., Judgement]  # takes rows of the table, and the arguments of a published figure
LEVEL = 0.05


def best_reaches(entries: Sequence[Entry], accuracy: float) -> Judgement:
    """The best of the first ten networks is at least as accurate on the test set, up to the rounding of the figure."""
    shares = _chosen(entries).run.metric("test")
    best = max((share for share in shares[:TEN] if share is not None), default=0.0)
    slack = 0.5 * 10 ** -len(str(accuracy).partition(".")[2]) / 100
    verdict = HOLDS if best >= accuracy / 100 - slack else FAILS
    return _mean(Judgement(verdict, f"best of ten {best:.2%}, best of all {max(s or 0 for s in shares):.2%}"), shares)


def solves(entries: Sequence[Entry], solved: int, trials: int) -> Judgement:
    """As large a share of the networks gets the whole test set right, as far as Fisher's exact test can tell."""
    networks = _chosen(entries).networks
    count, total = sum(bool(network.solved) for network in networks), len(networks)
    p = float(stats.fisher_exact(np.array([[count, total - count], [solved, trials - solved]])).pvalue)
    low, high = wilson(count, total)
    if p >= LEVEL:
        verdict, comparison = HOLDS, "which cannot be told from"
    else:
        verdict, comparison = FAILS, "more than" if count / total > solved / trials else "fewer than"
    why = f"{count} of {total} networks solve it, {comparison} {solved} of {trials} (p = {p:.2g})"
    return Judgement(verdict, why, count / total, low, high, "%", total, "Fisher's exact test; Wilson's interval")


def sequences_needed(entries: Sequence[Entry], sequences: int) -> Judgement:
    """The networks that solve the task need no more training sequences for it in the mean."""
    entry = _chosen(entries)
    batch = entry.run.config.task.batch_size
    needed = [network.steps * batch for network in entry.networks if network.steps is not None]
    if len(needed) < verdicts.FEWEST:
        return Judgement(OPEN, f"{len(needed)} of {len(entry.networks)} networks solve it", n=len(needed))
    summary = summarize([float(number) for number in needed])
    verdict = HOLDS if summary.high <= sequences else FAILS if summary.low > sequences else OPEN
    why = f"a mean of {summary.mean:,.0f} sequences [{summary.low:,.0f}, {summary.high:,.0f}]; published {sequences:,}"
    return Judgement(verdict, why, None, n=len(needed), statistic=verdicts.interval_name(summary))


def _chosen(entries: Sequence[Entry]) -> Entry:
    """Return the entry whose networks are the best in validation."""
    best = best_in_validation(entry.run for entry in entries)
    return next(entry for entry in entries if entry.run is best)


def _mean(judgement: Judgement, numbers: list[float | None]) -> Judgement:
    if all(number is None for number in numbers):
        return replace(judgement, why="all networks failed (NaN)", n=len(numbers))
    summary = summarize(numbers)
    statistic = verdicts.interval_name(summary)
    return replace(
        judgement, value=summary.mean, low=summary.low, high=summary.high, n=summary.count, statistic=statistic
    )


RULES: dict[str, Rule] = {rule.__name__: rule for rule in (best_reaches, solves, sequences_needed)}

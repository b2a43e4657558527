"""Which networks have solved their task, and after how many optimizer steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training import KINDS
from rnn_tasks.training.intervals import summarize, wilson

PERFECT = 1.0  # the share of sequences that a network which has solved its task gets right
SOLVING = "val_sequence_accuracy"  # the column of history.csv that tells when it has
QUARTILES = (0.25, 0.5, 0.75)
MOST_STEPS = 1 << 53  # what a float holds exactly

Metrics = dict[str, list[float | None]]


@dataclass(frozen=True)
class Network:
    """What has become of one network of a run.

    Attributes:
        seed: its own.
        failed: whether its loss became infinite or NaN.
        metrics: its numbers by split ("test", "val") and kind.
        solved: whether the share of sequences that it gets right reaches the bar, in the test, or in validation where
            there is no test; None where neither was measured.
        steps: optimizer steps until the first validation, at the end of an epoch, that reached the bar; None if it has
            not solved the task, or that cannot be known.
        fold: of a cross-validation, the one that its test set is; None without.
    """

    seed: int
    failed: bool
    metrics: dict[str, dict[str, float | None]] = field(repr=False)
    solved: bool | None
    steps: int | None
    fold: int | None = None


class Estimate(NamedTuple):
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


class _Training(NamedTuple):
    """What a run's history tells of its networks."""

    seed: int
    schedule: TrainSchedule | None
    history: Sequence[Mapping[str, Any]]
    bar: float
    fold: int | None


def networks_of(result: dict[str, Any], history: Sequence[Mapping[str, Any]], bar: float = PERFECT) -> list[Network]:
    """Return the networks of a finished run.

    Args:
        result: the content of its result.json.
        history: the rows of its history.csv.
        bar: the share of sequences that a network must get right.
    """
    metrics = {split: result["metrics"][split] for split in ("test", "val") if split in result["metrics"]}
    failed = [loss is None for loss in result["metrics"]["train"]["loss"]]
    for values in metrics.values():
        failed = [before or loss is None for before, loss in zip(failed, values["loss"], strict=True)]
    schedule = _schedule(result["config"], result["metrics"]["train"].get("n"))
    return _networks(metrics, failed, _Training(result["seed"], schedule, history, bar, _fold(result["config"])))


def networks_so_far(
    config: Mapping[str, Any], history: Sequence[Mapping[str, Any]], bar: float = PERFECT
) -> list[Network]:
    """Return the networks of a run that has not finished, as its last validation found them; none before the first.

    Args:
        config: its configuration, checked.
        history: the rows of its history.csv.
        bar: the share of sequences that a network must get right.
    """
    last = {row["replicate"]: row for row in history if all(f"val_{kind}" in row for kind in KINDS)}
    if not last:
        return []
    replicates = range(config["model"].get("replicates", 1))
    val = {kind: [last[r][f"val_{kind}"] if r in last else None for r in replicates] for kind in KINDS}
    failed = [r not in last for r in replicates]
    return _networks({"val": val}, failed, _Training(config["seed"], _schedule(config), history, bar, _fold(config)))


def _fold(config: Mapping[str, Any]) -> int | None:
    """Return which fold of a cross-validation is the test set of a run; None without."""
    folds, fold = config["task"].get("folds"), config["task"].get("fold")
    return fold if type(folds) is int and type(fold) is int else None


def _networks(metrics: dict[str, Metrics], failed: list[bool], training: _Training) -> list[Network]:
    judged = metrics.get("test", metrics.get("val"))
    reached = _steps_to_bar(training)
    networks = []
    for replicate, bad in enumerate(failed):
        numbers = {split: {kind: values[kind][replicate] for kind in KINDS} for split, values in metrics.items()}
        solved = None if judged is None else (judged["sequence_accuracy"][replicate] or 0.0) >= training.bar
        steps = reached.get(replicate) if solved else None
        networks.append(Network(training.seed + replicate, bad, numbers, solved, steps, training.fold))
    return networks


def _steps_to_bar(training: _Training) -> dict[int, int]:
    """Return the optimizer steps until each replicate first reached the bar, where it has, in validation."""
    schedule = training.schedule
    if schedule is None:
        return {}
    first: dict[int, int] = {}
    for row in training.history:
        if row.get(SOLVING, -1.0) >= training.bar:
            first[row["replicate"]] = min(row["epoch"], first.get(row["replicate"], row["epoch"]))
    steps = {replicate: step_of_validation(schedule, epoch) for replicate, epoch in first.items()}
    return {replicate: step for replicate, step in steps.items() if 0 < step <= MOST_STEPS}


def step_of_validation(schedule: TrainSchedule, epoch: int) -> int:
    """Return how many optimizer steps of the run precede the last validation of an epoch.

    Args:
        schedule: of the run.
        epoch: counted from 1.
    """
    before, batches = (epoch - 1) * schedule.steps, schedule.batches
    if schedule.max_steps >= 0:
        batches = min(batches, max(0, schedule.max_steps - before) * schedule.accumulate)
    validated = batches // schedule.validate_every * schedule.validate_every
    return before + (schedule.steps if validated == schedule.batches else validated // schedule.accumulate)


def _schedule(config: Mapping[str, Any], examples: int | None = None) -> TrainSchedule | None:
    """Return the schedule of a run, without its data; None if it depends on them in another way than usual.

    Args:
        config: of the run.
        examples: of an epoch, where these are known; else they are those of the configuration.
    """
    task, trainer = config["task"], config["trainer"]
    names = ("accumulate_grad_batches", "val_check_interval", "max_steps")
    values = {name: trainer[name] for name in names}
    values["limit_train_batches"] = 1.0 if examples else trainer["limit_train_batches"]
    with suppress(ValueError, UserError):
        return TrainSchedule(examples or task.get("train_size"), task.get("batch_size"), **values)
    return None


def count_solved(networks: Sequence[Network]) -> tuple[int, int]:
    """Return how many networks have solved their task, and of how many that is known."""
    judged = [network.solved for network in networks if network.solved is not None]
    return sum(judged), len(judged)


def share_solved(networks: Sequence[Network]) -> Estimate | None:
    """Return the share of networks that have solved their task, with its 95 % interval (Wilson 1927).

    One that has failed has not solved it. None if nothing is known of any.
    """
    solved, count = count_solved(networks)
    return Estimate(solved / count, *wilson(solved, count)) if count else None


def steps_until_solved(networks: Sequence[Network]) -> Estimate | None:
    """Return the median and the quartiles of the optimizer steps of those that have solved their task; None if none."""
    steps = [network.steps for network in networks if network.steps is not None]
    if not steps:
        return None
    low, median, high = np.quantile(steps, QUARTILES).tolist()
    return Estimate(median, low, high)


def numbers_of(networks: Sequence[Network], split: str, kind: str) -> list[float | None]:
    """Return a metric of each network for which its split was measured; None for one that has failed.

    Networks of several folds of a cross-validation give a number for each fold, their mean: those of one fold have a
    training set in common.
    """
    folds: dict[int | None, list[float | None]] = {}
    for network in networks:
        if split in network.metrics:
            folds.setdefault(network.fold, []).append(network.metrics[split][kind])
    if len(folds) < 2:
        return [number for numbers in folds.values() for number in numbers]
    valid = [[number for number in numbers if number is not None] for numbers in folds.values()]
    return [fmean(numbers) if numbers else None for numbers in valid]


def judged_split(networks: Sequence[Network]) -> str:
    """Return the split that decides whether networks have solved their task: "val" if none has a test."""
    return "test" if any("test" in network.metrics for network in networks) else "val"


def judged_numbers(networks: Sequence[Network], kind: str) -> list[float | None]:
    """Return a metric of each network in the split that decides."""
    return numbers_of(networks, judged_split(networks), kind)


def mean_of(numbers: Sequence[float | None]) -> Estimate | None:
    """Return the mean of shares over the networks that have not failed, with its 95 % interval; None if all have."""
    if all(number is None for number in numbers):
        return None
    summary = summarize(numbers)
    return Estimate(summary.mean, *summary.within)

"""Length generalization: what the metrics at each length tell of every replicate.

The metrics are those of ``Tally.results`` at each length, "by_length" of result.json. A replicate whose numbers are
None has failed: it has no mean, and is wrong from the shortest length on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from rnn_tasks.training import KINDS
from rnn_tasks.training.intervals import wilson

ByLength = Mapping[str, Mapping[str, Any]]
FEW_BLOCKS = 6  # into which lengths are divided, about
NICE = (1, 2, 5)  # times a power of ten: how many lengths a block spans


def generalization(by_length: ByLength) -> dict[str, Any]:
    """Return what is told of length generalization, for JSON and data frames; nothing of no length.

    Returns:
        "mean_over_lengths" and "first_error", lists with a number for each replicate, and "survival": the lists
        "lengths", "right", "share", "low" and "high", and "median", see Survival.
    """
    if not by_length:
        return {}
    curve = survival(by_length)
    return {
        "mean_over_lengths": mean_over_lengths(by_length),
        "first_error": first_errors(by_length),
        "survival": {
            "lengths": curve.lengths,
            "right": curve.right,
            "share": curve.shares,
            "low": [low for low, _ in curve.intervals],
            "high": [high for _, high in curve.intervals],
            "median": curve.median,
        },
    }


def mean_over_lengths(by_length: ByLength, kind: str = "accuracy") -> list[float | None]:
    """Return the mean of a metric over the lengths, each of which counts equally, for each replicate.

    Of the accuracy it is the score of Deletang et al. 2023, "Neural Networks and the Chomsky Hierarchy", who give the
    greatest of several seeds. None stands in the place of a replicate that has failed.
    """
    return [_mean(own) for own in _of_each(by_length, kind)]


def _mean(numbers: Sequence[float | None]) -> float | None:
    valid = [number for number in numbers if number is not None]
    return fsum(valid) / len(valid) if len(valid) == len(numbers) else None


def first_errors(by_length: ByLength) -> list[int | None]:
    """Return the shortest length at which each replicate gets a sequence wrong; None for one that never does."""
    lengths = list(map(int, _rising(by_length)))
    matches = _of_each(by_length, "sequence_accuracy")
    return [next((length for length, share in zip(lengths, own, strict=True) if share != 1), None) for own in matches]


@dataclass(frozen=True)
class Survival:
    """How many replicates are still right, over the length.

    No replicate is lost from sight before the greatest length. So the share of those that are right is the estimate of
    Kaplan and Meier (1958) of the probability that a replicate is right up to a length.

    Attributes:
        lengths: those that were measured, rising.
        right: how many replicates make no error at this length and at all shorter ones.
        replicates: how many there are, those that have failed included.
    """

    lengths: list[int]
    right: list[int]
    replicates: int

    @property
    def shares(self) -> list[float]:
        """The share of the replicates that are right, at each length."""
        return [count / self.replicates for count in self.right]

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """The 95 % interval of each share (Wilson 1927)."""
        known = {count: wilson(count, self.replicates) for count in set(self.right)}
        return [known[count] for count in self.right]

    @property
    def median(self) -> int | None:
        """The shortest length at which no more than half of the replicates are right; None if there is none."""
        return next((length for length, share in zip(self.lengths, self.shares, strict=True) if share <= 0.5), None)

    @property
    def described_median(self) -> str:
        """The median in words."""
        return f"beyond length {self.lengths[-1]}" if self.median is None else f"length {self.median}"


def survival(by_length: ByLength) -> Survival:
    """Return how many replicates are right at each length and all shorter ones."""
    lengths, errors = list(map(int, _rising(by_length))), first_errors(by_length)
    right = [sum(error is None or error > length for error in errors) for length in lengths]
    return Survival(lengths, right, len(errors))


def blocks(by_length: ByLength) -> dict[str, dict[str, Any]]:
    """Return the metrics in about six blocks of lengths, by names like "41-100"; each length counts equally.

    A block begins behind a round number, and its name has the lengths that were measured. Lengths that lie far from all
    others are blocks of their own.
    """
    width = _round_number(len(by_length) / FEW_BLOCKS)
    members: dict[int, list[str]] = {}
    for length in _rising(by_length):
        members.setdefault((int(length) - 1) // width, []).append(length)
    named = {f"{own[0]}-{own[-1]}" if len(own) > 1 else own[0]: own for own in members.values()}
    return {name: _block({length: by_length[length] for length in own}) for name, own in named.items()}


def _block(by_length: ByLength) -> dict[str, Any]:
    parts = list(by_length.values())
    counts = {key: sum(part[key] for part in parts) for key in ("n", "answers") if all(key in part for part in parts)}
    return counts | {kind: mean_over_lengths(by_length, kind) for kind in KINDS}


def _round_number(least: float) -> int:
    """Return the first of 1, 2, 5, 10, 20, 50 ... that is not below a number."""
    return next(first * 10**power for power in range(9) for first in NICE if first * 10**power >= least)


def _of_each(by_length: ByLength, kind: str) -> list[Sequence[float | None]]:
    """Return a metric of each replicate, at all lengths from the shortest on."""
    return list(zip(*(by_length[length][kind] for length in _rising(by_length)), strict=True))


def _rising(by_length: ByLength) -> list[str]:
    return sorted(by_length, key=int)

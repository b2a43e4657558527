"""What the numbers of many replicates say: mean, interval and extremes."""

from typing import NamedTuple

import torch
from scipy.special import stdtrit
from torch import Tensor

from rnn_tasks.seeds import generator

RESAMPLES, FEWEST_TO_RESAMPLE = 10_000, 10


class Summary(NamedTuple):
    """What the numbers of many replicates say.

    Attributes:
        mean: over the replicates that have not failed, as are the others.
        low, high: 95 % interval of the mean, by ``interval``.
        least, most: extremes.
        perfect: how many are 1, right in everything.
        count: of all replicates.
        failed: how many became NaN.
    """

    mean: float
    low: float
    high: float
    least: float
    most: float
    perfect: int
    count: int
    failed: int

    @property
    def within(self) -> tuple[float, float]:
        """The interval of a share, which lies from 0 to 1."""
        return max(0.0, self.low), min(1.0, self.high)


def summarize(numbers: list[float | None]) -> Summary:
    """Mean, interval, extremes and count of a metric over the replicates, of which None has failed."""
    told = torch.tensor([number for number in numbers if number is not None], dtype=torch.float64)
    failed = len(numbers) - len(told)
    mean, least, most, perfect = told.mean().item(), told.min().item(), told.max().item(), int((told == 1).sum())
    return Summary(mean, *interval(told), least, most, perfect, len(numbers), failed)


def interval(told: Tensor) -> tuple[float, float]:
    """95 % interval of a mean: by bootstrap (percentiles of 10,000 resamples), of fewer than 10 numbers Student's t.

    A bootstrap of three covers the mean in 76 % of cases, not in 95.
    """
    if 1 < len(told) < FEWEST_TO_RESAMPLE:
        half = float(stdtrit(len(told) - 1, 0.975)) * told.std().item() / len(told) ** 0.5
        return told.mean().item() - half, told.mean().item() + half
    picks = torch.randint(len(told), (RESAMPLES, len(told)), generator=generator("bootstrap"))
    return tuple(told[picks].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist())


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a probability of which ``successes`` of ``trials`` are known."""
    z = 1.959964
    share, weight = successes / trials, z * z / trials
    middle, half = share + weight / 2, z * (share * (1 - share) / trials + weight / (4 * trials)) ** 0.5
    return max(0.0, (middle - half) / (1 + weight)), min(1.0, (middle + half) / (1 + weight))


def curve(numbers: list[float | None]) -> dict[str, float]:
    """What is logged of a metric, by the end of its name: the mean, and of several replicates also the extremes."""
    told = [number for number in numbers if number is not None]
    if not told:
        return {}
    several = {"_min": min(told), "_max": max(told)} if len(numbers) > 1 else {}
    return {"": sum(told) / len(told), **several}

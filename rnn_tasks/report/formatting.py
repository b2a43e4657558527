"""Numbers as people read them."""

from collections.abc import Mapping, Sequence
from statistics import mean

from rnn_tasks.training.intervals import hundredths

Numbers = Sequence[float | None]  # one for each replicate, None for one that has failed


def mean_of(numbers: Numbers) -> float:
    """Return the mean over the replicates that have not failed."""
    return mean(number for number in numbers if number is not None)


def percent(share: float) -> str:
    """Return a share in per cent with up to two decimals; a share below 1 is never rounded to 100 %."""
    return f"{hundredths(share).removesuffix('.00')} %"


def mean_percent(shares: Numbers) -> str:
    """Return the mean of accuracies, in per cent."""
    return percent(mean_of(shares))


def list_percent(shares: Mapping[str, float]) -> str:
    """Return named shares in one line."""
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items())

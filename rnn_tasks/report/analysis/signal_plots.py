"""Figures of how far back answers reach, and of the dimensions of states over training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from rnn_tasks.runs.plots import COLORS, PANEL, styled

FAINTEST = 1e-12  # gradient, below which nothing is drawn


@styled
def gradients(by_lag: Tensor) -> Figure:
    """Plot the gradient of the answer over the lag: a thin line for each replicate, a thick one for the median.

    Args:
        by_lag: [R, T].
    """
    figure = Figure(figsize=PANEL, layout="constrained")
    axes = figure.subplots()
    lags = np.arange(by_lag.shape[1])
    lines = by_lag.double().numpy()
    lines = np.where(lines < FAINTEST, np.nan, lines)
    several = len(lines) > 1
    for line in lines:
        axes.plot(lags, line, color=COLORS[0], linewidth=0.7 if several else 2, alpha=0.5 if several else 1)
    if several:
        middle = np.median(by_lag.double().numpy(), 0)
        axes.plot(lags, np.where(middle < FAINTEST, np.nan, middle), color="black", linewidth=2, label="median")
        axes.legend(fontsize="small")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="lag: steps before the answer", ylabel="gradient of the answer")
    return figure


@styled
def participation(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Plot the participation ratio of the states over training.

    Args:
        curves: step and value of the mean over the replicates, and with the suffixes _min and _max of the extremes.
    """
    figure = Figure(figsize=PANEL, layout="constrained")
    axes = figure.subplots()
    mean, low, high = (dict(curves.get(f"participation{end}", ())) for end in ("", "_min", "_max"))
    axes.plot(list(mean), list(mean.values()), color=COLORS[0], marker="o", markersize=3)
    if steps := [step for step in low if step in high]:
        axes.fill_between(
            steps, [low[step] for step in steps], [high[step] for step in steps], color=COLORS[0], alpha=0.15
        )
    axes.set(xlabel="optimizer steps", ylabel="participation ratio")
    axes.set_ylim(0, 1.1 * max(*mean.values(), *high.values()))
    return figure

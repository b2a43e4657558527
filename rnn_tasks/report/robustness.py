"""Handwriting from elsewhere: how the networks of MNIST read it, and what each ingredient of the reader brings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from rnn_tasks.errors import UserError
from rnn_tasks.report import kept
from rnn_tasks.report.drawing import Drawing
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.figures import MNIST
from rnn_tasks.report.finished import FinishedRun, Missing
from rnn_tasks.report.formatting import Numbers, mean_of, percent
from rnn_tasks.report.markup import Table
from rnn_tasks.runs import evaluation, plots
from rnn_tasks.tasks import mnist_ood
from rnn_tasks.training.intervals import summarize
from rnn_tasks.training.metrics import Reliability

PART = "handwriting"
READERS = {selector.removeprefix("mnist_"): selector for selector in (*MNIST, "mnist_handwriting")}
CORNERS = {  # of the ablation
    "the report's LSTM": "mnist_ablation_plain model=lstm",
    "with augmentation": "mnist_ablation model=lstm",
    "with the reader's architecture": "mnist_ablation_plain model=crnn",
    "with both": "mnist_ablation model=crnn",
}
LAST = "calibration error on USPS"
CALIBRATED = ("MNIST", "USPS", "occlusion")

Metrics = dict[str, dict[str, Any]]  # of all networks of a run, by the name of a set


def measure(run: FinishedRun) -> Metrics:
    """Return the metrics of all networks of a run on each set of mnist_ood.

    They are kept in ``ood.json`` beside the run's result.

    Raises:
        Missing: USPS is not there and cannot be downloaded.
    """
    return kept.measured_once(run, kept.OOD, lambda: _measured(run))


def _measured(run: FinishedRun) -> Metrics:
    try:
        return evaluation.out_of_distribution(run.load("all"))
    except UserError as reason:
        raise Missing(str(reason)) from None


@dataclass(frozen=True)
class SetAccuracy:
    """The accuracy of several runs on one set.

    Attributes:
        name: of the set.
        accuracies: of the replicates of each run, in the order of the columns.
    """

    name: str
    accuracies: tuple[Numbers, ...]

    def cells(self) -> tuple[str, ...]:
        """Return the set's name, and for each run the mean accuracy in % and half of its 95 % interval."""
        return (self.name, *map(_mean_and_half, self.accuracies))


def _mean_and_half(accuracies: Numbers) -> str:
    summary = summarize(accuracies)
    half = f" ± {(summary.high - summary.low) * 50:.2f}" if summary.count - summary.failed > 1 else ""
    return f"{summary.mean * 100:.2f}{half}"


def accuracy_table(caption: str, by_run: Mapping[str, Metrics]) -> Table:
    """Return a row for each set, a column for each run, and a last row with the calibration errors on USPS."""
    names = next(iter(by_run.values()))
    rows = [SetAccuracy(name, tuple(sets[name]["accuracy"] for sets in by_run.values())) for name in names]
    errors = [percent(mean_of(sets["USPS"]["calibration_error"])) for sets in by_run.values()]
    return Table(("read", *by_run), [*(row.cells() for row in rows), (LAST, *errors)], caption)


def _measure_all(evidence: Evidence, selectors: Mapping[str, str]) -> tuple[dict[str, Metrics], list[str]]:
    """Return the metrics of those runs that are there, by their names, and why others are missing."""
    by_run, missing = {}, []
    for name, selector in selectors.items():
        try:
            by_run[name] = measure(evidence.run(selector))
        except Missing as reason:
            missing.append(str(reason))
    return by_run, missing


def tables(evidence: Evidence) -> tuple[list[Table], list[str]]:
    """Return the tables of accuracies, and why others are left out."""
    corruptions = "; ".join(f"{name} {how}" for name, (how, _) in mnist_ood.CORRUPTIONS.items())
    captions = {
        "Accuracy in % of networks that have only seen MNIST's training images: mean of the networks ± half of its 95 %"
        " interval. “As it is” means enlarged to 28 x 28; other digits are in MNIST's form: within 20 x 20, the centre"
        f" of mass in the middle. MNIST's test images are corrupted in eight ways ({corruptions}). The reader's"
        " augmentation has all these kinds, most of them weaker. USPS and UCI are foreign to all networks.": READERS,
        "What each ingredient brings: the report's LSTM (one layer of 128 units, its last state) and the reader's"
        " architecture, with and without augmentation, all trained as the reader is (AdamW, cosine, label smoothing,"
        " batches of 128), for 10 epochs. The gain from MNIST's form, centre of mass and size, is the difference"
        " between USPS or UCI and the same set as it is.": CORNERS,
    }
    shown, missing = [], []
    for caption, selectors in captions.items():
        by_run, reasons = _measure_all(evidence, selectors)
        missing += reasons
        if by_run:
            shown.append(accuracy_table(caption, by_run))
    return shown, missing


def figures(evidence: Evidence) -> Iterator[Drawing]:
    """Return the accuracy on each set, and reliability diagrams."""
    by_run, missing = _measure_all(evidence, READERS)
    if not by_run:
        raise Missing(missing[0])
    least = {run: min((mean_of(sets[name]["accuracy"]), name) for name in sets) for run, sets in by_run.items()}
    lowest = ", ".join(f"{percent(share)} ({name}) of {run}" for run, (share, name) in least.items())
    alt = f"Accuracy by set of images; the lowest is {lowest}."
    caption = "Other handwriting and corrupted images: the report's networks and the handwriting reader"
    yield Drawing("ood", PART, caption, alt, _dots(by_run))
    errors = {run: percent(mean_of(sets["USPS"]["calibration_error"])) for run, sets in by_run.items()}
    listed = ", ".join(f"{error} of {run}" for run, error in errors.items())
    alt = f"Reliability: share of right answers by confidence; expected calibration error on USPS {listed}."
    caption = (
        "Reliability: share of right answers by confidence. ECE, the expected calibration error (Naeini et al. 2015),"
        " is the mean distance from the diagonal"
    )
    yield Drawing("reliability", PART, caption, alt, _reliability(by_run))


def _style(run: str) -> dict[str, Any]:
    """Colour and marker of a run; the reader, which is the last, is black."""
    number = list(READERS).index(run)
    last = number == len(READERS) - 1
    return {"color": plots.COLORS[-1 if last else number], "marker": plots.MARKERS[number]}


@plots.styled
def _dots(by_run: Mapping[str, Metrics]) -> Figure:
    """Return the mean accuracy on each set, a row for each set."""
    names = list(next(iter(by_run.values())))
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for run, sets in by_run.items():
        shares = [mean_of(sets[name]["accuracy"]) for name in names]
        axes.plot(shares, range(len(names)), linestyle="", label=run, **_style(run))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    counts = [len(sets[name]["accuracy"]) for sets in by_run.values() for name in names]
    axes.set(xlabel=f"accuracy, {plots.means_of(counts)}", xlim=(None, 1.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside upper center", ncols=len(by_run))
    return figure


@plots.styled
def _reliability(by_run: Mapping[str, Metrics]) -> Figure:
    """Reliability diagrams: the share of right answers in each bin of confidence with at least 10 answers."""
    figure = Figure(figsize=(3.6 * len(CALIBRATED), 4.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(CALIBRATED), sharey=True), CALIBRATED, strict=True):
        axes.plot((0, 1), (0, 1), color="grey", linewidth=1, linestyle=":")
        for run, sets in by_run.items():
            bins = [each for each in sets[name]["bins"] if each is not None]
            answers, confidences, right = torch.tensor(bins).sum(0).unbind(-1)  # over all its networks
            enough = answers >= 10
            error = percent(mean_of(sets[name]["calibration_error"]))
            x, y = (confidences / answers)[enough].tolist(), (right / answers)[enough].tolist()
            axes.plot(x, y, markersize=4, linewidth=1.2, label=f"{run}: ECE {error}", **_style(run))
        axes.set(title=name, xlabel=f"confidence ({Reliability.BINS} bins)", xlim=(0, 1), ylim=(0, 1))
        axes.legend(fontsize=8, loc="lower right")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    figure.axes[0].set_ylabel("right answers, of all replicates together")
    return figure

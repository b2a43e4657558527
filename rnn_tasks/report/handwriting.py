"""Handwriting from elsewhere: how the networks of MNIST read it, and what each ingredient of the reader brings."""

import json
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from inspect import getsource
from statistics import mean
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from rnn_tasks import evaluate, handwriting, plots, runs
from rnn_tasks.metrics import Reliability, spread
from rnn_tasks.report.evidence import Evidence, Found, Missing
from rnn_tasks.report.figures import MNIST, Drawing, draws
from rnn_tasks.report.verdicts import percent
from rnn_tasks.tasks import augmentation, mnist_ood

READER = "mnist_handwriting"
PART = "handwriting"
CORNERS = {  # of the ablation
    "the report's LSTM": "mnist_ablation_plain model=lstm",
    "with augmentation": "mnist_ablation model=lstm",
    "with the reader's architecture": "mnist_ablation_plain model=crnn",
    "with both": "mnist_ablation model=crnn",
}
CALIBRATED = ("MNIST", "USPS", "occlusion")

Sets = dict[str, dict[str, Any]]


def measured(found: Found) -> Sets:
    """Metrics of all networks of a run on each set of mnist_ood.

    They are kept in ``ood.json`` beside the run's result, and measured again when the sets or the run have changed.

    Raises:
        Missing: USPS is not there and cannot be downloaded.
    """
    sources = "".join(getsource(module) for module in (evaluate, mnist_ood, augmentation, handwriting))
    key = blake2b((sources + found.result["fingerprint"]).encode(), digest_size=16).hexdigest()
    path = found.path / "ood.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return kept["sets"]
    sets = evaluate.out_of_distribution(found.load("all"))
    with suppress(OSError):  # the runs may lie where one cannot write
        runs.write_atomically(path, json.dumps({"key": key, "sets": sets}))
    return sets


def accuracies(evidence: Evidence, names: dict[str, str]) -> list[dict[str, str]]:
    """A row for each set, a column for each run: the mean accuracy over its networks and half of its 95 % interval.

    Args:
        evidence: the runs.
        names: words of the runs by the names of their columns.
    """
    found = {}
    for name, words in names.items():
        with suppress(Missing):
            found[name] = measured(evidence.run(words))
    if not found:
        raise Missing(f"no finished run of python -m rnn_tasks.train experiment={next(iter(names.values()))}")
    rows = []
    for of in next(iter(found.values())):
        rows.append({"read": of} | {name: _accuracy(sets[of]["accuracy"]) for name, sets in found.items()})
    errors = {name: percent(spread(sets["USPS"]["calibration_error"]).mean) for name, sets in found.items()}
    return [*rows, {"read": "calibration error on USPS"} | errors]


def _accuracy(numbers: list[float | None]) -> str:
    told = spread(numbers)
    return f"{told.mean * 100:.2f} ± {(told.high - told.low) * 50:.2f}"


def tables(evidence: Evidence) -> tuple[list[tuple[str, list[dict[str, str]]]], list[str]]:
    """Captioned tables of accuracies, and why others are left out."""
    found, missing = [], []
    of = f"{len(mnist_ood.CORRUPTIONS)} ways to spoil MNIST's test images: " + ", ".join(
        f"{name} {how}" for name, (how, _) in mnist_ood.CORRUPTIONS.items()
    )
    for caption, names in (
        (
            "Accuracy in % of the report's five networks and of the handwriting reader, all of MNIST's training images"
            f" alone (mean of the networks ± half of its 95 % interval). “As it is” means enlarged to 28 x 28; else in"
            f" MNIST's form, fitted into 20 x 20 with the centre of mass in the middle. {of}.",
            {words.removeprefix("mnist_"): words for words in (*MNIST, READER)},
        ),
        (
            "What each ingredient brings: the report's LSTM (one layer of 128 units, its last state) and the reader's"
            " architecture, with and without augmentation, otherwise trained alike in 10 epochs. What the centre of"
            " mass brings is the difference between USPS or UCI and the same as it is.",
            CORNERS,
        ),
    ):
        try:
            found.append((caption, accuracies(evidence, names)))
        except Missing as reason:
            missing.append(str(reason))
    return found, missing


@draws
def robustness(evidence: Evidence) -> Iterator[Drawing]:
    reader = measured(evidence.run(READER))
    sets = {words.removeprefix("mnist_"): measured(evidence.run(words)) for words in MNIST} | {"handwriting": reader}
    least = {name: min((mean_of(one["accuracy"]), of) for of, one in found.items()) for name, found in sets.items()}
    alt = "Accuracy by set of images; the least is " + ", ".join(
        f"{percent(share)} ({of}) of {name}" for name, (share, of) in least.items()
    )
    caption = "Other handwriting and spoilt images: the report's networks and the handwriting reader"
    yield Drawing("ood", PART, caption, f"{alt}.", _dots(sets))
    errors = {name: mean_of(found["USPS"]["calibration_error"]) for name, found in sets.items()}
    alt = "Reliability: share of right answers over confidence; expected calibration error on USPS " + ", ".join(
        f"{percent(error)} of {name}" for name, error in errors.items()
    )
    caption = "Calibration: how often answers are right that are given with a confidence; ECE is the expected error"
    yield Drawing("reliability", PART, caption, f"{alt}.", _reliability(sets))


def mean_of(numbers: list[float | None]) -> float:
    return mean(number for number in numbers if number is not None)


@plots.styled
def _dots(runs: dict[str, Sets]) -> Figure:
    """The mean accuracy on each set, a row each."""
    names = list(next(iter(runs.values())))
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for i, (run, sets) in enumerate(runs.items()):
        last = i == len(runs) - 1
        style = {"color": plots.COLORS[6 if last else i], "marker": "D" if last else plots.MARKERS[i]}
        shares = [mean_of(sets[name]["accuracy"]) for name in names]
        axes.plot(shares, range(len(names)), linestyle="", markersize=8 if last else 6, label=run, **style)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="accuracy", xlim=(None, 1.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside upper center", ncols=len(runs))
    return figure


@plots.styled
def _reliability(runs: dict[str, Sets]) -> Figure:
    """The share of right answers in each bin of confidence that has at least 10 answers, over the bin's confidence."""
    figure = Figure(figsize=(3.6 * len(CALIBRATED), 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(CALIBRATED), sharey=True), CALIBRATED, strict=True):
        axes.plot((0, 1), (0, 1), color="grey", linewidth=1, linestyle=":")
        for i, (run, sets) in enumerate(runs.items()):
            last = i == len(runs) - 1
            style = {"color": plots.COLORS[6 if last else i], "marker": "D" if last else plots.MARKERS[i]}
            answers, confidences, right = torch.tensor(sets[name]["bins"]).sum(0).unbind(-1)  # of all its networks
            enough = answers >= 10
            error = percent(mean_of(sets[name]["calibration_error"]))
            x, y = (confidences / answers)[enough].tolist(), (right / answers)[enough].tolist()
            axes.plot(x, y, markersize=4, linewidth=1.2, label=f"{run}: ECE {error}", **style)
        axes.set(title=name, xlabel=f"confidence ({Reliability.BINS} bins)", xlim=(0, 1), ylim=(0, 1))
        axes.legend(fontsize="x-small", loc="lower right")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    figure.axes[0].set_ylabel("right answers")
    return figure

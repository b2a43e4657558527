"""Handwriting from elsewhere: how the networks of MNIST read it, and what each ingredient of the reader brings."""

import json
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from inspect import getsource
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from rnn_tasks.errors import UserError
from rnn_tasks.files import write_atomically
from rnn_tasks.photos.digits import normalize_like_mnist
from rnn_tasks.report.evidence import Evidence, FinishedRun, Missing
from rnn_tasks.report.figures import MNIST, Drawing, draws
from rnn_tasks.report.verdicts import mean_of, percent
from rnn_tasks.runs import evaluation, plots
from rnn_tasks.tasks import augmentation, mnist_ood
from rnn_tasks.training.intervals import summarize
from rnn_tasks.training.metrics import Reliability

PART = "handwriting"
READERS = {words.removeprefix("mnist_"): words for words in (*MNIST, "mnist_handwriting")}
CORNERS = {  # of the ablation
    "the report's LSTM": "mnist_ablation_plain model=lstm",
    "with augmentation": "mnist_ablation model=lstm",
    "with the reader's architecture": "mnist_ablation_plain model=crnn",
    "with both": "mnist_ablation model=crnn",
}
LAST = "calibration error on USPS"
CALIBRATED = ("MNIST", "USPS", "occlusion")

Sets = dict[str, dict[str, Any]]


def measured(found: FinishedRun) -> Sets:
    """Metrics of all networks of a run on each set of mnist_ood.

    They are kept in ``ood.json`` beside the run's result, and measured again when the sets, the measures or the run's
    weights have changed.

    Raises:
        Missing: USPS is not there and cannot be downloaded.
    """
    path, digest = found.path / "ood.json", blake2b(digest_size=16)
    for source in (
        evaluation.measure,
        evaluation.out_of_distribution,
        Reliability,
        mnist_ood,
        augmentation,
        normalize_like_mnist,
    ):
        digest.update(getsource(source).encode())
    with suppress(OSError):
        digest.update((found.path / "checkpoints" / "last.ckpt").read_bytes())
    key = digest.hexdigest()
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return kept["sets"]
    try:
        sets = evaluation.out_of_distribution(found.load("all"))
    except UserError as reason:
        raise Missing(str(reason)) from None
    with suppress(OSError):  # the runs may lie where one cannot write
        write_atomically(path, json.dumps({"key": key, "sets": sets}, allow_nan=False))
    return sets


def accuracies(found: dict[str, Sets]) -> list[dict[str, str]]:
    """A row for each set, a column for each run: the mean accuracy over its networks and half of its 95 % interval."""
    rows = []
    for of in next(iter(found.values())):
        rows.append({"read": of} | {name: _accuracy(sets[of]["accuracy"]) for name, sets in found.items()})
    errors = {name: percent(mean_of(sets["USPS"]["calibration_error"])) for name, sets in found.items()}
    return [*rows, {"read": LAST} | errors]


def _found(evidence: Evidence, names: dict[str, str]) -> tuple[dict[str, Sets], list[str]]:
    """What was measured of those runs that are there, by their names, and why others are missing."""
    found, missing = {}, []
    for name, words in names.items():
        try:
            found[name] = measured(evidence.run(words))
        except Missing as reason:
            missing.append(str(reason))
    return found, missing


def _accuracy(numbers: list[float | None]) -> str:
    told = summarize(numbers)
    half = f" ± {(told.high - told.low) * 50:.2f}" if told.count - told.failed > 1 else ""
    return f"{told.mean * 100:.2f}{half}"


def tables(evidence: Evidence) -> tuple[list[tuple[str, list[dict[str, str]]]], list[str]]:
    """Captioned tables of accuracies, and why others are left out."""
    spoilt = "; ".join(f"{name} {how}" for name, (how, _) in mnist_ood.CORRUPTIONS.items())
    captions = {
        "What networks that have seen MNIST's training images alone read of them: accuracy in %, mean of the networks ±"
        " half of its 95 % interval. “As it is” means enlarged to 28 x 28, else digits are in MNIST's form: within 20 x"
        f" 20, the centre of mass in the middle. MNIST's test images are spoilt in eight ways ({spoilt}); of these the"
        " reader's augmentation has all kinds, mostly less of each. Foreign to all are USPS and UCI.": READERS,
        "What each ingredient brings: the report's LSTM (one layer of 128 units, its last state) and the reader's"
        " architecture, with and without augmentation, all by the reader's recipe (AdamW, cosine, label smoothing,"
        " batches of 128) in 10 epochs. What MNIST's form brings, centre of mass and size, is the difference between"
        " USPS or UCI and the same as it is.": CORNERS,
    }
    shown, missing = [], []
    for caption, names in captions.items():
        found, without = _found(evidence, names)
        missing += without
        if found:
            shown.append((caption, accuracies(found)))
    return shown, missing


@draws
def robustness(evidence: Evidence) -> Iterator[Drawing]:
    sets, missing = _found(evidence, READERS)
    if not sets:
        raise Missing(missing[0])
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


def _style(run: str) -> dict[str, str]:
    """Colour and marker of a run; black of the reader, the last."""
    number = list(READERS).index(run)
    last = number == len(READERS) - 1
    return {"color": plots.COLORS[-1 if last else number], "marker": plots.MARKERS[number]}


@plots.styled
def _dots(runs: dict[str, Sets]) -> Figure:
    """The mean accuracy on each set, a row each."""
    names = list(next(iter(runs.values())))
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for run, sets in runs.items():
        shares = [mean_of(sets[name]["accuracy"]) for name in names]
        axes.plot(shares, range(len(names)), linestyle="", label=run, **_style(run))
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
        for run, sets in runs.items():
            bins = [one for one in sets[name]["bins"] if one is not None]
            answers, confidences, right = torch.tensor(bins).sum(0).unbind(-1)  # of all its networks
            enough = answers >= 10
            error = percent(mean_of(sets[name]["calibration_error"]))
            x, y = (confidences / answers)[enough].tolist(), (right / answers)[enough].tolist()
            axes.plot(x, y, markersize=4, linewidth=1.2, label=f"{run}: ECE {error}", **_style(run))
        axes.set(title=name, xlabel=f"confidence ({Reliability.BINS} bins)", xlim=(0, 1), ylim=(0, 1))
        axes.legend(fontsize="x-small", loc="lower right")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    figure.axes[0].set_ylabel("right answers")
    return figure

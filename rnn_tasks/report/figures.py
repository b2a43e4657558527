"""The figures of the report, each with what it shows in words."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from matplotlib.figure import Figure

from rnn_tasks.errors import UserError
from rnn_tasks.report.evidence import Evidence, Missing
from rnn_tasks.report.verdicts import mean_of, percent
from rnn_tasks.runs import plots
from rnn_tasks.training.intervals import summarize

MNIST = ("mnist_rnn_sgd", "mnist_rnn_adam", "mnist_lstm_sgd", "mnist_lstm_sgd_slow", "mnist_birnn_adam")
MEMORY = ("memory_hidden2", "memory_hidden5", "memory_hidden10")
ADDER = tuple(f"adder_hidden model.hidden={hidden}" for hidden in (1, 3, 5))
BOTH_LOSSES = tuple(f"adder_loss loss={loss}" for loss in ("mse", "bce"))
LOSSES = {
    "mnist": MNIST,
    "memory": (*MEMORY, "memory_two_units"),
    "adder": (*ADDER, *BOTH_LOSSES, "adder_length5"),
}


class Drawing(NamedTuple):
    """A figure and what is said of it.

    Attributes:
        name: of its file.
        part: of the report.
        caption: what there is to see.
        alt: the same for those who cannot see it, with its main numbers.
        figure: the figure.
        run: the directory of the run that it shows, if it is one.
    """

    name: str
    part: str
    caption: str
    alt: str
    figure: Figure
    run: Path | None = None

    @property
    def wide(self) -> bool:
        """It takes the whole width of a page."""
        return self.figure.get_figwidth() > 1.5 * plots.PANEL[0]

    @plots.styled
    def svg(self) -> str:
        """The figure as an element of a page, its text as text."""
        file = StringIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        drawn = file.getvalue()
        drawn = re.sub(r'((?: id="|url\(#|href="#))', rf"\1{self.name}-", drawn[drawn.index("<svg") :])
        return drawn.replace("<svg ", f'<svg role="img" aria-label="{_quoted(self.alt)}" ', 1)

    @plots.styled
    def png(self, path: Path) -> None:
        """Write the figure as PNG."""
        self.figure.savefig(path, format="png")


Draw = Callable[[Evidence], Iterable[Drawing]]
FIGURES: list[Draw] = []


def draws(function: Draw) -> Draw:
    """Add a function's figures to the report."""
    FIGURES.append(function)
    return function


def drawings(evidence: Evidence) -> tuple[list[Drawing], list[str]]:
    """All figures for which there are runs, and why the others are left out."""
    found, missing = [], []
    for draw in FIGURES:
        try:
            found += draw(evidence)
        except UserError as reason:
            missing.append(str(reason))
    return found, list(dict.fromkeys(missing))


def loss(part: str, words: str, evidence: Evidence) -> list[Drawing]:
    """Training and validation loss of a run."""
    found = evidence.run(words)
    splits = [split for split in ("train", "val") if any(f"{split}_loss" in row for row in found.history)]
    means = {split: [mean(epoch) for epoch in zip(*found.curve(f"{split}_loss"), strict=False)] for split in splits}
    ends = ", ".join(f"{plots.SPLITS[split][0]} from {line[0]:.3f} to {line[-1]:.3f}" for split, line in means.items())
    alt = f"Loss over {found.epochs} epochs: {ends}."
    figure = plots.curves({"": found.history}, ("loss",))
    return [Drawing(f"loss_{name_of(words)}", part, f"{words}: loss; {ends}", alt, figure, found.path)]


FIGURES += [partial(loss, part, words) for part, runs in LOSSES.items() for words in runs]


@draws
def memory_by_length(evidence: Evidence) -> list[Drawing]:
    return _by_length("memory", MEMORY, evidence, "Memory: accuracy against the length of the list")


@draws
def memory_by_size(evidence: Evidence) -> list[Drawing]:
    try:
        sizes, alike = evidence.sweep("memory_hidden_sizes"), "all trained alike"
    except Missing:
        sizes, alike = [evidence.run(words) for words in MEMORY], "with two units at a lower learning rate"
    points = dict(sorted((one.value("model.hidden"), one.metric("test")) for one in sizes))
    alt = f"Accuracy over hidden units: {_said({size: mean_of(numbers) for size, numbers in points.items()})}."
    caption = f"Memory: test accuracy and share of perfect networks by hidden size, {alike}"
    return [Drawing("memory_by_size", "memory", caption, alt, plots.by_number("hidden units", {"LSTM": points}))]


@draws
def adder_by_length(evidence: Evidence) -> list[Drawing]:
    return _by_length("adder", ADDER, evidence, "Adder: accuracy against the length of the numbers")


@draws
def adder_length5(evidence: Evidence) -> list[Drawing]:
    return _by_length("adder", ("adder_length5",), evidence, "Adder trained on numbers of five bits alone")


@draws
def adder_loss(evidence: Evidence) -> list[Drawing]:
    found = {words.rpartition("=")[2]: evidence.run(words) for words in BOTH_LOSSES}
    ends = {name: mean(values[-1] for values in one.curve("val_accuracy")) for name, one in found.items()}
    alt = f"Accuracy of bits over the epochs with two losses; in the end {_said(ends)}."
    figure = plots.curves({name: one.history for name, one in found.items()}, ("accuracy",))
    return [Drawing("adder_loss", "adder", "Adder: squared error against cross entropy", alt, figure)]


@draws
def adder_batch_size(evidence: Evidence) -> list[Drawing]:
    return _by_batch_size("adder_batch_size", "model", evidence, "RNN and LSTM")


@draws
def adder_loss_batch_size(evidence: Evidence) -> list[Drawing]:
    return _by_batch_size("adder_loss_batch_size", "loss", evidence, "squared error and cross entropy")


def _by_batch_size(experiment: str, key: str, evidence: Evidence, what: str) -> list[Drawing]:
    lines: dict[str, dict[float, list[float | None]]] = {}
    for one in evidence.sweep(experiment):
        points = lines.setdefault(one.value(key), {})
        points[one.value("task.batch_size")] = one.metric("test", "sequence_accuracy")
    lines = {name: dict(sorted(points.items())) for name, points in sorted(lines.items())}
    shares = {
        f"{name} at {size}": summarize(numbers).perfect / len(numbers)
        for name, points in lines.items()
        for size, numbers in points.items()
    }
    alt = f"Share of networks that get every sum right, over the batch size: {_said(shares)}."
    caption = f"Adder: what the batch size does, {what}"
    return [Drawing(experiment, "adder", caption, alt, plots.by_number("batch size", lines))]


def _by_length(part: str, names: tuple[str, ...], evidence: Evidence, caption: str) -> list[Drawing]:
    found = {}
    for words in names:
        with suppress(Missing):
            found[words] = evidence.run(words)
    curves = {words: one.result["metrics"]["test"]["by_length"] for words, one in found.items() if one.tried("test")}
    first = found[next(iter(curves))] if curves else evidence.run(names[0])
    chance, trained = first.result["metrics"]["test"]["chance"], first.config.task.lengths
    longest = {words: mean_of(list(curve.values())[-1]["accuracy"]) for words, curve in curves.items()}
    alt = (
        f"Test accuracy over the length; of single answers at the greatest {_said(longest)}, chance {percent(chance)}."
    )
    figure = plots.by_length(curves, chance, trained)
    return [Drawing(f"{name_of(names[0])}_by_length", part, caption, alt, figure)]


def _said(shares: dict[object, float]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items())


def name_of(words: str) -> str:
    """A run's words as a part of a file's name."""
    return words.replace("model.", "").replace(" ", "_").replace("=", "")


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

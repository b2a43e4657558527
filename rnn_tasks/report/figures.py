"""The figures of the report that show what runs have recorded.

Each function takes the evidence and gives drawings. It raises Missing if its runs are not there.
"""

from collections.abc import Sequence
from contextlib import suppress
from statistics import mean

from rnn_tasks.report.drawing import Drawing, file_name
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.finished import FinishedRun, Missing
from rnn_tasks.report.formatting import Numbers, list_percent, mean_of, percent
from rnn_tasks.runs import plots, survival_plots
from rnn_tasks.training import lengths

MNIST = ("mnist_rnn_sgd", "mnist_rnn_adam", "mnist_lstm_sgd", "mnist_lstm_sgd_slow", "mnist_birnn_adam")
MEMORY = ("memory_hidden2", "memory_hidden5", "memory_hidden10")
ADDER = tuple(f"adder_hidden model.hidden={hidden}" for hidden in (1, 3, 5))
BOTH_LOSSES = tuple(f"adder_loss loss={loss}" for loss in ("mse", "bce"))


def loss(part: str, selector: str, evidence: Evidence) -> list[Drawing]:
    """Plot the training and validation loss of a run."""
    run = evidence.run(selector)
    splits = [split for split in ("train", "val") if any(f"{split}_loss" in row for row in run.history)]
    means = {split: [mean(epoch) for epoch in zip(*run.curve(f"{split}_loss"), strict=False)] for split in splits}
    ends = ", ".join(f"{plots.SPLITS[split][0]} from {line[0]:.3f} to {line[-1]:.3f}" for split, line in means.items())
    alt = f"Loss over {run.epochs} epochs: {ends}."
    figure = plots.curves({"": run.history}, ("loss",))
    return [Drawing(f"loss_{file_name(selector)}", part, f"{selector}: loss; {ends}", alt, figure, run.path)]


def memory_by_length(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of the networks that remember, over the length."""
    return [_by_length("memory", MEMORY, evidence, "Memory: accuracy by length of the list")]


def memory_by_size(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of the networks that remember, over their hidden units."""
    try:
        sizes, condition = evidence.sweep("memory_hidden_sizes"), "all trained with the same settings"
    except Missing:
        sizes = [evidence.run(selector) for selector in MEMORY]
        condition = "with two units at a lower learning rate"
    points = dict(sorted((run.value("model.hidden"), run.metric("test")) for run in sizes))
    shares = {str(size): mean_of(numbers) for size, numbers in points.items()}
    perfect = ", ".join(f"{size}: {_count_perfect(numbers)}" for size, numbers in points.items())
    alt = f"Accuracy by hidden units: {list_percent(shares)}. Networks that recall every number: {perfect}."
    lists = " and ".join(f"{number:,}" for number in sorted({run.examples("test") for run in sizes}))
    caption = f"Memory: test accuracy and share of perfect networks by hidden units, {condition}; {lists} test lists"
    return [Drawing("memory_by_size", "memory", caption, alt, plots.by_number("hidden units", {"LSTM": points}))]


def _count_perfect(numbers: Numbers) -> str:
    return f"{sum(number == 1 for number in numbers)} of {len(numbers)}"


def adder_by_length(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of the adders of 1, 3 and 5 units, over the length."""
    return [_by_length("adder", ADDER, evidence, "Adder: accuracy by length of the numbers")]


def adder_survival(evidence: Evidence) -> list[Drawing]:
    """Plot the share of adders of 1, 3 and 5 units that are right at a length and at all shorter ones."""
    runs = _with_lengths(ADDER, evidence)
    curves = {selector: run.by_length() for selector, run in runs.items()}
    ends = {name: lengths.survival(by_length) for name, by_length in curves.items()}
    counts = ", ".join(f"{name} {end.right[-1]} of {end.replicates}" for name, end in ends.items())
    greatest = max(end.lengths[-1] for end in ends.values())
    alt = f"Networks without an error at all lengths up to {greatest}: {counts}."
    figure = survival_plots.survival_curves(curves, next(iter(runs.values())).config.task.lengths)
    caption = "Adder: networks that are right at a length and at all shorter ones"
    return [Drawing("adder_survival", "adder", caption, alt, figure)]


def adder_length5(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of the adders that were trained on five bits, over the length."""
    return [_by_length("adder", ("adder_length5",), evidence, "Adder trained on numbers of five bits alone")]


def adder_loss(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of adders over the epochs, with the squared error and with cross-entropy."""
    runs = {selector.rpartition("=")[2]: evidence.run(selector) for selector in BOTH_LOSSES}
    ends = {name: mean(values[-1] for values in run.curve("val_accuracy")) for name, run in runs.items()}
    alt = f"Accuracy of bits over the epochs with two losses; at the end {list_percent(ends)}."
    figure = plots.curves({name: run.history for name, run in runs.items()}, ("accuracy",))
    return [Drawing("adder_loss", "adder", "Adder: squared error and cross-entropy", alt, figure)]


def adder_batch_size(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of RNNs and LSTMs that add, over the batch size."""
    return [_by_batch_size("adder_batch_size", "model", evidence, "RNN and LSTM")]


def adder_loss_batch_size(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of adders with either loss, over the batch size."""
    return [_by_batch_size("adder_loss_batch_size", "loss", evidence, "squared error and cross-entropy")]


def adder_rates(evidence: Evidence) -> list[Drawing]:
    """Plot the accuracy of adders over the batch size, at equal epochs and at equal updates.

    The learning rate is the same for all sizes, or that of the highest validation accuracy at each size.
    """
    lines, chosen = {}, []
    for budget, key in (("epochs", "trainer.max_epochs"), ("updates", "trainer.max_steps")):
        by_size: dict[float, list[FinishedRun]] = {}
        for run in sorted(evidence.sweep(f"adder_equal_{budget}"), key=_rate):
            by_size.setdefault(run.value("task.batch_size"), []).append(run)
        amount, lowest = f"{run.value(key):,} {budget}", min(map(_rate, by_size[1]))
        lines[f"{amount}, rate {lowest}"] = {size: _whole(runs[0]) for size, runs in by_size.items()}
        best = {size: max(runs, key=_validation) for size, runs in by_size.items()}
        lines[f"{amount}, best rate"] = {size: _whole(run) for size, run in best.items()}
        chosen.append(f"{', '.join(str(_rate(run)) for run in best.values())} with {amount}")
    rates = f"best rates in validation at sizes {', '.join(map(str, best))}: {'; '.join(chosen)}"
    caption = f"Adder: learning rate and batch size; {rates}"
    return [Drawing("adder_rates", "adder", caption, _perfect(lines), plots.by_number("batch size", lines))]


def _rate(run: FinishedRun) -> float:
    return run.value("optimizer.lr")


def _whole(run: FinishedRun) -> list[float | None]:
    return run.metric("test", "sequence_accuracy")


def _validation(run: FinishedRun) -> tuple[float, float]:
    """How good a run is in validation: the accuracy of whole sequences, of a failed network 0, then the loss."""
    accuracies = [value or 0.0 for value in run.metric("val", "sequence_accuracy")]
    losses = [value for value in run.metric("val", "loss") if value is not None]
    return mean(accuracies), -mean(losses or [0.0])


def _perfect(lines: dict[str, dict[float, list[float | None]]]) -> str:
    """Return how many networks are perfect at each point of each line."""
    texts = (
        ", ".join(f"{size:g}: {_count_perfect(numbers)}" for size, numbers in points.items())
        for points in lines.values()
    )
    counts = "; ".join(f"{name}: {text}" for name, text in zip(lines, texts, strict=True))
    return f"Networks that get every sum right, by batch size. {counts}."


def _by_batch_size(experiment: str, key: str, evidence: Evidence, lines_name: str) -> Drawing:
    """Accuracy over the batch size, with a line for each value of another key that was swept."""
    lines: dict[str, dict[float, list[float | None]]] = {}
    sweep = evidence.sweep(experiment)
    for run in sweep:
        points = lines.setdefault(run.value(key), {})
        points[run.value("task.batch_size")] = _whole(run)
    lines = {name: dict(sorted(points.items())) for name, points in sorted(lines.items())}
    fixed = f"{sweep[0].epochs} epochs and one learning rate for all batch sizes, so fewer updates for larger batches"
    caption = f"Adder: test accuracy and share of perfect networks by batch size, {lines_name}; {fixed}"
    return Drawing(experiment, "adder", caption, _perfect(lines), plots.by_number("batch size", lines))


def _by_length(part: str, selectors: Sequence[str], evidence: Evidence, caption: str) -> Drawing:
    """Accuracy over the length, of those runs that are there."""
    runs = _with_lengths(selectors, evidence)
    first = next(iter(runs.values()))
    curves = {selector: run.by_length() for selector, run in runs.items()}
    longest = {selector: mean_of(list(curve.values())[-1]["accuracy"]) for selector, curve in curves.items()}
    alt = (
        f"Test accuracy by length; of single answers at the greatest length {list_percent(longest)},"
        f" chance {percent(first.chance)}."
    )
    figure = plots.by_length(curves, first.chance, first.config.task.lengths)
    return Drawing(f"{file_name(selectors[0])}_by_length", part, caption, alt, figure)


def _with_lengths(selectors: Sequence[str], evidence: Evidence) -> dict[str, FinishedRun]:
    """Return those runs that are there and were tested by length, by their selectors.

    Raises:
        Missing: there is none.
    """
    runs: dict[str, FinishedRun] = {}
    for selector in selectors:
        with suppress(Missing):
            run = evidence.run(selector)
            if run.by_length():
                runs[selector] = run
    if not runs:
        evidence.run(selectors[0]).by_length()  # says what is missing
        raise Missing(f"{selectors[0]} has no test sequences")
    return runs

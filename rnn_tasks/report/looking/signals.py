"""The parts of the page about each replicate, one example, how far back answers reach, and the dimensions of states."""

import torch
from torch import Tensor

from rnn_tasks.errors import UserError
from rnn_tasks.report.analysis import inspection, inspection_plots, signal_plots
from rnn_tasks.report.analysis.automata import real_steps
from rnn_tasks.report.analysis.lags import gradient_by_lag
from rnn_tasks.report.analysis.logged import logged_curves
from rnn_tasks.report.formatting import percent
from rnn_tasks.report.looking.subject import Drawing, Section, Subject
from rnn_tasks.report.markup import Table
from rnn_tasks.runs.plots import literal
from rnn_tasks.runs.solving import Network, networks_of, networks_so_far
from rnn_tasks.tasks.automata import NONE
from rnn_tasks.training.callbacks import participation_ratio
from rnn_tasks.training.history import HISTORY, read_history

LONGEST_EXAMPLE = 24  # steps, where there are examples as short as that
MOST_SEQUENCES = 32  # over which gradients are averaged
REACH = 0.01  # share of the largest gradient, above which an answer counts as reaching back
CURVES = ("participation", "participation_min", "participation_max")


def replicates_section(subject: Subject) -> Section:
    """Return what is known of each replicate, and how far back its answers reach."""
    inputs = _longest(subject)
    by_lag = gradient_by_lag(inspection.network_of(subject.run), inputs)
    by_lag = by_lag[subject.numbers] if subject.run.replicate is None else by_lag
    ratios, trained = participation(subject), _trained(subject)
    rows = []
    for place, number in enumerate(subject.numbers):
        steps = "" if trained[number].steps is None else f"{trained[number].steps:,}"
        ratio = ratios[place]
        numbers = "" if ratio != ratio else f"{ratio:.2f}"
        rows.append([str(number), _share(trained[number]), steps, numbers, _reach(by_lag[place])])
    headings = ["replicate", "exact match", "steps until solved", "participation ratio", "reach of the answer"]
    text = [
        "Exact match: the share of whole sequences of the test, or without one of validation, that are right. Steps"
        " until solved: optimizer steps up to the first validation without a mistake. Participation ratio: how many"
        " dimensions the outputs of the last layer take up. Reach: the greatest lag at which the gradient of the answer"
        f" is at least {REACH:.0%} of its largest."
    ]
    caption = (
        f"Gradient of the last answer with respect to the inputs of each step before, the mean over {len(inputs)} test"
        f" sequences of {inputs.shape[1]} steps."
    )
    logged = _logged(subject)
    if not logged:
        text.append("A run with callbacks=[participation] also shows the participation ratio over training.")
    drawings = [Drawing("gradients", caption, signal_plots.gradients(by_lag)), *logged]
    return Section("Replicates", text, [Table(headings, rows)], drawings)


def _reach(gradients: Tensor) -> str:
    """Return the greatest lag whose gradient, of [T], counts; nothing where the answer depends on no input."""
    return str(int((gradients >= REACH * gradients.max()).nonzero().max())) if gradients.any() else ""


def _longest(subject: Subject) -> Tensor:
    """Return the inputs of the longest test sequences, at most MOST_SEQUENCES, [N, T, D]."""
    lengths = subject.batch.lengths
    longest = (lengths == lengths.max()).nonzero().squeeze(1)[:MOST_SEQUENCES]
    return subject.batch.inputs[longest, : int(lengths.max())]


@torch.inference_mode()
def participation(subject: Subject) -> list[float]:
    """Return the participation ratio of the outputs of each network's last layer, NaN where they never change."""
    network, batch = inspection.network_of(subject.run), subject.batch
    states = network.states(batch.inputs.to(network.head["weight"]), batch.lengths)[:, -1]
    ratios: list[float] = participation_ratio(states[:, real_steps(batch)[:, 1:]]).tolist()
    return [ratios[number] for number in subject.numbers] if subject.run.replicate is None else ratios


def _trained(subject: Subject) -> dict[int, Network]:
    """Return how the training of each replicate of the run ended, by its number."""
    run = subject.run
    history = read_history(run.path / HISTORY)
    networks = networks_of(run.result, history) if run.result else networks_so_far(run.config, history)
    unknown = [Network(number, False, {}, None, None) for number in range(run.of)]
    return dict(enumerate(networks or unknown))


def _share(network: Network) -> str:
    for split in ("test", "val"):
        if (share := network.metrics.get(split, {}).get("sequence_accuracy")) is not None:
            return percent(share)
    return ""


def _logged(subject: Subject) -> list[Drawing]:
    """Draw the participation ratio over training, where callbacks=[participation] has logged it."""
    callbacks = subject.run.config.get("callbacks") or {}
    if not any(str(part.get("_target_")).endswith(".Participation") for part in callbacks.values() if part):
        return []
    curves = logged_curves(subject.run.path, CURVES)
    if not curves.get("participation"):
        return []
    caption = (
        "Participation ratio over training: the mean of the replicates, with a band from the least to the greatest."
    )
    return [Drawing("participation", caption, signal_plots.participation(curves))]


def example_section(subject: Subject) -> Section:
    """Draw the gates, states and outputs of one network over one test sequence.

    Raises:
        UserError: the network reads from both ends.
    """
    network, run = inspection.network_of(subject.run), subject.run
    if len(network.directions) == 2:
        raise UserError("its networks also read from the end, so they have no gates and states step by step")
    lengths = subject.batch.lengths
    pick = int(torch.where(lengths <= max(LONGEST_EXAMPLE, int(lengths.min())), lengths, 0).argmax())
    inputs = subject.batch.inputs[pick, : int(lengths[pick])]
    place = subject.numbers[subject.best] if run.replicate is None else 0
    values = {name: own[place, 0] for name, own in inspection.gates(network, inputs[None]).items()}
    steps, label = _steps(subject, pick, len(inputs))
    problem = run.task.write_input(inputs)
    shown = "" if "\n" in problem else f": {problem}"
    caption = f"The last layer of {subject.name} over a test sequence{shown}."
    return Section("One example", [], [], [Drawing("example", caption, inspection_plots.gates(values, steps, label))])


def _steps(subject: Subject, pick: int, length: int) -> tuple[list[str], str]:
    """Return what stands below each step of a sequence, and what that is: what is read, and the network's answers."""
    trace = subject.trace
    if trace is None:
        return list(map(str, range(1, length + 1))), "step"
    language, numbers = trace.language, trace.symbols[pick, :length].tolist()
    given = trace.answers[subject.best, pick, :length].tolist()
    if subject.run.task.readout == "last":
        given = [NONE] * (length - 1) + given[-1:]
    answers = ["" if number == NONE else language.answer_names[number] for number in given]
    pairs = [f"{language.names[number]}\n{answer}" for number, answer in zip(numbers, answers, strict=True)]
    return list(map(literal, pairs)), "what is read, and below it the answer of the network"

"""What finished networks do inside: their states, where a digit is remembered, which answers are wrong.

Axes: R replicates, N sequences, T steps, D inputs, H units, S numbers of a state, C classes. The state of a layer is
what it passes from one step to the next: the output h and the cell state c of an LSTM, the output of other cells.
"""

from math import log
from typing import NamedTuple, TypeVar

import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import one_hot

from rnn_tasks.errors import UserError
from rnn_tasks.models import Network
from rnn_tasks.models.recurrence import final, read, weights_of_cell
from rnn_tasks.runs.run import Run
from rnn_tasks.seeds import generator
from rnn_tasks.tasks import Batch, Memory, Task
from rnn_tasks.tasks.answers import answers, confidences
from rnn_tasks.tasks.examples import Examples, concatenated

FITTED, HELD_OUT = slice(0, None, 2), slice(1, None, 2)  # halves of the sequences: to fit on, and to measure on
CHUNK = 2000  # sequences that a network answers at once
# The gates of a cell, by the block of its pre-activations, and what it passes on.
GATES = {
    "lstm": {"input gate": 0, "forget gate": 1, "output gate": 3},
    "gru": {"reset gate": 0, "update gate": 1},
}
STATES = {"rnn": ("output",), "gru": ("output",), "lstm": ("output", "cell state")}
OWN_CELL = ("output", "state")

T = TypeVar("T", bound=Task)


def network_of(run: Run) -> Network:
    """Return the model of a run.

    Raises:
        UserError: its states are not known, since it is not the project's own recurrent network.
    """
    if not isinstance(run.model, Network):
        kind = type(run.model).__name__
        raise UserError(f"{run.path}: the states of its model, {kind}, are not known; give a run of Network")
    return run.model


def task_of(run: Run, kind: type[T]) -> T:
    """Return the task of a run.

    Raises:
        UserError: it is of another kind.
    """
    if not isinstance(run.task, kind):
        raise UserError(f"{run.path}: is a run of {run.task.name}; give one of {kind.__name__.lower()}")
    return run.task


@torch.inference_mode()
def gates(model: Network, inputs: Tensor) -> dict[str, Tensor]:
    """Return the gates (from 0 to 1), states and outputs of the last layer by their names, each [R, N, T, H].

    The equations of the cells are in models/cells.py.

    Args:
        model: of networks that read forwards.
        inputs: [N, T, D].
    """
    own = ("output",) if model.cell.linear else OWN_CELL
    cell, layer_gates = model.cell, dict[str, list[Tensor]]()
    below = inputs.to(model.head["weight"]).expand(model.replicates, *inputs.shape)  # [N, T, D] -> [R, N, T, D]
    for layer in range(model.layers):
        weights = tuple(model.recurrent[f"{name}_l{layer}"] for name in cell.weights)
        w_ih, w_hh, b_ih, b_hh = weights_of_cell(cell, weights)
        projected = read(below, w_ih, b_ih + b_hh).transpose(1, -1)  # [R, G*H, T, N]
        output = state = projected.new_zeros(len(projected), model.hidden, len(inputs))
        layer_gates = {name: [] for name in (*GATES.get(cell.name, ()), *STATES.get(cell.name, own))}
        for x in projected.unbind(2):
            blocks = (pre := x + w_hh @ output).split(model.hidden, 1)
            output, state = cell.step(pre, state)
            values = [blocks[number].sigmoid() for number in GATES.get(cell.name, {}).values()]
            for steps, value in zip(layer_gates.values(), (*values, output, state), strict=False):
                steps.append(value)
        below = torch.stack(layer_gates["output"], 2).transpose(1, -1)
    return {name: torch.stack(steps, 2).transpose(1, -1) for name, steps in layer_gates.items()}


@torch.inference_mode()
def states(model: Network, inputs: Tensor, lengths: Tensor) -> Tensor:
    """Return the last layer's states after each step, of an LSTM h, then c: [N, T, D], [N] -> [R, N, T, S]."""
    if model.cell.name == "lstm" and len(model.directions) == 1:
        layer_gates = gates(model, inputs)
        return torch.cat((layer_gates["output"], layer_gates["cell state"]), -1)
    return model.states(inputs.to(model.head["weight"]), lengths)[:, -1]


def concat_padded(sets: list[Examples]) -> Batch:
    """Return all examples of several sets in one batch, padded to the longest sequence."""
    steps = max(examples.inputs.shape[1] for examples in sets)
    return concatenated([examples.padded(steps) for examples in sets])


class Plane(NamedTuple):
    """A plane in which states are drawn.

    Attributes:
        mean: [S], the state in the middle.
        axes: [2, S], at right angles.
        names: of the axes.
    """

    mean: Tensor
    axes: Tensor
    names: list[str]

    def project(self, points: Tensor) -> Tensor:
        """Project states to the plane: [..., S] -> [..., 2]."""
        return (points - self.mean) @ self.axes.mT


def principal_plane(points: Tensor) -> Plane:
    """Return the plane of the first two principal components (Pearson 1901) of states [N, S], S of at least 2."""
    if points.shape[1] == 2:
        return Plane(
            points.new_zeros(2), torch.eye(2, dtype=points.dtype), [f"number {i} of the state" for i in (1, 2)]
        )
    pca = PCA(2, svd_solver="full").fit(points.numpy())
    shares = enumerate(pca.explained_variance_ratio_, 1)
    names = [f"component {i} ({share:.0%} of variance)" for i, share in shares]
    return Plane(torch.from_numpy(pca.mean_), torch.from_numpy(pca.components_), names)


def linear_probe_accuracy(fitted: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> float | None:
    """Return the held-out accuracy of logistic regression from states [N, S] to labels [N]; None for NaN states.

    Linear probes: Alain and Bengio 2016.
    """
    if not fitted[0].isfinite().all():
        return None
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=100, max_iter=1000))
    return float(classifier.fit(*fitted).score(*held_out))


class Answered(NamedTuple):
    """Examples and what a network that answers at the last step gives for them.

    Attributes:
        batch: inputs [N, T, D], lengths [N] and targets [N].
        answers: [N], classes.
        confidences: [N], the probabilities that the network gives to its answers.
    """

    batch: Batch
    answers: Tensor
    confidences: Tensor


@torch.inference_mode()
def answer(run: Run, batch: Batch) -> Answered:
    """Return the answers of a run of one replicate."""
    chunks = zip(batch.inputs.split(CHUNK), batch.lengths.split(CHUNK), strict=True)
    logits = torch.cat([run.logits(*chunk) for chunk in chunks])
    return Answered(batch, answers(logits), confidences(logits))


def random_cases(task: Task, count: int = 16) -> Batch:
    """Return ``count`` random examples of a task's test set, equally many of each length, the short ones first."""
    batch, stream = concat_padded(task.test), generator("report")
    lengths = batch.lengths.unique()
    picks = []
    for number in range(count):
        of_length = (batch.lengths == lengths[number * len(lengths) // count]).nonzero().squeeze(1)
        picks.append(of_length[torch.randint(len(of_length), (1,), generator=stream)])
    return batch.each(lambda part: part[torch.cat(picks)])


def mistakes(answered: Answered, count: int = 16) -> Tensor:
    """Return indices of the wrong answers, the most confident first: at most [count]."""
    wrong = (answered.answers != answered.batch.targets).nonzero().squeeze(1)
    return wrong[answered.confidences[wrong].argsort(descending=True, stable=True)][:count]


def confusion(targets: Tensor, answers: Tensor, classes: int = 10) -> Tensor:
    """Return how often each class (row) gets each answer (column): [N], [N] -> [classes, classes]."""
    return (targets * classes + answers).bincount(minlength=classes**2).view(classes, classes)


def mutual_information(targets: Tensor, answers: Tensor, classes: int = 10) -> float:
    """Return the mutual information (Shannon 1948) of right and given answers, [N] each, in bits.

    The estimate is biased upwards, by about (C - 1)^2 / (2 N ln 2) bits for answers that are independent of the
    targets (Miller 1955): 0.12 for C = 10 and N = 500.
    """
    joint = confusion(targets, answers, classes).double() / len(targets)
    marginals = torch.cat((joint.sum(0), joint.sum(1)))
    nats = torch.special.entr(marginals).sum() - torch.special.entr(joint).sum()
    return float(nats) / log(2)


class Retention(NamedTuple):
    """Where the k-th digit of a list is stored, after each step from the k-th on.

    Attributes:
        hidden, cell: [T - k + 1, H], share of a unit's variance over the lists that the digit explains (eta squared).
        probe_accuracy: [T - k + 1], accuracy of a linear classifier from the state to the digit.
    """

    hidden: Tensor
    cell: Tensor
    probe_accuracy: list[float | None]


def retention(run: Run, size: int = 2000) -> Retention:
    """Locate where an LSTM of one replicate stores the digit, over ``size`` lists of the greatest length."""
    task = task_of(run, Memory)
    lists = task.examples(size, "report", (task.lengths[1], task.lengths[1]))
    after_k = states(network_of(run), lists.inputs, lists.lengths)[0, :, task.k - 1 :]  # [N, T - k + 1, 2 H]
    halves = [[(step[half], lists.targets[half]) for half in (FITTED, HELD_OUT)] for step in after_k.unbind(1)]
    hidden, cell = eta_squared(after_k, lists.targets).chunk(2, -1)
    return Retention(hidden, cell, [linear_probe_accuracy(fitted, held_out) for fitted, held_out in halves])


def eta_squared(values: Tensor, classes: Tensor) -> Tensor:
    """Return eta squared, the share of the variance between the means of classes: [N, ...], [N] -> [...]."""
    member = one_hot(classes).to(values.dtype)
    means = torch.tensordot(member / member.sum(0).clamp(min=1), values, ([0], [0]))
    return means[classes].var(0, correction=0) / values.var(0, correction=0)


def last_states(run: Run, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the outputs and cell states of an LSTM of one replicate after each sequence: [N, H] each."""
    after_last = final(states(network_of(run), batch.inputs, batch.lengths), batch.lengths[None])[0]  # [N, 2 H]
    hidden, cell = after_last.chunk(2, -1)
    return hidden, cell

"""What finished networks do inside: their states, where a digit is remembered, when an image is recognised.

Axes: R replicates, N sequences, T steps, D inputs, H units, S numbers of a state, C classes. The state of a layer is
what it takes from one step to the next: of an LSTM its output h and its cell state c, of other cells the output.
"""

from math import log
from typing import NamedTuple

import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import one_hot, pad

from rnn_tasks.models import Network
from rnn_tasks.models.network import WEIGHTS
from rnn_tasks.models.recurrence import final, read
from rnn_tasks.runs.loading import Run
from rnn_tasks.seeds import generator
from rnn_tasks.tasks import Batch, Task
from rnn_tasks.tasks.answers import answers, confidences
from rnn_tasks.tasks.base import Examples

FITTED, HELD_OUT = slice(0, None, 2), slice(1, None, 2)  # of the test sequences: to fit something, and to measure it
CHUNK = 2000  # sequences that are asked at once


class Gates(NamedTuple):
    """The gates (from 0 to 1), cell states and outputs of an LSTM layer, each [R, N, T, H]."""

    input: Tensor
    forget: Tensor
    output: Tensor
    cell: Tensor
    hidden: Tensor


@torch.inference_mode()
def gates(model: Network, inputs: Tensor) -> Gates:
    """What happens in the last layer of LSTMs that read from the start alone: inputs [N, T, D]."""
    below = inputs.to(model.head["weight"]).expand(model.replicates, *inputs.shape)
    for layer in range(model.layers):
        w_ih, w_hh, b_ih, b_hh = (model.recurrent[f"{name}_l{layer}"] for name in WEIGHTS)
        projected = read(below, w_ih, b_ih + b_hh)
        h = c = projected.new_zeros(*projected.shape[:2], model.hidden)
        steps = []
        for x in projected.unbind(2):
            i, f, g, o = (x + h @ w_hh.mT).chunk(4, -1)
            i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()
            c = f * c + i * g.tanh()
            h = o * c.tanh()
            steps.append((i, f, o, c, h))
        found = Gates(*(torch.stack(values, 2) for values in zip(*steps, strict=True)))
        below = found.hidden
    return found


@torch.inference_mode()
def states(model: Network, inputs: Tensor, lengths: Tensor) -> Tensor:
    """The states of the last layer after each step, of an LSTM first h, then c: [N, T, D], [N] -> [R, N, T, S]."""
    if model.cell.name == "lstm" and len(model.directions) == 1:
        found = gates(model, inputs)
        return torch.cat((found.hidden, found.cell), -1)
    return model(inputs.to(model.head["weight"]), lengths, return_states=True)[1]


def concat_padded(sets: list[Examples]) -> Batch:
    """All examples of several sets, padded to the longest."""
    steps = max(one.inputs.shape[1] for one in sets)

    def padded(values: Tensor) -> Tensor:
        return pad(values, (0, steps - values.shape[-1]))

    inputs = torch.cat([padded(one.inputs.mT).mT for one in sets])
    targets = torch.cat([one.targets if one.targets.dim() == 1 else padded(one.targets) for one in sets])
    return Batch(inputs, torch.cat([one.lengths for one in sets]), targets)


def project_2d(points: Tensor) -> tuple[Tensor, list[str]]:
    """States [N, S] in two dimensions: [N, 2] and the names of the axes. More than two are reduced to the principal."""
    if points.shape[1] <= 2:
        return points, [f"number {i} of the state" for i in (1, 2)]
    pca = PCA(2, svd_solver="full")
    reduced = torch.from_numpy(pca.fit_transform(points.numpy()))
    return reduced, [
        f"component {i} ({share:.0%} of variance)" for i, share in enumerate(pca.explained_variance_ratio_, 1)
    ]


def linear_probe_accuracy(fitted: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> float | None:
    """The accuracy of a linear classifier (logistic regression) of states [N, S] with labels [N]; None for NaN."""
    if not fitted[0].isfinite().all():
        return None
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=100, max_iter=1000))
    return float(classifier.fit(*fitted).score(*held_out))


class Answered(NamedTuple):
    """What a network that answers at the last step says to examples, each [N]; and the examples.

    Attributes:
        batch: inputs [N, T, D], lengths and targets.
        answers: classes.
        confidences: the probabilities that the network gives them.
    """

    batch: Batch
    answers: Tensor
    confidences: Tensor


@torch.inference_mode()
def answered(run: Run, batch: Batch) -> Answered:
    """The answers of a run of one replicate."""
    parts = zip(batch.inputs.split(CHUNK), batch.lengths.split(CHUNK), strict=True)
    logits = torch.cat([run.logits(*part) for part in parts])
    return Answered(batch, answers(logits), confidences(logits))


def random_cases(task: Task, count: int = 16) -> Batch:
    """Random examples of a task's test set, as many of every length as of any other, the short ones first."""
    batch, stream = concat_padded(task.test), generator("report")
    lengths = batch.lengths.unique()
    picks = []
    for number in range(count):
        of_length = (batch.lengths == lengths[number * len(lengths) // count]).nonzero().squeeze(1)
        picks.append(of_length[torch.randint(len(of_length), (1,), generator=stream)])
    return Batch(*(part[torch.cat(picks)] for part in batch))


def mistakes(found: Answered, count: int = 16) -> Tensor:
    """Which examples are answered wrongly, the most confident first: at most [count]."""
    wrong = (found.answers != found.batch.targets).nonzero().squeeze(1)
    return wrong[found.confidences[wrong].argsort(descending=True, stable=True)][:count]


def confusion(truth: Tensor, said: Tensor, classes: int = 10) -> Tensor:
    """How often each class (row) is answered by each (column): [N], [N] -> [classes, classes]."""
    return (truth * classes + said).bincount(minlength=classes**2).view(classes, classes)


def mutual_information(truth: Tensor, said: Tensor, classes: int = 10) -> float:
    """Bits of mutual information between the truth and what is said, [N] each, estimated by their shares (plug-in).

    The estimate is too high, of answers that know nothing by about (classes - 1)^2 / (2 N ln 2) bits: 0.12 for 500.
    """
    joint = confusion(truth, said, classes).double() / len(truth)
    apart, together = (torch.special.entr(shares).sum() for shares in (torch.cat((joint.sum(0), joint.sum(1))), joint))
    return float(apart - together) / log(2)


class Kept(NamedTuple):
    """Where the k-th digit of a list is, after each of its steps from the k-th on.

    Attributes:
        hidden, cell: [T - k + 1, H], share of a unit's variance over the lists that the digit explains (eta squared).
        read_out: [T - k + 1], how often a linear classifier tells the digit from the whole state.
    """

    hidden: Tensor
    cell: Tensor
    read_out: list[float]


def kept(run: Run, size: int = 2000) -> Kept:
    """Where an LSTM of one replicate keeps the digit it is to remember, over ``size`` lists of the greatest length."""
    task = run.task
    lists = task.examples(size, "report", (task.lengths[1], task.lengths[1]))
    found = states(run.model, lists.inputs, lists.lengths)[0, :, task.k - 1 :]
    halves = [[(step[half], lists.targets[half]) for half in (FITTED, HELD_OUT)] for step in found.unbind(1)]
    return Kept(*eta_squared(found, lists.targets).chunk(2, -1), [linear_probe_accuracy(*pair) for pair in halves])


def eta_squared(values: Tensor, classes: Tensor) -> Tensor:
    """Eta squared, the variance of the classes' means over the whole variance: [N, ...], [N] -> [...]."""
    member = one_hot(classes).to(values.dtype)
    means = torch.tensordot(member / member.sum(0).clamp(min=1), values, ([0], [0]))
    return means[classes].var(0, correction=0) / values.var(0, correction=0)


def last_states(run: Run, batch: Batch) -> tuple[Tensor, Tensor]:
    """Outputs and cell states of an LSTM of one replicate after the last step of each sequence: [N, H] each."""
    return final(states(run.model, batch.inputs, batch.lengths), batch.lengths[None])[0].chunk(2, -1)

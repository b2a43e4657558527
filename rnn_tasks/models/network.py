"""A stack of recurrent layers with a linear read-out, of many replicates at once."""

from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from rnn_tasks import checks
from rnn_tasks.models import recurrence
from rnn_tasks.models.cells import find_cell
from rnn_tasks.models.recurrence import read
from rnn_tasks.models.replicated import Replicated, uniform
from rnn_tasks.seeds import generator


class Network(Replicated):
    """R independent networks of one shape: recurrent layers and a linear read-out.

    The parameters are those of torch.nn.RNN, LSTM or GRU (``recurrent.weight_ih_l0`` ...) and of torch.nn.Linear
    (``head.weight``, ``head.bias``), each with a leading axis over the replicates. Linear cells have no
    ``recurrent.weight_hh_l0`` and ``recurrent.bias_hh_l0``.

    Args:
        input_size: D, features of a step.
        output_size: C, logits of an answer.
        readout: "every_step" answers at each step, "last" once, after the whole sequence.
        cell: rnn, lstm, gru, mingru, minlstm, or the place of another Cell, as module.name.
        hidden: H, units of a layer in each direction.
        layers: number of recurrent layers.
        dropout: probability with which an output of a layer is hidden from the next layer in training (Srivastava et
            al. 2014).
        bidirectional: add a second half that reads each sequence from its end (Schuster and Paliwal 1997).
        pooling: with readout "last", which states the single answer is computed from: the "last" one of each direction,
            or the "mean" of the outputs at all steps.
        init: initial weights are uniform in ±init; None takes torch's ±1/sqrt(H).
        replicates: R.
        seed: of replicate 0; that of replicate r is ``seed + r``. It decides the initial weights and dropout.

    Attributes:
        backend: how the recurrent layers are computed, see recurrence.layer; None takes the fastest way for each.

    Raises:
        ValueError: a value is out of its range, or there is no such cell.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        readout: Literal["every_step", "last"],
        cell: str = "rnn",
        hidden: int = 5,
        layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        pooling: Literal["last", "mean"] = "last",
        init: float | None = None,
        replicates: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(input_size, output_size, readout, hidden, layers, dropout, replicates, seed)
        checks.one_of(("last", "mean"), pooling=pooling)
        checks.booleans(bidirectional=bidirectional)
        if init is not None:
            checks.positive(init=init)
        self.cell, self.pooling = find_cell(cell), pooling
        self.directions = ("", "_reverse") if bidirectional else ("",)
        self.backend: recurrence.Backend | None = None
        width, shapes = hidden * len(self.directions), self._recurrent_shapes(input_size)
        head = {"weight": (output_size, width), "bias": (output_size,)}
        self._require_memory(sum(prod(shape) for shape in (*shapes.values(), *head.values())))
        streams = [generator(seed, "weights") for seed in self.seeds]
        self.recurrent = _parameters(shapes, init or hidden**-0.5, streams)
        self.head = _parameters(head, init or width**-0.5, streams)

    def _recurrent_shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        rows = self.cell.gates * self.hidden
        for i in range(self.layers):
            features = self.hidden * len(self.directions) if i else input_size
            for suffix in self.directions:
                sizes = {"weight_ih": (rows, features), "weight_hh": (rows, self.hidden)}
                shapes |= {f"{name}_l{i}{suffix}": sizes.get(name, (rows,)) for name in self.cell.weights}
        return shapes

    @property
    def kind(self) -> str:
        direction = "bidirectional " if len(self.directions) > 1 else ""
        return f"{direction}{self.cell.name.upper() or self.cell.function.__name__}"

    def bytes_of_states(self, batch: int, steps: int) -> int:
        """Return the memory that the gradients of a batch need at least: of the gates and states at all steps."""
        width = (self.cell.gates + 1) * self.hidden * len(self.directions) * self.layers
        return 4 * self.replicates * batch * steps * width

    def forward(self, inputs: Tensor, lengths: Tensor, dropout_key: tuple[int, ...] | None = None) -> Tensor:
        """Return the logits of padded sequences; the values in the padding change no logit of a real step.

        In training the lengths are not looked at: a task's examples have been checked when they were made.

        Args:
            inputs: [R, B, T, D], or [B, T, D] for all replicates.
            lengths: [R, B] or [B], real steps of each sequence, from 1 to T.
            dropout_key: decides the dropout masks, with each replicate's seed; None disables dropout.

        Returns:
            Logits [R, B, T, C], or [R, B, C] with readout "last".

        Raises:
            ValueError: the inputs have another shape, or a length is not one of their steps.
        """
        inputs, lengths, reverse = self._of_all(inputs, lengths)
        states = self._features(inputs, lengths, dropout_key)
        fused = self.readout == "every_step" or self.pooling == "last"
        for i in range(self.layers - fused):
            states = self._layer(i, self._inputs(i, states, dropout_key), reverse)
        if fused:  # the last layer and the read-out in one call; each direction adds its share of the logits
            last = self.layers - 1
            first, *second = self._each_direction(last, self._inputs(last, states, dropout_key), reverse, lengths)
            return first + second[0] if second else first
        return read(_mean(states, lengths), self.head["weight"], self.head["bias"])

    def states(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs of every layer at every step, without dropout.

        Args:
            inputs, lengths: as for ``forward``.

        Returns:
            [R, L, B, T, H], of a bidirectional network [R, L, B, T, 2 H]: forwards, then backwards.
        """
        inputs, lengths, reverse = self._of_all(inputs, lengths)
        layers = [self._layer(0, self._features(inputs, lengths, None), reverse)]
        for i in range(1, self.layers):
            layers.append(self._layer(i, layers[-1], reverse))
        return torch.stack(layers, 1)

    def _of_all(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return inputs and lengths of each replicate, and the order in which the backward direction reads steps."""
        inputs, lengths = self._for_all(inputs, lengths)
        padded = len(self.directions) == 2 and not (lengths == inputs.shape[2]).all()
        return inputs, lengths, _reversal(lengths, inputs.shape[2]) if padded else None

    def _layer(self, i: int, inputs: Tensor, reverse: Tensor | None) -> Tensor:
        """Return the outputs of layer i, [R, B, T, H] -> [R, B, T, H], its directions side by side."""
        halves = self._each_direction(i, inputs, reverse)
        return torch.cat(halves, -1) if len(halves) == 2 else halves[0]

    def _features(self, inputs: Tensor, lengths: Tensor, dropout_key: tuple[int, ...] | None) -> Tensor:
        """Return the inputs of the first recurrent layer, [R, B, T, D] -> [R, B, T, F]; here the network's own."""
        return inputs

    def _each_direction(
        self, i: int, inputs: Tensor, reverse: Tensor | None, lengths: Tensor | None = None
    ) -> list[Tensor]:
        """Return the outputs of layer i in each direction, [R, B, T, H]; with lengths its share of the logits."""
        last = lengths if self.readout == "last" else None
        head = self.head["weight"]
        heads = head.split(self.hidden, 2) if len(self.directions) == 2 else (head,)
        results = []
        for number, suffix in enumerate(self.directions):
            weights = tuple(self.recurrent[f"{name}_l{i}{suffix}"] for name in self.cell.weights)
            readout = None
            if lengths is not None:
                bias = self.head["bias"]
                readout = heads[number], torch.zeros_like(bias) if number else bias
            ordered = _reversed(inputs, reverse) if number else inputs
            out = recurrence.layer(self.cell, ordered, weights, readout, last, self.backend)
            results.append(_reversed(out, reverse) if number and out.dim() == 4 else out)
        return results

    def _inputs(self, i: int, states: Tensor, key: tuple[int, ...] | None) -> Tensor:
        """Return the inputs of layer i, [R, B, T, H]: what is below it, of all but the first after dropout."""
        return self._dropout(states, i, key) if i else states


def _parameters(shapes: dict[str, tuple[int, ...]], limit: float, streams: list[torch.Generator]) -> nn.ParameterDict:
    return nn.ParameterDict([(name, uniform(shape, limit, streams)) for name, shape in shapes.items()])


def _mean(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of the states at the real steps: [R, B, T, H] -> [R, B, H]."""
    real = torch.arange(states.shape[2], device=states.device) < lengths[..., None]  # [R, B, T]
    return (states * real[..., None]).sum(2) / lengths[..., None]


def _reversal(lengths: Tensor, steps: int) -> Tensor:
    """Index of each step of a sequence that is read from its own end: [R, B] -> [R, B, T, 1]."""
    return (lengths[..., None] - 1 - torch.arange(steps, device=lengths.device)).clamp(min=0)[..., None]


def _reversed(steps: Tensor, reverse: Tensor | None) -> Tensor:
    """Return the steps [R, B, T, D] of each sequence, its own last step first; without an index there is no padding."""
    return steps.flip(2) if reverse is None else steps.take_along_dim(reverse, 2)

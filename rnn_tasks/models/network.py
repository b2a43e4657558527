"""A stack of recurrent layers with a linear read-out, of many replicates at once."""

from importlib import import_module
from typing import Literal

import torch
from torch import Tensor, nn

from rnn_tasks.models import recurrence
from rnn_tasks.models.cells import CELLS, Cell
from rnn_tasks.models.recurrence import read
from rnn_tasks.seeds import generator

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Network(nn.Module):
    """R independent networks of one shape: recurrent layers and a linear read-out.

    The parameters are those of torch.nn.RNN, LSTM or GRU (``recurrent.weight_ih_l0`` ...) and of torch.nn.Linear
    (``head.weight``, ``head.bias``), each with a leading axis over the replicates.

    Args:
        input_size: D, features of a step.
        output_size: C, logits of an answer.
        readout: "every_step" answers at each step, "last" once, after the whole sequence.
        cell: rnn, lstm, gru, or where a Cell of one's own lies, as module.name.
        hidden: H, units of a layer in each direction.
        layers: how many layers.
        dropout: share of a layer's outputs that the next layer does not see in training.
        bidirectional: let a second half read the sequence from its own end.
        pooling: where the task asks for one answer, what it is read from: the "last" state of each direction, or the
            "mean" of the outputs at all steps.
        init: initial weights are uniform in ±init; without, in torch's ±1/sqrt(H).
        replicates: R.
        seed: of replicate 0, that of replicate r is ``seed + r``. It decides the initial weights and dropout.
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
        super().__init__()
        self.cell = CELLS[cell] if cell in CELLS else _own_cell(cell)
        self.hidden, self.layers, self.dropout = hidden, layers, dropout
        self.replicates, self.readout, self.pooling = replicates, readout, pooling
        self.seeds = range(seed, seed + replicates)
        self.directions = ("", "_reverse") if bidirectional else ("",)
        width, rows = hidden * len(self.directions), self.cell.gates * hidden
        shapes = {}
        for i in range(layers):
            for suffix in self.directions:
                sizes = (rows, width if i else input_size), (rows, hidden), (rows,), (rows,)
                shapes |= {f"{name}_l{i}{suffix}": size for name, size in zip(WEIGHTS, sizes, strict=True)}
        streams = [generator(seed, "weights") for seed in self.seeds]
        self.recurrent = nn.ParameterDict(
            [(name, drawn(size, init or hidden**-0.5, streams)) for name, size in shapes.items()]
        )
        sizes = {"weight": (output_size, width), "bias": (output_size,)}
        self.head = nn.ParameterDict(
            [(name, drawn(size, init or width**-0.5, streams)) for name, size in sizes.items()]
        )

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor,
        dropout_key: tuple[int, ...] | None = None,
        return_states: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits of padded sequences; what stands in the padding changes no logit of a real step.

        Args:
            inputs: [R, B, T, D], or [B, T, D] for all replicates.
            lengths: [R, B] or [B], real steps of each sequence, from 1 to T.
            dropout_key: with a replicate's seed decides its dropout masks; without one nothing is dropped.
            return_states: give the last layer's outputs [R, B, T, H] (twice H if bidirectional) as well.

        Returns:
            [R, B, T, C] logits, or [R, B, C] if there is one answer.
        """
        if inputs.dim() == 3:
            inputs, lengths = (tensor.expand(self.replicates, *tensor.shape) for tensor in (inputs, lengths))
        both = len(self.directions) == 2
        reverse = _reversal(lengths, inputs.shape[2]) if both and not (lengths == inputs.shape[2]).all() else None
        states = self._seen(inputs, lengths, dropout_key)
        fused = not return_states and (self.readout == "every_step" or self.pooling == "last")
        for i in range(self.layers - fused):
            halves = self._halves(i, self._dropped(states, i, dropout_key), reverse)
            states = torch.cat(halves, -1) if both else halves[0]
        if fused:
            last = self.layers - 1
            first, *second = self._halves(last, self._dropped(states, last, dropout_key), reverse, lengths)
            return first + second[0] if second else first
        final = self._final(states, lengths) if self.readout == "last" else states
        logits = read(final, self.head["weight"], self.head["bias"])
        return (logits, states) if return_states else logits

    def _seen(self, inputs: Tensor, lengths: Tensor, dropout_key: tuple[int, ...] | None) -> Tensor:
        """What the first recurrent layer sees of inputs [R, B, T, D]: themselves."""
        return inputs

    def _halves(self, i: int, inputs: Tensor, reverse: Tensor | None, lengths: Tensor | None = None) -> list[Tensor]:
        """What layer i makes of its inputs in each direction: its outputs or, with lengths, its share of the logits."""
        last = lengths if self.readout == "last" else None
        heads = self.head["weight"].split(self.hidden, 2) if len(self.directions) == 2 else [self.head["weight"]]
        found = []
        for number, suffix in enumerate(self.directions):
            weights = tuple(self.recurrent[f"{name}_l{i}{suffix}"] for name in WEIGHTS)
            share = None
            if lengths is not None:
                bias = self.head["bias"]
                share = heads[number], torch.zeros_like(bias) if number else bias
            ordered = _take(inputs, reverse) if number else inputs
            out = recurrence.layer(self.cell, ordered, weights, share, last)
            found.append(_take(out, reverse) if number and out.dim() == 4 else out)
        return found

    def _final(self, states: Tensor, lengths: Tensor) -> Tensor:
        """What the one answer is read from: [R, B, T, H] -> [R, B, H]."""
        if self.pooling == "mean":
            real = torch.arange(states.shape[2], device=states.device) < lengths[..., None]  # [R, B, T]
            return (states * real[..., None]).sum(2) / lengths[..., None]
        last = recurrence.final(states, lengths)
        return torch.cat((last[..., : self.hidden], states[:, :, 0, self.hidden :]), -1)

    def _dropped(self, states: Tensor, i: int | str, key: tuple[int, ...] | None) -> Tensor:
        """What layer i sees of the states before it in training."""
        if not (i and self.dropout and key is not None):
            return states
        streams = [generator("dropout", i, seed, *key) for seed in self.seeds]
        return states * torch.stack([self._mask(ones, stream) for ones, stream in zip(states, streams, strict=True)])

    def _mask(self, states: Tensor, stream: torch.Generator) -> Tensor:
        """Drawn time-first, so that a mask for 9 steps is the beginning of one for 11: [B, T, H]."""
        batch, steps, width = states.shape
        kept = torch.rand(steps, batch, width, generator=stream) >= self.dropout
        return kept.transpose(0, 1).to(states) / (1 - self.dropout)


def _own_cell(path: str) -> Cell:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # an import runs any code
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"cell={path}: must be one of {', '.join(CELLS)} or like my_module.my_cell ({reason})"
        ) from None
    if not isinstance(found, Cell):
        raise ValueError(f"cell={path}: is no cell; put @cell(gates=...) above its function")
    return found


def drawn(size: tuple[int, ...], limit: float, streams: list[torch.Generator]) -> nn.Parameter:
    """Initial values of a parameter, uniform in ±limit, each replicate's from its own stream: [R, *size]."""
    values = [torch.empty(size).uniform_(-limit, limit, generator=stream) for stream in streams]
    return nn.Parameter(torch.stack(values))


def _reversal(lengths: Tensor, steps: int) -> Tensor:
    """Where each step of a sequence read from its own end stands in it: [R, B] -> [R, B, T, 1]."""
    return (lengths[..., None] - 1 - torch.arange(steps, device=lengths.device)).clamp(min=0)[..., None]


def _take(steps: Tensor, reverse: Tensor | None) -> Tensor:
    """The steps [R, B, T, D] of each sequence from its own end, which is the last step if there is no padding."""
    return steps.flip(2) if reverse is None else steps.take_along_dim(reverse, 2)

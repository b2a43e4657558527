"""What networks with replicates have in common: sizes, seeds, dropout, checks of their inputs."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rnn_tasks import checks, memory
from rnn_tasks.models.masks import dropout_masks
from rnn_tasks.seeds import generator

BYTES = 16  # of a parameter in training: its value, its gradient and two numbers of the optimizer


class Replicated(nn.Module):
    """R independent networks of one shape, computed at once; each parameter has a leading axis over the replicates.

    Args:
        input_size: D, features of a step.
        output_size: C, logits of an answer.
        readout: "every_step" answers at each step, "last" once, after the whole sequence.
        hidden: H, units of a layer.
        layers: number of layers.
        dropout: probability with which an output of a layer is hidden in training.
        replicates: R.
        seed: of replicate 0; that of replicate r is ``seed + r``. It decides the initial weights and dropout.

    Attributes:
        seeds, sizes, dropouts: the seed, the hidden units and the dropout of each replicate.
        rows: where the inputs are the rows of a batch that one of several processes computes: the first, and how many
            rows all have. Dropout then hides what it would hide in the whole batch. None: they are the whole batch.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        readout: Literal["every_step", "last"],
        hidden: int,
        layers: int,
        dropout: float,
        replicates: int,
        seed: int,
    ) -> None:
        checks.whole_numbers(1, input_size=input_size, output_size=output_size, hidden=hidden)
        checks.whole_numbers(1, checks.MOST_LAYERS, layers=layers)
        checks.whole_numbers(1, checks.MOST_REPLICATES, replicates=replicates)
        checks.whole_numbers(0, seed=seed)
        checks.one_of(("every_step", "last"), readout=readout)
        checks.fractions(dropout=dropout)
        super().__init__()
        self.input_size, self.hidden, self.layers, self.dropout = input_size, hidden, layers, dropout
        self.replicates, self.readout = replicates, readout
        self.seeds: Sequence[int] = range(seed, seed + replicates)
        self.sizes, self.dropouts = [hidden] * replicates, [dropout] * replicates
        self.rows: tuple[int, int] | None = None

    @property
    def kind(self) -> str:
        """What the networks are, whatever their size, such as "bidirectional LSTM"."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """What the networks are, such as "bidirectional LSTM, 2 layers of 128 units"."""
        layers = f"{self.layers} layers of " if self.layers > 1 else ""
        return f"{self.kind}, {layers}{self.hidden} unit{'s' * (self.hidden > 1)}"

    def extra_repr(self) -> str:
        replicates = f"; {self.replicates} replicates" if self.replicates > 1 else ""
        return f"{self.description}; readout {self.readout}{replicates}"

    def bytes_of_states(self, batch: int, steps: int) -> int:
        """Return the memory that the gradients of a batch need at least, apart from the parameters."""
        raise NotImplementedError

    def _require_memory(self, numbers: int) -> None:
        """Refuse networks whose parameters, so many of each, do not fit into memory."""
        memory.require(self.replicates * numbers * BYTES, f"hidden={self.hidden} of {self.replicates} replicates")

    def _for_all(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [R, B, T, D] and lengths [R, B] of each replicate.

        Raises:
            ValueError: the inputs have another shape, or in evaluation a length is not one of their steps.
        """
        if inputs.shape[-1] != self.input_size or inputs.dim() not in (3, 4):
            raise ValueError(
                f"inputs {list(inputs.shape)}: must be [B, T, {self.input_size}], or [R, B, T, {self.input_size}]"
            )
        if not self.training and not 1 <= int(lengths.min()) <= int(lengths.max()) <= inputs.shape[-2]:
            raise ValueError(f"lengths from {lengths.min()} to {lengths.max()}: must be from 1 to {inputs.shape[-2]}")
        if inputs.dim() == 3:
            inputs, lengths = (tensor.expand(self.replicates, *tensor.shape) for tensor in (inputs, lengths))
        return inputs, lengths

    def _dropout(self, states: Tensor, name: int | str, key: tuple[int, ...] | None) -> Tensor:
        """Return states [R, B, T, H] after dropout, whose masks the seeds, the name and the key decide.

        Args:
            states: of all replicates.
            name: of these states among all of the network.
            key: of the batch; None disables dropout.
        """
        if key is None or not any(self.dropouts):
            return states
        streams = [generator("dropout", name, seed, *key) for seed in self.seeds]
        first, of = self.rows or (0, states.shape[1])
        return states * dropout_masks(states, streams, self.dropouts, self.sizes, self.hidden, first, of)


def uniform(shape: tuple[int, ...], limit: float, streams: list[torch.Generator]) -> nn.Parameter:
    """Return a parameter with initial values uniform in ±limit, each replicate's from its own stream: [R, *shape]."""
    values = [torch.empty(shape).uniform_(-limit, limit, generator=stream) for stream in streams]
    return nn.Parameter(torch.stack(values))

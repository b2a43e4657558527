"""A stack of recurrent layers with a linear read-out."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_tasks.models.recurrence import vanilla
from rnn_tasks.seeds import generator

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Network(nn.Module):
    """Recurrent layers, each a torch.nn.RNN, LSTM or GRU, and a linear read-out.

    Args:
        input_size: D, features of a step.
        output_size: C, logits of an answer.
        readout: "every_step" answers at each step, "last" once, from the final state of each direction.
        cell: a name in CELLS.
        hidden: H, units of a layer in each direction.
        layers: how many layers.
        dropout: share of a layer's outputs that the next layer does not see in training.
        bidirectional: let a second half read the sequence from its own end.
        seed: decides the initial weights: uniform in ±1/sqrt(H), as in torch.
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
        seed: int = 0,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell={cell}: must be one of {', '.join(CELLS)}")
        self.hidden = hidden
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.readout = readout
        width = hidden * (1 + bidirectional)
        self.layers = nn.ModuleList(
            CELLS[cell](width if i else input_size, hidden, batch_first=True, bidirectional=bidirectional)
            for i in range(layers)
        )
        self.head = nn.Linear(width, output_size)
        weights = generator(seed, "weights")
        for parameters, fan_in in ((self.layers.parameters(), hidden), (self.head.parameters(), width)):
            for parameter in parameters:
                nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5, generator=weights)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor,
        dropout_key: tuple[int, ...] | None = None,
        return_states: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits of padded sequences; what stands in the padding changes no logit of a real step.

        Args:
            inputs: [B, T, D].
            lengths: [B], real steps of each sequence, from 1 to T.
            dropout_key: decides the dropout masks; without one nothing is dropped.
            return_states: give the last layer's outputs [B, T, H] (twice H if bidirectional) as well.

        Returns:
            [B, T, C] logits, or [B, C] if the answer is read at the last step.
        """
        padded = bool((lengths < inputs.shape[1]).any())
        states = inputs
        for i, layer in enumerate(self.layers):
            if i and self.dropout and dropout_key is not None:
                states = states * self._mask(states, generator("dropout", i, *dropout_key))
            if self.bidirectional and padded:
                packed = pack_padded_sequence(states, lengths.cpu(), batch_first=True, enforce_sorted=False)
                states, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=inputs.shape[1])
            elif layer.mode == "RNN_TANH" and states.device.type == "cpu":
                states = vanilla(layer, states)
            else:
                states, _ = layer(states)  # [B, T, D] -> [B, T, H]; padding lies behind what a forward half reads
        logits = self.head(states if self.readout == "every_step" else self._final(states, lengths, padded))
        return (logits, states) if return_states else logits

    def _final(self, states: Tensor, lengths: Tensor, padded: bool) -> Tensor:
        """The state of each direction after its last step: [B, T, H] -> [B, H]."""
        last = states[torch.arange(len(states), device=states.device), lengths - 1] if padded else states[:, -1]
        if not self.bidirectional:
            return last
        return torch.cat((last[:, : self.hidden], states[:, 0, self.hidden :]), -1)

    def _mask(self, states: Tensor, stream: torch.Generator) -> Tensor:
        """Drawn time-first, so that a mask for 9 steps is the beginning of one for 11: [B, T, H]."""
        batch, steps, width = states.shape
        kept = torch.rand(steps, batch, width, generator=stream) >= self.dropout
        return kept.transpose(0, 1).to(states) / (1 - self.dropout)

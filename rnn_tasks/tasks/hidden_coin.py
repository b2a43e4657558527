"""Tosses of two coins that are exchanged unseen: a hidden Markov model."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks.base import Task
from rnn_tasks.tasks.examples import Batch


class HiddenCoin(Task):
    """The next toss, asked after each toss of one of two coins; before each toss they may be exchanged unseen.

    With ``heads=[0.9, 0.2]`` coin A shows heads (1) in nine of ten tosses, coin B in two:

        step      0   1   2   3   4   5
        coin      A   A   A   B   B   B
        input     1   1   0   0   0   1
        target    1   0   0   0   1   0

    No network can be always right. The best prediction follows from the probability that coin A is in use, given all
    tosses so far, which the forward algorithm computes (Rabiner 1989). ``best_loss`` is the loss of these predictions:
    the bits above it are what a network has not learnt. The probability is a real number, so no finite automaton
    computes it.

    Args:
        heads: probabilities of heads of the two coins.
        switch: probability that the coins are exchanged before a toss; the first toss is of either.
        values: those of Task.

    Raises:
        ValueError: a value is out of its range.
    """

    input_size = 1
    output_size = 1
    readout = "every_step"
    example = "110001"

    def __init__(self, heads: Sequence[float] = (0.9, 0.2), switch: float = 0.1, **values: Any) -> None:
        checks.require(len(heads) == 2, "heads", list(heads), "two probabilities, like [0.9, 0.2]")
        for probability in (*heads, switch):
            checks.require(0 <= probability <= 1, "heads and switch", probability, "from 0 to 1")
        super().__init__(**values)
        self.heads, self.switch = torch.tensor(heads, dtype=torch.float64), switch

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        random = torch.rand(2, len(lengths), int(lengths.max()) + 1, generator=stream, dtype=torch.float64)
        switches = random[0] < self.switch
        switches[:, 0] = random[0, :, 0] < 0.5
        coins = switches.cumsum(1) % 2
        tosses = (random[1] < self.heads[coins]).float()
        return tosses[:, :-1, None], tosses[:, 1:]

    def best_predictions(self, tosses: Tensor) -> Tensor:
        """Return the probability of heads in the next toss, given those so far, by the forward algorithm: [N, T]."""
        shares = torch.full((len(tosses), 2), 0.5, dtype=torch.float64)  # of the coins that may be in use
        predictions = []
        for toss in tosses.T:
            shares = shares * torch.where(toss[:, None] == 1, self.heads, 1 - self.heads)
            shares = shares / shares.sum(1, keepdim=True)
            shares = shares + self.switch * (shares.flip(1) - shares)
            predictions.append(shares @ self.heads)
        return torch.stack(predictions, 1)

    def best_loss(self, batch: Batch) -> float:
        predictions = self.best_predictions(batch.inputs[..., 0])
        losses = F.binary_cross_entropy(predictions, batch.targets.double(), reduction="none")
        real = torch.arange(losses.shape[1]) < batch.lengths[:, None]
        return float(losses[real].mean())

    def parse(self, text: str) -> Tensor:
        if not text or set(text) - {"0", "1"}:
            raise ValueError(f"{text!r} is no string of tosses like {self.example}, 1 for heads")
        return torch.tensor([[float(toss)] for toss in text])

    def write_input(self, inputs: Tensor) -> str:
        return self.write_answer(inputs[:, 0])

    def write_answer(self, answer: Tensor) -> str:
        return "".join(str(int(toss)) for toss in answer.tolist())

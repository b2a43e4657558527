"""Two classes of sequences that differ in their first numbers; noise follows."""

from typing import Any

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks.base import Task


class TwoSequence(Task):
    """Whether a sequence of numbers began with ones or with minus ones, asked after much noise.

    With ``signal=3``, both kinds:

        1  1  1   0.31 -0.52  0.08 ...   answer 1
       -1 -1 -1  -0.07  0.44  0.63 ...   answer 0

    Noise is normal with mean 0. It comes in by the same input as the signal, so that a network cannot shut it out
    altogether. This is the two-sequence problem of Bengio, Simard and Frasconi (1994) as in experiment 3a of Hochreiter
    and Schmidhuber (1997), who draw lengths from T to 1.1 T; with ``signal_variance=0.2`` it is their experiment 3b.

    Args:
        signal: numbers that tell the class; at most the shortest length.
        noise_variance: variance of the numbers after them.
        signal_variance: variance of what is added to them.
        values: those of Task.

    Raises:
        ValueError: a value is out of its range.
    """

    input_size = 1
    output_size = 1
    readout = "last"
    chance_accuracy = 0.5
    example = "1; 1; 1; 0.31; -0.52"

    def __init__(
        self, signal: int = 3, noise_variance: float = 0.2, signal_variance: float = 0.0, **values: Any
    ) -> None:
        checks.whole_numbers(1, signal=signal)
        checks.not_negative(noise_variance=noise_variance, signal_variance=signal_variance)
        super().__init__(**values)
        self.signal = signal
        self.deviations = signal_variance**0.5, noise_variance**0.5

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        return list(range(max(low, self.signal), high + 1))

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        classes = torch.randint(2, (len(lengths), 1), generator=stream)
        noise = torch.randn(len(lengths), int(lengths.max()), generator=stream, dtype=torch.float64)
        signal, of_noise = self.deviations
        tells = torch.arange(noise.shape[1]) < self.signal
        numbers = torch.where(tells, 2 * classes - 1 + signal * noise, of_noise * noise)
        return numbers.round(decimals=4).float()[..., None], classes.squeeze(1)

"""The cells of recurrent layers."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Cell(NamedTuple):
    """A recurrence.

    Attributes:
        function: (pre-activations [R, gates * H, B], state [R, H, B]) -> (output [R, H, B], state). The
            pre-activations are W x + b + U h + c of the inputs x and the former output h; the first state is zero.
        gates: rows of weights of a unit.
        name: in torch.nn, if it is there.
    """

    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    gates: int
    name: str = ""


def cell(gates: int) -> Callable[[Callable], Cell]:
    """Make a cell of a function: ``@cell(gates=2)`` above it, and ``model.cell=module.name`` trains it."""
    return lambda function: Cell(function, gates)


def rnn(pre: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    h = pre.tanh()
    return h, h


def lstm(pre: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = pre.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(pre: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    r, z, inputs, recurrent = pre.chunk(4, 1)  # see _apart
    n = (inputs + r.sigmoid() * recurrent).tanh()
    h = n + z.sigmoid() * (h - n)
    return h, h


CELLS = {"rnn": Cell(rnn, 1, "rnn"), "lstm": Cell(lstm, 4, "lstm"), "gru": Cell(gru, 3, "gru")}

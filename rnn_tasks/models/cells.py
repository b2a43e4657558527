"""The cells of recurrent layers: how a unit's state follows from its pre-activations."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from torch import Tensor

from rnn_tasks import checks

CellFunction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Cell(NamedTuple):
    """A recurrent cell.

    Attributes:
        function: (pre-activations [R, gates * H, B], state [R, H, B]) -> (output h [R, H, B], new state [R, H, B]).
            The pre-activations are W x_t + b + U h_{t-1} + c of the inputs x_t and the former output h_{t-1}. The first
            output and the first state are zero.
        gates: rows of W and U for each unit.
        name: of the same cell in torch.nn, in lower case; empty for a cell that torch does not have.
    """

    function: CellFunction
    gates: int
    name: str = ""


def cell(gates: int) -> Callable[[CellFunction], Cell]:
    """Turn a function into a cell, as a decorator: ``@cell(gates=2)``; ``model.cell=module.name`` then trains it."""
    checks.whole_numbers(1, gates=gates)
    return lambda function: Cell(function, gates)


def rnn(pre: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute a step of the simple recurrent network (Elman 1990): h_t = tanh(a), with its pre-activation a."""
    h = pre.tanh()
    return h, h


def lstm(pre: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Compute a step of long short-term memory (Hochreiter and Schmidhuber 1997).

    It has forget gates (Gers, Schmidhuber and Cummins 2000). With the pre-activations a_i, a_f, a_g, a_o of the input
    gate, forget gate, candidate and output gate, s the logistic sigmoid and * elementwise:

        c_t = s(a_f) * c_{t-1} + s(a_i) * tanh(a_g)
        h_t = s(a_o) * tanh(c_t)
    """
    i, f, g, o = pre.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(pre: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Compute a step of the gated recurrent unit (Cho et al. 2014).

    It is the variant of cuDNN and torch, which resets after the product:

        r_t = s(a_r),  z_t = s(a_z)
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + c_n))
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    Cho et al. reset h_{t-1} itself, before the product with U_n. As r_t multiplies only the recurrent half of the
    candidate's pre-activation, ``pre`` has that half apart, as a fourth block (see recurrence.py).
    """
    r, z, inputs, recurrent = pre.chunk(4, 1)
    n = (inputs + r.sigmoid() * recurrent).tanh()
    h = n + z.sigmoid() * (h - n)
    return h, h


CELLS = {"rnn": Cell(rnn, 1, "rnn"), "lstm": Cell(lstm, 4, "lstm"), "gru": Cell(gru, 3, "gru")}


def find_cell(path: str) -> Cell:
    """Return the cell of a name in CELLS, or the one that lies at ``module.name``.

    Raises:
        ValueError: there is none.
    """
    if not isinstance(path, str):
        raise ValueError(f"cell={path!r}: must be one of {', '.join(CELLS)} or like my_module.my_cell")
    if path in CELLS:
        return CELLS[path]
    module, _, name = path.rpartition(".")
    try:
        value = getattr(import_module(module), name)
    except Exception as error:  # an import runs any code
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"cell={path}: must be one of {', '.join(CELLS)} or like my_module.my_cell ({reason})"
        ) from None
    if not isinstance(value, Cell):
        raise ValueError(f"cell={path}: must be a cell; put @cell(gates=...) above its function")
    return value

"""The cells of recurrent layers: how a unit's state follows from its pre-activations."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import logsigmoid

from rnn_tasks import checks

CellFunction = Callable[..., tuple[Tensor, Tensor]]


class Cell(NamedTuple):
    """A recurrent cell.

    Attributes:
        function: (pre-activations [R, gates * H, B], state [R, H, B]) -> (output h [R, H, B], new state [R, H, B]).
            The pre-activations are W x_t + b + U h_{t-1} + c of the inputs x_t and the former output h_{t-1}. The first
            output and the first state are zero.
        gates: rows of W and U for each unit.
        name: of the same cell in torch.nn, in lower case; empty for a cell that torch does not have.
        linear: whether the output is h_t = a_t * h_{t-1} + b_t, where a_t and b_t depend on x_t alone. There are then
            no U and c, and the function is (pre-activations [R, gates * H, ...]) -> (a [R, H, ...], b [R, H, ...]).
    """

    function: CellFunction
    gates: int
    name: str = ""
    linear: bool = False

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of W, U, b and c, as in torch.nn; those of a linear cell are W and b."""
        return ("weight_ih", "bias_ih") if self.linear else ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def step(self, pre: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a step, of a linear cell too: [R, gates * H, B], [R, H, B] -> output and new state [R, H, B]."""
        if not self.linear:
            return self.function(pre, state)
        kept, added = self.function(pre)
        h = kept * state + added
        return h, h


def cell(gates: int, linear: bool = False) -> Callable[[CellFunction], Cell]:
    """Turn a function into a cell, as a decorator: ``@cell(gates=2)``; ``model.cell=module.name`` then trains it."""
    checks.whole_numbers(1, gates=gates)
    checks.booleans(linear=linear)
    return lambda function: Cell(function, gates, linear=linear)


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


def mingru(pre: Tensor) -> tuple[Tensor, Tensor]:
    """Compute a and b of the minimal gated recurrent unit (Feng et al. 2024), whose gate does not read the output.

    With the pre-activations a_z of the gate and a_h of the candidate, which has no tanh:

        z_t = s(a_z)
        h_t = (1 - z_t) * h_{t-1} + z_t * a_h
    """
    z, candidate = pre.chunk(2, 1)
    z = z.sigmoid()
    return 1 - z, z * candidate


def minlstm(pre: Tensor) -> tuple[Tensor, Tensor]:
    """Compute a and b of minimal long short-term memory (Feng et al. 2024), whose gates do not read the output.

    It has no output gate. With the pre-activations a_f and a_i of the gates and a_h of the candidate:

        f_t = s(a_f),  i_t = s(a_i)
        h_t = f_t / (f_t + i_t) * h_{t-1} + i_t / (f_t + i_t) * a_h

    The share of the input gate is s(log i_t - log f_t), which is finite where both gates are too small for a float.
    """
    f, i, candidate = pre.chunk(3, 1)
    share = (logsigmoid(i) - logsigmoid(f)).sigmoid()
    return 1 - share, share * candidate


CELLS = {
    "rnn": Cell(rnn, 1, "rnn"),
    "lstm": Cell(lstm, 4, "lstm"),
    "gru": Cell(gru, 3, "gru"),
    "mingru": Cell(mingru, 2, linear=True),
    "minlstm": Cell(minlstm, 3, linear=True),
}


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

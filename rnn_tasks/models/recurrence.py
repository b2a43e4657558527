"""Recurrent layers of R replicates: [R, B, T, D] -> [R, B, T, H], with the weights of torch.nn.RNN, LSTM and GRU.

Three ways give the same numbers up to rounding, and each is the fastest somewhere:

- the compiled kernel (kernel.py) for small networks on a CPU,
- one replicate after the other for large ones, whose matrix products fill a core anyway,
- all replicates stacked in one loop of torch operations: for cells of one's own, without a compiler, on other devices.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from rnn_tasks.models import kernel
from rnn_tasks.models.cells import Cell

LARGE = {"rnn": 2**20, "lstm": 2**14, "gru": 2**20}  # B * H^2 from which on one replicate after the other is faster


def layer(
    cell: Cell,
    inputs: Tensor,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
    readout: tuple[Tensor, Tensor] | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """A recurrent layer in one direction, and a linear read-out of it.

    Args:
        cell: one of CELLS or of one's own.
        inputs: [R, B, T, D].
        weights: weight_ih [R, G*H, D], weight_hh [R, G*H, H], bias_ih and bias_hh [R, G*H].
        readout: weight [R, C, H] and bias [R, C].
        lengths: [R, B], to read each sequence at its last step alone.

    Returns:
        [R, B, T, C], without a read-out [R, B, T, H]; with lengths [R, B, C] or [R, B, H].
    """
    if torch.is_autocast_enabled(inputs.device.type):
        kind = torch.get_autocast_dtype(inputs.device.type)
        inputs, *weights = (tensor.to(kind) for tensor in (inputs, *weights))
    if kernel.fits(cell.name, inputs, weights[1]):
        return kernel.Layer.apply(cell.name, inputs, *weights, *(readout or (None, None)), lengths)
    if cell.name and len(inputs) == 1:
        states = _alone(cell.name, *(tensor.squeeze(0) for tensor in (inputs, *weights)))[None]
    elif cell.name and inputs.shape[1] * weights[1].shape[2] ** 2 >= LARGE[cell.name]:
        ones = zip(inputs, *weights, strict=True)
        states = torch.stack([_alone(cell.name, *one) for one in ones])
    else:
        states = _stacked(cell, inputs, *(_apart(*weights) if cell.name == "gru" else weights))
    if lengths is not None:
        states = final(states, lengths)
    return states if readout is None else read(states, *readout)


def final(states: Tensor, lengths: Tensor) -> Tensor:
    """What stands at the last step of each sequence: [R, B, T, H], [R, B] -> [R, B, H]."""
    if (lengths == states.shape[2]).all():
        return states[:, :, -1]
    return states.take_along_dim((lengths - 1)[..., None, None], 2).squeeze(2)


def read(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear read-out of each replicate: [R, B, ..., H], [R, C, H], [R, C] -> [R, B, ..., C]."""
    turned = states.transpose(1, -1)  # [R, B, T, H] -> [R, H, T, B], as _stacked has it
    logits = torch.baddbmm(bias[..., None], weight, turned.flatten(2))
    return logits.unflatten(2, turned.shape[2:]).transpose(1, -1)


def _stacked(cell: Cell, inputs: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    projected = read(inputs, w_ih, b_ih + b_hh).transpose(1, -1)  # [R, B, T, D] -> [R, G*H, T, B]
    output = state = projected.new_zeros(len(inputs), w_hh.shape[2], inputs.shape[1])
    outputs = []
    for x in projected.unbind(2):
        output, state = cell.function(torch.baddbmm(x, w_hh, output), state)
        outputs.append(output)
    return torch.stack(outputs, 2).transpose(1, -1)  # [R, H, T, B] -> [R, B, T, H]


def _apart(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The weights of a GRU with a fourth gate: its third sees the two halves of its pre-activation apart."""
    hidden = w_hh.shape[2]

    def inputs(w: Tensor) -> Tensor:
        return pad(w.transpose(1, -1), (0, hidden)).transpose(1, -1)

    def recurrent(w: Tensor) -> Tensor:
        first, last = w.split((2 * hidden, hidden), 1)
        return torch.cat((first, torch.zeros_like(last), last), 1)

    return inputs(w_ih), recurrent(w_hh), inputs(b_ih), recurrent(b_hh)


def _alone(name: str, inputs: Tensor, *weights: Tensor) -> Tensor:
    """One replicate: [B, T, D] -> [B, T, H]."""
    if name == "rnn" and inputs.device.type == "cpu":
        w_ih, w_hh, b_ih, b_hh = weights
        return TanhLayer.apply(inputs.transpose(0, 1), w_ih, w_hh, b_ih + b_hh).transpose(0, 1)
    start = inputs.new_zeros(1, len(inputs), weights[1].shape[1])
    function = {"rnn": torch.rnn_tanh, "lstm": torch.lstm, "gru": torch.gru}[name]
    return function(inputs, (start, start) if name == "lstm" else start, weights, True, 1, 0.0, True, False, True)[0]


class TanhLayer(torch.autograd.Function):
    """h_t = tanh(V x_t + W h_{t-1} + b) for all steps, h_{-1} = 0: [T, B, D], [H, D], [H, H], [H] -> [T, B, H].

    With g_t the gradient that reaches h_t from outside, the one that reaches its pre-activation is

        d_t = (g_t + W' d_{t+1}) * (1 - h_t^2),

    and those of V, W and b are the sums over t of d_t x_t', of d_t h_{t-1}' and of d_t, each one product for all steps
    and sequences; torch's own backward takes a product a step.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor) -> Tensor:
        inputs = inputs.contiguous()
        projected = product(inputs.flatten(0, 1), w_ih, bias=bias).unflatten(0, inputs.shape[:2])
        states = torch.empty_like(projected)
        steps = states.unbind(0)
        torch.tanh(projected[0], out=steps[0])
        for t, x in enumerate(projected[1:].unbind(0), 1):
            torch.tanh(product(steps[t - 1], w_hh, x), out=steps[t])
        ctx.save_for_backward(inputs, states, w_ih, w_hh)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, states, w_ih, w_hh = ctx.saved_tensors
        deltas, transposed = torch.empty_like(states), w_hh.t().contiguous()
        slope = torch.ops.aten.tanh_backward.grad_input  # of (g, h): g * (1 - h^2)
        incoming, steps, outputs = gradient.unbind(0), deltas.unbind(0), states.unbind(0)
        slope(incoming[-1], outputs[-1], grad_input=steps[-1])
        for t in range(len(steps) - 2, -1, -1):
            slope(product(steps[t + 1], transposed, incoming[t]), outputs[t], grad_input=steps[t])
        d, before = deltas.flatten(0, 1), states[:-1].flatten(0, 1)
        d_inputs = product(d, w_ih.t()).view_as(inputs) if ctx.needs_input_grad[0] else None
        recurrent = product(deltas[1:].flatten(0, 1).t(), before.t())
        return d_inputs, product(d.t(), inputs.flatten(0, 1).t()), recurrent, d.sum(0)


def product(inputs: Tensor, weight: Tensor, added: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """inputs weight' + added + bias: [B, D], [H, D], [B, H], [H] -> [B, H], by oneDNN where it can.

    On some processors that is twice as fast as the library behind torch.mm; nn.LSTM uses it too.
    """
    if inputs.dtype != torch.float32 or not (inputs.numel() and torch.backends.mkldnn.is_available()):
        found = inputs @ weight.t()
        return sum((term for term in (added, bias) if term is not None), found)
    if added is None:
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(inputs, added, weight, bias, "add")

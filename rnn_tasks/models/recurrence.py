"""Recurrent layers of R replicates: [R, B, T, D] -> [R, B, T, H], with the weights of torch.nn.RNN, LSTM and GRU.

Three backends give the same numbers up to rounding, and each is the fastest somewhere:

- "kernel", the compiled kernel (kernel.py), for small networks on a CPU,
- "sequential", one replicate after the other, for large ones, whose matrix products keep a core busy anyway,
- "stacked", all replicates in one loop of torch operations, for cells that torch does not have, without a compiler, and
  on other devices.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from rnn_tasks.internals import linear_pointwise, tanh_backward
from rnn_tasks.models import kernel
from rnn_tasks.models.cells import Cell

Backend = Literal["kernel", "sequential", "stacked"]
Weights = tuple[Tensor, ...]  # weight_ih, weight_hh, bias_ih, bias_hh; of a linear cell weight_ih, bias_ih

# Measured limits, beyond which another backend is faster.
KERNEL_HIDDEN = 48  # units
KERNEL_REPLICATES = 16  # fewer leave vector lanes unused, which pays only up to KERNEL_WORK
KERNEL_WORK = 2**13  # B * G * H^2
SEQUENTIAL_WORK = {"rnn": 2**20, "lstm": 2**14, "gru": 2**20}  # B * H^2, from which on "sequential" beats "stacked"


def layer(
    cell: Cell,
    inputs: Tensor,
    weights: Weights,
    readout: tuple[Tensor, Tensor] | None = None,
    lengths: Tensor | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """Return a recurrent layer in one direction, and a linear read-out of it.

    Args:
        cell: from CELLS or made by ``@cell``.
        inputs: [R, B, T, D].
        weights: weight_ih [R, G*H, D], weight_hh [R, G*H, H], bias_ih and bias_hh [R, G*H]; those of the cell.
        readout: weight [R, C, H] and bias [R, C].
        lengths: [R, B]; the result is then only that of each sequence's last step.
        backend: "kernel", "sequential" or "stacked"; None takes the fastest that can compute this layer.

    Returns:
        [R, B, T, C], without a read-out [R, B, T, H]; with lengths [R, B, C] or [R, B, H].

    Raises:
        ValueError: the backend cannot compute this layer.
    """
    if torch.is_autocast_enabled(inputs.device.type):
        dtype = torch.get_autocast_dtype(inputs.device.type)
        inputs, weights = inputs.to(dtype), tuple(tensor.to(dtype) for tensor in weights)
    if backend is None:
        backend = fastest_backend(cell, inputs, weights[0])
    else:
        _check_backend(backend, cell, inputs, weights[0])
    if backend == "kernel":
        head, keep = readout or (None, None), torch.is_grad_enabled()
        return kernel.Layer.apply(cell.name, inputs, *weights, *head, lengths, keep)
    states = (_sequential if backend == "sequential" else _stacked)(cell, inputs, weights)
    if lengths is not None:
        states = final(states, lengths)
    return states if readout is None else read(states, *readout)


def fastest_backend(cell: Cell, inputs: Tensor, weight_ih: Tensor) -> Backend:
    """Return the fastest backend for inputs [R, B, T, D] and weights [R, G*H, D]."""
    (replicates, rows, _), batch = weight_ih.shape, inputs.shape[1]
    hidden = rows // cell.gates
    small = hidden <= KERNEL_HIDDEN and (replicates >= KERNEL_REPLICATES or batch * rows * hidden <= KERNEL_WORK)
    if small and kernel.supports(cell.name, inputs, weight_ih):
        return "kernel"
    if cell.name and (replicates == 1 or batch * hidden**2 >= SEQUENTIAL_WORK[cell.name]):
        return "sequential"
    return "stacked"


def _check_backend(backend: str, cell: Cell, inputs: Tensor, weight_ih: Tensor) -> None:
    if backend not in get_args(Backend):
        raise ValueError(f"backend={backend!r}: must be {' or '.join(get_args(Backend))}")
    if backend == "sequential" and not cell.name:
        raise ValueError("backend='sequential': must be stacked for a cell that torch.nn does not have")
    if backend == "kernel" and not kernel.supports(cell.name, inputs, weight_ih):
        raise ValueError(
            "backend='kernel': must be sequential or stacked without a C++ compiler, for cells other than"
            f" {', '.join(kernel.COMPILED)}, and for tensors other than float32 and float64 ones on the CPU"
        )


def final(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the states at the last step of each sequence: [R, B, T, H], [R, B] -> [R, B, H]."""
    if (lengths == states.shape[2]).all():
        return states[:, :, -1]
    return states.take_along_dim((lengths - 1)[..., None, None], 2).squeeze(2)


def read(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a linear read-out of each replicate: [R, B, ..., H], [R, C, H], [R, C] -> [R, B, ..., C]."""
    transposed = states.transpose(1, -1)  # [R, B, T, H] -> [R, H, T, B], the memory layout of _stacked
    logits = torch.baddbmm(bias[..., None], weight, transposed.flatten(2))
    return logits.unflatten(2, transposed.shape[2:]).transpose(1, -1)


def _stacked(cell: Cell, inputs: Tensor, weights: Weights) -> Tensor:
    """All replicates at once, step by step: [R, B, T, D] -> [R, B, T, H]."""
    if cell.linear:
        projected = read(inputs, *weights).transpose(1, -1)  # [R, B, T, D] -> [R, G*H, T, B]
        return LinearRecurrence.apply(*cell.function(projected)).transpose(1, -1)
    w_ih, w_hh, b_ih, b_hh = weights_of_cell(cell, weights)
    projected = read(inputs, w_ih, b_ih + b_hh).transpose(1, -1)  # [R, B, T, D] -> [R, G*H, T, B]
    output = state = projected.new_zeros(len(inputs), w_hh.shape[2], inputs.shape[1])
    outputs = []
    for x in projected.unbind(2):
        output, state = cell.function(torch.baddbmm(x, w_hh, output), state)
        outputs.append(output)
    return torch.stack(outputs, 2).transpose(1, -1)  # [R, H, T, B] -> [R, B, T, H]


class LinearRecurrence(torch.autograd.Function):
    """h_t = a_t * h_{t-1} + b_t for all steps, h_{-1} = 0: a and b [R, H, T, B] -> [R, H, T, B].

    The gradient of b_t is d_t = g_t + a_{t+1} * d_{t+1}, with g_t the one that reaches h_t from outside; that of a_t is
    d_t * h_{t-1}. Only these two sums take one step after the other; all else is computed for all steps at once.
    """

    @staticmethod
    def forward(ctx: Any, kept: Tensor, added: Tensor) -> Tensor:
        states = torch.empty_like(added)
        a, b, h = kept.unbind(2), added.unbind(2), states.unbind(2)
        h[0].copy_(b[0])
        for t in range(1, len(h)):
            torch.addcmul(b[t], a[t], h[t - 1], out=h[t])
        ctx.save_for_backward(kept, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        kept, states = ctx.saved_tensors
        deltas, d_kept = torch.empty_like(states), torch.zeros_like(kept)
        a, g, d = kept.unbind(2), gradient.unbind(2), deltas.unbind(2)
        d[-1].copy_(g[-1])
        for t in range(len(d) - 2, -1, -1):
            torch.addcmul(g[t], a[t + 1], d[t + 1], out=d[t])
        d_kept[:, :, 1:] = deltas[:, :, 1:] * states[:, :, :-1]
        return d_kept, deltas


def weights_of_cell(cell: Cell, weights: Weights) -> Weights:
    """Return the weights whose pre-activations a step of a cell takes.

    For a GRU they get a fourth block of rows: the recurrent half of its candidate (see cells.gru); for a linear cell
    zeros in the place of the recurrent ones.
    """
    if cell.linear:
        w_ih, bias = weights
        return w_ih, w_ih.new_zeros(*w_ih.shape[:2], w_ih.shape[1] // cell.gates), bias, torch.zeros_like(bias)
    if cell.name != "gru":
        return weights
    w_ih, w_hh, b_ih, b_hh = weights
    hidden = w_hh.shape[2]

    def of_inputs(w: Tensor) -> Tensor:
        return pad(w.transpose(1, -1), (0, hidden)).transpose(1, -1)

    def of_outputs(w: Tensor) -> Tensor:
        gates, candidate = w.split((2 * hidden, hidden), 1)
        return torch.cat((gates, torch.zeros_like(candidate), candidate), 1)

    return of_inputs(w_ih), of_outputs(w_hh), of_inputs(b_ih), of_outputs(b_hh)


def _sequential(cell: Cell, inputs: Tensor, weights: Weights) -> Tensor:
    """One replicate after the other: [R, B, T, D] -> [R, B, T, H]."""
    if len(inputs) == 1:  # without a copy
        return _one_replicate(cell.name, *(tensor.squeeze(0) for tensor in (inputs, *weights)))[None]
    return torch.stack([_one_replicate(cell.name, *tensors) for tensors in zip(inputs, *weights, strict=True)])


def _one_replicate(name: str, inputs: Tensor, *weights: Tensor) -> Tensor:
    """[B, T, D] -> [B, T, H]."""
    if name == "rnn" and inputs.device.type == "cpu":
        w_ih, w_hh, b_ih, b_hh = weights
        return TanhLayer.apply(inputs.transpose(0, 1), w_ih, w_hh, b_ih + b_hh).transpose(0, 1)
    start = inputs.new_zeros(1, len(inputs), weights[1].shape[1])
    options = (True, 1, 0.0, True, False, True)  # biases, layers, dropout, training, bidirectional, batch first
    if name == "lstm":
        return torch.lstm(inputs, (start, start), weights, *options)[0]
    return (torch.gru if name == "gru" else torch.rnn_tanh)(inputs, start, weights, *options)[0]


class TanhLayer(torch.autograd.Function):
    """h_t = tanh(V x_t + W h_{t-1} + b) for all steps, h_{-1} = 0: [T, B, D], [H, D], [H, H], [H] -> [T, B, H].

    Backpropagation through time (Werbos 1990): with g_t the gradient that reaches h_t from outside, the one that
    reaches its pre-activation is

        d_t = (g_t + W' d_{t+1}) * (1 - h_t^2).

    The gradients of V, W and b are the sums over t of d_t x_t', of d_t h_{t-1}' and of d_t. Each sum is one product
    over all steps and sequences, whereas torch's own backward takes a product for each step.
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
        incoming, steps, outputs = gradient.unbind(0), deltas.unbind(0), states.unbind(0)
        tanh_backward(incoming[-1], outputs[-1], out=steps[-1])
        for t in range(len(steps) - 2, -1, -1):
            tanh_backward(product(steps[t + 1], transposed, incoming[t]), outputs[t], out=steps[t])
        d, before = deltas.flatten(0, 1), states[:-1].flatten(0, 1)
        d_inputs = product(d, w_ih.t()).view_as(inputs) if ctx.needs_input_grad[0] else None
        d_w_hh = product(deltas[1:].flatten(0, 1).t(), before.t())
        return d_inputs, product(d.t(), inputs.flatten(0, 1).t()), d_w_hh, d.sum(0)


def product(inputs: Tensor, weight: Tensor, added: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Compute inputs weight' + added + bias, by oneDNN where it can: [B, D], [H, D], [B, H], [H] -> [B, H]."""
    if inputs.dtype == torch.float32 and inputs.numel() and torch.backends.mkldnn.is_available():
        return linear_pointwise(inputs, weight, bias, added)
    result = inputs @ weight.t()
    for term in (added, bias):
        result = result if term is None else result + term
    return result

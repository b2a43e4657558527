"""The arguments of the kernel's optimizer steps, as kernel.cpp has them: addresses of torch's tensors, and numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from rnn_tasks.tasks.answers import KINDS, AnswerFormat
from rnn_tasks.tasks.examples import Batch
from rnn_tasks.training import losses

LOSSES = (losses.bce, losses.mse, losses.ce, losses.squared)  # as the kernel numbers them
CLIPS = (None, "norm", "value")


class Networks(NamedTuple):
    """R networks of one run: a recurrent layer in one direction, and a linear read-out.

    Attributes:
        parameters: weight_ih [R, G*H, D], weight_hh [R, G*H, H], bias_ih and bias_hh [R, G*H], weight [R, C, H] and
            bias [R, C] of the read-out.
        optimizer: of these parameters. Its state is read and advanced, its own learning rate is not used.
        loss: of losses.py, or a partial of it.
        clip: the largest gradient, 0 for no limit.
        clip_by: "norm" or "value", see optimization.clipped.
        rates: the learning rate of each of the N steps.
        frozen: [R], networks whose parameters and optimizer state stay as they are.
        tally: float64 [R, longest + 1, 5], to which the batches are added as by metrics.Tally.
    """

    parameters: Sequence[Tensor]
    optimizer: Optimizer
    loss: Callable[[Tensor, Tensor], Tensor]
    clip: float
    clip_by: str
    rates: Sequence[float]
    frozen: Tensor
    tally: Tensor


class Steps(NamedTuple):
    """What N optimizer steps of R networks gave.

    Attributes:
        losses: [N, R], the mean loss of each batch.
        norms: [N, R], the norm of its gradient before it was clipped.
        failed: [R], the first step whose loss was not finite, from which on the network has stayed as it was; else -1.
    """

    losses: Tensor
    norms: Tensor
    failed: Tensor


class Batches(ctypes.Structure):
    """``Batches`` of kernel.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("N", "R", "B", "T", "D", "C", "last", "whole", "kind")),
        ("tolerance", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("x", "lengths", "targets", "asked")),
    )


class Member(ctypes.Structure):
    """``Member`` of kernel.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("R", "H", "longest", "taken", "optimizer", "loss", "clip_by")),
        *((name, ctypes.c_double) for name in ("weight_decay", "beta1", "beta2", "eps", "momentum", "clip")),
        ("label_smoothing", ctypes.c_double),
        ("rates", ctypes.c_void_p),
        *((name, ctypes.c_void_p * 6) for name in ("parameters", "first", "second")),
        *((name, ctypes.c_void_p) for name in ("frozen", "failed", "tally", "losses", "norms")),
    )


def unwrapped(loss: Callable[..., Tensor]) -> tuple[Callable[..., Tensor], dict[str, Any]]:
    """Return the function of a loss and its values."""
    return (loss.func, loss.keywords) if isinstance(loss, partial) and not loss.args else (loss, {})


class Memory:
    """Addresses of tensors, which are kept as long as this object."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def address(self, name: str, tensor: Tensor, shape: Sequence[int], dtype: torch.dtype) -> int:
        """Return where a tensor lies that has this shape and type."""
        if tensor.shape != tuple(shape) or tensor.dtype != dtype or not (tensor.is_contiguous() and tensor.is_cpu):
            given, wanted = (f"{kind} {list(sizes)}" for kind, sizes in ((tensor.dtype, tensor.shape), (dtype, shape)))
            raise ValueError(f"{name}: {given}, must be {wanted}, contiguous and on the CPU")
        self.kept.append(tensor)
        return tensor.data_ptr()


def batches_of(memory: Memory, chunk: Batch, networks: Sequence[Networks], form: AnswerFormat) -> Batches:
    """Return the batches of a chunk, inputs [N, R, B, T, D], as the kernel takes them, with answers of a format."""
    inputs, lengths, targets = (tensor.contiguous() for tensor in (chunk.inputs, chunk.lengths, chunk.targets))
    number, _, batch, steps, features = inputs.shape
    replicates, outputs = sum(len(each.frozen) for each in networks), networks[0].parameters[5].shape[1]
    whole, last = not targets.is_floating_point(), not form.every_step
    kind, shape = torch.long if whole else inputs.dtype, (number, replicates, batch)
    wanted, asked = (*shape, *[steps] * form.every_step, *[outputs] * form.has_parts), chunk.asked
    return Batches(
        *(number, replicates, batch, steps, features, outputs, last, whole, KINDS.index(form.kind)),
        form.tolerance,
        memory.address("inputs", inputs, (*shape, steps, features), inputs.dtype),
        memory.address("lengths", lengths.long(), shape, torch.long),
        memory.address("targets", targets.to(kind), wanted, kind),
        None if asked is None else memory.address("asked", asked.contiguous(), (*shape, steps), torch.bool),
    )


def empty_results(networks: Networks, inputs: Tensor) -> Steps:
    """Return room for what the steps with a chunk, of which these are the inputs, give for a run."""
    shape = len(inputs), len(networks.frozen)
    return Steps(inputs.new_empty(shape), inputs.new_empty(shape), torch.empty(shape[1], dtype=torch.long))


def member_of(memory: Memory, networks: Networks, steps: Steps, gates: int, batches: Batches) -> Member:
    """Return the networks of a run as the kernel takes them, of a cell with this number of gates."""
    kind, replicates, hidden = steps.losses.dtype, len(networks.frozen), networks.parameters[1].shape[2]
    rows, outputs, longest = gates * hidden, batches.C, networks.tally.shape[1] - 1
    shapes = [(rows, batches.D), (rows, hidden), (rows,), (rows,), (outputs, hidden), (outputs,)]
    first, second, taken = _moments(networks)
    rates = torch.tensor(networks.rates, dtype=torch.double)

    def addresses(name: str, tensors: Sequence[Tensor]) -> Any:
        pairs = zip(tensors, shapes, strict=True)
        return (ctypes.c_void_p * 6)(*(memory.address(name, each, (replicates, *shape), kind) for each, shape in pairs))

    return Member(
        **{"R": replicates, "H": hidden, "longest": longest, "taken": taken} | _options(networks),
        rates=memory.address("rates", rates, (batches.N,), torch.double),
        parameters=addresses("parameters", networks.parameters),
        first=addresses("state of the optimizer", first),
        second=addresses("state of the optimizer", second),
        frozen=memory.address("frozen", networks.frozen, (replicates,), torch.bool),
        failed=steps.failed.data_ptr(),
        tally=memory.address("tally", networks.tally, (replicates, longest + 1, 5), torch.double),
        losses=steps.losses.data_ptr(),
        norms=steps.norms.data_ptr(),
    )


def _options(networks: Networks) -> dict[str, Any]:
    """Return the numbers of optimizer, loss and clipping, as ``Member`` has them."""
    group, (function, words) = networks.optimizer.param_groups[0], unwrapped(networks.loss)
    beta1, beta2 = group.get("betas", (0.0, 0.0))
    return {
        "optimizer": 2 if isinstance(networks.optimizer, SGD) else int(group["decoupled_weight_decay"]),
        "loss": LOSSES.index(function),
        "label_smoothing": words.get("label_smoothing", 0.0),
        **{"clip": networks.clip, "clip_by": CLIPS.index(networks.clip_by) if networks.clip else 0},
        **{"beta1": beta1, "beta2": beta2},
        **{name: group.get(name, 0.0) for name in ("weight_decay", "eps", "momentum")},
    }


def _moments(networks: Networks) -> tuple[list[Tensor], list[Tensor], int]:
    """Return the optimizer's two moments of each parameter and its number of steps, made as torch makes them.

    What an optimizer does not have is zeros in its place.
    """
    optimizer, parameters = networks.optimizer, networks.parameters
    group, taken, dtype = optimizer.param_groups[0], 0, torch.get_default_dtype()
    if isinstance(optimizer, SGD):
        names = ["momentum_buffer"] if group["momentum"] else []
    else:
        names = ["exp_avg", "exp_avg_sq"]
        for each in parameters:
            optimizer.state[each].setdefault("step", torch.zeros((), dtype=torch.float32 if group["fused"] else dtype))
        taken = int(optimizer.state[parameters[0]]["step"])
    zeros = [torch.zeros_like(each, requires_grad=False) for each in parameters]
    moments = [[_moment(optimizer, each, name) for each in parameters] for name in names]
    first, second = (*moments, zeros, zeros)[:2]
    return first, second, taken


def _moment(optimizer: Optimizer, parameter: Tensor, name: str) -> Tensor:
    state = optimizer.state[parameter]
    if state.get(name) is None:
        state[name] = torch.zeros_like(parameter, requires_grad=False)
    return state[name]

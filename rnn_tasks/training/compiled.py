"""Whole optimizer steps as compiled code (models/kernel.cpp): one call takes those of a chunk of batches.

A step of the small networks of this project takes PyTorch and Python longer than the processor needs for its numbers.
The networks of a call may come from several runs, which may differ in their number of units, optimizer, loss and limit
of gradients. The bits of each network depend on nothing but itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from rnn_tasks.models import CELLS, kernel
from rnn_tasks.tasks.answers import AnswerFormat
from rnn_tasks.tasks.examples import Batch
from rnn_tasks.training import kernel_arguments as arguments
from rnn_tasks.training import losses
from rnn_tasks.training.kernel_arguments import Networks, Steps

__all__ = ["Networks", "Steps", "can_train", "loss_is_known", "optimizer_is_plain", "take_steps"]

UNUSUAL = ("amsgrad", "maximize", "nesterov", "dampening", "capturable", "differentiable")
SUITABLE = {"bits": (losses.bce, losses.mse), "classes": (losses.ce, losses.mse), "numbers": (losses.squared,)}
NUMBERS = ("lr", "weight_decay", "eps", "momentum")


def can_train(
    cell: str,
    inputs: Tensor,
    parameters: Sequence[Tensor],
    optimizer: Optimizer,
    loss: Callable[..., Tensor],
    form: AnswerFormat,
) -> bool:
    """Return whether ``take_steps`` can train networks with the cell of this name: see Networks."""
    return (
        len(parameters) == 6
        and kernel.supports(cell, inputs, parameters[1])
        and all(each.requires_grad and each.is_contiguous() for each in parameters)
        and optimizer_is_plain(optimizer)
        and {*map(id, optimizer.param_groups[0]["params"])} == {*map(id, parameters)}
        and loss_is_known(loss, form)
    )


def optimizer_is_plain(optimizer: Optimizer) -> bool:
    """Return whether it is Adam, AdamW or SGD without its rarer options, with one group of parameters."""
    if type(optimizer) not in (Adam, AdamW, SGD) or len(optimizer.param_groups) > 1:
        return False
    group = optimizer.param_groups[0]
    numbers = [*(group[name] for name in NUMBERS if name in group), *group.get("betas", ())]
    return all(isinstance(number, float | int) for number in numbers) and not any(group.get(name) for name in UNUSUAL)


def loss_is_known(loss: Callable[..., Tensor], form: AnswerFormat) -> bool:
    """Return whether it is a loss of losses.py that is meant for answers of a format, or a partial of it."""
    function, words = arguments.unwrapped(loss)
    smoothing = words.get("label_smoothing", 0.0) if function is losses.ce else 0.0
    return (
        function in SUITABLE[form.kind]
        and words.keys() <= ({"label_smoothing"} if function is losses.ce else set())
        and isinstance(smoothing, float | int)
        and 0 <= smoothing < 1
    )


def take_steps(cell: str, chunk: Batch, networks: Sequence[Networks], form: AnswerFormat) -> list[Steps]:
    """Take an optimizer step with each batch of a chunk, with networks that ``can_train`` accepts.

    Parameters, optimizer states and tallies are changed in place.

    Args:
        cell: rnn, lstm or gru, of all networks.
        chunk: a Batch with the leading axes N and R, with the networks of all runs one after the other in R.
        networks: of each run.
        form: of the answers.

    Raises:
        ValueError: a tensor has another shape or type than it must have, or a length is not one of the steps.
    """
    code, memory = kernel.library(), arguments.Memory()
    assert code is not None, "networks are given to the kernel only where it supports them"
    batches = arguments.batches_of(memory, chunk, networks, form)
    results = [arguments.empty_results(each, chunk.inputs) for each in networks]
    pairs = zip(networks, results, strict=True)
    members = [arguments.member_of(memory, each, steps, CELLS[cell].gates, batches) for each, steps in pairs]
    longest, rows = int(chunk.lengths.max()), min(each.tally.shape[1] for each in networks)
    if not 1 <= chunk.lengths.min() <= longest <= min(batches.T, rows - 1):
        raise ValueError(f"lengths up to {longest}: must be from 1 to {min(batches.T, rows - 1)}")
    function = code.train_float if chunk.inputs.dtype == torch.float32 else code.train_double
    array, number = (arguments.Member * len(members))(*members), ctypes.c_int64(len(members))
    function(kernel.COMPILED.index(cell), ctypes.byref(batches), array, number, torch.get_num_threads())
    for state in (state for each in networks for state in each.optimizer.state.values() if "step" in state):
        state["step"] += batches.N
    return results

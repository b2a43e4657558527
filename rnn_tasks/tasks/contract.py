"""What a task's examples must look like, checked once where they are made.

Without it a wrong shape would show as an error of torch deep in training, and a NaN as too high a learning rate.
"""

import math
from typing import Any

import torch
from torch import Tensor

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.examples import Examples


def method_name(instance: Any, method: str) -> str:
    """Return a method as a message names it, like ``parity.Parity.draw``."""
    return f"{type(instance).__module__}.{type(instance).__qualname__}.{method}"


def check_drawn(task: Any, drawn: Any) -> None:
    """Check that ``draw`` gave a pair of inputs and targets.

    Raises:
        UserError: it did not.
    """
    _require(
        isinstance(drawn, tuple | list) and len(drawn) == 2,
        f"{method_name(task, 'draw')}: gave a value of type {type(drawn).__name__}, must be (inputs, targets)",
    )


def check_examples(source: str, task: Any, examples: Examples) -> None:
    """Check examples: inputs [N, T, input_size], lengths [N], targets [N] or [N, T], all in their ranges.

    Args:
        source: where they come from, as the beginning of a message, like "parity.Parity.draw: gave".
        task: a Task, which says what sizes and answers they must have.
        examples: inputs have been converted to float32, whole numbers to int64.

    Raises:
        UserError: one line names the source, what is wrong and what it must be.
    """
    for name in ("inputs", "lengths", "targets"):
        value = getattr(examples, name)
        _require(torch.is_tensor(value), f"{source} {name} of type {_type(value)}, must be a torch.Tensor")
    inputs, lengths, targets = examples.inputs, examples.lengths, examples.targets
    _require(
        lengths.dim() == 1 and len(lengths) > 0 and lengths.dtype == torch.int64,
        f"{source} lengths {list(lengths.shape)} of {lengths.dtype}, must be [N] of torch.int64 with N at least 1",
    )
    size, longest = len(lengths), int(lengths.max())
    _require(int(lengths.min()) >= 1, f"{source} a length of {int(lengths.min())}, must be at least 1")
    _require(
        inputs.dim() == 3 and inputs.shape[::2] == (size, task.input_size) and inputs.shape[1] >= longest,
        f"{source} inputs {list(inputs.shape)}, must be [{size}, T, {task.input_size}] with T at least {longest}",
    )
    low, high = (float(end) for end in torch.aminmax(inputs))
    _require(math.isfinite(low) and math.isfinite(high), f"{source} infinite or NaN inputs, must be finite")
    shape = [size, inputs.shape[1]] if task.readout == "every_step" else [size]
    _require(list(targets.shape) == shape, f"{source} targets {list(targets.shape)}, must be {shape}")
    _check_answers(source, targets, task.output_size)


def _check_answers(source: str, targets: Tensor, output_size: int) -> None:
    """Bits for one logit, else numbers of classes; in the padding too, where losses are computed before masking."""
    if output_size == 1:
        valid, rule = bool((targets == targets.bool()).all()), "0 or 1"
    else:
        kind = f"{source} targets of {targets.dtype}, must be of torch.int64, the numbers of classes"
        _require(not targets.is_floating_point(), kind)
        valid, rule = bool(((targets >= 0) & (targets < output_size)).all()), f"from 0 to {output_size - 1}"
    if not valid:
        low, high = (end.item() for end in torch.aminmax(targets))
        where = ", in the padding too" if targets.dim() == 2 else ""
        raise UserError(f"{source} targets between {low:g} and {high:g}, must be {rule}{where}")


def check_sets(task: Any) -> None:
    """Check the sets that a task's own ``setup`` made.

    Raises:
        UserError: as ``check_examples``; or a set is missing, or a length is none of the task's lengths.
    """
    setup, test = method_name(task, "setup"), getattr(task, "test", None)
    _require(isinstance(test, list) and len(test) > 0, f"{setup}: test is {_type(test)}, must be a list of Examples")
    sets = [("train", task.train), ("val", getattr(task, "val", None)), *(("test", part) for part in test or ())]
    low, high = 1 + task.extra_steps, task.longest
    for name, examples in sets:
        _require(isinstance(examples, Examples), f"{setup}: {name} is {_type(examples)}, must be Examples")
        check_examples(f"{setup}: {name} has", task, examples)
        shortest, longest = int(examples.lengths.min()), int(examples.lengths.max())
        _require(
            low <= shortest and longest <= high,
            f"{setup}: {name} has lengths between {shortest} and {longest}, must be from {low} to {high}, by"
            " task.lengths and task.test_lengths",
        )


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _require(valid: bool, message: str) -> None:
    if not valid:
        raise UserError(message)

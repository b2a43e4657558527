"""What a task's examples must look like, checked once where they are made.

Without it a wrong shape would show as an error of torch deep in training, and a NaN as too high a learning rate.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.seeds import global_generators
from rnn_tasks.tasks.answers import AnswerFormat
from rnn_tasks.tasks.examples import Examples

TRIED = 2  # examples


def method_name(instance: Any, method: str) -> str:
    """Return a method as a message names it, like ``majority.Majority.draw``."""
    return f"{type(instance).__module__}.{type(instance).__qualname__}.{method}"


def check_drawn(task: Any, drawn: Any) -> None:
    """Check that ``draw`` gave inputs and targets, and perhaps which answers are asked.

    Raises:
        UserError: it did not.
    """
    _require(
        isinstance(drawn, tuple | list) and len(drawn) in (2, 3),
        f"{method_name(task, 'draw')}: gave a value of type {type(drawn).__name__}, must be (inputs, targets) or"
        " (inputs, targets, asked)",
    )


def check_examples(source: str, task: Any, examples: Examples) -> None:
    """Check examples: inputs [N, T, input_size], lengths [N], targets [N] or [N, T], asked, all in their ranges.

    Args:
        source: where they come from, as the beginning of a message, like "majority.Majority.draw: gave".
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
    form: AnswerFormat = task.format
    shape = [size, *[inputs.shape[1]] * form.every_step, *[form.size] * form.has_parts]
    _require(list(targets.shape) == shape, f"{source} targets {list(targets.shape)}, must be {shape}")
    _check_answers(source, targets, form)
    if examples.asked is not None:
        _check_asked(source, examples)


def _check_answers(source: str, targets: Tensor, form: AnswerFormat) -> None:
    """In the padding too, where losses are computed before masking."""
    if form.kind == "bits":
        valid, rule = bool((targets == targets.bool()).all()), "0 or 1"
    elif form.kind == "numbers":
        valid, rule = bool(targets.isfinite().all()), "finite"
    else:
        kind = f"{source} targets of {targets.dtype}, must be of torch.int64, the numbers of classes"
        _require(not targets.is_floating_point(), kind)
        valid, rule = bool(((targets >= 0) & (targets < form.size)).all()), f"from 0 to {form.size - 1}"
    if not valid:
        low, high = (end.item() for end in torch.aminmax(targets))
        where = ", in the padding too" if form.every_step else ""
        raise UserError(f"{source} targets between {low:g} and {high:g}, must be {rule}{where}")


def _check_asked(source: str, examples: Examples) -> None:
    asked: Any = examples.asked
    _require(torch.is_tensor(asked), f"{source} asked of type {_type(asked)}, must be a torch.Tensor")
    _require(examples.every_step, f'{source} asked, which needs the readout "every_step"')
    shape = list(examples.inputs.shape[:2])
    given = f"{source} asked {list(asked.shape)} of {asked.dtype}, must be {shape} of torch.bool"
    _require(list(asked.shape) == shape and asked.dtype == torch.bool, given)
    _require(bool(examples.real.any(1).all()), f"{source} a sequence at none of whose steps an answer is asked")


def try_examples(task: Any, examples: Examples, drawn: bool = True) -> None:
    """Try what a task must do with its examples: problems and answers are written, and problems read again.

    Args:
        task: a Task.
        examples: some of its own, the first of which are tried.
        drawn: whether ``draw`` made them; at which steps data ask for an answer need not follow from the inputs.

    Raises:
        UserError: one line names the method and what it gave.
    """
    for number in range(min(TRIED, len(examples))):
        inputs, length, targets, asked = examples[torch.tensor(number)]
        inputs, answer = inputs[:length], targets[:length] if examples.every_step else targets
        for method, value in (("write_input", inputs), ("write_answer", answer)):
            text = _attempted(task, method, value)
            _require(isinstance(text, str), f"{method_name(task, method)}: gave {_type(text)}, must be a str")
        if "\n" not in task.write_input(inputs):  # a picture, which is written to be looked at, is read from a file
            _try_to_read(task, inputs)
        if drawn and not task.reads_photos:
            _try_asked_steps(task, inputs, None if asked is None else asked[:length])


def _try_to_read(task: Any, inputs: Tensor) -> None:
    text = task.write_input(inputs)
    read, shown = _attempted(task, "parse", text), f"{text[:60]!r}, which write_input gives"
    same = torch.is_tensor(read) and read.shape == inputs.shape and torch.allclose(read.float(), inputs, 1e-4, 1e-4)
    if not same:  # there may be several ways to write a problem, as with leading zeros
        same = torch.is_tensor(read) and _attempted(task, "write_input", read) == text
    _require(same, f"{method_name(task, 'parse')}: of {shown}, does not give the inputs that were written")


def _try_asked_steps(task: Any, inputs: Tensor, asked: Tensor | None) -> None:
    steps = _attempted(task, "asked_steps", inputs)
    same = steps is None if asked is None else torch.is_tensor(steps) and torch.equal(steps, asked)
    rule = "None, as draw asks at every step" if asked is None else "what draw gives as asked"
    _require(same, f"{method_name(task, 'asked_steps')}: must give {rule}")


def _attempted(task: Any, method: str, value: Any) -> Any:
    try:
        return getattr(task, method)(value)
    except Exception as error:
        shown = f" of {value[:60]!r}" if isinstance(value, str) else ""
        reason = one_line(error) or type(error).__name__
        raise UserError(f"{method_name(task, method)}: fails{shown} ({reason})") from error


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


def check_attributes(task: Any) -> None:
    """Check the class attributes of a task.

    Raises:
        ValueError: one is missing, or out of its range.
    """
    for attribute in ("input_size", "output_size", "readout"):
        if not hasattr(task, attribute):
            raise ValueError(f"{type(task).__module__}.{type(task).__qualname__}: must have {attribute}")
    checks.whole_numbers(1, input_size=task.input_size, output_size=task.output_size)
    checks.whole_numbers(0, extra_steps=task.extra_steps)
    checks.one_of(("every_step", "last"), readout=task.readout)
    if task.chance_accuracy is not None:
        checks.fractions(chance_accuracy=task.chance_accuracy)
    task.format  # noqa: B018  # raises ValueError


def checked(setup: Callable[..., None]) -> Callable[..., None]:
    """Return a ``setup`` of a task's own that runs once, and whose sets are checked."""

    @wraps(setup)
    def once(self: Any, stage: str | None = None) -> None:
        if self.is_set_up:
            return
        try:
            with global_generators(self.data_seed, self.name, "setup"):
                setup(self, stage)
            check_sets(self)
            try_examples(self, self.train, drawn=False)
            self.set_chance()
        except BaseException as error:
            self.is_set_up = False  # though the setup of a base class, called on the way, has found its sets right
            if isinstance(error, ValueError | OSError):  # of a file that lacks something, or is missing itself
                raise UserError(f"{method_name(self, 'setup')}: {one_line(error)}") from error
            raise
        self.is_set_up = True

    return once

"""The optimizer and the learning-rate scheduler of a run, and what is checked of them before it begins."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from rnn_tasks import internals
from rnn_tasks.config.instantiation import attempt
from rnn_tasks.errors import UserError

TOTALS = ("T_max", "total_steps")  # arguments of schedulers that are the number of optimizer steps of the run
INTERVALS = ("step", "epoch")
SHAPES = ((2, 3, 4), (2, 5))  # of parameters of two replicates, for a trial
MONITORS = ("val/loss", "val/accuracy", "val/sequence_accuracy")


@dataclass(frozen=True)
class Scheduling:
    """How a scheduler is made and when it takes a step.

    Attributes:
        make: makes one from the optimizer; it gets the number of optimizer steps of the run where it has an argument
            for it (T_max, total_steps).
        interval: "step" or "epoch", after which it takes a step; None means "step" for one that gets the number of
            steps, else "epoch".
        monitor: what ReduceLROnPlateau follows: "val/loss", "val/accuracy" or "val/sequence_accuracy".
    """

    make: partial
    interval: str | None = None
    monitor: str = "val/loss"

    def __post_init__(self) -> None:
        for key, value, choices in (
            ("interval", self.interval, (None, *INTERVALS)),
            ("monitor", self.monitor, MONITORS),
        ):
            if value not in choices:
                raise UserError(f"scheduler.{key}={value}: must be one of {', '.join(map(str, filter(None, choices)))}")

    @cached_property
    def totals(self) -> list[str]:
        return [name for name in TOTALS if name in inspect.signature(self.make.func).parameters]

    @property
    def every_step(self) -> bool:
        return self.interval == "step" or (self.interval is None and bool(self.totals))

    def build(self, optimizer: Optimizer, steps: int | None, replicates: int) -> Any:
        """Return the scheduler of an optimizer.

        Args:
            optimizer: of the run.
            steps: optimizer steps of the run, None for a run without an end.
            replicates: of the run.

        Raises:
            UserError: it refuses its values, needs an end, or follows the validation of several replicates.
        """
        name = self.make.func.__name__
        if self.totals and steps is None:
            raise UserError(f"scheduler: {name} needs an end; set trainer.max_epochs or trainer.max_steps")
        totals = {key: max(1, steps or 1) for key in self.totals if key not in self.make.keywords}
        attempt("scheduler", self.make, lambda make: _try_scheduler(make(_copy(optimizer), **totals)))
        scheduler = self.make(optimizer, **totals)
        if isinstance(scheduler, ReduceLROnPlateau) and replicates > 1:
            raise UserError(
                f"scheduler: {name} sets one rate by the validation of {replicates} replicates, none of which would be"
                " as if it were alone; take model.replicates=1"
            )
        return scheduler

    def end_epoch(self, scheduler: Any, val: dict[str, Any] | None) -> None:
        """Let a scheduler take its step after an epoch; ``val`` are the metrics of the last validation, if any."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()
        elif val is not None:
            scheduler.step(val[self.monitor.removeprefix("val/")][0])


def learning_rates(optimizer: Optimizer, scheduler: Any, steps: int, known: dict[str, list[float]]) -> list[float]:
    """Return the learning rate of each of the next steps of an optimizer, and let its scheduler take these steps.

    Args:
        optimizer: with one group of parameters.
        scheduler: takes a step after each of the optimizer's; None keeps the rate.
        steps: how many.
        known: the rates that schedulers have given before, of one that has the same state; it is added to.
    """
    first = optimizer.param_groups[0]["lr"]
    if scheduler is None:
        return [first] * steps
    state = f"{type(scheduler).__qualname__} {steps} {scheduler.state_dict()}"
    if state not in known:
        rates = internals.closed_form_rates(scheduler, steps)
        if rates is None:
            return [_rate_and_step(optimizer, scheduler) for _ in range(steps)]
        known[state] = rates
    internals.skip_steps(scheduler, steps, known[state][-1])
    return [first, *known[state][:-1]]


def _rate_and_step(optimizer: Optimizer, scheduler: Any) -> float:
    rate = optimizer.param_groups[0]["lr"]
    scheduler.step()
    return rate


def build_optimizer(make: partial, parameters: Iterable[nn.Parameter], replicates: int) -> Optimizer:
    """Return the optimizer of a run.

    Args:
        make: makes one from parameters.
        parameters: of the model, each with a leading axis over the replicates if there are several.
        replicates: of the run.

    Raises:
        UserError: it refuses its values, needs a closure, or couples replicates.
    """
    parameters = list(parameters)
    attempt("optimizer", make, lambda make: _try_optimizer(make, parameters))
    coupled = attempt("optimizer", make, _couples) if replicates > 1 else False
    optimizer = make(parameters)
    if coupled:
        raise UserError(
            f"optimizer: {type(optimizer).__name__} couples the elements of a parameter, and so the replicates;"
            " take one that treats each alone, like adam or sgd, or model.replicates=1"
        )
    return optimizer


def clipped(gradients: list[Tensor], norms: Tensor, limit: float, by: str) -> list[Tensor]:
    """Return gradients [R, ...] within a limit, by their norms [R] or ("value") by their elements."""
    if by == "value":
        return [gradient.clamp(-limit, limit) for gradient in gradients]
    scales = (limit / (norms + 1e-6)).clamp(max=1.0)
    return [gradient * scales.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]


def _try_optimizer(make: Callable[..., Optimizer], parameters: list[nn.Parameter]) -> None:
    """Take a step with copies of the parameters.

    Raises:
        UserError: it is no optimizer, or needs a closure.
        Exception: it refuses its values, or these gradients.
    """
    copies = [nn.Parameter(each.detach().clone(), each.requires_grad) for each in parameters]
    optimizer = make(copies)
    if not isinstance(optimizer, Optimizer):
        raise UserError(f"optimizer: is a {type(optimizer).__name__}, must be a torch.optim.Optimizer")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise UserError("optimizer: LBFGS computes losses several times a step; take one that needs no closure")
    for copied in copies:
        copied.grad = torch.zeros_like(copied) if copied.requires_grad else None
    optimizer.step()


def _try_scheduler(scheduler: Any) -> None:
    """Take a step.

    Raises:
        Exception: it refuses its values.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its optimizer has taken no step
        scheduler.step(*[1.0] * isinstance(scheduler, ReduceLROnPlateau))


def _copy(optimizer: Optimizer) -> Optimizer:
    """Return an optimizer of the same parameters, whose learning rate may change alone."""
    copied = copy(optimizer)
    copied.param_groups = [dict(group) for group in optimizer.param_groups]
    return copied


def _couples(make: Callable[..., Optimizer]) -> bool:
    """Return whether the second of two replicates ends elsewhere when the first has other gradients."""
    ends = []
    for other in (1.0, 100.0):
        stream = torch.Generator().manual_seed(0)
        parameters = [nn.Parameter(_scaled(torch.randn(shape, generator=stream), other)) for shape in SHAPES]
        optimizer = make(parameters)
        for step in range(4):
            for parameter in parameters:
                parameter.grad = _scaled(torch.randn(parameter.shape, generator=stream), other**step)
            optimizer.step()
        ends.append(torch.cat([parameter.detach()[1].flatten() for parameter in parameters]))
    first, second = ends
    return not torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    """Multiply the first replicate."""
    tensor[0] *= factor
    return tensor

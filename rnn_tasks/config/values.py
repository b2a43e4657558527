"""Checks of single values: kinds, ranges and choices, all that can be told without importing torch.

Relations between values, and whatever only one task, network or loss knows, are checked by its constructor.
"""

import math
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig

from rnn_tasks.checks import DIRECTORY, DIRECTORY_RULE, LONGEST, MOST_LAYERS, MOST_REPLICATES, TASK, TASK_RULE
from rnn_tasks.errors import UserError


class Range(NamedTuple):
    """The lowest and highest allowed value, and the wording of messages about lower and about higher ones."""

    low: float
    high: float
    wording: str
    above: str = ""

    def problem(self, value: Any) -> str | None:
        """Return what a value must be; None if it is that."""
        if not isinstance(value, int | float) or value < self.low:
            return self.wording
        return None if value <= self.high else self.above or self.wording


def at_least(low: int, most: int = 10**9) -> Range:
    """Return the range of numbers from ``low``; what is beyond ``most`` no machine could hold or finish."""
    return Range(low, most, f"at least {low}", f"at most {most:,}")


SHARE = Range(0, 1 - 1e-9, "at least 0 and less than 1")
POSITIVE = Range(1e-38, 1e300, "more than 0", "at most 1e300")
ENDLESS = Range(-1, 10**15, "at least 1, or -1 for no limit")
SEED = at_least(0, 2**53)

RANGES = {
    "model.hidden": at_least(1),
    "model.layers": at_least(1, MOST_LAYERS),
    "model.heads": at_least(1),
    "model.feedforward": at_least(1),
    "model.replicates": Range(1, MOST_REPLICATES, f"from 1 to {MOST_REPLICATES:,}"),
    "model.dropout": SHARE,
    "model.init": Range(1e-38, 1e30, "more than 0", "at most 1e30"),
    "loss.label_smoothing": SHARE,
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": at_least(0),
    "optimizer.momentum": SHARE,
    "task.batch_size": at_least(1),
    "task.data_seed": SEED,
    "task.train_size": at_least(1),
    "task.val_size": at_least(1),
    "task.test_size": at_least(1),
    "task.folds": at_least(2),
    "task.fold": at_least(0),
    "seed": SEED,
    "threads": at_least(1, 256),
    "trainer.accumulate_grad_batches": at_least(1),
    "trainer.check_val_every_n_epoch": at_least(1),
    "trainer.val_check_interval": POSITIVE,
    "trainer.limit_train_batches": POSITIVE,
    "trainer.limit_val_batches": at_least(0),
    "trainer.limit_test_batches": at_least(0),
    "trainer.min_epochs": at_least(0),
    "trainer.min_steps": at_least(0),
    "trainer.max_epochs": ENDLESS,
    "trainer.max_steps": ENDLESS,
    "trainer.patience": at_least(0),
    "trainer.gradient_clip_val": at_least(0),
    "trainer.log_every_n_steps": at_least(0),
}
CHOICES = {
    "model.pooling": ("last", "mean"),
    "model.positions": ("sinusoidal", "none"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.gradient_clip_algorithm": ("norm", "value"),
    "trainer.deterministic": (True, False, "warn"),
    "trainer.profiler": (None, "simple", "advanced"),
    "trainer.precision": ("32-true", "64-true", "16-true", "bf16-true", "bf16-mixed", "64", "32", "bf16"),
}
PATTERNS = {
    "name": (DIRECTORY, DIRECTORY_RULE),
    "task.name": (TASK, TASK_RULE),
    "logger.*.filename_suffix": (r"[^/\\\s\0]{0,100}", "a part of a file's name, without slashes and spaces"),
    "trainer.max_time": (r"[0-9]{1,6}(:[0-9]{2}){3}", "days, hours, minutes and seconds like 00:01:30:00"),
}
STRATEGY = "trainer.strategy: would start the command, and so a sweep, again; trainer.devices=N alone takes N processes"
INTERVALS = ("task.lengths", "task.test_lengths")
# Values that show the kind of keys that are null, or not there, by default.
EXAMPLES = {
    "trainer.min_epochs": 1,
    "trainer.min_steps": 1,
    "model.init": 0.5,
    "model.weights": "outputs/adder/NAME",
    "task.folds": 1,
    **dict.fromkeys(("task.path", "task.regex", "task.kind", "task.answer"), "word"),
    **dict.fromkeys(("task.sequence", "task.step", "task.split_by", "task.digest", "task.description"), "word"),
    "logger.*.name": "word",
    "logger.*.filename_suffix": ".word",
    "logger.*.max_queue": 10,
    "logger.*.flush_secs": 120,
}
TABLES = {  # values that their task checks
    "task.alphabet": "a list of symbols",
    "task.states": "a mapping of states by their names",
    "task.symbols": "a mapping of symbols to lists of numbers",
}
OF_MANY_KINDS = ("trainer.devices", "trainer.deterministic", "trainer.fast_dev_run")  # Lightning checks them itself
KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a word"}


def rule(key: str, example: Any) -> str:
    """Return what the value of a key must be, in words, for the documentation.

    Args:
        key: like "model.hidden".
        example: a value that shows its kind.
    """
    if key in CHOICES:
        return ", ".join(map(_text, CHOICES[key]))
    if key in PATTERNS:
        return PATTERNS[key][1]
    if key in INTERVALS:
        return "the lowest and the highest length"
    if key in TABLES:
        return TABLES[key]
    if key.endswith("_target_"):
        return "the place of a class or function"
    example = EXAMPLES.get(key) if example is None else example
    kinds = KINDS | {ListConfig: "a list", list: "a list", DictConfig: "a mapping", dict: "a mapping"}
    kind = "" if key in OF_MANY_KINDS else kinds.get(type(example), "")
    return ", ".join(filter(None, (kind, RANGES[key].wording if key in RANGES else "")))


def check(cfg: DictConfig, defaults: DictConfig) -> None:
    """Refuse values that can be known to be wrong before anything is drawn or built.

    Args:
        cfg: the configuration.
        defaults: the same choices of groups without any other override; its values show the kind of each key.

    Raises:
        UserError: a key is unknown or missing, or a value is of the wrong kind or out of range.
    """
    for key in map(str, cfg):
        if key not in defaults:
            raise UserError(f"{key}: no such key; the configuration has {', '.join(map(str, defaults))}")
    if unknown := [key for key in cfg.get("trainer") or () if key not in defaults.trainer]:
        if "strategy" in unknown:
            raise UserError(STRATEGY)
        known = ", ".join(map(str, defaults.trainer))
        raise UserError(f"trainer.{unknown[0]}: no such key; trainer has {known}, the project sets the others")
    values = {key for key, _, _ in _leaves(cfg, cfg)}
    missing = [str(key) for key in defaults if key not in cfg]
    replaced = [f"{part}." for part in map(str, cfg) if _target(cfg, part) != _target(defaults, part)]
    free = (*replaced, "optimizer.")  # an optimizer has values of its own for what is left out
    wanted = ["optimizer._target_", *(key for key, _, _ in _leaves(defaults, defaults) if not key.startswith(free))]
    if missing := missing + [key for key in wanted if key not in values]:
        raise UserError(f"{missing[0]}: cannot be left out")
    check_values(cfg, defaults)


def _target(cfg: DictConfig, part: str) -> Any:
    node = cfg.get(part)
    return node.get("_target_") if isinstance(node, DictConfig) else None


def check_values(cfg: DictConfig, examples: DictConfig) -> None:
    """Refuse values of a wrong kind or out of their range.

    Args:
        cfg: the configuration.
        examples: values that show the kind of keys; the kind of a key that it lacks is free.

    Raises:
        UserError: one line names the key, the value and what it must be.
    """
    for key, value, example in _leaves(cfg, examples):
        general = re.sub(r"^(logger|callbacks)\.[^.]+", r"\1.*", key)
        _check_kind(key, value, EXAMPLES.get(general) if example is None and value is not None else example)
        if problem := _problem(general, value):
            raise UserError(f"{key}={_text(value)}: must be {problem}")
    trainer = cfg.get("trainer") or {}
    if trainer.get("patience") and trainer.get("limit_val_batches") == 0:
        raise UserError("trainer.patience: has no effect without validation; take away trainer.limit_val_batches=0")
    losses, loss = cfg.task.get("losses"), str(cfg.loss.get("_target_")).rsplit(".")[-1]
    if isinstance(losses, ListConfig) and loss not in losses:
        raise UserError(f"loss={loss}: does not suit task={cfg.task.name}; choose {' or '.join(map(str, losses))}")


def _leaves(node: DictConfig, examples: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Return the full keys and the values below a node, each with the value of the same key in ``examples``."""
    for key, value in node.items():
        example = examples.get(key) if isinstance(examples, DictConfig) else None
        if isinstance(value, DictConfig) and (example is None or isinstance(example, DictConfig)):
            yield from _leaves(value, example, f"{path}{key!s}.")
        else:
            yield f"{path}{key!s}", value, example


def _problem(key: str, value: Any) -> str | None:
    """Return what a value of the right kind would have to be; None if it is that."""
    if key == "trainer.devices" and not re.fullmatch(r"auto|[1-9][0-9]?|\[[0-9]+\]", str(value)):
        return "a number of processes from 1 to 99, each with a device of its own, or the index of one device like [2]"
    if key == "trainer.fast_dev_run" and not (
        isinstance(value, bool) or (isinstance(value, int) and 0 <= value < 10**9)
    ):
        return "true, false or a number of batches"
    if key in CHOICES and value not in CHOICES[key] and str(value) not in CHOICES[key]:
        return f"one of {', '.join(map(_text, CHOICES[key]))}"
    if value is None:
        return None
    if key in RANGES:
        bounds = RANGES[key]
        return bounds.wording if bounds is ENDLESS and value == 0 else bounds.problem(value)
    if key in PATTERNS:
        pattern, wording = PATTERNS[key]
        return None if re.fullmatch(pattern, str(value)) else wording
    if key in INTERVALS and not _is_interval(value):
        return f"the lowest and highest length, like [1,20], at most {LONGEST:,}"
    return None


def _is_interval(value: Any) -> bool:
    numbers = list(value) if isinstance(value, ListConfig) else []
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    return len(numbers) == 2 and whole and 1 <= numbers[0] <= numbers[1] <= LONGEST


def _check_kind(key: str, value: Any, example: Any) -> None:
    if not _is_finite(value):
        raise UserError(f"{key}={_text(value)}: must be a finite number")
    if key.endswith("_target_") and not isinstance(value, str):
        raise UserError(f"{key}={_text(value)}: must be the place of a class, like module.Class")
    if example is None or key.endswith("_target_") or key in OF_MANY_KINDS:
        return
    if isinstance(example, DictConfig | ListConfig):
        kind = "list" if isinstance(example, ListConfig) else "mapping"
        if type(value) is not type(example) or (example and not value):
            raise UserError(f"{key}={_text(value)}: must be a {kind} like {_text(example)}")
        for item in value if kind == "list" and example else ():
            _check_kind(key, item, example[0])
    elif not _is_of_kind(value, type(example)):
        raise UserError(f"{key}={_text(value)}: must be {KINDS[type(example)]} like {_text(example)}")


def _is_finite(value: Any) -> bool:
    if isinstance(value, DictConfig | ListConfig):
        return all(map(_is_finite, value.values() if isinstance(value, DictConfig) else value))
    return not isinstance(value, int | float) or abs(value) <= sys.float_info.max


def _is_of_kind(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is str:
        return isinstance(value, str | int | float)
    return isinstance(value, int) or (kind is float and isinstance(value, float) and math.isfinite(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value).replace(" ", "").replace("None", "null")

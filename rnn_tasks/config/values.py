"""Checks of single values: kinds, ranges and choices, all that can be told without importing torch.

Relations between values, and whatever only one task, network or loss knows, are checked by its constructor.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from rnn_tasks.errors import UserError

# Lowest and highest allowed value, and the wording of messages.
AT_LEAST_1 = (1, math.inf, "at least 1")
AT_LEAST_0 = (0, math.inf, "at least 0")
POSITIVE = (1e-30, math.inf, "more than 0")
SHARE = (0, 1 - 1e-9, "at least 0 and less than 1")
ONE_OR_ENDLESS = (-1, math.inf, "at least 1, or -1 for no limit")

RANGES = {
    "model.hidden": AT_LEAST_1,
    "model.layers": AT_LEAST_1,
    "model.replicates": (1, 1024, "from 1 to 1,024"),
    "model.dropout": SHARE,
    "model.init": POSITIVE,
    "loss.label_smoothing": SHARE,
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": AT_LEAST_0,
    "optimizer.momentum": SHARE,
    "task.batch_size": AT_LEAST_1,
    "task.data_seed": AT_LEAST_0,
    "task.train_size": AT_LEAST_1,
    "task.val_size": AT_LEAST_1,
    "task.test_size": AT_LEAST_1,
    "seed": AT_LEAST_0,
    "threads": AT_LEAST_1,
    "trainer.accumulate_grad_batches": AT_LEAST_1,
    "trainer.check_val_every_n_epoch": AT_LEAST_1,
    "trainer.val_check_interval": POSITIVE,
    "trainer.limit_train_batches": POSITIVE,
    "trainer.limit_val_batches": AT_LEAST_0,
    "trainer.limit_test_batches": AT_LEAST_0,
    "trainer.min_epochs": AT_LEAST_0,
    "trainer.min_steps": AT_LEAST_0,
    "trainer.max_epochs": ONE_OR_ENDLESS,
    "trainer.max_steps": ONE_OR_ENDLESS,
    "trainer.patience": AT_LEAST_0,
    "trainer.gradient_clip_val": AT_LEAST_0,
    "trainer.log_every_n_steps": AT_LEAST_0,
}
CHOICES = {
    "model.pooling": ("last", "mean"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.gradient_clip_algorithm": ("norm", "value"),
    "trainer.profiler": (None, "simple", "advanced"),
    "trainer.precision": ("32-true", "64-true", "16-true", "bf16-true", "bf16-mixed", "64", "32", "bf16"),
}
PATTERNS = {
    "name": (r"(?!\.\.?$)[^/\\\s]+", "the name of a directory, without slashes and spaces"),
    "trainer.max_time": (r"\d+:\d\d:\d\d:\d\d", "days, hours, minutes and seconds like 00:01:30:00"),
}
INTERVALS = ("task.lengths", "task.test_lengths")
# Values that show the kind of keys that are null by default.
EXAMPLES = {"trainer.min_epochs": 1, "trainer.min_steps": 1, "model.init": 0.5}
OF_MANY_KINDS = ("trainer.devices", "trainer.deterministic", "trainer.fast_dev_run")  # Lightning checks them itself
KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a word"}


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
    values = dict(_leaves(cfg))
    missing = [str(key) for key in defaults if key not in cfg]
    if missing := missing + [key for key, _ in _leaves(defaults) if key not in values]:
        raise UserError(f"{missing[0]}: cannot be left out")
    for key, value in values.items():
        _check_kind(key, value, OmegaConf.select(defaults, key))
        if problem := _problem(key, value):
            raise UserError(f"{key}={_text(value)}: must be {problem}")
    loss = cfg.loss._target_.rsplit(".")[-1]
    if loss not in cfg.task.losses:
        raise UserError(f"loss={loss}: does not suit task={cfg.task.name}; choose {' or '.join(cfg.task.losses)}")


def _leaves(node: DictConfig, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return the full keys and the values below a node."""
    for key, value in node.items():
        if isinstance(value, DictConfig):
            yield from _leaves(value, f"{path}{key!s}.")
        else:
            yield f"{path}{key!s}", value


def _problem(key: str, value: Any) -> str | None:
    """Return what a value of the right kind would have to be; None if it is that."""
    if key == "trainer.devices" and str(value) not in ("1", "auto") and not re.fullmatch(r"\[\d+\]", str(value)):
        return "1, or the index of one device like [2]; model.replicates trains more networks at once"
    if key in CHOICES and value not in CHOICES[key] and str(value) not in CHOICES[key]:
        return f"one of {', '.join(map(_text, CHOICES[key]))}"
    if value is None:
        return None
    if key in RANGES:
        low, high, wording = RANGES[key]
        fits = isinstance(value, int | float) and low <= value <= high and (value != 0 or low != -1)
        return None if fits else wording
    if key in PATTERNS:
        pattern, wording = PATTERNS[key]
        return None if re.fullmatch(pattern, str(value)) else wording
    if key in INTERVALS and not (len(value) == 2 and 1 <= value[0] <= value[1]):
        return "the lowest and highest length, like [1,20]"
    return None


def _check_kind(key: str, value: Any, example: Any) -> None:
    if example is None and value is not None:
        example = EXAMPLES.get(key)
    if example is None or key.endswith("_target_") or key in OF_MANY_KINDS:
        return
    if isinstance(example, DictConfig | ListConfig):
        kind = "list" if isinstance(example, ListConfig) else "mapping"
        if type(value) is not type(example):
            raise UserError(f"{key}={_text(value)}: must be a {kind} like {_text(example)}")
        for item in value if kind == "list" and example else ():
            _check_kind(key, item, example[0])
    elif not _is_of_kind(value, type(example)):
        raise UserError(f"{key}={_text(value)}: must be {KINDS[type(example)]} like {_text(example)}")


def _is_of_kind(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is str:
        return isinstance(value, str | int | float)
    return isinstance(value, int) or (kind is float and isinstance(value, float) and math.isfinite(value))


def _text(value: Any) -> str:
    return str(value).replace(" ", "").replace("None", "null")

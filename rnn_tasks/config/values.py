"""The kinds and ranges of the values of a configuration."""

import re
import sys
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from rnn_tasks.errors import UserError

# What a number must be: lowest and highest allowed value, and how that is said.
ANY = sys.float_info.max


AT_LEAST_1 = (1, ANY, "at least 1")


AT_LEAST_0 = (0, ANY, "at least 0")


MORE_THAN_0 = (1e-30, ANY, "more than 0 and finite")


A_SHARE = (0, 1 - 1e-9, "at least 0 and less than 1")


RANGES = {
    "model.hidden": AT_LEAST_1,
    "model.layers": AT_LEAST_1,
    "model.replicates": (1, 1024, "from 1 to 1,024"),
    "model.dropout": A_SHARE,
    "model.init": MORE_THAN_0,
    "loss.label_smoothing": A_SHARE,
    "optimizer.lr": MORE_THAN_0,
    "optimizer.weight_decay": AT_LEAST_0,
    "optimizer.momentum": A_SHARE,
    "task.batch_size": AT_LEAST_1,
    "task.data_seed": AT_LEAST_0,
    "task.train_size": AT_LEAST_1,
    "task.val_size": AT_LEAST_1,
    "task.test_size": AT_LEAST_1,
    "task.k": AT_LEAST_1,
    "seed": AT_LEAST_0,
    "threads": AT_LEAST_1,
    "trainer.accumulate_grad_batches": AT_LEAST_1,
    "trainer.check_val_every_n_epoch": AT_LEAST_1,
    "trainer.val_check_interval": MORE_THAN_0,
    "trainer.limit_train_batches": MORE_THAN_0,
    "trainer.limit_val_batches": AT_LEAST_0,
    "trainer.limit_test_batches": AT_LEAST_0,
    "trainer.min_epochs": AT_LEAST_0,
    "trainer.min_steps": AT_LEAST_0,
    "trainer.max_epochs": (-1, ANY, "at least 1, or -1 for no end"),
    "trainer.max_steps": (-1, ANY, "at least 1, or -1 for no end"),
    "trainer.patience": AT_LEAST_0,
    "trainer.gradient_clip_val": AT_LEAST_0,
    "trainer.log_every_n_steps": AT_LEAST_0,
}


WORDS = {
    "task.order": ("lsb", "msb"),
    "model.pooling": ("last", "mean"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.gradient_clip_algorithm": ("norm", "value"),
    "trainer.profiler": (None, "simple", "advanced"),
    "trainer.precision": tuple(["32-true", "64-true", "16-true", "bf16-true", "bf16-mixed", "64", "32", "bf16"]),
}


EXAMPLES = {
    "trainer.min_epochs": 1,
    "trainer.min_steps": 1,
    "model.init": 0.5,
}  # of keys that are null where they are not used


OF_MANY_KINDS = ("trainer.devices", "trainer.deterministic", "trainer.fast_dev_run")  # Lightning checks them itself


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def check(cfg: DictConfig, usual: DictConfig) -> None:
    """Refuse values that can be known to be wrong before anything is drawn or built.

    Args:
        cfg: the configuration.
        usual: the same choices of groups without any other override; its values show the kind of each key.
    """
    for key in cfg:
        if key not in usual:
            raise UserError(f"{key}: no such key; the configuration has {', '.join(map(str, usual))}")
    leaves = dict(_leaves(cfg))
    if left_out := [key for key, _ in _leaves(usual) if key not in leaves]:
        raise UserError(f"{left_out[0]}: cannot be left out")
    for key, value in leaves.items():
        _check_kind(key, value, OmegaConf.select(usual, key))
        if key in WORDS and value not in WORDS[key] and str(value) not in WORDS[key]:
            raise UserError(f"{key}={_said(value)}: must be one of {', '.join(map(_said, WORDS[key]))}")
        if key in RANGES and value is not None:
            low, high, said = RANGES[key]
            if not low <= value <= high or (value == 0 and low == -1):
                raise UserError(f"{key}={value}: must be {said}")
    if not re.fullmatch(r"[^/\\\s]+", str(cfg.name)) or str(cfg.name) in (".", ".."):
        raise UserError(f"name={cfg.name}: must be the name of a directory, without slashes and spaces")
    if cfg.trainer.max_time is not None and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", str(cfg.trainer.max_time)):
        raise UserError(
            f"trainer.max_time={cfg.trainer.max_time}: must be days, hours, minutes, seconds like 00:01:30:00"
        )
    devices = cfg.trainer.devices
    if str(devices) not in ("1", "auto") and not (isinstance(devices, ListConfig) and len(devices) == 1):
        raise UserError(
            f"trainer.devices={_said(devices)}: a run uses one device; take 1, or [2] for the third, and"
            " model.replicates for more networks at once"
        )
    task, loss = cfg.task, cfg.loss._target_.rsplit(".")[-1]
    for key in ("lengths", "test_lengths"):
        if key in task and task[key] is not None and not (len(task[key]) == 2 and 1 <= task[key][0] <= task[key][1]):
            raise UserError(f"task.{key}={_said(task[key])}: must be the lowest and highest length, like [1,20]")
    if isinstance(task.get("augmentation"), str):
        raise UserError(f"task.augmentation={task.augmentation}: choose by task/augmentation={task.augmentation}")
    if "k" in task and task.k > task.lengths[0]:
        raise UserError(f"task.k={task.k}: longer than the shortest sequence of task.lengths={_said(task.lengths)}")
    if task.name == "mnist" and (task.train_size + task.val_size > 60_000 or task.test_size > 10_000):
        raise UserError(
            f"task.train_size={task.train_size}, task.val_size={task.val_size}, task.test_size={task.test_size}:"
            " MNIST has 60,000 images for training and validation, 10,000 for the test"
        )
    if loss not in task.losses:
        raise UserError(f"loss={loss}: makes no sense for task={task.name}; it takes {' or '.join(task.losses)}")


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, DictConfig):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _check_kind(key: str, value: Any, example: Any) -> None:
    example = EXAMPLES.get(key) if example is None and value is not None else example
    if example is None or key.endswith("_target_") or key in OF_MANY_KINDS:
        return
    if isinstance(example, DictConfig | ListConfig):
        if type(value) is not type(example):
            raise UserError(
                f"{key}={_said(value)}: must be a {'list' if isinstance(example, ListConfig) else 'mapping'}"
                f" like {_said(example)}"
            )
        for item in value if isinstance(example, ListConfig) else ():
            _check_kind(key, item, example[0])
        return
    kind = type(example)
    fits = {bool: (bool,), int: (int,), float: (int, float), str: (str, int, float)}[kind]
    if not isinstance(value, fits) or (isinstance(value, bool) and kind is not bool) or value != value:
        raise UserError(f"{key}={_said(value)}: must be {KINDS[kind]} like {_said(example)}")


def _said(value: Any) -> str:
    return str(value).replace(" ", "").replace("None", "null")

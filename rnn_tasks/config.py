"""The configuration of a run: composed by Hydra, checked in full before torch is imported or data are drawn."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from rnn_tasks.errors import UserError, one_line

os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors reach `refusals`, which says them in one line

CONF = next(path for path in (Path(__file__).parent / "conf", Path(__file__).parent.parent / "conf") if path.is_dir())

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
CHOSEN = ("model", "optimizer", "loss", "logger", "task")  # groups that cannot be left out
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


def directory_name(overrides: str) -> str:
    """A run's directory within a sweep, named by its overrides: safe characters, at most 200 bytes."""
    name = re.sub(r"[^\w.,=+-]+", "_", overrides, flags=re.ASCII).strip("_")
    if name != overrides or len(name) > 200:
        name = f"{name[:190]}_{blake2b(overrides.encode(), digest_size=4).hexdigest()}"
    return name or "run"


OmegaConf.register_new_resolver("directory_name", directory_name, replace=True)


def compose(overrides: list[str] | None = None) -> DictConfig:
    """The checked configuration that ``python -m rnn_tasks.train OVERRIDES`` would train with.

    Raises:
        UserError: an override is refused.
    """
    with refusals(), initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra_compose("config", overrides or [], return_hydra_config=True)
        return prepare(cfg, cfg.hydra.runtime.choices)


def prepare(cfg: DictConfig, choices: dict[str, str | None]) -> DictConfig:
    """Check a composed configuration and note the name of its experiment.

    Args:
        cfg: as composed.
        choices: the option chosen of each group.
    """
    for group in CHOSEN:
        if choices.get(group) is None:
            raise _not_chosen(group)
    groups = {group: choice for group, choice in choices.items() if choice is not None and "hydra" not in group}
    with refusals():
        usual = hydra_compose("config", [f"{group}={choice}" for group, choice in groups.items()])
        cfg = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        OmegaConf.resolve(cfg)
    check(cfg, usual)
    logger = find_spec(groups["logger"])
    if logger is None or logger.origin is None:  # a directory of that name is no package
        raise UserError(f"logger={groups['logger']}: that package is not installed; pip install {groups['logger']}")
    OmegaConf.set_struct(cfg, False)
    cfg.experiment = choices.get("experiment")
    if "data_dir" in cfg.task:
        cfg.task.data_dir = os.path.abspath(cfg.task.data_dir)
    return cfg


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
    if str(cfg.trainer.strategy).endswith(("spawn", "fork")):
        raise UserError(f"trainer.strategy={cfg.trainer.strategy}: leaves no metrics in this process; take ddp")
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


def arguments(argv: list[str]) -> tuple[list[str], list[str]]:
    """A command line's flags (with their values) and overrides; argparse wants them in this order, a person in any.

    Raises:
        UserError: Hydra has no such flag.
    """
    parser = get_args_parser()
    parser.error = _refuse
    takes_value = {flag: action.nargs is None for action in parser._actions for flag in action.option_strings}
    flags, overrides, last = [], [], []
    words = iter(argv)
    for word in words:
        flag = word.split("=")[0]
        if not word.startswith("-"):
            if not re.match(r"[+~]*[A-Za-z_]", word):
                raise UserError(f"{word}: not of the form key=value")
            if (group := word.removesuffix("=null")) in CHOSEN and group != word:
                raise _not_chosen(group)
            overrides.append(word)
        elif flag == "--info":  # its value is optional: nothing may follow it
            last = [word]
        elif flag not in takes_value:
            raise UserError(f"{flag}: no such flag; there are {', '.join(f for f in takes_value if f[:2] == '--')}")
        else:
            flags.append(word)
            if takes_value[flag] and "=" not in word:
                flags += [value] if (value := next(words, None)) else []
    parser.parse_args([*flags, *overrides, *last])
    return flags, overrides + last


def constant_keys(overrides: list[str]) -> str:
    """An override that leaves out of the names of a sweep's directories what is the same for all its runs."""
    keys = [word.lstrip("+~").split("=")[0] for word in overrides if "," not in word and not word.startswith("hydra")]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(dict.fromkeys(['name', *keys]))}]"


def run_to_resume(flags: list[str], overrides: list[str]) -> Path | None:
    """The directory of ``resume=RUN``, which is taken here because Hydra would make a new run first.

    Raises:
        UserError: something else stands beside it.
    """
    named = [word.removeprefix("resume=") for word in overrides if word.startswith("resume=")]
    if not named:
        return None
    others = [*flags, *(word for word in overrides if not word.startswith("resume=")), *named[1:]]
    if others:
        raise UserError(f"{others[0]}: nothing can stand beside resume=, a run goes on with its own configuration")
    if not named[0]:
        raise UserError("resume=: names no run; give its directory")
    return Path(named[0])


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what Hydra and OmegaConf refuse as a UserError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        raise UserError(_explain(error)) from error


def _refuse(message: str) -> NoReturn:
    raise UserError(message)


def _not_chosen(group: str) -> UserError:
    options = ", ".join(sorted(path.stem for path in (CONF / group).glob("*.yaml")))
    return UserError(f"{group}=null: a {group} must be chosen; there are {options}")


def _explain(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ConfigKeyError | OmegaConfBaseException):
        node = cause.parent_node
        known = sorted(str(key) for key in node) if isinstance(node, DictConfig) else []
        where = (cause.full_key or "").rpartition(".")[0]
        there = f"{where or 'the configuration'} has {', '.join(known)}" if known else one_line(cause)
        return f"{cause.full_key or cause.key}: no such key; {there}"
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return f"{group}={option}: no such {group}; there are {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not of the form key=value"
    return one_line(error)


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

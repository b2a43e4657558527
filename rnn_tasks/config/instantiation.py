"""Tasks, models and other parts, built from the configuration."""

import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pkgutil import resolve_name
from typing import Any, TypeVar

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rnn_tasks.errors import UserError, one_line

T = TypeVar("T")
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
SET_LATER = {  # words of parts that are built without them, and get them in training
    "optimizer": ("params",),
    "scheduler": ("optimizer", "T_max", "total_steps", "last_epoch"),
    "loss": ("logits", "targets"),
}
BASES = {  # of the classes of parts
    "model": "torch.nn.Module",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "torch.optim.lr_scheduler.LRScheduler",
}
NOT_ARGUMENTS = {  # keys that the constructors do not take
    "task": ("lr", "losses"),
    "model": ("weights", "weights_digest", "shard_replicates"),
}


def build(cfg: DictConfig) -> tuple[Any, Any]:
    """Return the task (a rnn_tasks.tasks.Task) of a configuration and a fresh model (a torch.nn.Module) for it.

    Raises:
        UserError: a class is missing or refuses its values.
    """
    task = build_task(cfg)
    sizes = {"input_size": task.input_size, "output_size": task.output_size, "readout": task.readout}
    from rnn_tasks.seeds import global_generators  # imports torch

    with global_generators("model", cfg.seed):
        model = instantiated("model", _arguments("model", cfg), **sizes, seed=cfg.seed)
    if getattr(model, "replicates", 1) != cfg.model.get("replicates", 1):
        raise UserError(f"model.replicates={cfg.model.replicates}: {cfg.model._target_} has none")
    return task, model


def build_task(cfg: DictConfig) -> Any:
    """Return the task (a rnn_tasks.tasks.Task) of a configuration, without data.

    Raises:
        UserError: its class is missing or refuses its values.
    """
    replicates = cfg.model.get("replicates", 1)
    return instantiated("task", _arguments("task", cfg), seed=cfg.seed, replicates=replicates)


def _arguments(group: str, cfg: DictConfig) -> dict[Any, Any]:
    return {key: value for key, value in cfg[group].items() if key not in NOT_ARGUMENTS[group]}


def instantiated(group: str, part: Any, **arguments: Any) -> Any:
    """Return the object that a part of the configuration describes.

    Args:
        group: the part's name, which begins the message of an error.
        part: a mapping with its class as ``_target_``; None gives None.
        arguments: further arguments of the class.

    Raises:
        UserError: the class is missing or refuses its arguments.
    """
    if part is None:
        return None
    try:
        _check_words(group, part, arguments)
        return instantiate(part, **arguments)
    except (HydraException, OmegaConfBaseException, ImportError) as error:
        raise UserError(f"{group}: {one_line(error.__cause__ or error)}") from error


def attempt(group: str, make: partial, use: Callable[[partial], T]) -> T:
    """Return what ``use`` makes of a part that was built without all of its arguments.

    Args:
        group: the part's name, which begins the message of an error.
        make: the part; its keywords are the values of the configuration.
        use: gives it the others, and may try it out.

    Raises:
        UserError: ``use`` raises an error of any kind; one line names the value without which it does not.
    """
    try:
        return use(make)
    except UserError:
        raise
    except Exception as error:
        where, right = _blamed(make, use)
        reason = one_line(error).partition(" full_key: ")[0]  # OmegaConf goes on with its own words
        raise UserError(f"{group}{where}: {reason}{right}") from error


def _blamed(make: partial, use: Callable[[partial], Any]) -> tuple[str, str]:
    """Return the value that makes ``use`` fail, as ".key=value", and what would be right; the class if none does."""
    for key, value in reversed(make.keywords.items()):
        rest = {other: make.keywords[other] for other in make.keywords if other != key}
        with suppress(Exception):
            use(partial(make.func, *make.args, **rest))
            return f".{key}={value}", f"; the default is {parameters(make.func)[0].get(key)}"
    return f": {make.func.__name__} cannot be used", ""


def _check_words(group: str, part: Any, arguments: dict[str, Any]) -> None:
    """Refuse words that the class does not take, and those that the project sets, before anything is built.

    Raises:
        UserError: one line names the word and those that the class takes.
    """
    target = (
        located(group, str(part["_target_"])) if isinstance(part, dict | DictConfig) and "_target_" in part else None
    )
    if not callable(target):
        raise UserError(f"{group}: must be a mapping with a class or a function as _target_")
    if group in BASES and isinstance(target, type) and not issubclass(target, resolve_name(BASES[group])):
        raise UserError(f"{group}._target_={part['_target_']}: must be a {BASES[group]}")
    set_here = {*arguments, *SET_LATER.get(group, ())}
    known, complete = parameters(target)
    takes = ", ".join(sorted(set(known) - set_here)) or "nothing"
    for key, value in part.items():
        if str(key) in set_here:
            raise UserError(f"{group}.{key}: is set by the project; {part['_target_']} takes {takes}")
        if complete and str(key) not in known and not re.fullmatch(r"_\w+_", str(key)):
            raise UserError(f"{group}.{key}: no such key; {part['_target_']} takes {takes}")
        if isinstance(known.get(str(key)), bool) and not isinstance(value, bool | None):
            raise UserError(f"{group}.{key}={value}: must be true or false")


def located(group: str, path: str) -> Any:
    """Return what lies at ``module.name``.

    Raises:
        UserError: there is nothing; the message begins with ``group``.
    """
    try:
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{group}._target_={path}: cannot be found ({one_line(error)})") from error


def parameters(target: Any) -> tuple[dict[str, Any], bool]:
    """Return the words that a class or a function takes, with their defaults, and whether these are all.

    A class of this project that takes any words hands these on to its base class.
    """
    known: dict[str, Any] = {}
    for each in (vars(base).get("__init__") for base in target.__mro__) if isinstance(target, type) else (target,):
        if each is None:
            continue
        try:
            given = inspect.signature(each).parameters.values()
        except (TypeError, ValueError):  # written in C
            return known, False
        known |= {one.name: one.default for one in given if one.kind in NAMED and one.name not in ("self", *known)}
        if not any(one.kind is one.VAR_KEYWORD for one in given):
            return known, True
        if not getattr(each, "__module__", "").startswith("rnn_tasks."):  # it may keep the rest
            return known, False
    return known, False

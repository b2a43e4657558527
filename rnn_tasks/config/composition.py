"""The configuration of a run: composed by Hydra, checked in full before torch is imported or data are drawn."""

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from rnn_tasks.config.naming import own_choices, with_quoted_regex
from rnn_tasks.config.values import STRATEGY, check
from rnn_tasks.errors import UserError, file_error, one_line
from rnn_tasks.internals import prefer_own_options

os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors reach `refusals`

PACKAGE = Path(__file__).parent.parent
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())

REQUIRED = ("model", "optimizer", "loss", "logger", "task")  # groups of which an option must be chosen
NAMED = ("logger", "callbacks")  # groups of which several options may be chosen, each under its own name
WEIGHTS = "model.weights"  # names a run
PACKAGES = ("wandb", "mlflow")  # loggers that need a package of their name


def compose(overrides: list[str] | None = None, swept: list[str] | None = None) -> DictConfig:
    """Return the checked configuration that ``python -m rnn_tasks.train OVERRIDES`` would train with.

    Args:
        overrides: as on the command line.
        swept: further ones, in which the runs of a sweep differ.

    Raises:
        UserError: an override is refused.
    """
    words = [with_quoted_regex(with_quoted_run(word)) for word in (*(overrides or []), *(swept or []))]
    with composing():
        parsed(words)
        cfg = hydra_compose("config", words, return_hydra_config=True)
        return prepare(cfg, cfg.hydra, own_choices(swept, ()) if swept else None)


@contextmanager
def composing() -> Iterator[None]:
    """Let Hydra compose from the project's own files.

    Raises:
        UserError: Hydra refuses something, in one line.
    """
    prefer_own_options(CONF)
    with refusals(), initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def parsed(words: Sequence[str]) -> list[Override]:
    """Return overrides as Hydra reads them.

    Raises:
        UserError: a word is no override, or what it chooses of a group cannot be the name of an option.
    """
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None  # knows what glob(*) stands for
    with refusals():
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
    for override in overrides:
        group, value = override.key_or_group, override.value()
        if not override.is_delete() and not isinstance(value, dict | Glob) and (CONF / group).is_dir():
            for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
                names = choice if isinstance(choice, list) and group in NAMED else [choice]
                if not all(isinstance(name, str | QuotedString) for name in names):
                    raise UserError(f"{override.input_line}: {_wanted(group)}")
    return overrides


def with_quoted_run(word: str) -> str:
    """Return an override, in which the name of a run of a sweep, like "model.hidden=3,seed=1", is quoted."""
    key, _, run = word.partition("=")
    plain = key.lstrip("+") == WEIGHTS and "=" in run and not any(sign in run for sign in "'\"()[]{}")
    return f"{key}='{run}'" if plain else word


def _wanted(group: str) -> str:
    """Return what chooses of a group."""
    options = ", ".join(_options(group))
    if group in NAMED:
        return f"must be a name or a list of names, of {options}"
    none = "" if group in REQUIRED else f"; leave out {group}= for none"
    return f"must be one name, of {options}{none}; {group}=A,B with --multirun makes a run of each"


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def prepare(cfg: DictConfig, hydra: HydraConf, swept: dict[str, Any] | None = None) -> DictConfig:
    """Check a composed configuration; add the name of its experiment and what it has for itself within a sweep.

    Args:
        cfg: as composed.
        hydra: Hydra's own configuration. Of its ``runtime.choices``, the option chosen of each group, groups of which
            several were chosen are missing.
        swept: the values in which the runs of a sweep differ; by default those that Hydra knows of.

    Raises:
        UserError: a key or value is wrong, or a package is missing.
    """
    choices = hydra.runtime.choices
    chosen = {group: choice for group, choice in choices.items() if choice is not None and "hydra" not in group}
    for group in REQUIRED:
        if group not in chosen and not cfg.get(group):
            raise not_chosen(group)
    options = GlobalHydra.instance().config_loader().get_group_options("logger")
    chosen["logger"] = f"[{','.join(name for name in map(str, cfg.logger) if name in options)}]"
    with refusals():
        words = [f"{group}={choice}" for group, choice in chosen.items()]
        if hydra.searchpath:
            words.append(f"hydra.searchpath=[{','.join(map(str, hydra.searchpath))}]")
        defaults = copy.deepcopy(_defaults(*words, files=_files()))
        cfg = OmegaConf.masked_copy(cfg, [key for key in map(str, cfg) if key != "hydra"])
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # unlike `resolve`, its errors name the key
        OmegaConf.resolve(cfg)
    OmegaConf.set_struct(defaults, False)
    for group in NAMED:  # also names that no file gives, with the keys of their own classes
        defaults[group] = {**cfg.get(group, {}), **defaults[group]}
    _check_nested_groups(cfg, chosen)
    check(cfg, defaults)
    _check_packages(cfg)
    OmegaConf.set_struct(cfg, False)
    cfg.experiment = choices.get("experiment")
    if swept is None and hydra.mode == RunMode.MULTIRUN:
        swept = own_choices(hydra.overrides.task, hydra.job.config.override_dirname.exclude_keys)
    cfg.swept = swept
    if "data_dir" in cfg.task:
        cfg.task.data_dir = os.path.abspath(os.path.join(hydra.runtime.cwd, cfg.task.data_dir))
    if "digest" in cfg.task and cfg.task.path is not None:
        cfg.task.path = os.path.abspath(os.path.join(hydra.runtime.cwd, str(cfg.task.path)))
    return cfg


@lru_cache  # saves a sweep, and a notebook, half of the time of a composition
def _defaults(*choices: str, files: tuple[tuple[str, int], ...]) -> DictConfig:
    return hydra_compose("config", list(choices))


def _files() -> tuple[tuple[str, int], ...]:
    """Return the files of all groups in Hydra's search path, each with the time of its last change."""
    elements = GlobalHydra.instance().config_loader().get_search_path().get_path()
    folders = [Path(str(element.path).removeprefix("file://")) for element in elements]
    depths = ("*.yaml", "*/*.yaml", "*/*/*.yaml")  # groups, and groups in them; not all of the user's directories
    files = (path for folder in folders for depth in depths for path in folder.glob(depth))
    return tuple((str(path), path.stat().st_mtime_ns) for path in files)


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what Hydra and OmegaConf refuse as a UserError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
        raise UserError(_explain(error)) from error
    except OSError as error:
        if error.filename is None:  # of the standard output
            raise
        raise file_error(error) from error


def not_chosen(group: str) -> UserError:
    """Return the error of a group of which an option must be chosen, with the options that there are."""
    return UserError(f"{group}: one must be chosen; there are {', '.join(_options(group))}")


def _check_nested_groups(cfg: DictConfig, chosen: dict[str, str]) -> None:
    for group in chosen:
        key = group.replace("/", ".")
        if key != group and isinstance(value := OmegaConf.select(cfg, key), str):
            raise UserError(f"{key}={value}: is a group; choose by {group}={value}")


def _check_packages(cfg: DictConfig) -> None:
    for name in PACKAGES:
        if name in cfg.logger:
            package = find_spec(name)
            if package is None or package.origin is None:  # a directory of that name is no package
                raise UserError(f"logger={name}: that package is not installed; pip install {name}")


def _explain(error: Exception) -> str:
    """Return what the error says, in one line that names the override and what would be right."""
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ConfigKeyError | OmegaConfBaseException):
        if cause.full_key == "trainer.strategy":
            return STRATEGY
        node = cause.parent_node
        known = sorted(str(key) for key in node) if isinstance(node, DictConfig) else []
        where = (cause.full_key or "").rpartition(".")[0]
        there = f"{where or 'the configuration'} has {', '.join(known)}" if known else one_line(cause)
        return f"{cause.full_key or cause.key}: no such key; {there}"
    if isinstance(error, MissingConfigException) and "/" in (error.missing_cfg_file or ""):
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        options = error.options or _options(group)
        return f"{group}={option}: no such {group}; there are {', '.join(options)}"
    if isinstance(error, OverrideParseException):
        if "=" not in str(error.override):
            return f"{error.override}: not of the form key=value"
        reason = one_line(error).split(" See https")[0]
        return f"{error.override}: {reason}; quote a value with other characters, like 'name=\"grün\"'"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return one_line(error)

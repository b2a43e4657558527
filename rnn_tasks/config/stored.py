"""Stored configurations: read with limits, and checked like those of the command line, before anything is built.

The text of a run directory may come from anyone: see ``targets`` for what it may name.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.composition import CONF
from rnn_tasks.config.targets import CALLED, PARTS
from rnn_tasks.config.values import check_values
from rnn_tasks.errors import UserError
from rnn_tasks.files import read_text

LARGEST = 1 << 18  # bytes of a configuration
DEEPEST = 20  # levels of nesting

MNIST_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))

SECTIONS = ("task", "model", "loss", "optimizer", "trainer")  # must be mappings
OPTIONAL = ("scheduler", "logger", "callbacks", "swept")  # mappings, or null


def holds_mnist(data_dir: Path) -> bool:
    """Return whether a directory holds MNIST as torchvision reads it, so that nothing is downloaded to it."""
    return all((data_dir / "MNIST" / "raw" / name).is_file() for name in MNIST_FILES)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a yaml file, see ``parse``.

    Raises:
        ValueError: it is too large, or as for ``parse``.
        OSError: it cannot be read.
        yaml.YAMLError: it is no yaml.
    """
    return parse(read_text(path, LARGEST))


def parse(text: str) -> dict[str, Any]:
    """Return what a yaml text holds as plain containers, with its interpolations as they stand.

    Raises:
        ValueError: it is too deep, has aliases, or is no mapping.
        yaml.YAMLError: it is no yaml.
    """
    require_simple(text)
    cfg = OmegaConf.create(text)
    content = OmegaConf.to_container(cfg) if isinstance(cfg, DictConfig) else None
    if not isinstance(content, dict):
        raise ValueError("is no mapping")
    return {str(key): value for key, value in content.items()}


def require_simple(text: str) -> None:
    """Check that a yaml text cannot become larger when it is read.

    Raises:
        ValueError: it is too deep, or has aliases.
        yaml.YAMLError: it is no yaml.
    """
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("has an alias, which a configuration never needs")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"is nested deeper than {DEEPEST} levels")


def checked(config: dict[str, Any]) -> DictConfig:
    """Return a stored configuration after the checks of the command line.

    Args:
        config: plain containers, in the form of this version.

    Raises:
        UserError: a key is missing or unknown, or a value is of the wrong kind or out of range.
    """
    own = conf_file("config")
    known = {*own, *SECTIONS, *OPTIONAL, "experiment"} - {"defaults", "hydra"}
    for key in config:
        if key not in known:
            raise UserError(f"{key}: no such key; the configuration has {', '.join(sorted(known))}")
    for key in known:
        if key not in config:
            raise UserError(f"{key}: cannot be left out")
    for key in (*SECTIONS, *OPTIONAL):
        if not isinstance(config[key], dict) and not (config[key] is None and key in OPTIONAL):
            raise UserError(f"{key}={config[key]}: must be a mapping")
    for key, value in leaves(config):
        if isinstance(value, str) and ("${" in value or value == "???"):
            raise UserError(f"{key}={value}: must be a value, not an interpolation")
    for key, part in parts(config):
        if not isinstance(part, dict) or not isinstance(part.get("_target_"), str):
            raise UserError(f"{key}: must be a mapping with a class as _target_")
    for key, kind in (("name", str | int | float), ("experiment", str | None)):
        if not isinstance(config[key], kind):
            raise UserError(f"{key}={config[key]}: must be a word")
    for key in config["trainer"]:
        if key not in own["trainer"]:
            raise UserError(f"trainer.{key}: no such key; trainer has {', '.join(own['trainer'])}")
    for key in own["trainer"]:
        if key not in config["trainer"]:
            raise UserError(f"trainer.{key}: cannot be left out")
    cfg = OmegaConf.create(config)
    check_values(cfg, OmegaConf.create(_examples(config)))
    return cfg


def parts(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the parts of a configuration that are built, each with its key."""
    for key in PARTS:
        if config.get(key) is not None:
            yield key, config[key]
    for key in CALLED:
        for name, part in (config.get(key) or {}).items():
            yield f"{key}.{name}", part


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return the values in nested mappings and lists, each with its full key; an empty one is a value itself."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and node:
        for i, value in enumerate(node):
            yield from leaves(value, f"{path}[{i}]")
    else:
        yield path, node


def _examples(config: dict[str, Any]) -> dict[str, Any]:
    """Return values that show the kinds of a configuration's keys, from the files of the same classes."""
    examples = {key: value for key, value in conf_file("config").items() if key not in ("defaults", "hydra", "name")}
    own = {key: {**examples.get(key, {}), **_example(key, config[key]["_target_"])} for key in PARTS if config[key]}
    return examples | own


def _example(group: str, target: str) -> dict[str, Any]:
    """Return the values of the file in conf/GROUP whose class is ``target``, or nothing."""
    for path in sorted((CONF / group).glob("*.yaml")):
        content = conf_file(f"{group}/{path.stem}")
        part = content.get(group, content)
        if isinstance(part, dict) and part.get("_target_") == target:
            return {key: value for key, value in part.items() if "${" not in str(value)}
    return {}


@lru_cache
def conf_file(name: str) -> dict[str, Any]:
    """Return what a file of conf/ holds, as plain containers."""
    return read_yaml(CONF / f"{name}.yaml")

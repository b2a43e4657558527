"""result.json: what came out of a finished run; checked in full when it is read, as it may come from anyone."""

from __future__ import annotations

import json
import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from rnn_tasks.checks import MOST_REPLICATES
from rnn_tasks.config.stored import checked
from rnn_tasks.errors import UserError
from rnn_tasks.files import read_text, write_atomically
from rnn_tasks.runs.identity import NUMERICS, fingerprint
from rnn_tasks.runs.migration import migrated
from rnn_tasks.training import KINDS

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import nn

RESULT = "result.json"
LARGEST = 1 << 28  # bytes


def describe(cfg: DictConfig, model: nn.Module, metrics: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the content of result.json.

    Args:
        cfg: the configuration of the run.
        model: its model, whose parameters are counted for one replicate.
        metrics: of the splits "train", "val" and "test", see training.evaluation.measure.
        seconds: the time of training.
    """
    return {
        "schema": 1,
        "task": cfg.task.name,
        "experiment": cfg.experiment,
        "status": "finished",
        "seed": cfg.seed,
        "replicates": cfg.model.get("replicates", 1),
        "seconds": round(seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()) // cfg.model.get("replicates", 1),
        "fingerprint": fingerprint(cfg),
        "numerics": NUMERICS,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "lightning", "hydra-core")},
        },
        "config": OmegaConf.to_container(cfg, resolve=True),
        "metrics": metrics,
    }


def write_result(run: Path, result: dict[str, Any]) -> None:
    """Write result.json; from then on the run is finished. Numbers that are not finite become null."""
    write_atomically(run / RESULT, json.dumps(_finite(result), indent=1, allow_nan=False))


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def read_result(run: Path) -> dict[str, Any] | None:
    """Return the content of a run's result.json; None if the run has not finished.

    Raises:
        UserError: the file is damaged.
    """
    path = run / RESULT
    if not path.exists() and not path.is_symlink():
        return None
    try:
        result = json.loads(read_text(path, LARGEST), parse_constant=_refuse_constant)
        result = result | {"config": migrated(result["config"])}
        checked(result["config"])
        _check(result)
        return result
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, UserError):
        raise UserError(f"{path}: is damaged; delete it, then resume={run} writes it again") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _check(result: dict[str, Any]) -> None:
    """Check the kinds and sizes of all that is read of a result.

    Raises:
        ValueError: a value is of another kind.
        KeyError: one is missing.
    """
    replicates, metrics = result["replicates"], result["metrics"]
    _require(all(_is_count(result[key]) for key in ("replicates", "seed", "parameters")))
    _require(all(_is_count(result.get(key, 0)) for key in ("numerics", "schema")))
    _require(1 <= replicates <= MOST_REPLICATES)
    _require(replicates == result["config"]["model"].get("replicates", 1))
    _require(result["seconds"] is None or (_is_number(result["seconds"]) and result["seconds"] >= 0))
    _require(all(isinstance(result[key], str) for key in ("task", "fingerprint")))
    _require(result["experiment"] is None or isinstance(result["experiment"], str))
    _require(isinstance(metrics, dict) and set(metrics) <= {"train", "val", "test"} and "train" in metrics)
    for split, values in metrics.items():
        _check_shares(values, replicates)
        if split != "train":
            _require(_is_count(values["n"]) and _is_number(values["chance"]))
            _require(_is_number(values.get("best_loss", 0.0)))
            for length, part in values["by_length"].items():
                _require(length.isdecimal() and len(length) < 10 and _is_count(part["n"]))
                _check_shares(part, replicates)


def _check_shares(values: dict[str, Any], replicates: int) -> None:
    _require(all(_is_count(values.get(key, 0)) for key in ("n", "answers")))
    for kind in KINDS:
        numbers = values[kind]
        _require(isinstance(numbers, list) and len(numbers) == replicates)
        _require(all(number is None or _is_number(number) for number in numbers))
        _require(kind == "loss" or all(number is None or 0 <= number <= 1 for number in numbers))
    _require(len({tuple(number is None for number in values[kind]) for kind in KINDS}) == 1)


def _is_number(value: Any) -> bool:
    return _is_count(abs(value)) if type(value) is int else isinstance(value, float) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _require(valid: bool) -> None:
    if not valid:
        raise ValueError

"""Run directories: their lock, their configuration and their result."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.errors import UserError, one_line
from rnn_tasks.files import write_atomically
from rnn_tasks.runs.identity import NUMERICS, fingerprint, influence
from rnn_tasks.runs.migration import migrated

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import nn

OUTPUTS = Path("outputs")
PRETRAINED = Path(__file__).parent.parent / "pretrained"  # runs that come with the package
CONFIG, RESULT, LOCK = "config.yaml", "result.json", ".lock"


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Hold a run directory, which is made if it is missing, for this process alone.

    A new run that is refused before it has anything to keep leaves no files behind.

    Raises:
        UserError: another process trains there.
    """
    run.mkdir(parents=True, exist_ok=True)
    new = not (run / CONFIG).exists()
    try:
        with FileLock(run / LOCK, timeout=0):
            try:
                yield
            except UserError:
                if new and {path.name for path in run.iterdir()} <= {CONFIG, LOCK}:
                    (run / CONFIG).unlink(missing_ok=True)
                    (run / LOCK).unlink(missing_ok=True)
                raise
    except Timeout:
        raise UserError(f"{run}: is being trained by another process") from None


def own_config(run: Path, cfg: DictConfig) -> DictConfig:
    """Write a run's configuration into its directory, or return that of the same run begun before.

    Raises:
        UserError: another run lies there.
    """
    path = run / CONFIG
    if not path.exists():
        write_atomically(path, OmegaConf.to_yaml(cfg, resolve=True))
    begun = read_config(run)
    if influence(begun) != influence(cfg):
        raise UserError(f"{run}: holds another run; go on with it by resume={run} or take another directory")
    return begun


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
    """Write result.json; from then on the run is finished."""
    write_atomically(run / RESULT, json.dumps(result, indent=1, allow_nan=False))


def read_result(run: Path) -> dict[str, Any] | None:
    """Return the content of a run's result.json; None if the run has not finished.

    Raises:
        UserError: the file is damaged.
    """
    path = run / RESULT
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        _ = result["metrics"]["train"], result["parameters"], result["seconds"]
        return result | {"config": migrated(result["config"])}
    except (ValueError, KeyError, TypeError, OSError):
        raise UserError(f"{path}: is damaged; delete it, then resume={run} writes it again") from None


def read_config(run: Path) -> DictConfig:
    """Return the configuration of a run, in the form of this version.

    Raises:
        UserError: there is no such run, or its configuration is damaged.
    """
    path = run / CONFIG
    if not path.is_file():
        raise UserError(f"{run}: holds no run; give a directory with a config.yaml, like outputs/adder/NAME")
    try:
        cfg = OmegaConf.create(migrated(OmegaConf.to_container(OmegaConf.load(path))))  # type: ignore[arg-type]
        _ = cfg.task.name, cfg.model, cfg.seed, cfg.trainer
        if "data_dir" in cfg.task:  # the data may have moved since
            cfg.task.data_dir = os.environ.get("RNN_TASKS_DATA", cfg.task.data_dir)
    except Exception as error:  # a damaged yaml file raises many kinds
        raise UserError(f"{path}: is damaged ({one_line(error)[:80]})") from None
    return cfg


def finished(root: Path = OUTPUTS) -> list[Path]:
    """Return the finished runs below a directory, the newest first."""
    files = sorted(root.rglob(RESULT), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [path.parent for path in files]


def results(root: Path = OUTPUTS) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Return the finished runs below a directory with the content of their result.json, the newest first.

    Of a run whose result.json is damaged the content is None.
    """
    for path in finished(root):
        try:
            yield path, read_result(path)
        except UserError:
            yield path, None


def find(run: str) -> Path | None:
    """Return the directory of a run.

    Args:
        run: a directory; "latest" for the newest finished run; the name of a task for its newest finished run; or the
            name of a run that comes with the package: "handwriting", or "report", the best of the report's that read
            MNIST.

    Returns:
        None where it is none of these.

    Raises:
        UserError: a directory holds no run, or nothing has finished yet.
    """
    try:
        is_directory, is_task = Path(run).is_dir(), (OUTPUTS / run).is_dir() and (OUTPUTS / run).parent == OUTPUTS
    except OSError:  # too long for a name
        return None
    shipped = PRETRAINED / run if re.fullmatch(r"\w+", run) and (PRETRAINED / run).is_dir() else None
    if shipped and not (Path(run) / CONFIG).exists():
        return shipped
    if run == "latest" or (is_task and not is_directory):
        root = OUTPUTS if run == "latest" else OUTPUTS / run
        newest = next(iter(finished(root)), None)
        if newest is None:
            raise UserError(f"{run}: no finished run in {root} yet; python -m rnn_tasks.train makes one")
        return newest
    if is_directory:
        read_config(Path(run))
        return Path(run)
    return None

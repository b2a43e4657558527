"""A run directory: written by training, found and loaded by everything else."""

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
from rnn_tasks.runs.identity import fingerprint, influence

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import nn


OUTPUTS = Path("outputs")
PRETRAINED = Path(__file__).parent.parent / "pretrained"  # runs that come with the package


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Hold the directory for this process alone.

    Raises:
        UserError: another process trains there.
    """
    run.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{run}: is being trained by another process") from None


def own_config(run: Path, cfg: DictConfig) -> DictConfig:
    """The configuration of the run in a directory: ``cfg``, written there, or the one that the run was begun with.

    Raises:
        UserError: another run lies there.
    """
    path = run / "config.yaml"
    if not path.exists():
        write_atomically(path, OmegaConf.to_yaml(cfg, resolve=True))
    begun = read_config(run)
    if influence(begun) != influence(cfg):
        raise UserError(f"{run}: holds another run; go on with it by resume={run} or take another directory")
    return begun


def describe(cfg: DictConfig, model: "nn.Module", metrics: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What result.json is to hold: what was run, with what, and what came out."""
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
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "lightning", "hydra-core")},
        },
        "config": OmegaConf.to_container(cfg, resolve=True),
        "metrics": metrics,
    }


def write_result(run: Path, result: dict[str, Any]) -> None:
    """Write result.json; from then on the run is finished."""
    write_atomically(run / "result.json", json.dumps(result, indent=1, allow_nan=False))


def read_result(run: Path) -> dict[str, Any] | None:
    """What result.json holds; None where there is none, as before the end of a run."""
    path = run / "result.json"
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text())
        _ = result["metrics"]["train"], result["parameters"], result["seconds"]
        return result
    except (ValueError, KeyError, TypeError, OSError):
        raise UserError(f"{path}: is damaged; delete it, then resume={run} writes it again") from None


def read_config(run: Path) -> DictConfig:
    """The configuration of a run.

    Raises:
        UserError: there is no such run, or its configuration is damaged.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise UserError(f"{run}: holds no run; give a directory with a config.yaml, like outputs/adder/NAME")
    try:
        cfg = OmegaConf.load(path)
        _ = cfg.task.name, cfg.model, cfg.seed, cfg.trainer
        if "data_dir" in cfg.task:  # where the data lie may have changed since
            cfg.task.data_dir = os.environ.get("RNN_TASKS_DATA", cfg.task.data_dir)
    except Exception as error:  # a damaged yaml file raises many kinds
        raise UserError(f"{path}: is damaged ({one_line(error)[:80]})") from None
    return cfg


def finished(root: Path = OUTPUTS) -> list[Path]:
    """The finished runs below a directory, the newest first."""
    results = sorted(root.rglob("result.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [path.parent for path in results]


def results(root: Path = OUTPUTS) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """The finished runs below a directory and what their result.json hold, None if it is damaged; the newest first."""
    for path in finished(root):
        try:
            yield path, read_result(path)
        except UserError:
            yield path, None


def find(run: str) -> Path | None:
    """The directory that RUN means: a run's own, "latest", a task's name for its newest finished run, or the name of
    one that comes with the package: "handwriting", or "report", the best of the report's that read MNIST.

    Returns:
        None where the word is none of these.

    Raises:
        UserError: a directory holds no run, or nothing has finished yet.
    """
    try:
        is_directory, is_task = Path(run).is_dir(), (OUTPUTS / run).is_dir() and (OUTPUTS / run).parent == OUTPUTS
    except OSError:  # too long for a name
        return None
    shipped = PRETRAINED / run if re.fullmatch(r"\w+", run) and (PRETRAINED / run).is_dir() else None
    if shipped and not (Path(run) / "config.yaml").exists():
        return shipped
    if run == "latest" or (is_task and not is_directory):
        runs = finished(OUTPUTS if run == "latest" else OUTPUTS / run)
        if not runs:
            raise UserError(f"{run}: no finished run in {OUTPUTS}{'' if run == 'latest' else f'/{run}'} yet")
        return runs[0]
    if is_directory:
        read_config(Path(run))
        return Path(run)
    return None

"""A run directory: written by training, found and loaded by everything else."""

import inspect
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.errors import UserError, one_line

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import Tensor, nn

    from rnn_tasks.tasks import Task

OUTPUTS = Path("outputs")
PRETRAINED = Path(__file__).parent / "pretrained"  # runs that come with the package
SOURCES = ("models", "tasks/base.py", "tasks/order.py", "losses.py", "learner.py", "seeds.py")  # shape every run
NO_INFLUENCE = ("name", "threads", "data_dir", "logger")  # values that leave the numbers of a run as they are
ONLY_SHOWN = ("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "profiler")  # of the trainer's
NOT_ARGUMENTS = ("lr", "losses")  # values of a task that are no arguments of its class


@dataclass
class Run:
    """A run that has been trained.

    Attributes:
        path: its directory.
        config: its configuration, resolved.
        task: its data; call ``task.setup()`` to draw them.
        model: with the weights asked for, in evaluation mode.
        replicate: which one the model is; None if it is all of them.
        failed: of each of the model's replicates whether its loss became NaN.
        result: what result.json holds, None before the run has ended.
    """

    path: Path
    config: DictConfig
    task: "Task"
    model: "nn.Module"
    replicate: int | None
    failed: list[bool]
    result: dict[str, Any] | None

    def ask(self, text: str) -> tuple[str, float]:
        """The answer to a problem as people write it, and the probability of its least certain part.

        Raises:
            ValueError: the text is no problem of the task; says what one looks like.
        """
        import torch

        problem = self.task.parse(text)
        with torch.inference_mode():
            logits = self.logits(problem[None], torch.tensor([len(problem)]))
            return self.task.answer(logits[0] if self.replicate is not None else logits[0, 0])

    def logits(self, inputs: "Tensor", lengths: "Tensor") -> "Tensor":
        """What the model gives for inputs [B, T, D] of ``lengths`` steps [B], in the precision of its weights.

        Returns:
            [B, T, C] or [B, C] logits; of all replicates [R, B, T, C] or [R, B, C].
        """
        from rnn_tasks.learner import ask
        from rnn_tasks.tasks import Batch

        logits = ask(self.model, Batch(inputs.to(next(self.model.parameters())), lengths, lengths))
        return logits if self.replicate is None else logits[0]


def build(cfg: DictConfig) -> "tuple[Task, nn.Module]":
    """The task of a configuration and a fresh model for it."""
    task = build_task(cfg)
    sizes = {"input_size": task.input_size, "output_size": task.output_size, "readout": task.readout}
    model = instantiated("model", cfg.model, **sizes, seed=cfg.seed)
    if getattr(model, "replicates", 1) != cfg.model.get("replicates", 1):
        raise UserError(f"model.replicates={cfg.model.replicates}: {cfg.model._target_} has none")
    return task, model


def build_task(cfg: DictConfig) -> "Task":
    """The task alone."""
    arguments = {key: value for key, value in cfg.task.items() if key not in NOT_ARGUMENTS}
    return instantiated("task", arguments, seed=cfg.seed, replicates=cfg.model.get("replicates", 1))


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Hold the directory for this process, and those that Lightning starts from it, alone.

    Raises:
        UserError: another process trains there.
    """
    if int(os.environ.get("LOCAL_RANK", 0)):  # the process that started this one holds it
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{run}: is being trained by another process") from None


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a kill leaves the former one whole."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, newline="")
    temporary.replace(path)


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


def influence(cfg: DictConfig) -> dict[str, Any]:
    """The part of a configuration that shapes the numbers of a run."""
    values = {key: value for key, value in OmegaConf.to_container(cfg, resolve=True).items() if key not in NO_INFLUENCE}
    task = {key: value for key, value in values["task"].items() if key not in NO_INFLUENCE}
    trainer = {key: value for key, value in values["trainer"].items() if key not in ONLY_SHOWN}
    return {**values, "trainer": trainer, "task": {**task, "name": values["task"]["name"]}}


def fingerprint(cfg: DictConfig) -> str:
    """A hash of all that shapes the numbers of a run: the configuration and the sources that matter."""
    digest = blake2b(json.dumps(influence(cfg), sort_keys=True).encode(), digest_size=16)
    package = Path(__file__).parent
    for source in SOURCES:
        path = package / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".cpp"):
                digest.update(file.read_bytes())
    targets = [cfg.task._target_, cfg.model._target_, *([cfg.model.cell] if "." in cfg.model.get("cell", "") else [])]
    targets += [augmentation._target_] if (augmentation := cfg.task.get("augmentation")) else []
    for found in map(get_object, targets):  # where these are written
        digest.update(Path(inspect.getfile(getattr(found, "function", found))).read_bytes())
    return digest.hexdigest()


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


def load(
    run: str | Path, weights: Literal["best", "last"] = "best", replicate: int | Literal["best", "all"] = "best"
) -> Run:
    """A run with its model and task, ready to use.

    Args:
        run: its directory, "latest", or a task's name for its newest finished run.
        weights: the best by validation, or those of the last epoch.
        replicate: a number, the best by validation of these weights, or all of them.

    Raises:
        UserError: it is not there or is damaged.
    """
    path = find(str(run))
    if path is None:
        raise UserError(f"{run}: no such run; give its directory, latest, the name of a task, handwriting or report")
    cfg, result = read_config(path), read_result(path)
    state, found, failed = _weights(path, weights, result)
    replicates = cfg.model.get("replicates", 1)
    if replicate == "best":
        replicate = max(range(replicates), key=lambda number: (not failed[number], found[number] or [-1.0]))
    if replicate != "all":
        if not 0 <= replicate < replicates:
            raise UserError(f"--replicate {replicate}: {path} has {replicates}, counted from 0")
        if failed[replicate]:
            raise UserError(f"--replicate {replicate}: has failed, its loss became infinite or NaN; take another one")
        if "replicates" in cfg.model:
            state = {key: value[replicate : replicate + 1] for key, value in state.items()}
            cfg = OmegaConf.merge(cfg, {"model": {"replicates": 1}, "seed": cfg.seed + replicate})
            failed = [False]
    task, model = build(cfg)
    try:
        model.to(next(iter(state.values())).dtype).load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path}: its {weights} weights do not fit its config.yaml ({one_line(error)[:120]})") from None
    return Run(path, cfg, task, model.eval(), None if replicate == "all" else replicate, failed, result)


def tell_replicate(run: Run, chosen: int | str) -> None:
    """Say on stderr which of several replicates was chosen, where it was not the user who did."""
    replicates = read_config(run.path).model.get("replicates", 1)
    if chosen == "best" and replicates > 1:
        print(f"replicate {run.replicate}, of {replicates} the best in validation", file=sys.stderr)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds: plain containers and tensors.

    Raises:
        UserError: it is damaged.
    """
    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if path.stem == "last":
            _ = checkpoint["global_step"], checkpoint["state_dict"]["failed"]
        else:
            _ = checkpoint["score"], checkpoint["state_dict"], checkpoint["failed"]
        return checkpoint
    except Exception as error:  # a damaged file raises many kinds
        raise UserError(f"{path}: is damaged ({type(error).__name__}); delete it to begin again") from None


def _weights(
    run: Path, weights: str, result: dict[str, Any] | None
) -> "tuple[dict[str, Tensor], list[list[float] | None], list[bool]]":
    """Weights of all replicates, how good each is in validation, and which have failed."""
    from rnn_tasks.metrics import ranks

    path = run / "checkpoints" / f"{weights}.ckpt"
    if not path.is_file():
        raise UserError(f"{path}: is missing; the run has not got so far, or take the other --weights")
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"]
    if weights == "best":
        return state, checkpoint["score"], checkpoint["failed"]
    failed = state["failed"].tolist()
    val = result["metrics"].get("val") if result else None
    best = path.with_name("best.ckpt")
    found = ranks(val) if val else read_checkpoint(best)["score"] if best.exists() else [None] * len(failed)
    return (
        {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")},
        found,
        failed,
    )


def instantiated(what: str, cfg: Any, **values: Any) -> Any:
    """What a part of the configuration describes.

    Args:
        what: its name, for the message.
        cfg: the part, with its ``_target_``; nothing comes of nothing.
        values: further arguments.

    Raises:
        UserError: its class is not there or refuses the values.
    """
    if cfg is None:
        return None
    try:
        return instantiate(cfg, **values)
    except InstantiationException as error:
        raise UserError(f"{what}: {one_line(error.__cause__ or error)}") from error

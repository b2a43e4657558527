"""Loading a run: its model with the weights asked for, its task and its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnn_tasks.config.instantiation import build
from rnn_tasks.errors import UserError, one_line, tell
from rnn_tasks.runs.directory import read_config
from rnn_tasks.runs.finding import PRETRAINED, require
from rnn_tasks.runs.results import read_result
from rnn_tasks.runs.run import Run

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import Tensor, nn


def load(
    run: str | Path,
    weights: Literal["best", "last"] = "best",
    replicate: int | Literal["best", "all"] = "best",
    trust: bool = False,
) -> Run:
    """Load a run with its model and task, ready to use.

    Args:
        run: its directory, as a Path or a str; or, only as a str, "latest", the name of a task for its best finished
            run, "handwriting" or "report".
        weights: the best by validation, or those of the last epoch.
        replicate: its number, the best by validation of these weights, or all of them.
        trust: allow classes that did not come with this package, also in a run that somebody else has made.

    Raises:
        UserError: the run, its weights or the replicate are missing or damaged.
    """
    path = require(run)
    cfg, result = read_config(path, trust), read_result(path)
    state, sort_keys, failed = _weights(path, weights, result)
    if (of := len(failed)) != cfg.model.get("replicates", 1):
        raise UserError(f"{path}: its {weights} weights are of {of} replicates, its config.yaml says otherwise")
    number = _number(path, replicate, sort_keys, failed)
    if number is not None and "replicates" in cfg.model:
        state = {key: value[number : number + 1] for key, value in state.items()}
        cfg.model.replicates, cfg.seed, failed = 1, cfg.seed + number, [False]
    task, model = build(cfg)
    try:
        _load_weights(model, state, [not each for each in failed])
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path}: its {weights} weights do not fit its config.yaml ({one_line(error)[:120]})") from None
    return Run(path, cfg, task, model.eval(), number, failed, result, weights, of)


def weights_to_measure(run: Path) -> Literal["best", "last"]:
    """Return which weights of a run are measured by default: the last, or the best where no others are kept."""
    from rnn_tasks.training.checkpoints import LAST

    return "last" if (run / "checkpoints" / LAST).is_file() else "best"


def _load_weights(model: nn.Module, state: dict[str, Tensor], live: list[bool]) -> None:
    """Give a model its weights, in their precision.

    Args:
        model: of one or several replicates.
        state: its weights.
        live: [R], replicates that have not failed, whose weights must be finite.

    Raises:
        RuntimeError: names or shapes differ.
        ValueError: a type differs, or a number is not finite.
    """
    if precision := next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), None):
        model.to(precision)
    own = model.state_dict()
    for name, tensor in state.items():
        if name in own and tensor.dtype != own[name].dtype:
            raise ValueError(f"{name} is of {tensor.dtype}, not {own[name].dtype}")
        if not (tensor if len(live) == 1 else tensor[live]).isfinite().all():
            raise ValueError(f"{name} is infinite or NaN")
    model.load_state_dict(state)


def _number(path: Path, replicate: int | str, sort_keys: list[list[float] | None], failed: list[bool]) -> int | None:
    """Return the number of the replicate to load; None for all."""
    if replicate == "all":
        return None
    best = max(range(len(failed)), key=lambda number: (not failed[number], sort_keys[number] or [-1.0]))
    number = best if replicate == "best" else int(replicate)
    if not 0 <= number < len(failed):
        raise UserError(f"--replicate {number}: {path} has {len(failed)}, counted from 0")
    if failed[number]:
        raise UserError(f"--replicate {number}: has failed, its loss became infinite or NaN; take another one")
    return number


def tell_run(run: Run, chosen: int | str) -> None:
    """Print on stderr which run and weights were chosen, and which replicate if that was left to validation.

    Args:
        run: the loaded run.
        chosen: what the user asked for, a number, "best" or "all".
    """
    place = f"{run.path.name}, which comes with the package" if run.path.parent == PRETRAINED else str(run.path)
    replicate = f", replicate {run.replicate}, of {run.of} the best in validation"
    tell(f"{place}, {run.weights} weights" + replicate * (chosen == "best" and run.of > 1))


def _weights(
    run: Path, weights: str, result: dict[str, Any] | None
) -> tuple[dict[str, Tensor], list[list[float] | None], list[bool]]:
    """Weights of all replicates, the sort key of each by validation, and which have failed."""
    from rnn_tasks.training.checkpoints import model_weights, read_checkpoint
    from rnn_tasks.training.metrics import sort_keys

    path = run / "checkpoints" / f"{weights}.ckpt"
    if not path.is_file():
        raise UserError(f"{path}: is missing; the run has not got so far, or take the other --weights")
    state, scores, failed = model_weights(read_checkpoint(path))
    if weights == "last" and result and "val" in result["metrics"]:
        scores = sort_keys(result["metrics"]["val"])
    return state, scores, failed

"""A finished run, loaded: its model with the weights asked for, its task and its result."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.build import build
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.runs.directory import find, read_config, read_result

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import Tensor, nn

    from rnn_tasks.tasks import Task


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
            ValueError: the text is not a problem of the task; the message shows what one looks like.
        """
        import torch

        problem = self.task.parse(text)
        return self.answer(problem[None], torch.tensor([len(problem)]))[0]

    def answer(self, inputs: "Tensor", lengths: "Tensor") -> list[tuple[str, float]]:
        """Each answer as people write it, and the probability of its least certain part.

        Args:
            inputs: [N, T, D].
            lengths: [N], the steps of each sequence, all the same where an answer has many parts.
        """
        import torch

        with torch.inference_mode():
            logits = self.logits(inputs, lengths)
            return [self.task.answer(each) for each in (logits if self.replicate is not None else logits[0])]

    def logits(self, inputs: "Tensor", lengths: "Tensor") -> "Tensor":
        """What the model gives for inputs [B, T, D] of ``lengths`` steps [B], in the precision of its weights.

        Returns:
            [B, T, C] or [B, C] logits; of all replicates [R, B, T, C] or [R, B, C].
        """
        from rnn_tasks.tasks import Batch
        from rnn_tasks.training.scoring import forward_replicates

        logits = forward_replicates(self.model, Batch(inputs.to(next(self.model.parameters())), lengths, lengths))
        return logits if self.replicate is None else logits[0]

    def prefix_predictions(self, inputs: "Tensor") -> "Tensor":
        """Class probabilities after each step, as if the sequence ended there; of a run of one replicate.

        A bidirectional network reads each prefix from both of its ends. For a network that reads forwards alone these
        are the probabilities computed from each of its states.

        Args:
            inputs: [N, T, D], sequences without padding.

        Returns:
            [N, T, C].
        """
        import torch

        steps = inputs.shape[1]
        lengths = torch.arange(1, steps + 1).repeat(len(inputs))
        with torch.inference_mode():
            logits = self.logits(inputs.repeat_interleave(steps, 0), lengths)
        return logits.softmax(-1).unflatten(0, (-1, steps))


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


def _weights(
    run: Path, weights: str, result: dict[str, Any] | None
) -> "tuple[dict[str, Tensor], list[list[float] | None], list[bool]]":
    """Weights of all replicates, how good each is in validation, and which have failed."""
    from rnn_tasks.training.checkpoints import read_checkpoint
    from rnn_tasks.training.metrics import sort_keys

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
    found = sort_keys(val) if val else read_checkpoint(best)["score"] if best.exists() else [None] * len(failed)
    return (
        {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")},
        found,
        failed,
    )

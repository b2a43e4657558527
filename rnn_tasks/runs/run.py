"""A loaded run: its model, its task and its result, for commands and notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from rnn_tasks.errors import UserError
from rnn_tasks.runs.frames import frame

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import Tensor, nn

    from rnn_tasks.tasks import Task


@dataclass
class Run:
    """A trained run, for use in a notebook: ``run = rnn_tasks.load("adder")``.

    ``run.ask("1011+110")`` answers a problem, ``run.states("1011+110")`` gives the states of every layer at every step,
    and ``run.logits(inputs, lengths)`` takes tensors. ``run.history()`` has the losses and accuracies of all epochs,
    and ``run.result["metrics"]["test"]["sequence_accuracy"]`` is a list with a number for each replicate.

    Attributes:
        path: its directory.
        config: its configuration, resolved, like ``run.config.model.hidden``.
        task: its task; ``task.setup()`` makes the examples: ``task.train``, ``task.val`` and the list ``task.test``.
        model: a torch.nn.Module with the weights asked for, in evaluation mode, on the CPU.
        replicate: the number of the replicate that the model is; None if it is all of them.
        failed: whether the loss of each of the model's replicates became infinite or NaN.
        result: the content of result.json, None if the run has not finished.
        weights: which these are, "best" or "last".
        of: replicates of the run.
    """

    path: Path
    config: DictConfig
    task: Task
    model: nn.Module
    replicate: int | None
    failed: list[bool]
    result: dict[str, Any] | None
    weights: str = "best"
    of: int = 1

    def __repr__(self) -> str:
        which = f"all {self.of} replicates" if self.replicate is None else f"replicate {self.replicate} of {self.of}"
        return f"Run({str(self.path)!r}, {self.weights} weights of {which})"

    def ask(self, text: str) -> tuple[str, float]:
        """Return the answer to a problem, as people write both, and the probability of the answer's least certain part.

        A run of all replicates answers with the first.

        Args:
            text: like "1011+110".

        Raises:
            ValueError: the text is not a problem of the task; the message shows what one looks like.
        """
        import torch

        problem = self.task.parse(text)
        return self.answer(problem[None], torch.tensor([len(problem)]))[0]

    def states(self, text: str) -> Tensor:
        """Return the outputs of every layer at every step while the network reads a problem.

        Args:
            text: like "1011+110".

        Returns:
            [L, T, H], of all replicates [R, L, T, H]; of a bidirectional network 2 H, forwards, then backwards.

        Raises:
            ValueError: the text is not a problem of the task, or the model does not tell its states.
        """
        import torch

        model: Any = self.model
        if not hasattr(model, "states"):
            raise ValueError(f"{type(model).__name__}: has no method states(inputs, lengths)")
        problem = self.task.parse(text)[None].to(next(model.parameters()))
        with torch.inference_mode():
            states = model.states(problem, torch.tensor([problem.shape[1]]))[:, :, 0]
        return states if self.replicate is None else states[0]

    def history(self) -> Any:
        """Return history.csv as a pandas.DataFrame: losses and accuracies of each epoch and replicate.

        Raises:
            UserError: pandas is not installed.
        """
        from rnn_tasks.training.history import HISTORY, read_history

        return frame(read_history(self.path / HISTORY))

    def to_torch(self) -> nn.ModuleDict:
        """Return the network as torch.nn modules with its weights: ``recurrent`` (RNN, LSTM or GRU) and ``head``.

        Raises:
            UserError: torch.nn has no such cell, or these are several replicates.
        """
        from rnn_tasks.models.plain import torch_modules

        try:
            return torch_modules(self.model)
        except ValueError as error:
            raise UserError(f"{self.path}: {error}") from None

    def answer(self, inputs: Tensor, lengths: Tensor) -> list[tuple[str, float]]:
        """Return answers as people write them, each with the probability of its least certain part.

        A model of all replicates answers with the first.

        Args:
            inputs: [N, T, D].
            lengths: [N], the steps of each sequence, all equal if the task asks for an answer at every step.
        """
        import torch

        with torch.inference_mode():
            logits = self.logits(inputs, lengths)
            pairs = zip(logits if self.replicate is not None else logits[0], inputs, strict=True)
            return [self.task.answer(each, self.task.asked_steps(problem)) for each, problem in pairs]

    def logits(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of the model, computed in the precision of its weights.

        Args:
            inputs: [B, T, D].
            lengths: [B], the steps of each sequence.

        Returns:
            [B, T, C], or [B, C] if the task asks for one answer; of all replicates [R, B, T, C] or [R, B, C].
        """
        from rnn_tasks.tasks import Batch
        from rnn_tasks.training.scoring import forward_replicates

        logits = forward_replicates(self.model, Batch(inputs.to(next(self.model.parameters())), lengths, lengths))
        return logits if self.replicate is None else logits[0]

    def prefix_predictions(self, inputs: Tensor) -> Tensor:
        """Return class probabilities after each step, as if the sequence ended there; of a run of one replicate.

        A bidirectional network reads each prefix from both of its ends. For a network that reads forwards alone these
        are the probabilities computed from each of its states.

        Args:
            inputs: [N, T, D], sequences without padding.

        Returns:
            [N, T, C]; where an answer is a bit, [N, T, 2].

        Raises:
            ValueError: the network gives an answer at every step.
        """
        import torch

        steps = inputs.shape[1]
        lengths = torch.arange(1, steps + 1).repeat(len(inputs))
        with torch.inference_mode():
            logits = self.logits(inputs.repeat_interleave(steps, 0), lengths)
        if logits.dim() > 2:
            raise ValueError(f"{self.path}: gives an answer at every step; logits() returns them all")
        if logits.shape[-1] == 1:
            logits = torch.cat((torch.zeros_like(logits), logits), -1)
        return logits.softmax(-1).unflatten(0, (-1, steps))

"""What is looked at: the networks of a run, and what they do with some of the test set."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from rnn_tasks.report.analysis.automata import Trace, real_steps, trace_of
from rnn_tasks.report.analysis.dynamics import Dynamics, dynamics_of
from rnn_tasks.report.analysis.inspection import concat_padded, network_of
from rnn_tasks.report.analysis.languages import MOST_SYMBOLS, Language, language_of
from rnn_tasks.report.markup import Table
from rnn_tasks.runs.run import Run
from rnn_tasks.seeds import generator
from rnn_tasks.tasks import Batch

SEQUENCES = 400  # of the test set
MOST_NUMBERS = 4e7  # of all states over these sequences, beyond which there are fewer


class Drawing(NamedTuple):
    """A figure with its texts.

    Attributes:
        name: of its file, without the suffix.
        caption: what there is to see.
        figure: the figure.
    """

    name: str
    caption: str
    figure: Figure


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        title: above it.
        text: paragraphs.
        tables, drawings: below the text.
    """

    title: str
    text: Sequence[str]
    tables: Sequence[Table] = ()
    drawings: Sequence[Drawing] = ()


@dataclass(frozen=True)
class Subject:
    """The networks of a run that have not failed, and what they do.

    Attributes:
        run: with its task set up.
        numbers: of the networks in the run.
        best: place in ``numbers`` of the one that is shown in detail.
        batch: test sequences.
    """

    run: Run
    numbers: list[int]
    best: int
    batch: Batch

    @classmethod
    def of(cls, run: Run, best: int) -> "Subject":
        """Return the networks of a run.

        Args:
            run: of one replicate or all.
            best: number of the replicate that is shown in detail.

        Raises:
            UserError: the states of its model are not known.
        """
        network = network_of(run)
        numbers = [number for number, failed in enumerate(run.failed) if not failed]
        run.task.setup()
        batch = concat_padded(run.task.test)
        most = MOST_NUMBERS / (network.replicates * batch.inputs.shape[1] * network.hidden * network.layers)
        picks = torch.randperm(len(batch.lengths), generator=generator("look"))[: max(8, min(SEQUENCES, int(most)))]
        if run.replicate is not None:
            return cls(run, [run.replicate], 0, batch.each(lambda part: part[picks]))
        return cls(run, numbers, numbers.index(best), batch.each(lambda part: part[picks]))

    @property
    def name(self) -> str:
        """The network that is shown in detail, in words."""
        return f"replicate {self.numbers[self.best]}" if self.run.of > 1 else "the network"

    @cached_property
    def dynamics(self) -> Dynamics:
        """The map of the networks; UserError if they have none."""
        return dynamics_of(self.run)

    @cached_property
    def states(self) -> Tensor:
        """All states, before the first step and after each, [R, N, T + 1, S]."""
        return self.dynamics.trajectories(self.batch.inputs)

    @cached_property
    def visited(self) -> Tensor:
        """The states of all real steps, in random order, [R, M, S]."""
        visited = self.states[:, real_steps(self.batch)]
        return visited[:, torch.randperm(visited.shape[1], generator=generator("look"))]

    @cached_property
    def language(self) -> Language | None:
        """Symbols and answers, None if they are not finitely many."""
        return language_of(self.run.task)

    @cached_property
    def trace(self) -> Trace | None:
        """What the networks do with the sequences as strings; None if they are none."""
        language = self.language
        return None if language is None else trace_of(self.dynamics, self.batch, language, self.run.task.format)

    @cached_property
    def constant_inputs(self) -> tuple[Tensor, list[str]]:
        """The inputs that are held constant, [A, D], and their names: the symbols if they are few, else zeros."""
        language = self.language
        if language is not None and len(language.alphabet) <= MOST_SYMBOLS:
            return language.symbols, language.names
        return torch.zeros(1, self.batch.inputs.shape[-1]), ["zero"]

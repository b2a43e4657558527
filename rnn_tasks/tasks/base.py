"""The base of tasks: examples drawn from a rule, loaded as whole batches, read and written as people write them."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from rnn_tasks import checks, memory
from rnn_tasks.errors import UserError
from rnn_tasks.seeds import generator, global_generators
from rnn_tasks.tasks import contract
from rnn_tasks.tasks.answers import AnswerFormat, Kind, share_of_best_constant
from rnn_tasks.tasks.automata import Automaton
from rnn_tasks.tasks.examples import Batch, Examples, evaluation_loader
from rnn_tasks.tasks.schedule import ReplicateBatchSampler, TrainSchedule

BYTES = 12  # of a number while examples are drawn: as a whole number, and as a float


class Task(LightningDataModule):
    """A rule for examples, and three sets drawn from it.

    A task is complete with the class attributes ``input_size``, ``output_size`` and ``readout`` and the method
    ``draw``. A task whose examples are not drawn overrides ``setup`` instead, which makes ``train`` and ``val``,
    Examples, and ``test``, a list of Examples. ``parse``, ``write_input`` and ``write_answer`` let people read and
    write problems in their own form; without them a problem is a list of numbers.

    Args:
        name: directory below outputs/.
        batch_size: examples of a training step.
        data_seed: alone decides the three sets.
        train_size, val_size: numbers of examples.
        test_size: number of examples, for each of ``test_lengths`` where these are given.
        lengths: lowest and highest length of training and validation sequences, both included.
        test_lengths: lowest and highest length of test sequences; None draws the test set like the others.
        seed: of the run's first replicate, that of replicate r is ``seed + r``; decides the order of training examples.
        replicates: of the run, each of which gets the examples in an order of its own.

    Attributes:
        input_size: features of a step.
        output_size: logits of an answer: 1 for a bit, else the number of classes, or of the parts of an answer.
        readout: "every_step" for answers at each step, or at some; "last" for a single one after the last step.
        answer_kind: "bits", "classes" or "numbers", see AnswerFormat; None is bits for an output size of 1, else
            classes.
        tolerance: the largest error of a right number.
        chance_accuracy: accuracy of the best guess that does not look at the inputs; where it is None, ``setup`` sets
            it to that of the best constant answer to the training set.
        extra_steps: steps of a sequence beyond its length.
        example: a problem as people write it, such as "1011+110".
        reads_photos: whether problems may be given as image files.
        is_set_up: whether the three sets have been made.
        schedule: what training cuts an epoch into, set by ``train()``; None is one pass over the training set.
        augment: changes a training batch's inputs [R, B, T, D], given the numbers of its epoch and of the batch in it.

    Raises:
        ValueError: a value is out of its range, or a class attribute is missing.
    """

    input_size: int
    output_size: int
    readout: Literal["every_step", "last"]
    answer_kind: Kind | None = None
    tolerance: float = 0.0
    chance_accuracy: float | None = None
    extra_steps: ClassVar[int] = 0
    example: ClassVar[str] = ""
    reads_photos: bool = False
    augment: Callable[[Tensor, int, int], Tensor] | None = None
    train: Examples = None  # type: ignore[assignment]  # until setup
    val: Examples
    test: list[Examples]

    def __init__(
        self,
        name: str,
        batch_size: int,
        data_seed: int,
        train_size: int,
        val_size: int,
        test_size: int,
        lengths: tuple[int, int],
        test_lengths: tuple[int, int] | None = None,
        seed: int = 0,
        replicates: int = 1,
    ) -> None:
        super().__init__()
        contract.check_attributes(self)
        checks.task_names(name=name)
        checks.whole_numbers(1, batch_size=batch_size, train_size=train_size, val_size=val_size, test_size=test_size)
        checks.whole_numbers(0, data_seed=data_seed, seed=seed)
        checks.whole_numbers(1, checks.MOST_REPLICATES, replicates=replicates)
        checks.ranges(lengths=lengths, **({} if test_lengths is None else {"test_lengths": test_lengths}))
        self.name: str = name  # Lightning's own may be None
        self.batch_size, self.data_seed = batch_size, data_seed
        self.seeds = range(seed, seed + replicates)
        self.schedule: TrainSchedule | None = None
        self.is_set_up = False
        self.train_size, self.val_size, self.test_size = train_size, val_size, test_size
        self.lengths = (lengths[0], lengths[1])
        self.test_lengths = None if test_lengths is None else (test_lengths[0], test_lengths[1])

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let a ``setup`` that a subclass overrides run once, and check the sets that it makes."""
        super().__init_subclass__(**keywords)
        if "setup" in vars(cls):
            cls.setup = contract.checked(cls.setup)  # type: ignore[method-assign]

    @property
    def format(self) -> AnswerFormat:
        """What logits and targets mean."""
        kind = self.answer_kind or ("bits" if self.output_size == 1 else "classes")
        return AnswerFormat(kind, self.output_size, self.readout == "every_step", self.tolerance)

    @property
    def longest(self) -> int:
        """Steps of the longest sequence of the three sets."""
        return max(self.lengths[1], (self.test_lengths or self.lengths)[1]) + self.extra_steps

    def cut(self, trainer: Mapping[str, Any], replicates: int) -> TrainSchedule:
        """Return what training cuts an epoch into; arguments and errors as for ``TrainSchedule.of``."""
        numbers = (self.lengths[1] + self.extra_steps) * self.input_size
        return TrainSchedule.of(trainer, len(self.train), numbers, self.batch_size, replicates)

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, ...]:
        """Return the inputs [N, T, D] and targets ([N] or [N, T]) of one example for each of ``lengths`` [N].

        Answers with parts (see AnswerFormat) have targets with a last axis, [N, C] or [N, T, C]. A third tensor,
        [N, T] of bool, says at which steps an answer is asked, where that is not every one.
        """
        raise UserError(f"{contract.method_name(self, 'draw')}: is missing, which draws examples")

    def asked_steps(self, inputs: Tensor) -> Tensor | None:
        """Return at which steps of a problem [T, D] an answer is asked, [T] of bool; None: at every one."""
        return None

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        """Return the lengths from ``low`` to ``high`` that have examples, here all."""
        return list(range(low, high + 1))

    def best_loss(self, batch: Batch) -> float | None:
        """Return the mean cross-entropy, in nats, of the best possible answers to a batch; None: it is not known."""
        return None

    def picture(self, inputs: Tensor) -> Tensor:
        """Return the image that a problem [T, D] shows, where problems are images: [height, width]."""
        return inputs

    @property
    def automaton(self) -> Automaton | None:
        """The finite automaton that gives the right answers; None if there is none that reads the steps in order."""
        return None

    def parse(self, text: str) -> Tensor:
        """Return the inputs [T, D] of a problem as people write it; ValueError says what it should look like."""
        try:
            steps = [[float(number) for number in step.split()] for step in text.split(";")]
        except ValueError:
            steps = []
        finite = all(map(math.isfinite, chain(*steps)))
        if not (steps and finite and {len(step) for step in steps} == {self.input_size}):
            shown = "; ".join([" ".join(["0.5"] * self.input_size)] * 2)
            raise ValueError(f"{text!r}: must be steps of {self.input_size} numbers each, like {shown!r}")
        return torch.tensor(steps)

    def write_input(self, inputs: Tensor) -> str:
        """Return a problem's inputs [T, D] as people write it."""
        return "; ".join(" ".join(f"{number:g}" for number in step) for step in inputs.tolist())

    def write_answer(self, answer: Tensor) -> str:
        """Return an answer as people write it: [], or [T] at several steps, with a last axis C if it has parts."""
        if answer.dim() > 1:
            return "; ".join(map(self.write_answer, answer))
        return " ".join(f"{number:g}" for number in answer.flatten().tolist())

    def answer(self, logits: Tensor, asked: Tensor | None = None) -> tuple[str, float]:
        """Write the answer in the logits of a problem; the second value is its lowest probability.

        Args:
            logits: [C] or [T, C].
            asked: [T], the steps that are answered; None: all.
        """
        logits = logits if asked is None else logits[asked]
        return self.write_answer(self.format.answers(logits)), float(self.format.confidences(logits).min())

    def examples(self, size: int, split: str, lengths: tuple[int, int] | None = None) -> Examples:
        """Return ``size`` examples of random lengths, from the split's own stream.

        Raises:
            UserError: ``draw`` gave something else than examples of this task.
        """
        stream = generator(self.data_seed, self.name, split)
        low, high = lengths or self.lengths
        steps = high + self.extra_steps
        memory.require(size * (self.input_size + 1) * steps * BYTES, f"{size:,} {split} sequences of {steps:,} steps")
        allowed = torch.tensor(self.lengths_with_examples(low, high), dtype=torch.long)
        if not len(allowed):
            raise UserError(f"task={self.name}: has no examples of length {low if low == high else f'{low} to {high}'}")
        chosen = allowed[torch.randint(len(allowed), (size,), generator=stream)]
        with global_generators(self.data_seed, self.name, split):
            drawn = self.draw(chosen, stream)
        contract.check_drawn(self, drawn)
        asked = drawn[2] if len(drawn) == 3 else None
        examples = Examples(drawn[0], chosen + self.extra_steps, drawn[1], asked, self.format.every_step)
        contract.check_examples(f"{contract.method_name(self, 'draw')}: gave", self, examples)
        return examples

    def test_examples(self, lengths: Sequence[int], size: int) -> list[Examples]:
        """Return ``size`` test examples of each length, from a stream of its own."""
        steps = sum(length + self.extra_steps for length in lengths)
        memory.require(4 * size * steps * (self.input_size + 1), f"{size:,} test sequences of {len(lengths):,} lengths")
        return [self.examples(size, f"test {length}", (length, length)) for length in lengths]

    def setup(self, stage: str | None = None) -> None:
        """Make the three sets, unless they are there."""
        if self.is_set_up:
            return
        contract.try_examples(self, self.examples(contract.TRIED, "trial"))
        self.train = self.examples(self.train_size, "train")
        self.val = self.examples(self.val_size, "val")
        if self.test_lengths is None:
            self.test = [self.examples(self.test_size, "test")]
        else:
            self.test = self.test_examples(self.lengths_with_examples(*self.test_lengths), self.test_size)
        self.set_chance()
        self.is_set_up = True

    def set_chance(self) -> None:
        """Set the accuracy of guessing, where it is None, to that of the best constant answer to the training set."""
        if self.chance_accuracy is None:
            self.chance_accuracy = share_of_best_constant(self.train.targets[self.train.real], self.format)

    def train_dataloader(self) -> DataLoader:
        schedule = self.schedule or TrainSchedule(len(self.train), self.batch_size)
        return DataLoader(self.train, sampler=ReplicateBatchSampler(schedule, self.seeds), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return evaluation_loader([self.val], len(self.seeds))

    def test_dataloader(self) -> DataLoader:
        return evaluation_loader(self.test, len(self.seeds))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Any:
        return batch if batch.inputs.device == device else batch.each(lambda part: part.to(device))

"""Examples in memory, and the batches that are made of them."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rnn_tasks.seeds import generator

LEAST = 2 / 3  # of the longest sequence of an evaluation batch is the shortest
EVALUATION_STEPS = 100_000  # steps of all sequences of an evaluation batch: 100 MB of states of 256 units


class Batch(NamedTuple):
    """Sequences padded to a common number of steps.

    In training a chunk of N batches for each of R replicates: every tensor then begins with the axes [N, R].

    Attributes:
        inputs: [B, T, D].
        lengths: [B], the real steps of each sequence.
        targets: [B] for an answer at the last step, [B, T] for an answer at every step; with a last axis C where
            answers have parts (see AnswerFormat).
        asked: [B, T], at which steps an answer is asked; None: at every real one.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    asked: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return a batch of tensors that a function makes from those of this one."""
        return Batch(*(None if part is None else change(part) for part in self))  # type: ignore[arg-type]

    def at(self, number: int) -> "Batch":
        """Return batch ``number`` of a chunk."""
        return self.each(lambda part: part[number])


def concatenated(batches: "list[Batch]", axis: int = 0) -> Batch:
    """Return batches of one task as one, one after the other along an axis."""
    parts = zip(*batches, strict=True)
    return Batch(*(None if each[0] is None else torch.cat(each, axis) for each in parts))  # type: ignore[arg-type]


class Examples(Dataset):
    """Examples held in memory. Indexed by a tensor of numbers they give a Batch, cut to its longest sequence.

    Args:
        inputs: [N, T, D], of any kind of real numbers.
        lengths: [N], the real steps of each sequence.
        targets: [N] or [N, T], of 0 and 1 for bits, else the numbers of the classes; with a last axis C where answers
            have parts (see AnswerFormat).
        asked: [N, T], at which steps an answer is asked; None: at every real one.
        every_step: whether the targets are those of all steps; None: if they have two axes.
    """

    def __init__(
        self,
        inputs: Tensor,
        lengths: Tensor,
        targets: Tensor,
        asked: Tensor | None = None,
        every_step: bool | None = None,
    ) -> None:
        # What the conversions leave wrong is refused by contract.check_examples.
        self.inputs = inputs.float() if torch.is_tensor(inputs) else inputs
        self.lengths, self.targets, self.asked = _whole_as_long(lengths), _whole_as_long(targets), asked
        self.every_step = every_step if every_step is not None else torch.is_tensor(targets) and targets.dim() == 2

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Tensor | int) -> Batch:
        lengths = self.lengths[index]
        steps = int(lengths.max()) if self._padded else self.inputs.shape[1]
        targets = self.targets[:, :steps] if self.every_step else self.targets
        asked = None if self.asked is None else _rows(self.asked[:, :steps], index)
        return Batch(_rows(self.inputs[:, :steps], index), lengths, _rows(targets, index), asked)

    @property
    def real(self) -> Tensor:
        """Where answers are asked, [N, T]; of single answers [N], all."""
        if not self.every_step:
            return torch.ones_like(self.lengths, dtype=torch.bool)
        real = torch.arange(self.targets.shape[1]) < self.lengths[:, None]
        return real if self.asked is None else real & self.asked

    def padded(self, steps: int) -> Batch:
        """Return all examples, padded to a number of steps."""
        parts = (self.inputs, self.targets if self.every_step else None, self.asked)
        inputs, targets, asked = (None if part is None else _padded(part, steps) for part in parts)
        return Batch(inputs, self.lengths, self.targets if targets is None else targets, asked)  # type: ignore[arg-type]

    @cached_property
    def _padded(self) -> bool:
        return bool((self.lengths < self.inputs.shape[1]).any())


def _padded(tensor: Tensor, steps: int) -> Tensor:
    """Add zeros at the end of the second axis."""
    missing = steps - tensor.shape[1]
    return torch.cat((tensor, tensor.new_zeros(len(tensor), missing, *tensor.shape[2:])), 1) if missing else tensor


def _whole_as_long(tensor: Tensor) -> Tensor:
    return tensor if not torch.is_tensor(tensor) or tensor.is_floating_point() else tensor.long()


def _rows(tensor: Tensor, index: Tensor | int) -> Tensor:
    """``tensor[index]``, several times faster for an index of many axes."""
    if not torch.is_tensor(index):
        return tensor[index]
    return tensor.index_select(0, index.flatten()).view([*index.shape, *tensor.shape[1:]])


def evaluation_loader(sets: list[Examples], replicates: int = 1) -> DataLoader:
    """Return ``EvaluationBatches`` as Lightning wants them."""
    return DataLoader(EvaluationBatches(sets, replicates), batch_size=None)


def _similar(lengths: list[int]) -> list[tuple[int, int]]:
    """Return the lowest and highest of groups of lengths, which rise: at most a third of the steps are padding."""
    groups: list[tuple[int, int]] = []
    for length in lengths:
        first = groups[-1][0] if groups else 0
        if LEAST * length <= first:
            groups[-1] = first, length
        else:
            groups.append((length, length))
    return groups


class EvaluationBatches(Dataset):
    """Every example once, in batches of similar lengths, whose size suits these and the number of replicates."""

    def __init__(self, sets: list[Examples], replicates: int = 1) -> None:
        batches, steps = [], EVALUATION_STEPS // -(-replicates // 8)
        for examples in sets:
            for shortest, longest in _similar(examples.lengths.unique().tolist()):
                index = ((examples.lengths >= shortest) & (examples.lengths <= longest)).nonzero().squeeze(1)
                batches += [(examples, part) for part in index.split(max(1, steps // longest))]
        order = torch.randperm(len(batches), generator=generator("evaluation"))  # a part of them has many lengths
        self.batches: list[tuple[Examples, Tensor]] = [batches[number] for number in order]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Batch:
        examples, index = self.batches[number]
        return examples[index]

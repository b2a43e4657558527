"""Examples in memory, and the batches that are made of them."""

from collections.abc import Iterator
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
        targets: [B] for an answer at the last step, [B, T] for an answer at every step.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


class Examples(Dataset):
    """Examples held in memory. Indexed by a tensor of numbers they give a Batch, cut to its longest sequence.

    Args:
        inputs: [N, T, D], of any kind of real numbers.
        lengths: [N], the real steps of each sequence.
        targets: [N] or [N, T], of 0 and 1 for bits, else the numbers of the classes.
    """

    def __init__(self, inputs: Tensor, lengths: Tensor, targets: Tensor) -> None:
        # What the conversions leave wrong is refused by contract.check_examples.
        self.inputs = inputs.float() if torch.is_tensor(inputs) else inputs
        self.lengths, self.targets = _whole_as_long(lengths), _whole_as_long(targets)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Tensor | int) -> Batch:
        lengths = self.lengths[index]
        steps = int(lengths.max()) if self._padded else self.inputs.shape[1]
        targets = self.targets if self.targets.dim() == 1 else self.targets[:, :steps]
        return Batch(_rows(self.inputs[:, :steps], index), lengths, _rows(targets, index))

    @cached_property
    def _padded(self) -> bool:
        return bool((self.lengths < self.inputs.shape[1]).any())


def _whole_as_long(tensor: Tensor) -> Tensor:
    return tensor if not torch.is_tensor(tensor) or tensor.is_floating_point() else tensor.long()


def _rows(tensor: Tensor, index: Tensor | int) -> Tensor:
    """``tensor[index]``, several times faster for an index of many axes."""
    if not torch.is_tensor(index):
        return tensor[index]
    return tensor.index_select(0, index.flatten()).view(*index.shape, *tensor.shape[1:])


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

"""What a task is: examples drawn from a rule, dealt out as whole batches, read and written as people write them."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rnn_tasks.losses import answers, confidences
from rnn_tasks.seeds import generator

EVALUATION_STEPS = 100_000  # of all sequences of a batch that is only evaluated: 100 MB of states of 256 units


class Batch(NamedTuple):
    """Sequences padded to a common number of steps.

    Attributes:
        inputs: [B, T, D].
        lengths: [B], the real steps of each.
        targets: [B] for an answer at the last step, [B, T] for one at every step.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


class Examples(Dataset):
    """Examples held in memory; indexed by a tensor of numbers they give a Batch, cut to its longest sequence."""

    def __init__(self, inputs: Tensor, lengths: Tensor, targets: Tensor) -> None:
        self.inputs, self.lengths, self.targets = inputs, lengths, targets
        self.varied = bool((lengths < inputs.shape[1]).any())

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Tensor) -> Batch:
        lengths = self.lengths[index]
        if not self.varied:
            return Batch(self.inputs[index], lengths, self.targets[index])
        steps = int(lengths.max())
        targets = self.targets[index] if self.targets.dim() == 1 else self.targets[index, :steps]
        return Batch(self.inputs[index, :steps], lengths, targets)


class EpochOrder(Sampler[Tensor]):
    """The batches of an epoch, in an order that depends on (seed, epoch) alone.

    Args:
        size: examples of the set.
        batch_size: examples of a batch; the last batch of an epoch may be smaller.
        seed: the run's.
        rank: which of ``ranks`` processes this is; each takes every ``ranks``-th batch.
    """

    def __init__(self, size: int, batch_size: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.size, self.batch_size, self.seed, self.rank, self.ranks = size, batch_size, seed, rank, ranks
        self.epoch = 0
        self.done = 0  # batches of the epoch that need not be dealt again

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.batch_size) // self.ranks

    def __iter__(self) -> Iterator[Tensor]:
        # A generator, so that the epoch is read when the first batch is asked for, not before it is set.
        order = torch.randperm(self.size, generator=generator(self.seed, "order", self.epoch)).split(self.batch_size)
        done, self.done = self.done, 0
        yield from order[self.rank :: self.ranks][done : len(self)]


class Task(LightningDataModule):
    """A rule for examples, and three sets drawn from it.

    A task is complete with the four class attributes and ``draw``, ``parse``, ``write_input`` and ``write_answer``.

    Args:
        name: directory below outputs/.
        batch_size: examples of a training step.
        data_seed: alone decides the three sets.
        train_size, val_size: examples.
        test_size: examples, for each of ``test_lengths`` where these are given.
        lengths: lowest and highest length of training and validation sequences, both included.
        test_lengths: lowest and highest length of test sequences; without, the test set is drawn like the others.
        seed: the run's, decides the order of the training examples.
    """

    input_size: int
    output_size: int
    readout: Literal["every_step", "last"]
    chance_accuracy: float
    extra_steps: ClassVar[int] = 0  # steps of a sequence beyond its length

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
    ) -> None:
        super().__init__()
        self.name, self.batch_size, self.data_seed, self.seed = name, batch_size, data_seed, seed
        self.train_size, self.val_size, self.test_size = train_size, val_size, test_size
        self.lengths, self.test_lengths = tuple(lengths), test_lengths and tuple(test_lengths)
        self.train: Examples | None = None

    @property
    def longest(self) -> int:
        """Steps of the longest sequence of the three sets."""
        return max(self.lengths[1], (self.test_lengths or self.lengths)[1]) + self.extra_steps

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs [N, T, D] and targets ([N] or [N, T]) of one example for each of ``lengths`` [N]."""
        raise NotImplementedError

    def parse(self, text: str) -> Tensor:
        """Inputs [T, D] of a problem as people write it; ValueError says what it should look like."""
        raise NotImplementedError

    def write_input(self, inputs: Tensor) -> str:
        """A problem's inputs [T, D] as people write it."""
        raise NotImplementedError

    def write_answer(self, answer: Tensor) -> str:
        """An answer ([] or [T]) as people write it."""
        raise NotImplementedError

    def answer(self, logits: Tensor) -> tuple[str, float]:
        """What the logits of one problem ([C] or [T, C]) say, and the probability of its least certain part."""
        return self.write_answer(answers(logits)), float(confidences(logits).min())

    def examples(self, size: int, split: str, lengths: tuple[int, int] | None = None) -> Examples:
        """``size`` examples of random lengths, from the split's own stream."""
        stream = generator(self.data_seed, self.name, split)
        low, high = lengths or self.lengths
        drawn = torch.randint(low, high + 1, (size,), generator=stream)
        inputs, targets = self.draw(drawn, stream)
        return Examples(inputs, drawn + self.extra_steps, targets)

    def test_examples(self, lengths: list[int], size: int) -> list[Examples]:
        """``size`` test examples of each length, from a stream of its own."""
        return [self.examples(size, f"test {length}", (length, length)) for length in lengths]

    def setup(self, stage: str | None = None) -> None:
        if self.train is not None:
            return
        self.train = self.examples(self.train_size, "train")
        self.val = self.examples(self.val_size, "val")
        if self.test_lengths is None:
            self.test = [self.examples(self.test_size, "test")]
        else:
            self.test = self.test_examples(range(self.test_lengths[0], self.test_lengths[1] + 1), self.test_size)

    def train_dataloader(self) -> DataLoader:
        ranks = {"rank": self.trainer.global_rank, "ranks": self.trainer.world_size} if self.trainer else {}
        order = EpochOrder(len(self.train), self.batch_size, self.seed, **ranks)
        return DataLoader(self.train, sampler=order, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return evaluation_loader([self.val])

    def test_dataloader(self) -> DataLoader:
        return evaluation_loader(self.test)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Any:
        return batch if batch.inputs.device == device else Batch(*(part.to(device) for part in batch))


def evaluation_loader(sets: list[Examples]) -> DataLoader:
    """Every example once, those of one length together, in batches whose size suits the length."""
    batches = []
    for examples in sets:
        for length in examples.lengths.unique().tolist():
            index = (examples.lengths == length).nonzero().squeeze(1)
            batches += [(examples, part) for part in index.split(max(1, EVALUATION_STEPS // length))]
    order = torch.randperm(len(batches), generator=generator("evaluation"))  # so that a part of them is no one length
    return DataLoader(_Batches([batches[number] for number in order]), batch_size=None)


class _Batches(Dataset):
    def __init__(self, batches: list[tuple[Examples, Tensor]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        examples, index = self.batches[number]
        return examples[index]

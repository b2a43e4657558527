"""What a task is: examples drawn from a rule, dealt out as whole batches, read and written as people write them."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rnn_tasks.seeds import generator
from rnn_tasks.tasks.answers import answers, confidences
from rnn_tasks.tasks.sampling import Pace, ReplicateBatchSampler

EVALUATION_STEPS = 100_000  # of all sequences of a batch that is only evaluated: 100 MB of states of 256 units
CHUNK_NUMBERS, CHUNK_BATCHES = 500_000, 100  # at most, of the inputs that are dealt at once


class Batch(NamedTuple):
    """Sequences padded to a common number of steps.

    For training these are chunks of N batches for each of R replicates: all has the axes [N, R] in front.

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
        self.inputs, self.lengths, self.targets = inputs.float(), lengths, targets
        self.varied = bool((lengths < inputs.shape[1]).any())

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Tensor | int) -> Batch:
        lengths = self.lengths[index]
        steps = int(lengths.max()) if self.varied else self.inputs.shape[1]
        targets = self.targets if self.targets.dim() == 1 else self.targets[:, :steps]
        return Batch(_rows(self.inputs[:, :steps], index), lengths, _rows(targets, index))


def _rows(tensor: Tensor, index: Tensor | int) -> Tensor:
    """``tensor[index]``, several times faster for an index of many axes."""
    if not torch.is_tensor(index):
        return tensor[index]
    return tensor.index_select(0, index.flatten()).view(*index.shape, *tensor.shape[1:])


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
        seed: of the run's first replicate, that of replicate r is ``seed + r``: decides the order of training examples.
        replicates: of the run, each of which gets the examples in an order of its own.

    Attributes:
        pace: how training deals the batches of an epoch.
        augment: what happens to a training batch's inputs [R, B, T, D], by the number of its epoch and its own in it.
    """

    input_size: int
    output_size: int
    readout: Literal["every_step", "last"]
    chance_accuracy: float
    extra_steps: ClassVar[int] = 0  # steps of a sequence beyond its length
    example: ClassVar[str] = ""  # a problem as people write it
    reads_photos: ClassVar[bool] = False  # whether its problems are the digits in photos
    augment: Callable[[Tensor, int, int], Tensor] | None = None

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
        self.name, self.batch_size, self.data_seed = name, batch_size, data_seed
        self.seeds = range(seed, seed + replicates)
        self.pace = Pace()
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
        numbers = self.train.inputs[0].numel() * self.batch_size * len(self.seeds)
        chunk = min(CHUNK_BATCHES, max(1, CHUNK_NUMBERS // numbers))
        order = ReplicateBatchSampler(len(self.train), self.batch_size, self.seeds, self.pace, chunk, **ranks)
        return DataLoader(self.train, sampler=order, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return evaluation_loader([self.val], len(self.seeds))

    def test_dataloader(self) -> DataLoader:
        return evaluation_loader(self.test, len(self.seeds))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Any:
        return batch if batch.inputs.device == device else Batch(*(part.to(device) for part in batch))


def evaluation_loader(sets: list[Examples], replicates: int = 1) -> DataLoader:
    """Every example once, those of one length together, in batches whose size suits the length and the replicates."""
    batches, steps = [], EVALUATION_STEPS // -(-replicates // 8)
    for examples in sets:
        for length in examples.lengths.unique().tolist():
            index = (examples.lengths == length).nonzero().squeeze(1)
            batches += [(examples, part) for part in index.split(max(1, steps // length))]
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

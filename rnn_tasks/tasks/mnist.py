"""Handwritten digits, read row by row."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torchvision.datasets import MNIST

from rnn_tasks import checks
from rnn_tasks.config.stored import MNIST_FILES, holds_mnist
from rnn_tasks.errors import UserError
from rnn_tasks.photos import digits as handwriting
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.augmentation import Augmentation
from rnn_tasks.tasks.base import Task
from rnn_tasks.tasks.examples import Examples

TRAINING_IMAGES, TEST_IMAGES = 60_000, 10_000
SHADES = " .:-=+*#%@"


class Mnist(Task):
    """Which digit an image of 28 x 28 shows, answered after the last row.

    Step t is row t of the image, from the top: 28 steps of 28 values from 0 (paper) to 1 (ink). Training and
    validation images are chosen by ``data_seed`` from the official 60,000; the official 10,000 are the test set.

    Args:
        data_dir: torchvision's root; the files lie in, or are downloaded to, data_dir/MNIST/raw.
        augmentation: changes the training images, in another way in each epoch; None leaves them as they are.
        values: those of Task, without lengths.

    Raises:
        ValueError: a value is out of its range, or training and validation images would overlap.
    """

    input_size = 28
    output_size = 10
    readout = "last"
    chance_accuracy = 0.1135  # 1,135 of the 10,000 test images show a 1
    example = "digit.png"
    reads_photos = True

    def __init__(self, data_dir: str, augmentation: Augmentation | None = None, **values: Any) -> None:
        for key in {"lengths", "test_lengths"} & set(values):
            raise ValueError(f"{key}={values[key]!r}: cannot be chosen, an image has 28 rows")
        super().__init__(lengths=(28, 28), **values)
        together = (
            f"at most {TRAINING_IMAGES:,} together with val_size={self.val_size}, so that no image is in both sets"
        )
        checks.require(self.train_size + self.val_size <= TRAINING_IMAGES, "train_size", self.train_size, together)
        checks.whole_numbers(1, TEST_IMAGES, test_size=self.test_size)
        rule = "None or a function of images and a stream"
        checks.require(augmentation is None or callable(augmentation), "augmentation", augmentation, rule)
        self.data_dir = Path(data_dir)
        if augmentation is not None:
            self.augment = partial(self._augmented, augmentation)

    def _augmented(self, augmentation: Augmentation, images: Tensor, epoch: int, number: int) -> Tensor:
        """Change images [R, B, 28, 28]; each replicate's seed decides how its own are changed."""
        streams = [generator("augmentation", seed, epoch, number) for seed in self.seeds]
        return torch.stack([augmentation(part, stream) for part, stream in zip(images, streams, strict=True)])

    def setup(self, stage: str | None = None) -> None:
        """Read the images and choose those of the three sets."""
        training, test = self._load(train=True), self._load(train=False)
        order = torch.randperm(TRAINING_IMAGES, generator=generator(self.data_seed, self.name, "split"))
        train, val = order[: self.train_size], order[TRAINING_IMAGES - self.val_size :]
        self.train, self.val = _examples(training, train), _examples(training, val)
        self.test = [_examples(test, torch.arange(self.test_size))]

    def test_examples(self, lengths: Sequence[int], size: int) -> list[Examples]:
        raise UserError("--lengths: an image has 28 rows; leave it out to measure on the official test images")

    def parse(self, text: str) -> Tensor:
        return handwriting.single(text)

    def write_input(self, inputs: Tensor) -> str:
        shades = (inputs * (len(SHADES) - 1)).round().int().tolist()
        return "\n".join("".join(SHADES[shade] * 2 for shade in row).rstrip() for row in shades)

    def write_answer(self, answer: Tensor) -> str:
        return str(int(answer))

    def _load(self, train: bool) -> MNIST:
        raw = self.data_dir / "MNIST" / "raw"
        if not holds_mnist(self.data_dir):
            try:
                raw.mkdir(parents=True, exist_ok=True)
                with FileLock(self.data_dir / ".mnist.lock"):  # parallel jobs must not download over one another
                    MNIST(self.data_dir, download=True)
            except (RuntimeError, OSError):
                raise UserError(
                    f"MNIST is not in {raw} and cannot be downloaded: put {', '.join(MNIST_FILES)} there,"
                    " or name another place by the variable RNN_TASKS_DATA"
                ) from None
        try:
            images = MNIST(self.data_dir, train=train)
            if not len(images.data) == len(images.targets) == (TRAINING_IMAGES if train else TEST_IMAGES):
                raise ValueError("another number of images or labels")
            return images
        except (RuntimeError, ValueError, AssertionError, TypeError):
            raise UserError(f"an MNIST file in {raw} is damaged: delete that directory to load it again") from None


def _examples(images: MNIST, index: Tensor) -> Examples:
    inputs = images.data[index].float().div_(255)  # [N, 28, 28]
    return Examples(inputs, torch.full((len(index),), 28), images.targets[index])

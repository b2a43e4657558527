"""Handwritten digits, read row by row or in another order."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

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

TRAINING_IMAGES, TEST_IMAGES, SIDE = 60_000, 10_000, 28
READINGS = {"rows": SIDE, "columns": SIDE, "pixels": SIDE**2, "permuted": SIDE**2}  # steps of an image
SHADES = " .:-=+*#%@"


class Mnist(Task):
    """Which digit an image of 28 x 28 shows, answered after the last step.

    Step t is row t of the image, from the top: 28 steps of 28 values from 0 (paper) to 1 (ink). Training and
    validation images are chosen by ``data_seed`` from the official 60,000; the official 10,000 are the test set.

    With ``read="columns"`` step t is column t, from the left. With "pixels" a step is a single pixel, row by row, and
    with "permuted" the pixels come in an order that was drawn once and is the same for all images and runs: 784 steps
    of one value (sequential and permuted MNIST, Le, Jaitly and Hinton 2015). Photos and drawings are read row by row.

    Args:
        data_dir: torchvision's root; the files lie in, or are downloaded to, data_dir/MNIST/raw.
        read: "rows", "columns", "pixels" or "permuted".
        augmentation: changes the training images, in another way in each epoch; None leaves them as they are.
        values: those of Task, without lengths.

    Raises:
        ValueError: a value is out of its range, or training and validation images would overlap.
    """

    output_size = 10
    readout = "last"
    chance_accuracy = 0.1135  # 1,135 of the 10,000 test images show a 1
    example = "digit.png"

    def __init__(
        self,
        data_dir: str,
        augmentation: Augmentation | None = None,
        read: Literal["rows", "columns", "pixels", "permuted"] = "rows",
        **values: Any,
    ) -> None:
        checks.one_of(tuple(READINGS), read=read)
        for key in {"lengths", "test_lengths"} & set(values):
            raise ValueError(f"{key}={values[key]!r}: cannot be chosen, an image has 28 rows")
        steps = READINGS[read]
        self.input_size, self.reads_photos = SIDE**2 // steps, read == "rows"
        super().__init__(lengths=(steps, steps), **values)
        self._order = None if read in ("rows", "pixels") else _order(read)
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

    def as_read(self, images: Tensor) -> Tensor:
        """Return images as the network reads them: [..., 28, 28] -> [..., T, D]."""
        pixels = images.flatten(-2)
        pixels = pixels if self._order is None else pixels[..., self._order.to(pixels.device)]
        return pixels.unflatten(-1, (-1, self.input_size))

    def picture(self, inputs: Tensor) -> Tensor:
        """Return the images that a network reads: [..., T, D] -> [..., 28, 28]."""
        pixels = inputs.flatten(-2)
        pixels = pixels if self._order is None else pixels[..., self._order.argsort().to(pixels.device)]
        return pixels.unflatten(-1, (SIDE, SIDE))

    def _augmented(self, augmentation: Augmentation, inputs: Tensor, epoch: int, number: int) -> Tensor:
        """Change images that are given as they are read, [R, B, T, D]; each replicate's seed decides how."""
        streams = [generator("augmentation", seed, epoch, number) for seed in self.seeds]
        images = zip(self.picture(inputs), streams, strict=True)
        return self.as_read(torch.stack([augmentation(part, stream) for part, stream in images]))

    def setup(self, stage: str | None = None) -> None:
        """Read the images and choose those of the three sets."""
        training, test = self._load(train=True), self._load(train=False)
        order = torch.randperm(TRAINING_IMAGES, generator=generator(self.data_seed, self.name, "split"))
        train, val = order[: self.train_size], order[TRAINING_IMAGES - self.val_size :]
        self.train, self.val = self._examples(training, train), self._examples(training, val)
        self.test = [self._examples(test, torch.arange(self.test_size))]

    def _examples(self, images: MNIST, index: Tensor) -> Examples:
        return self.examples_of(images.data[index].float().div_(255), images.targets[index])

    def examples_of(self, images: Tensor, digits: Tensor) -> Examples:
        """Return examples of images [N, 28, 28] from 0 (paper) to 1 (ink), which show digits [N]."""
        return Examples(self.as_read(images), torch.full((len(images),), self.longest), digits)

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        """Return the number of steps of an image."""
        return [self.lengths[0]] if low <= self.lengths[0] <= high else []

    def test_examples(self, lengths: Sequence[int], size: int) -> list[Examples]:
        raise UserError("--lengths: an image has 28 rows; leave it out to measure on the official test images")

    def parse(self, text: str) -> Tensor:
        return self.as_read(handwriting.single(text))

    def write_input(self, inputs: Tensor) -> str:
        shades = (self.picture(inputs) * (len(SHADES) - 1)).round().int().tolist()
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


def _order(read: str) -> Tensor:
    """Return the numbers of the pixels, counted row by row, in the order in which they are read: [784]."""
    if read == "permuted":
        return torch.randperm(SIDE**2, generator=generator("mnist", "permutation"))
    return torch.arange(SIDE**2).view(SIDE, SIDE).T.flatten()

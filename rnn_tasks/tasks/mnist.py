"""Handwritten digits, read row by row."""

from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torchvision.datasets import MNIST

from rnn_tasks.errors import UserError
from rnn_tasks.photos import digits as handwriting
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.augmentation import Augmentation
from rnn_tasks.tasks.base import Examples, Task

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHADES = " .:-=+*#%@"


class Mnist(Task):
    """Which digit an image of 28 x 28 shows, answered after the last row.

    Step t is row t of the image, from the top: 28 steps of 28 values from 0 (paper) to 1 (ink). Training and
    validation images are chosen by ``data_seed`` from the official 60,000; the official 10,000 are the test set.

    Args:
        data_dir: torchvision's root; the files lie in, or are downloaded to, data_dir/MNIST/raw.
        augmentation: changes training images, anew in each epoch; without, they are the same in all.
        values: Task's.
    """

    input_size = 28
    output_size = 10
    readout = "last"
    chance_accuracy = 0.1135  # 1,135 of the 10,000 test images show a 1
    example = "digit.png"
    reads_photos = True

    def __init__(self, data_dir: str, augmentation: Augmentation | None = None, **values: Any) -> None:
        super().__init__(lengths=(28, 28), **values)
        self.data_dir, self.augmentation = Path(data_dir), augmentation
        if augmentation is not None:
            self.augment = self._augmented

    def _augmented(self, images: Tensor, epoch: int, number: int) -> Tensor:
        """Images [R, B, 28, 28], each replicate's changed as its own seed decides."""
        streams = [generator("augmentation", seed, epoch, number) for seed in self.seeds]
        return torch.stack([self.augmentation(ones, stream) for ones, stream in zip(images, streams, strict=True)])

    def setup(self, stage: str | None = None) -> None:
        if self.train is not None:
            return
        training, test = self._load(train=True), self._load(train=False)
        order = torch.randperm(60_000, generator=generator(self.data_seed, self.name, "split"))
        train, val = order[: self.train_size], order[60_000 - self.val_size :]
        self.train, self.val = _examples(training, train), _examples(training, val)
        self.test = [_examples(test, torch.arange(self.test_size))]

    def test_examples(self, lengths: list[int], size: int) -> list[Examples]:
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
        if not all((raw / name).is_file() for name in FILES):
            try:
                raw.mkdir(parents=True, exist_ok=True)
                with FileLock(self.data_dir / ".mnist.lock"):  # parallel jobs must not download over one another
                    MNIST(self.data_dir, download=True)
            except (RuntimeError, OSError):
                raise UserError(
                    f"MNIST is not in {raw} and cannot be downloaded: put {', '.join(FILES)} there,"
                    " or name another place by the variable RNN_TASKS_DATA"
                ) from None
        try:
            return MNIST(self.data_dir, train=train)
        except (RuntimeError, ValueError, AssertionError, TypeError):
            raise UserError(f"an MNIST file in {raw} is damaged: delete that directory to load it again") from None


def _examples(images: MNIST, index: Tensor) -> Examples:
    inputs = images.data[index].float().div_(255)  # [N, 28, 28]
    return Examples(inputs, torch.full((len(index),), 28), images.targets[index])

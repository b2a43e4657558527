"""Handwritten digits, read row by row."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import MNIST

from rnn_tasks.errors import UserError
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.base import Examples, Task

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHADES = " .:-=+*#%@"


class Mnist(Task):
    """Which digit an image of 28 x 28 shows, answered after the last row.

    Step t is row t of the image, from the top: 28 steps of 28 values from 0 (paper) to 1 (ink). Training and
    validation images are chosen by ``data_seed`` from the official 60,000; the official 10,000 are the test set.

    Args:
        data_dir: torchvision's root; the files lie in, or are downloaded to, data_dir/MNIST/raw.
        values: Task's.
    """

    input_size = 28
    output_size = 10
    readout = "last"
    chance_accuracy = 0.1135  # 1,135 of the 10,000 test images show a 1

    def __init__(self, data_dir: str, **values: Any) -> None:
        super().__init__(lengths=(28, 28), **values)
        self.data_dir = Path(data_dir)

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
        try:
            image = Image.open(text)
            image.load()
        except FileNotFoundError:
            raise ValueError(f"{text!r} is no file; give an image like digit.png") from None
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
            raise ValueError(f"{text!r} is no image that can be read; give one like digit.png") from None
        return like_mnist(image)

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


def like_mnist(image: Image.Image) -> Tensor:
    """An image as MNIST shows a digit, [28, 28]: bright on black, fitted into 20 x 20, centre of mass in the middle.

    An image of 28 x 28 is taken to be so prepared; dark ink on bright paper is turned over in any case.
    """
    if image.mode in ("RGBA", "LA", "P"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    grey = image.convert("L")
    pixels = np.asarray(grey)
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    if np.median(border) > 127:
        grey = ImageOps.invert(grey)
    if grey.size != (28, 28):
        grey = ImageOps.autocontrast(grey)
        box = grey.point(lambda value: 255 * (value > 64)).getbbox() or (0, 0, *grey.size)
        digit = ImageOps.contain(grey.crop(box), (20, 20), Image.Resampling.LANCZOS)
        ink = np.asarray(digit, dtype=float) + 1e-9
        x, y = (ink.sum(axis) @ (np.arange(ink.shape[1 - axis]) + 0.5) / ink.sum() for axis in (0, 1))
        left, top = (
            min(max(round(14 - centre), 0), 28 - size) for centre, size in zip((x, y), digit.size, strict=True)
        )
        grey = Image.new("L", (28, 28))
        grey.paste(digit, (left, top))
    return torch.tensor(np.asarray(grey, dtype=np.float32) / 255)

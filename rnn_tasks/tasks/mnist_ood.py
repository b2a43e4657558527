"""Digits out of MNIST's distribution: other people's handwriting, and MNIST's own images corrupted in eight ways."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.datasets import USPS

from rnn_tasks.errors import UserError
from rnn_tasks.photos.digits import normalize_like_mnist
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.augmentation import blurred, square, thinner, warped, wider
from rnn_tasks.tasks.base import Examples
from rnn_tasks.tasks.mnist import Mnist

LEAST_INK = 0.15  # for scans without noise; the best of 0.1 to 0.4 on MNIST's validation images made as coarse

Corruption = Callable[[Tensor, torch.Generator], Tensor]


def _either(images: Tensor, stream: torch.Generator) -> Tensor:
    """-1 or 1 for each image, [B, 1, 1]."""
    return torch.randint(2, (len(images), 1, 1), generator=stream).to(images) * 2 - 1


def _noise(images: Tensor, stream: torch.Generator) -> Tensor:
    return images + 0.3 * torch.randn(images.shape, generator=stream)


def _blur(images: Tensor, stream: torch.Generator) -> Tensor:
    return blurred(images, torch.full((len(images), 1, 1), 1.5))


def _shift(images: Tensor, stream: torch.Generator) -> Tensor:
    return warped(images, shift=(3 * _either(images, stream), 3 * _either(images, stream)))


def _scale(images: Tensor, stream: torch.Generator) -> Tensor:
    factor = 1.3 ** _either(images, stream)
    return warped(images, scale=(factor, factor))


def _rotation(images: Tensor, stream: torch.Generator) -> Tensor:
    return warped(images, angle=math.radians(25) * _either(images, stream))


def _stroke(images: Tensor, stream: torch.Generator) -> Tensor:
    return torch.where(_either(images, stream) > 0, wider(images), images.lerp(thinner(images), 0.8))


def _contrast(images: Tensor, stream: torch.Generator) -> Tensor:
    return images * 0.3


def _occlusion(images: Tensor, stream: torch.Generator) -> Tensor:
    x, y = (8 + 12 * torch.rand(len(images), 1, 1, generator=stream) for _ in "xy")
    return images * ~square(images, x, y, 8)


CORRUPTIONS: dict[str, tuple[str, Corruption]] = {
    "noise": ("of standard deviation 0.3", _noise),
    "blur": ("by a Gaussian of 1.5 pixels", _blur),
    "shift": ("by 3 pixels in both directions", _shift),
    "scale": ("by 1.3 or 1 / 1.3", _scale),
    "rotation": ("by 25 degrees to either side", _rotation),
    "stroke": ("a pixel wider on each side, or 0.8 thinner", _stroke),
    "contrast": ("of 0.3", _contrast),
    "occlusion": ("by a square of 8 pixels over the digit", _occlusion),
}


def sets(task: Mnist, split: str = "test") -> dict[str, Examples]:
    """Return the sets on which a network that reads MNIST is measured, by name.

    The corruptions are like some of those by Mu and Gilmer (2019, MNIST-C).

    Args:
        task: gives MNIST's images.
        split: "test", or "val" for choosing between networks: MNIST's validation images and their corruptions, without
            other handwriting.

    Raises:
        UserError: USPS is not there and cannot be downloaded.
    """
    task.setup()
    examples = task.test[0] if split == "test" else task.val
    images = Examples(task.picture(examples.inputs), examples.lengths, examples.targets)
    named = {"MNIST": images} | {name: corrupted(images, name) for name in CORRUPTIONS}
    if split == "test":
        named |= {"USPS": usps(task.data_dir), "USPS as it is": usps(task.data_dir, as_mnist=False)}
        named |= {"UCI": uci(), "UCI as it is": uci(as_mnist=False)}
    return {name: task.examples_of(part.inputs, part.targets) for name, part in named.items()}


def corrupted(examples: Examples, corruption: str) -> Examples:
    """Return MNIST's images [N, 28, 28] with one of CORRUPTIONS, the same each time."""
    _, corrupt = CORRUPTIONS[corruption]
    images = corrupt(examples.inputs, generator("corruption", corruption)).clamp(0, 1)
    return Examples(images, examples.lengths, examples.targets)


def usps(data_dir: Path, as_mnist: bool = True) -> Examples:
    """Return the 2,007 test images of USPS (Hull 1994): digits on envelopes, scanned at 16 x 16.

    Args:
        data_dir: the directory that usps.t.bz2 lies in or is downloaded to.
        as_mnist: in MNIST's form (20 x 20 box, centre of mass in the middle), else enlarged to 28 x 28 as they are.

    Raises:
        UserError: they are not there and cannot be downloaded.
    """
    try:
        if not (data_dir / "usps.t.bz2").is_file():
            data_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(data_dir / ".usps.lock"):  # parallel jobs must not download over one another
                USPS(data_dir, train=False, download=True)
        images = USPS(data_dir, train=False)
    except (OSError, RuntimeError, ValueError):
        raise UserError(
            f"USPS is not in {data_dir} and cannot be downloaded: put usps.t.bz2 there, or name another place by the"
            " variable RNN_TASKS_DATA"
        ) from None
    return _examples(images.data, images.targets, as_mnist)


def uci(as_mnist: bool = True) -> Examples:
    """Return the 1,797 digits of 8 x 8 in scikit-learn: the test set of UCI's optical recognition of digits.

    Source: Alpaydin and Kaynak (1998).

    Args:
        as_mnist: as in ``usps``.
    """
    digits = load_digits()
    return _examples((digits.images * (255 / 16)).round().astype(np.uint8), digits.target, as_mnist)


def _examples(images: np.ndarray, digits: np.ndarray | list[int], as_mnist: bool) -> Examples:
    """Images [N, h, w] from 0 (paper) to 255 (ink)."""
    if as_mnist:
        inputs = [normalize_like_mnist(image / 255, LEAST_INK) for image in images]
    else:
        resized = [Image.fromarray(image).resize((28, 28), Image.Resampling.BILINEAR) for image in images]
        inputs = [torch.tensor(np.asarray(image, np.float32) / 255) for image in resized]
    return Examples(torch.stack(inputs), torch.full((len(inputs),), 28), torch.as_tensor(digits))

"""From a picture of a handwritten digit to an image like MNIST's."""

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor


def single(path: str) -> Tensor:
    """The one digit of a picture as MNIST shows it, [28, 28].

    Raises:
        ValueError: there is no such file or it cannot be read.
    """
    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise ValueError(f"{path!r} is no file; give an image like digit.png") from None
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError(f"{path!r} is no image that can be read; give one like digit.png") from None
    return like_mnist(image)


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

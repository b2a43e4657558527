"""Image files: which kinds are read, and how a photo is loaded."""

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from rnn_tasks.errors import UserError

MAX_MEGAPIXELS = 50
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
WORKING_SIDE = 1200  # pixels of the longer side at which digits are searched
ORIENTATION = 0x0112  # EXIF's tag


def is_image_name(path: str | Path) -> bool:
    """Return whether a file's name ends like that of an image that can be read; its content is not looked at."""
    return Image.registered_extensions().get(Path(path).suffix.lower()) in FORMATS


def images_in(directory: str | Path) -> list[str]:
    """Return the paths of the image files in a directory, sorted, without those in directories below it."""
    return sorted(str(path) for path in Path(directory).iterdir() if is_image_name(path) and path.is_file())


def is_directory(path: str) -> bool:
    """Return whether a text that a user gave is the path of a directory."""
    try:
        return Path(path).is_dir()
    except OSError:  # too long for a name
        return False


def with_images_of_directories(inputs: list[str]) -> list[str]:
    """Return the inputs, each directory replaced by the image files in it.

    Raises:
        UserError: a directory holds no image.
    """
    replaced = []
    for text in inputs:
        images = images_in(text) if is_directory(text) else [text]
        if not images:
            raise UserError(f"{text}: holds neither a run nor images")
        replaced += images
    return replaced


def load(file: str | Path | BinaryIO) -> Image.Image:
    """Return a photo, upright, in 8-bit RGB; a large one is reduced as by ``upright``.

    Args:
        file: a path, or an open binary file such as an upload.

    Raises:
        ValueError: there is no such file, it is damaged or no image, or has more than 50 megapixels.
    """
    name = repr(str(file)) if isinstance(file, str | Path) else "the picture"
    if isinstance(file, str | Path) and os.path.exists(file) and not os.path.isfile(file):  # a FIFO would wait for ever
        raise ValueError(f"{name} is no image that can be read; give one like digit.png, in PNG or JPEG")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a file that is refused below or read all the same
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_MEGAPIXELS * 1_000_000:
                    raise Image.DecompressionBombError
                image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
                return upright(image)
    except FileNotFoundError:
        raise ValueError(f"{name} is no file; give an image like digit.png") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has more than {MAX_MEGAPIXELS} megapixels; give a smaller one") from None
    except Exception:  # damaged files raise many kinds
        raise ValueError(f"{name} is no image that can be read; give one like digit.png, in PNG or JPEG") from None


def upright(image: Image.Image) -> Image.Image:
    """Return a photo in 8-bit RGB, rotated as its EXIF data says, its transparent parts filled.

    Its sides are divided by the smallest integer that makes them at most twice the working size.
    """
    orientation = {ORIENTATION: image.getexif().get(ORIENTATION, 1)}
    factor = max(image.size) // (2 * WORKING_SIDE) + 1
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits
        image = _stretched(image.convert("F").reduce(factor))
    elif image.mode in ("P", "PA") or image.has_transparency_data:
        image = _opaque(image.convert("RGBA").reduce(factor))
    else:
        image = (image if image.mode == "L" else image.convert("RGB")).reduce(factor)
    image = image.convert("RGB")
    image.getexif().update(orientation)
    return ImageOps.exif_transpose(image)


def _stretched(image: Image.Image) -> Image.Image:
    """Return a picture of 32-bit floats as 8-bit grey, its darkest pixel 0 and its brightest 255."""
    values = np.nan_to_num(np.asarray(image)).astype(np.float64)
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) * (255 / ((high - low) or 1))).round().astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """Return an RGBA picture on black if what is visible of it is bright, else on white."""
    shades, alpha = np.asarray(image.convert("L"), float), np.asarray(image.getchannel("A"), float)
    bright = (shades * alpha).sum() > 127 * alpha.sum() and alpha.min() < 128
    return Image.alpha_composite(Image.new("RGBA", image.size, "black" if bright else "white"), image)

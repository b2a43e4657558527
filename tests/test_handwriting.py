"""From photos to MNIST's form, on synthetic paper."""

import numpy as np
import pytest
import torch
from conftest import DATA
from paper import photo
from PIL import Image
from torchvision.datasets import MNIST

from rnn_tasks.handwriting import digits, load, recipe

SQUARED = {"paper": "squared", "pen": "blue"}
PAPERS = {
    "plain": {},
    "squared": {"paper": "squared"},
    "squared, fine": {"paper": "squared", "pitch": 27},
    "pencil and grey squares": {"paper": "squared", "line": (0.5, 0.5, 0.5), "pen": "pencil"},
    "ruled": {"paper": "ruled", "pitch": 110, "pen": "green"},
    "squared, turned": {**SQUARED, "angle": 3.3},
    "red pen, shadow": {"pen": "red", "shadow": 1.0},
    "squared, shadow, noise": {**SQUARED, "shadow": 0.8, "noise": 0.03},
    "noise": {"noise": 0.12},
    "white on black": {"inverted": True},
    "small in a large photo": {"size": 60, "cell": 110, "margin": 500, "noise": 0.04},
    "touching the border": {"margin": -4, "cell": 100},
}


@pytest.fixture
def images(mnist):
    """The first test images of MNIST, [20, 28, 28]."""
    return MNIST(DATA.resolve(), train=False).data[:20].float() / 255


def alike(one, other):
    """The largest correlation of two images under shifts of at most one pixel."""
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(np.corrcoef(torch.roll(one, by, (0, 1)).ravel(), other.ravel())[0, 1] for by in shifts)


@pytest.mark.parametrize("name", PAPERS)
def test_digits_on_paper(images, name):
    lines = digits(photo(images, **PAPERS[name]))
    assert [len(line) for line in lines] == [5] * 4
    found = [digit for line in lines for digit in line]
    scores = [alike(digit.image, image) for digit, image in zip(found, images, strict=True)]
    assert np.mean(scores) > 0.9 and np.mean(np.array(scores) > 0.75) >= 0.95, scores  # a bar may lie on a line


def test_box_is_in_the_photo(images):
    large = photo(images[:1], size=300, margin=1460)
    ((digit,),) = digits(large)
    dark = np.asarray(large.convert("L")) < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    assert np.allclose(digit.box, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), atol=8)


def test_kinds_of_files_are_read_alike(images, tmp_path):
    picture = photo(images[:3])
    expected = digits(picture)[0]
    grey = np.asarray(picture.convert("L"))
    alpha = Image.merge("RGBA", (*[Image.new("L", picture.size, 0)] * 3, Image.fromarray(255 - grey)))
    turned, exif = picture.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    turned.save(tmp_path / "turned.jpg", exif=exif)
    alpha.save(tmp_path / "alpha.png")
    Image.fromarray(grey.astype(np.uint16) * 20).save(tmp_path / "deep.png")
    picture.quantize(16).save(tmp_path / "palette.gif")
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    for path in tmp_path.iterdir():
        ((*found,),) = digits(load(path))
        assert all(alike(a.image, b.image) > 0.97 for a, b in zip(found, expected, strict=True)), path.name


def test_scan_of_28_is_one_digit(images):
    for image in images:
        ((digit,),) = digits(Image.fromarray((image * 255).byte().numpy()))
        assert torch.allclose(digit.image, image, atol=0.01)
        ((digit,),) = digits(Image.fromarray((230 - image * 180).byte().numpy()))
        assert alike(digit.image, image) > 0.9


def test_recipe_is_that_of_mnist(images):
    image = recipe(np.kron(images[0].numpy(), np.ones((6, 6), np.float32)))
    rows, columns = image.sum(1).nonzero(), image.sum(0).nonzero()
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    centre = [(image.sum(1 - axis) @ torch.arange(28.0) / image.sum()).item() for axis in (0, 1)]
    assert np.allclose(centre, 13.5, atol=0.6)


@pytest.mark.parametrize("name", ["plain", "squared, turned", "squared, shadow, noise", "noise"])
def test_empty_page(name):
    with pytest.raises(ValueError, match=r"^no digit can be seen[^\n]*$"):
        digits(photo(np.zeros((20, 28, 28)), **PAPERS[name]))


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (3000, 1), (200, 300)])
def test_nothing_to_see(size):
    with pytest.raises(ValueError, match="no digit can be seen"):
        digits(Image.new("RGB", size, "white"))


@pytest.mark.parametrize("name", ["camera", "coins"])
def test_picture_without_digits(name):
    data = pytest.importorskip("skimage.data")
    with pytest.raises(ValueError, match="no digit can be seen"):
        digits(Image.fromarray(getattr(data, name)()))


def test_files_that_are_refused(images, tmp_path):
    picture, path = photo(images[:1]), tmp_path / "file.png"
    with pytest.raises(ValueError, match=r"is no file[^\n]*$"):
        load(path)
    with pytest.raises(ValueError, match=r"no image that can be read[^\n]*$"):
        load(tmp_path)
    picture.save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[: len(whole) // 2], whole[:60] + b"\0" * 50 + whole[110:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"no image that can be read[^\n]*$"):
            load(path)
    Image.new("1", (10_000, 10_000)).save(path)
    with pytest.raises(ValueError, match=r"more than 50 megapixels[^\n]*$"):
        load(path)

"""From synthetic photos of paper to images like those of MNIST, and to numbers."""

import subprocess
import sys
from io import BytesIO
from itertools import cycle

import numpy as np
import pytest
import torch
from helpers import DATA
from paper import photo
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image
from torchvision.datasets import MNIST

from rnn_tasks import runs
from rnn_tasks.photos.answers import draw_boxes
from rnn_tasks.photos.digits import Digit, find_digits, normalize_like_mnist, single
from rnn_tasks.photos.files import load, upright
from rnn_tasks.photos.reading import Answer, numbers, read

SQUARED = {"paper": "squared", "pen": "blue"}
PAPERS = {
    "plain": {},
    "squared": {"paper": "squared"},
    "squared, fine": {"paper": "squared", "pitch": 27},
    "pencil and grey squares": {"paper": "squared", "line": (0.5, 0.5, 0.5), "pen": "pencil"},
    "ruled": {"paper": "ruled", "pitch": 110, "pen": "green"},
    "squared, turned": {**SQUARED, "angle": 3.3},
    "squared, turned by 14 degrees": {**SQUARED, "angle": 14},
    "red pen, shadow": {"pen": "red", "shadow": 1.0},
    "squared, shadow, noise": {**SQUARED, "shadow": 0.8, "noise": 0.03},
    "noise": {"noise": 0.12},
    "white on black": {"inverted": True},
    "small in a large photo": {"size": 60, "cell": 110, "margin": 500, "noise": 0.04},
    "table at the side": {**SQUARED, "margin": 100, "desk": 70, "noise": 0.02},
    "touching the border": {"margin": -4, "cell": 100},
}


@pytest.fixture(scope="module")
def run():
    return runs.load(runs.PRETRAINED / "handwriting")


@pytest.fixture
def many(mnist):
    """The first test images of MNIST, [500, 28, 28], and their digits as text."""
    data = MNIST(DATA.resolve(), train=False)
    return data.data[:500].float() / 255, [str(int(digit)) for digit in data.targets[:500]]


@pytest.fixture
def images(many):
    """The first test images of MNIST, [20, 28, 28]."""
    return many[0][:20]


def correlation(image, other):
    """The largest correlation of two images under shifts of at most one pixel."""
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(np.corrcoef(torch.roll(image, by, (0, 1)).ravel(), other.ravel())[0, 1] for by in shifts)


def test_most_of_240_digits_on_paper_are_read(many, run):
    right = dict.fromkeys(PAPERS, 0)
    photos = dict.fromkeys(PAPERS, 0)
    for number, name in zip(range(12), cycle(PAPERS), strict=False):
        part = slice(20 * number, 20 * number + 20)
        lines = read(run, photo(many[0][part], seed=number, **PAPERS[name]))
        assert [len(line) for line in lines] == [5] * 4, name
        texts = [answer.text for line in lines for answer in line]
        right[name] += sum(a == b for a, b in zip(texts, many[1][part], strict=True))
        photos[name] += 1
    assert sum(right.values()) >= 0.95 * 240, right
    assert all(right[name] >= 0.85 * 20 * photos[name] for name in PAPERS), right


def test_box_is_where_the_digit_is_in_a_large_photo(images):
    large = Image.new("RGB", (3000, 2600), (242, 239, 229))
    large.paste(photo(images[:1], size=300), (1200, 1500))
    large = upright(large)
    ((digit,),) = find_digits(large)
    dark = np.asarray(large.convert("L")) < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    assert np.allclose(digit.box, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), atol=8)


def test_kinds_of_files_give_the_same_digits(images, tmp_path):
    picture = photo(images[:3])
    expected = find_digits(picture)[0]
    grey = np.asarray(picture.convert("L"))
    alpha = [Image.new("L", picture.size, 0)] * 3 + [Image.fromarray(255 - grey)]
    Image.merge("RGBA", alpha).save(tmp_path / "alpha.png")
    Image.merge("LA", alpha[2:]).save(tmp_path / "grey alpha.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 20).save(tmp_path / "deep.png")
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(grey.astype(np.float32) / 1000).save(tmp_path / "small float.tif")
    picture.quantize(16).save(tmp_path / "palette.gif")
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    picture.convert("1", dither=Image.Dither.NONE).save(tmp_path / "bits.png")
    for path in tmp_path.iterdir():
        ((*loaded,),) = find_digits(load(path))
        assert all(correlation(a.image, b.image) > 0.95 for a, b in zip(loaded, expected, strict=True)), path.name
        assert np.allclose([digit.box for digit in loaded], [digit.box for digit in expected], atol=3), path.name


TURNED = ("", "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270")


@pytest.mark.parametrize(("orientation", "how"), enumerate(TURNED, 1))
def test_photo_is_rotated_as_its_exif_data_says(images, orientation, how):
    picture, exif, file = photo(images[:2]), Image.Exif(), BytesIO()
    turned = picture.transpose(Image.Transpose[how]) if how else picture
    exif[0x0112] = orientation
    turned.save(file, "png", exif=exif)
    loaded = load(file)
    assert loaded.size == picture.size
    assert np.array_equal(np.asarray(loaded), np.asarray(picture))


def test_picture_of_28_is_one_digit(images):
    for image in images:
        ((digit,),) = find_digits(Image.fromarray((image * 255).byte().numpy()))
        assert torch.allclose(digit.image, image, atol=0.01)
        ((digit,),) = find_digits(Image.fromarray((230 - image * 180).byte().numpy()))
        assert correlation(digit.image, image) > 0.9


def test_normalized_digit_fills_20_pixels_around_its_centre_of_mass(images):
    for original in images:
        image = normalize_like_mnist(np.kron(original.numpy(), np.ones((6, 6), np.float32)))
        rows, columns = image.sum(1).nonzero(), image.sum(0).nonzero()
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        centre = [(image.sum(1 - axis) @ torch.arange(28.0) / image.sum()).item() for axis in (0, 1)]
        assert np.allclose(centre, 13.5, atol=0.51)


def stroke(width, side=120):
    """Ink [side, side] of a vertical stroke of some width, centred, as high as the picture but for 10 pixels."""
    ink = np.zeros((side, side), np.float32)
    left = side // 2 - width // 2
    ink[10:-10, left : left + width] = 1
    return ink


@pytest.mark.parametrize(("width", "thick"), [(3, 2), (15, 3), (30, 6)])
def test_thin_strokes_become_as_thick_as_those_of_mnist(width, thick):
    image = normalize_like_mnist(stroke(width))
    assert abs(image.sum(1).max().item() - thick) < 0.7
    rows = (image > 0.5).any(1).nonzero()
    assert int(np.ptp(rows)) + 1 in (19, 20, 21)


def test_ink_below_the_threshold_is_noise():
    with pytest.raises(ValueError, match="no digit can be seen"):
        normalize_like_mnist(0.3 * stroke(12))
    assert normalize_like_mnist(0.3 * stroke(12), 0.2).max() == 1
    smudged = np.maximum(stroke(12), 0.3 * stroke(90))
    smudged[:10] = smudged[-10:] = 0
    assert (normalize_like_mnist(smudged) > 0.6).sum() == (normalize_like_mnist(stroke(12)) > 0.6).sum()


def test_pale_digit_of_28_is_centred(images):
    frame = np.full((28, 28), 230, np.uint8)
    frame[:20, :20] -= (images[0].numpy()[4:24, 4:24] * 150).astype(np.uint8)
    ((digit,),) = find_digits(Image.fromarray(frame))
    assert correlation(digit.image, images[0]) > 0.85


def test_single_digit_of_a_photo(images, tmp_path):
    photo(images[:1]).save(tmp_path / "one.png")
    photo(images[:2]).save(tmp_path / "two.png")
    Image.new("L", (200, 200), "white").save(tmp_path / "none.png")
    assert correlation(single(str(tmp_path / "one.png")), images[0]) > 0.9
    with pytest.raises(ValueError, match=r"two\.png' shows 2 digits, not one"):
        single(str(tmp_path / "two.png"))
    with pytest.raises(ValueError, match=r"none\.png': no digit can be seen"):
        single(str(tmp_path / "none.png"))


def test_answers_are_in_the_order_of_the_digits(images):
    class Counter:
        """Answers 0, 1, 2, ... to the images it gets."""

        def answer(self, inputs, lengths):
            assert inputs.shape == (6, 28, 28) and lengths.tolist() == [28] * 6
            return [(str(number), 0.5 + number / 10) for number in range(6)]

    lines = read(Counter(), photo(images[:6], columns=3))
    assert [numbers(line) for line in lines] == ["0 1 2", "3 4 5"]
    assert [answer.confidence for answer in lines[1]] == [0.8, 0.9, 1.0]


def test_photos_need_neither_runs_nor_lightning():
    code = "import sys, rnn_tasks.photos.answers; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "rnn_tasks.photos.reading" in modules
    assert not {"rnn_tasks.runs", "rnn_tasks.training", "rnn_tasks.tasks", "lightning"} & set(modules)


@pytest.mark.parametrize("name", ["plain", "squared, turned", "squared, shadow, noise", "noise"])
def test_empty_paper_shows_no_digit(name):
    with pytest.raises(ValueError, match=r"^no digit can be seen[^\n]*$"):
        find_digits(photo(np.zeros((20, 28, 28)), **PAPERS[name]))


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (3000, 1), (200, 300)])
def test_white_picture_of_any_size_shows_no_digit(size):
    with pytest.raises(ValueError, match="no digit can be seen"):
        find_digits(Image.new("RGB", size, "white"))


@pytest.mark.parametrize("size", [28, 100, 800])
def test_noise_shows_no_digit(size):
    pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="no digit can be seen"):
        find_digits(Image.fromarray(pixels))


def test_photo_of_a_building_shows_no_digit():
    with pytest.raises(ValueError, match="no digit can be seen"):
        find_digits(Image.fromarray(load_sample_image("china.jpg")))


def test_coins_are_not_digits():
    picture = Image.new("L", (600, 400), 60)
    for x in range(50, 600, 100):
        for y in range(50, 400, 100):
            ImageDraw.Draw(picture).ellipse((x - 30, y - 30, x + 30, y + 30), fill=90 + x // 5)
    with pytest.raises(ValueError, match="no digit can be seen"):
        find_digits(picture)


def test_unreadable_files_are_refused(images, tmp_path):
    picture, path = photo(images[:1]), tmp_path / "file.png"
    with pytest.raises(ValueError, match=r"is no file[^\n]*$"):
        load(path)
    with pytest.raises(ValueError, match=r"no image that can be read[^\n]*$"):
        load(tmp_path)
    picture.save(path)
    intact = path.read_bytes()
    for damaged in (b"", b"text", intact[: len(intact) // 2], intact[:60] + b"\0" * 50 + intact[110:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"no image that can be read[^\n]*$"):
            load(path)
    for side in (10_000, 20_000):
        Image.new("1", (side, side)).save(path)
        path.write_bytes(path.read_bytes()[:100])  # refused before any pixel is read
        with pytest.raises(ValueError, match=r"more than 50 megapixels[^\n]*$"):
            load(path)
    with pytest.raises(ValueError, match="the picture is no image"):
        load(BytesIO(b"upload"))


def test_memory_for_a_large_photo_is_bounded(tmp_path):
    Image.new("RGB", (8000, 6000), "white").save(tmp_path / "large.png", compress_level=1)
    code = """
from resource import RUSAGE_SELF, getrusage
from sys import argv
from rnn_tasks.photos.files import load
before = getrusage(RUSAGE_SELF).ru_maxrss
load(argv[1])
print((getrusage(RUSAGE_SELF).ru_maxrss - before) // 1024)"""
    command = [sys.executable, "-c", code, str(tmp_path / "large.png")]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < 700  # megabytes


def test_digits_close_to_each_other_form_a_number():
    line = [
        Answer(Digit((x, 0, x + 20, 40), torch.zeros(28, 28)), text, 1.0)
        for x, text in ((0, "1"), (25, "2"), (78, "3"), (120, "4"))
    ]
    assert numbers(line) == "12 34"  # gaps of 5, 33 and 22 pixels, at a height of 40


def test_drawn_boxes_surround_the_digits(images, run):
    picture = photo(images[:5])
    lines = read(run, picture)
    drawn = draw_boxes(picture, lines)
    assert drawn.size == picture.size
    changed = np.asarray(drawn) != np.asarray(picture)
    for answer in lines[0]:
        left, top, right, bottom = answer.digit.box
        assert changed[top - 1, left:right].any() and not changed[top:bottom, left:right].any()

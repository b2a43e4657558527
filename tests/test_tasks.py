"""The tasks: against Python's own integers and lists, as text, and loaded in batches."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from rnn_tasks import config, show
from rnn_tasks.config.stored import MNIST_FILES
from rnn_tasks.errors import UserError
from rnn_tasks.tasks import Adder, Memory, Task
from rnn_tasks.tasks.adder import add
from rnn_tasks.tasks.augmentation import Augmentation
from rnn_tasks.tasks.base import Examples, evaluation_loader
from rnn_tasks.tasks.examples import EVALUATION_STEPS
from rnn_tasks.tasks.mnist import Mnist


def task(*overrides):
    return config.build_task(config.compose(list(overrides)))


@pytest.mark.parametrize("order", ["lsb", "msb"])
def test_sums_are_those_of_python(order):
    adder = task(f"task.order={order}", "task.train_size=300")
    adder.setup()
    for i in range(300):
        inputs, length, targets, _ = adder.train[torch.tensor([i])]
        first, second = adder.write_input(inputs[0, :length]).split("+")
        assert adder.write_answer(targets[0, :length]) == f"{int(first, 2) + int(second, 2):b}"
    padding = torch.arange(21) >= adder.train.lengths[:, None]
    assert padding.any() and not adder.train.inputs[padding].any() and not adder.train.targets[padding].any()
    assert set(adder.train.lengths.tolist()) == set(range(2, 22))  # one step more than bits


def test_sums_of_thousands_of_bits():
    chance = random.Random(0)
    numbers = [(2**5000 - 1, 1), (0, 0)] + [(chance.getrandbits(5000), chance.getrandbits(5000)) for _ in range(20)]
    bits = torch.tensor([[[a >> t & 1, b >> t & 1] for t in range(5001)] for a, b in numbers])
    sums = add(bits)
    for (a, b), bits_of_sum in zip(numbers, sums.tolist(), strict=True):
        assert sum(bit << t for t, bit in enumerate(bits_of_sum)) == a + b


@pytest.mark.parametrize("order", ["lsb", "msb"])
def test_a_sum_is_read_and_written_as_people_do(order):
    adder = task(f"task.order={order}")
    inputs = adder.parse("1011+110")
    rows = [[1, 0], [1, 1], [0, 1], [1, 0], [0, 0]]
    assert inputs.tolist() == (rows if order == "lsb" else rows[::-1])
    assert adder.write_input(inputs) == "1011+110"
    assert adder.write_answer(torch.tensor([0.0, 0, 0])) == "0"
    for wrong in ("1011", "12+1", "+1", "1+", "1+1+1", "[1, 2]", ""):
        with pytest.raises(ValueError, match="no sum of two binary numbers"):
            adder.parse(wrong)


@pytest.mark.parametrize("k", [1, 3])
def test_the_kth_number_is_asked_for(k):
    memory = task("task=memory", f"task.k={k}")
    memory.setup()
    for i in range(200):
        inputs, length, target = (part[0] for part in memory.train[torch.tensor([i])][:3])
        digits = eval(memory.write_input(inputs[:length]))
        assert len(digits) == length and digits[k - 1] == target
        assert inputs.shape == (length, 10) and (inputs.sum(-1) == 1).all()
        assert torch.equal(memory.parse(str(digits)), inputs[:length])
    padding = torch.arange(10) >= memory.train.lengths[:, None]
    assert padding.any() and not memory.train.inputs[padding].any()
    assert set(memory.train.lengths.tolist()) == set(range(3, 11))


@pytest.mark.parametrize(
    "wrong", ["[1, x, 3]", "[1, 2, 10]", "[1, 2, -3]", "[1, 2, 3.0]", "123", "[true, 1, 2]", '"123"', ""]
)
def test_texts_that_are_no_list_of_digits(wrong):
    with pytest.raises(ValueError, match="no list of digits"):
        task("task=memory").parse(wrong)


def test_lists_too_short_for_the_digit_to_remember():
    memory = task("task=memory")
    with pytest.raises(ValueError, match="has 2 digits"):
        memory.parse("[1, 2]")
    with pytest.raises(UserError, match="length 2"):
        memory.test_examples([2, 3], 10)


SIZES = {"name": "made", "batch_size": 1, "data_seed": 0, "train_size": 1, "val_size": 1, "test_size": 1}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Adder("mbs", lengths=(1, 20), **SIZES), "order='mbs': must be lsb or msb"),
        (lambda: Adder(order=None, lengths=(1, 20), **SIZES), "order=None: must be lsb or msb"),
        (lambda: Adder(lengths=(5, 2), **SIZES), "lengths=(5, 2): must be the lowest and the highest length"),
        (lambda: Memory(4, lengths=(3, 10), **SIZES), "k=4: must be at most the shortest length, 3"),
        (
            lambda: Memory(3, lengths=(3, 9), test_lengths=(2, 9), **SIZES),
            "k=3: must be at most the shortest",
        ),
        (lambda: Memory(0, lengths=(3, 10), **SIZES), "k=0: must be at least 1"),
        (lambda: Memory(1.0, lengths=(3, 10), **SIZES), "k=1.0: must be a whole number"),
        (
            lambda: Mnist("data", **SIZES | {"train_size": 58_000, "val_size": 2001}),
            "train_size=58000: must be",
        ),
        (lambda: Mnist("data", **SIZES | {"test_size": 10_001}), "test_size=10001: must be from 1 to 10,000"),
        (lambda: Mnist("data", **SIZES | {"val_size": 0}), "val_size=0: must be at least 1"),
    ],
)
def test_values_that_a_task_refuses(build, message):
    with pytest.raises(ValueError) as refused:
        build()
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_the_largest_sets_that_do_not_overlap_are_accepted():
    full = Mnist("data", **SIZES | {"train_size": 58_000, "val_size": 2000, "test_size": 10_000})
    assert full.train_size + full.val_size == 60_000 and full.test_size == 10_000


def test_examples_of_problems_as_people_write_them():
    for name, parsed in (("adder", (5, 2)), ("memory", (3, 10))):
        each = task(f"task={name}")
        assert each.parse(each.example).shape == parsed and not each.reads_photos
    digits = task("task=mnist")
    assert digits.reads_photos and digits.example.endswith(".png")
    assert Task.example == "" and Task.reads_photos is False


@pytest.mark.parametrize("name", ["adder", "memory"])
def test_a_data_seed_decides_the_data_and_a_seed_does_not(name):
    first, same, other = (task(f"task={name}", *more) for more in ([], ["seed=9"], ["task.data_seed=1"]))
    for each in (first, same, other):
        torch.manual_seed(random.randrange(100))
        each.setup()
    for split in ("train", "val"):
        assert torch.equal(getattr(first, split).inputs, getattr(same, split).inputs)
        assert getattr(first, split).inputs.shape != getattr(other, split).inputs.shape or not torch.equal(
            getattr(first, split).inputs, getattr(other, split).inputs
        )
    assert first.train.inputs[:50].sum() != first.val.inputs[:50].sum()


def test_data_are_the_same_on_every_machine():
    """The first examples of data_seed 0, written down once."""
    adder, memory = task("task.train_size=2"), task("task=memory", "task.train_size=2")
    adder.setup(), memory.setup()
    assert adder.write_input(adder.train.inputs[0, : adder.train.lengths[0]]) == "11+1"
    assert memory.write_input(memory.train.inputs[0, : memory.train.lengths[0]]) == "[7, 6, 7, 8, 2, 1, 7, 6, 7, 1]"


def test_test_sets_of_the_adder_by_length():
    adder = task()
    adder.setup()
    assert [(len(examples), *examples.lengths.unique().tolist()) for examples in adder.test] == [
        (100, length + 1) for length in range(1, 21)
    ]
    again = adder.test_examples([7], 100)[0]
    assert torch.equal(again.inputs, adder.test[6].inputs)
    assert not torch.equal(adder.test[6].inputs[0, :7], adder.test[7].inputs[0, :7])  # each length has its own stream


def test_a_batch_is_cut_to_its_longest_sequence():
    examples = Examples(torch.zeros(3, 5, 2), torch.tensor([2, 3, 5]), torch.zeros(3, 5))
    batch = examples[torch.tensor([0, 1])]
    assert batch.inputs.shape == (2, 3, 2) and batch.targets.shape == (2, 3) and batch.lengths.tolist() == [2, 3]


def test_evaluation_sees_every_example_once_similar_lengths_at_a_time():
    lengths = torch.tensor([2, 3, 2, 5, 3, 2])
    examples = Examples(torch.arange(6.0)[:, None, None].expand(6, 5, 1), lengths, torch.arange(6))
    batches = list(evaluation_loader([examples, examples]))
    assert sorted(sorted(set(batch.lengths.tolist())) for batch in batches) == [[2, 3], [2, 3], [5], [5]]
    assert all(batch.inputs.shape[1] == batch.lengths.max() for batch in batches)
    assert sorted(x for batch in batches for x in batch.inputs[:, 0, 0].tolist()) == sorted([0, 1, 2, 3, 4, 5] * 2)
    assert all(torch.equal(batch.inputs[:, 0, 0], batch.targets.float()) for batch in batches)


@pytest.mark.parametrize(("replicates", "share"), [(1, 1), (8, 1), (9, 2), (32, 4)])
def test_evaluation_batches_shrink_with_length_and_replicates(replicates, share):
    size, steps = 25, EVALUATION_STEPS // 10
    examples = Examples(torch.zeros(size, 1, 1).expand(size, steps, 1), torch.full((size,), steps), torch.zeros(size))
    sizes = [len(batch.lengths) for batch in evaluation_loader([examples], replicates)]
    assert sum(sizes) == size and max(sizes) == 10 // share
    longer = Examples(torch.zeros(2, 1, 1).expand(2, 20 * steps, 1), torch.full((2,), 20 * steps), torch.zeros(2))
    assert [len(batch.lengths) for batch in evaluation_loader([longer], replicates)] == [1, 1]


def test_mnist_splits_do_not_overlap(mnist):
    digits = task("task=mnist", "task.train_size=1000", "task.val_size=500")
    digits.setup()
    assert digits.train.inputs.shape == (1000, 28, 28) and len(digits.val) == 500 and len(digits.test[0]) == 10_000
    assert digits.train.inputs.min() >= 0 and digits.train.inputs.max() == 1
    assert (digits.test[0].targets == 1).float().mean().item() == pytest.approx(digits.chance_accuracy)
    full = task("task=mnist")
    full.setup()
    assert len(full.train) == 55_000 and len(full.val) == 5_000
    seen = {image.numpy().tobytes() for image in full.train.inputs[:, 5:23].bool()}
    assert sum(image.numpy().tobytes() in seen for image in full.val.inputs[:, 5:23].bool()) < 50  # not the same images


def test_mnist_that_is_missing_or_damaged(workplace, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", ["http://127.0.0.1:9/"])  # nobody listens there
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        task("task=mnist", "data_dir=nowhere").setup()
    raw = workplace / "broken" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in MNIST_FILES:
        (raw / name).write_bytes(b"\0\0\x08\x03" + bytes(40))
    with pytest.raises(UserError, match="is damaged"):
        task("task=mnist", "data_dir=broken").setup()


def idx(*shape):
    """A file of zeros in MNIST's format."""
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, 8, len(shape)]) + sizes + bytes(int(np.prod(shape)))


@pytest.mark.parametrize("images", [10_000, 60_000])
def test_mnist_with_the_labels_of_another_set(workplace, images):
    raw = workplace / "mixed" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, shape in zip(MNIST_FILES, [(images, 28, 28), (10_000,), (10_000, 28, 28), (10_000,)], strict=True):
        (raw / name).write_bytes(idx(*shape))
    with pytest.raises(UserError, match="is damaged"):
        task("task=mnist", "data_dir=mixed").setup()


def test_images_are_brought_into_mnist_form(tmp_path):
    digits = task("task=mnist")
    drawn = np.full((200, 100), 255, np.uint8)
    drawn[40:160, 45:55] = 0  # a dark stroke on paper
    Image.fromarray(drawn).save(tmp_path / "one.png")
    inputs = digits.parse(str(tmp_path / "one.png"))
    assert inputs.shape == (28, 28) and inputs.max() > 0.9 and inputs[0].max() < 0.1
    ink = inputs.numpy()
    assert (ink.sum(1) > 1).sum() in (19, 20, 21)  # 20 rows high, centred
    assert abs(np.average(np.arange(28) + 0.5, weights=ink.sum(0)) - 14) < 1
    Image.fromarray((inputs.numpy() * 255).astype(np.uint8)).save(tmp_path / "small.png")
    torch.testing.assert_close(digits.parse(str(tmp_path / "small.png")), inputs, atol=1 / 255, rtol=0)
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(ValueError, match="no image"):
        digits.parse(str(tmp_path / "bad.png"))
    with pytest.raises(ValueError, match="no file"):
        digits.parse(str(tmp_path / "missing.png"))


@pytest.mark.parametrize(("key", "value"), [("stroke", 5.0), ("blur", 2.0), ("noise", -1.0), ("erase", float("inf"))])
def test_augmentation_refuses_values_that_it_cannot_draw(key, value):
    with pytest.raises(ValueError, match=f"{key}={value}: must be"):
        Augmentation(**{key: value})


def test_lengths_of_images_cannot_be_chosen():
    sizes = {"batch_size": 1, "data_seed": 0, "train_size": 1, "val_size": 1, "test_size": 1}
    with pytest.raises(ValueError, match=r"test_lengths=.*: cannot be chosen, an image has 28 rows"):
        Mnist("data", name="mnist", test_lengths=(1, 2), **sizes)


def test_only_the_first_picture_is_shown_step_by_step(mnist):
    images = config.build_task(config.compose(["task=mnist"]))
    images.setup()
    assert "  step 27: " in show.example(images, 0) and "step" not in show.example(images, 1)
    sums = task()
    sums.setup()
    assert "  step 0: " in show.example(sums, 1)

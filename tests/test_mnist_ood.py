"""What makes a network read other handwriting, and how that is measured."""

import json
import math
from collections import Counter

import pytest
import torch
from forked import command
from helpers import DATA, trained, without_pictures
from torchmetrics.functional.classification import multiclass_calibration_error

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.models import Crnn, Network
from rnn_tasks.runs.evaluation import out_of_distribution
from rnn_tasks.seeds import generator
from rnn_tasks.tasks import mnist_ood
from rnn_tasks.tasks.augmentation import Augmentation, blurred, square, thinner, warped, wider
from rnn_tasks.tasks.base import Examples
from rnn_tasks.training.metrics import Reliability
from rnn_tasks.training.trainer import build_learner

FULL = {"rotation": 20, "shear": 0.3, "scale": 0.25, "shift": 2.5, "elastic": 1.0}
FULL |= {"stroke": 0.8, "blur": 1.5, "contrast": 0.6, "noise": 0.3, "erase": 8}


def blot(size=5, top=10, left=8):
    """A filled square on an image of 28 x 28."""
    image = torch.zeros(1, 28, 28)
    image[:, top : top + size, left : left + size] = 1
    return image


def middle(image):
    """Row and column of the centre of mass."""
    rows, columns = (image.sum(axis) @ torch.arange(28.0) / image.sum() for axis in (1, 0))
    return float(rows), float(columns)


def test_an_augmentation_without_values_changes_nothing():
    images = torch.rand(3, 28, 28)
    assert torch.allclose(Augmentation()(images, generator(0)), images, atol=1e-5)


@pytest.mark.parametrize("value", FULL)
def test_each_value_changes_images_within_bounds(value):
    images = blot().expand(32, 28, 28)
    changed = Augmentation(**{value: FULL[value]})(images, generator(1))
    assert not torch.allclose(changed, images, atol=0.05)
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1


def changed_share(**values):
    """Of 2,000 images the share that an augmentation changes."""
    images = blot().expand(2000, 28, 28)
    changed = Augmentation(**values)(images, generator(2))
    return ((changed - images).abs().amax((1, 2)) > 1e-3).float().mean().item()


@pytest.mark.parametrize(("value", "share"), [("noise", 1 / 8), ("stroke", 1 / 2), ("blur", 1 / 2)])
def test_some_changes_are_made_to_a_share_of_the_images(value, share):
    assert changed_share(**{value: FULL[value]}) == pytest.approx(share, rel=0.2)


def test_one_image_in_eight_loses_a_square_of_at_most_the_given_side():
    images = Augmentation(erase=8)(torch.ones(2000, 28, 28), generator(3))
    assert (images[:, 1:-1, 1:-1].amin(0) == 0).float().mean() > 0.95  # anywhere on the image
    erased = 28 * 28 - images.sum((1, 2))
    assert erased.max() <= 9**2 and 0.07 < (erased > 0).float().mean() <= 1 / 8 + 0.03


def test_shifts_are_normal_and_bounded_in_both_directions():
    images = Augmentation(shift=4)(blot(4, 12, 12).expand(2000, 28, 28), generator(4))
    for axis in (1, 2):
        moved = images.sum(axis) @ torch.arange(28.0) / images.sum((1, 2)) - 13.5
        assert moved.abs().max() <= 4.01 and moved.mean().abs() < 0.15
        assert moved.std() == pytest.approx(0.96 * 2, rel=0.05)  # 0.96: of a standard normal clamped at 2


def test_contrast_scales_the_ink_both_ways():
    ink = Augmentation(contrast=0.6)(torch.full((2000, 28, 28), 0.3), generator(5))[:, 0, 0].log() - math.log(0.3)
    assert ink.abs().max() <= 0.6001 and ink.min() < -0.5 and ink.max() > 0.5


@pytest.mark.parametrize("value", FULL)
@pytest.mark.parametrize("wrong", [-1, math.inf, math.nan, True, "1"])
def test_values_that_an_augmentation_refuses(value, wrong):
    with pytest.raises(ValueError, match=f"{value}={wrong!r}: must be "):
        Augmentation(**{value: wrong})


def test_a_stream_decides_the_changes():
    images = torch.rand(4, 28, 28)
    first, again, other = (Augmentation(**FULL)(images, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_warping_goes_where_it_says():
    assert middle(warped(blot(), shift=(4, 3))[0]) == pytest.approx((15, 14), abs=0.01)
    assert warped(blot(), scale=(2.0, 1.0)).sum() == pytest.approx(50, rel=0.02)
    quarter = warped(blot(), angle=torch.pi / 2)[0]  # (row, column) of 12, 10 is 1.5, 3.5 from the middle
    assert middle(quarter) == pytest.approx((13.5 - 3.5, 13.5 + 1.5), abs=0.01)
    bends = torch.zeros(1, 2, 28, 28)
    bends[:, 0] = 2
    assert middle(warped(blot(), bends=bends)[0]) == pytest.approx((12, 8), abs=0.01)


def test_shear_leans_upright_strokes():
    bar = torch.zeros(1, 28, 28)
    bar[:, 5:23, 13:15] = 1
    rows = warped(bar, shear=0.3)[0]
    top, bottom = ((row * torch.arange(28.0)).sum() / row.sum() for row in (rows[6], rows[21]))
    assert (top - bottom) == pytest.approx(0.3 * 15, abs=0.2)


def test_strokes_and_blur():
    assert wider(blot()).sum() == 49 and thinner(blot()).sum() == 9
    spread = blurred(blot(1, 14, 14), torch.full((1, 1, 1), 1.5))[0]
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    variance = (spread.sum(1) * (torch.arange(28.0) - 14) ** 2).sum()
    assert variance == pytest.approx(1.5**2, rel=0.03)
    assert torch.allclose(blurred(blot(), torch.zeros(1, 1, 1)), blot(), atol=1e-6)
    assert square(blot(), torch.full((1, 1, 1), 14.0), torch.full((1, 1, 1), 14.0), 8).sum() == 64


def test_corruptions_change_every_image_the_same_way_each_time_and_keep_the_digits():
    images = blot(16, 6, 6).repeat(12, 1, 1)
    examples = Examples(images, torch.full((12,), 28), torch.arange(12))
    assert len(mnist_ood.CORRUPTIONS) == 8
    for name in mnist_ood.CORRUPTIONS:
        first, again = mnist_ood.corrupted(examples, name), mnist_ood.corrupted(examples, name)
        assert torch.equal(first.inputs, again.inputs) and torch.equal(first.targets, examples.targets), name
        assert first.inputs.min() >= 0 and first.inputs.max() <= 1
        changed = (first.inputs - images).abs().flatten(1).max(1).values > 0.1
        assert changed.all(), name


def corrupted(image, name):
    images = image.expand(400, 28, 28)
    return mnist_ood.corrupted(Examples(images, torch.full((400,), 28), torch.zeros(400)), name).inputs


def centres(images):
    """Centres of mass in rows and columns from the middle: [N, 2]."""
    places = torch.arange(28.0) - 13.5
    return torch.stack([images.sum(axis) @ places / images.sum((1, 2)) for axis in (2, 1)], 1)


def test_corruptions_are_as_strong_as_they_say():
    square = blot(6, 11, 11)
    assert torch.allclose(corrupted(square, "contrast"), square * 0.3)
    assert corrupted(torch.full((1, 28, 28), 0.5), "noise").std().item() == pytest.approx(0.27, abs=0.01)  # clamped 0.3
    moved = centres(corrupted(square, "shift"))
    assert torch.allclose(moved.abs(), torch.full_like(moved, 3), atol=0.01)
    assert len(moved.round().unique(dim=0)) == 4
    areas = corrupted(square, "scale").sum((1, 2)) / 36
    assert torch.minimum((areas - 1.69).abs(), (areas - 1 / 1.69).abs()).max() < 0.08
    assert (areas > 1).float().mean().item() == pytest.approx(0.5, abs=0.1)
    angles = centres(corrupted(blot(4, 12, 20), "rotation"))
    degrees = torch.rad2deg(torch.atan2(angles[:, 0], angles[:, 1]))
    assert torch.allclose(degrees.abs(), torch.full_like(degrees, 25), atol=1)
    assert (degrees > 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    ink = corrupted(square, "stroke").sum((1, 2))
    assert ink.min().item() == pytest.approx(36 - 0.8 * 20) and ink.max() == 64
    lost = 28 * 28 - corrupted(torch.ones(1, 28, 28), "occlusion").sum((1, 2))
    assert lost.min() >= 49 and lost.max() <= 81 and lost.mean() == pytest.approx(64, abs=2)
    blurred_dot = corrupted(blot(1, 14, 14), "blur")[0]
    assert (blurred_dot.sum(1) * (torch.arange(28.0) - 14) ** 2).sum() == pytest.approx(1.5**2, rel=0.03)


def test_uci_digits_in_both_forms():
    formed, plain = mnist_ood.uci(), mnist_ood.uci(as_mnist=False)
    assert formed.inputs.shape == plain.inputs.shape == (1797, 28, 28)
    counts = Counter(formed.targets.tolist())
    assert sorted(counts) == list(range(10)) and min(counts.values()) > 170
    rows = formed.inputs.sum((1, 2))
    centres = [(formed.inputs.sum(axis) @ torch.arange(28.0) / rows) for axis in (1, 2)]
    assert all(((centre - 13.5).abs() < 1.01).float().mean() > 0.99 for centre in centres)
    inked = formed.inputs > 0.05
    sides = torch.stack([inked.any(axis).sum(1) for axis in (1, 2)]).max(0).values
    assert sides.min() >= 18 and sides.max() <= 20


def test_validation_shows_no_other_handwriting(mnist):
    run = runs.load(trained_on_mnist(mnist), "last")
    found = out_of_distribution(run, "val")
    assert list(found) == ["MNIST", *mnist_ood.CORRUPTIONS] and {one["n"] for one in found.values()} == {32}


def trained_on_mnist(place):
    with without_pictures():
        trained(place / "run", "task=mnist", "model.hidden=8", "task.test_size=50", "model.replicates=2")
    return place / "run"


@pytest.mark.slow
def test_evaluate_measures_all_sets(mnist):
    usps = DATA / "usps.t.bz2"
    if not usps.exists():
        pytest.skip("USPS is not there")
    run = trained_on_mnist(mnist)
    ended = command("evaluate", str(run), "--ood", "--json", "--replicate", "all")
    found = json.loads(ended.stdout)
    assert {name: one["n"] for name, one in found.items()} == {
        **dict.fromkeys(["MNIST", *mnist_ood.CORRUPTIONS], 50),
        **{"USPS": 2007, "USPS as it is": 2007, "UCI": 1797, "UCI as it is": 1797},
    }
    assert all(len(one["calibration_error"]) == len(one["accuracy"]) == 2 for one in found.values())


@pytest.mark.slow
def test_the_table_has_all_sets(mnist):
    table = command("evaluate", str(trained_on_mnist(mnist)), "--ood")
    names = [line.partition("  ")[0] for line in table.stdout.splitlines()[2:]]
    assert names == ["MNIST", *mnist_ood.CORRUPTIONS, "USPS", "USPS as it is", "UCI", "UCI as it is"]
    assert "calibration error" in table.stdout


def test_a_network_that_failed_counts_nowhere():
    reliability = Reliability(2)
    reliability.update(
        torch.tensor([[0.9, 0.6], [torch.nan, torch.nan]]), torch.tensor([[True, False], [False, False]])
    )
    found = reliability.compute([False, True])
    assert found["calibration_error"] == [pytest.approx((0.1 + 0.6) / 2), None] and found["bins"][1] is None
    assert sum(answers for answers, *_ in found["bins"][0]) == 2


def test_other_tasks_have_no_such_sets(workplace):
    trained(workplace / "run")
    wrong = command("evaluate", "run", "--split", "val")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: --split: chooses the images of --ood")
    wrong = command("evaluate", "run", "--ood", "--lengths", "3")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: --lengths: an image has 28 rows")
    ended = command("evaluate", "run", "--ood")
    assert ended.returncode == 2 and ended.stderr == "error: --ood: run is a run of adder; give one of mnist\n"


def test_calibration_is_that_of_torchmetrics():
    logits = torch.randn(2, 500, 10, generator=generator(0)) * 2
    targets = torch.randint(10, (500,), generator=generator(1))
    reliability = Reliability(2)
    confidences, said = logits.softmax(-1).max(-1)
    for part in torch.arange(500).split(200):
        reliability.update(confidences[:, part], said[:, part] == targets[part])
    expected = [float(multiclass_calibration_error(one, targets, 10, 15)) for one in logits.softmax(-1)]
    assert reliability.compute([False, False])["calibration_error"] == pytest.approx(expected, abs=1e-6)
    assert reliability.compute([True, False])["calibration_error"][0] is None


def test_the_mean_of_all_steps_is_that_of_torch():
    torch.manual_seed(0)
    network = Network(3, 4, "last", "lstm", hidden=6, layers=2, bidirectional=True, pooling="mean", replicates=2)
    inputs, lengths = torch.rand(5, 7, 3), torch.tensor([7, 4, 1, 6, 7])
    found = network(inputs, lengths)
    peer = torch.nn.LSTM(3, 6, 2, batch_first=True, bidirectional=True)
    for r in range(2):
        peer.load_state_dict({name: value[r] for name, value in network.recurrent.items()})
        packed = torch.nn.utils.rnn.pack_padded_sequence(inputs, lengths, True, enforce_sorted=False)
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(peer(packed)[0], True)
        pooled = outputs.sum(1) / lengths[:, None]
        expected = pooled @ network.head["weight"][r].T + network.head["bias"][r]
        assert torch.allclose(found[r], expected, atol=1e-5)


def test_a_convolutional_network_reads_padded_images_and_replicates_as_it_does_alone():
    words = {"output_size": 10, "readout": "last", "cell": "lstm", "hidden": 6, "channels": [4, 8], "dropout": 0.2}
    words |= {"bidirectional": True, "pooling": "mean"}
    pair, second = Crnn(28, seed=0, replicates=2, **words), Crnn(28, seed=1, **words)
    images, lengths, key = torch.rand(4, 28, 28), torch.tensor([28, 7, 1, 20]), (0, 3)
    together = pair(images, lengths)
    for i, length in enumerate(lengths):
        assert torch.allclose(pair(images[i : i + 1, :length], lengths[i : i + 1])[:, 0], together[:, i], atol=1e-6)
    assert torch.allclose(second(images, lengths)[0], together[1], atol=1e-6)
    other = pair(torch.stack([images, 1 - images]), lengths.expand(2, 4))
    assert torch.allclose(other[0], together[0], atol=1e-6)
    assert torch.allclose(other[1], second(1 - images, lengths)[0], atol=1e-6)
    assert torch.allclose(second(images, lengths, key)[0], pair(images, lengths, key)[1], atol=1e-6)
    assert not torch.allclose(pair(images, lengths, key), together, atol=1e-3)


def test_label_smoothing_of_the_configuration_reaches_the_loss(mnist):
    smooth = ["task=mnist", "model.hidden=4", "task.train_size=20", "task.test_size=20", "loss.label_smoothing=0.3"]
    cfg = config.compose(smooth)
    task, model = config.build(cfg)
    logits, digits = torch.randn(5, 10), torch.arange(5)
    task.setup()
    schedule = task.cut(cfg.trainer, len(task.seeds))
    found = build_learner(cfg, task, model, schedule).loss(logits, digits)
    expected = torch.nn.functional.cross_entropy(logits, digits, reduction="none", label_smoothing=0.3)
    assert torch.allclose(found, expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=mnist", "task.augmentation=handwriting"], "choose by task/augmentation=handwriting"),
        (["experiment=mnist_handwriting", "task.augmentation.noise=-1"], "noise=-1: must be at least 0"),
        (["experiment=mnist_handwriting", "model.channels=[4,4,4,4,4]"], "at most 4 for 28 columns"),
        (["task=adder", "model=crnn"], "at most 1 for 2 columns"),
        (["task=mnist", "loss.label_smoothing=2"], "must be at least 0 and less than 1"),
        (["task=mnist", "model.pooling=most"], "must be one of last, mean"),
    ],
)
def test_bad_values_in_the_configuration_are_refused_in_one_line(workplace, words, message):
    with pytest.raises(UserError, match=message) as refused:
        config.build(config.compose(words))
    assert "\n" not in str(refused.value)


def test_augmented_replicates_equal_their_solo_runs(mnist):
    words = ["task=mnist", "model.hidden=8", "task/augmentation=handwriting", "task.test_size=50"]
    together = trained("together", *words, "model.replicates=2")
    alone = trained("alone", *words, "seed=1")
    for split in ("train", "val", "test"):
        pair = together["metrics"][split]["loss"][1], alone["metrics"][split]["loss"][0]
        assert pair[0] == pytest.approx(pair[1], abs=1e-5), split
    plain = trained("plain", *words[:2], "task.test_size=50", "seed=1")
    assert plain["metrics"]["train"]["loss"] != pytest.approx(alone["metrics"]["train"]["loss"], abs=1e-4)

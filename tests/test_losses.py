"""Losses and answers computed by hand; scores with padding; the shape of a model's logits."""

import math

import pytest
import torch

from rnn_tasks.errors import UserError
from rnn_tasks.models import Network
from rnn_tasks.tasks import Batch
from rnn_tasks.tasks.answers import AnswerFormat, answers, confidences
from rnn_tasks.training.losses import bce, ce, mse
from rnn_tasks.training.metrics import Tally
from rnn_tasks.training.scoring import asked_mask, forward_replicates, score

LOG2, LOG4 = math.log(2), math.log(4)
CLASSES = torch.tensor([[0.0, 0.0, LOG2], [LOG4, 0.0, -math.inf]])  # probabilities 1/4, 1/4, 1/2 and 4/5, 1/5, 0
TARGETS = torch.tensor([2, 1])
BITS = torch.tensor([[0.0], [LOG4], [-LOG4]])  # probabilities of a 1: 1/2, 4/5, 1/5


def test_cross_entropy_of_two_answers_of_three_classes_and_of_one_of_two():
    assert ce(CLASSES, TARGETS).tolist() == pytest.approx([math.log(2), math.log(5)])
    two = torch.tensor([[0.0, LOG4]])  # probabilities 1/5, 4/5
    assert ce(two, torch.tensor([1])).tolist() == pytest.approx([math.log(1.25)])
    assert mse(two, torch.tensor([1])).tolist() == pytest.approx([1 / 25])
    finite = torch.tensor([[0.0, 0.0, LOG2], [0.0, LOG4, 0.0]])  # probabilities 1/4, 1/4, 1/2 and 1/6, 2/3, 1/6
    smooth = [
        0.7 * math.log(2) + 0.1 * (math.log(4) + math.log(4) + math.log(2)),
        0.7 * math.log(6) + 0.1 * (math.log(6) + math.log(1.5) + math.log(6)),
    ]
    assert ce(finite, torch.tensor([2, 0]), label_smoothing=0.3).tolist() == pytest.approx(smooth)


def test_squared_error_of_two_answers_of_three_classes():
    expected = [(1 / 16 + 1 / 16 + 1 / 4) / 3, (16 / 25 + 16 / 25) / 3]
    assert mse(CLASSES, TARGETS).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [ce, bce, mse])
def test_targets_of_another_shape_are_refused(loss):
    for logits, targets in ((torch.randn(2, 3, 4), torch.zeros(3, 2)), (torch.randn(4, 1), torch.zeros(4, 1))):
        with pytest.raises(ValueError, match=r"^targets \[.*\] for logits \[.*\]: must have the shape of the logits"):
            loss(logits, targets.long())


def test_losses_of_bits():
    targets = torch.tensor([1.0, 1.0, 1.0])
    assert bce(BITS, targets).tolist() == pytest.approx([math.log(2), math.log(1.25), math.log(5)])
    assert mse(BITS, targets).tolist() == pytest.approx([1 / 4, 1 / 25, 16 / 25])
    for loss in (bce, mse):
        torch.testing.assert_close(loss(BITS, 1 - targets), loss(-BITS, targets))
        assert torch.equal(loss(BITS, targets.long()), loss(BITS, targets))
    assert bce(torch.tensor([[-1000.0]]), torch.tensor([1.0])).tolist() == [1000.0]


def test_losses_keep_the_axes_of_the_targets():
    logits, classes = torch.randn(2, 3, 4, 5), torch.randint(5, (2, 3, 4))
    for loss in (ce, mse):
        each = loss(logits, classes)
        assert each.shape == (2, 3, 4) and torch.equal(each[1, 2, 3:], loss(logits[1, 2, 3:], classes[1, 2, 3:]))
    bits = torch.randn(2, 3, 4, 1)
    for loss in (bce, mse):
        each = loss(bits, classes % 2)
        assert each.shape == (2, 3, 4) and each[1, 2, 3] == loss(bits[1, 2, 3], classes[1, 2, 3] % 2)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1, 2, math.nan, True, None])
def test_label_smoothing_outside_its_range(label_smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing={label_smoothing}: must be "):
        ce(CLASSES, TARGETS, label_smoothing=label_smoothing)


def test_losses_refuse_the_other_kind_of_answers():
    with pytest.raises(ValueError, match=r"ce: logits \[3, 1\] of bits: must be of at least 2 classes"):
        ce(BITS, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"bce: logits \[2, 3\] of classes: must be \[..., 1\]"):
        bce(CLASSES, TARGETS)


def test_answers_and_confidences():
    assert answers(BITS).tolist() == [0, 1, 0] and answers(BITS).dtype == BITS.dtype
    assert confidences(BITS).tolist() == pytest.approx([1 / 2, 4 / 5, 4 / 5])
    assert answers(CLASSES).tolist() == [2, 0]
    assert confidences(CLASSES).tolist() == pytest.approx([1 / 2, 4 / 5])
    assert answers(CLASSES.expand(4, 2, 3)).shape == confidences(CLASSES.expand(4, 2, 3)).shape == (4, 2)


def test_scores_count_padding_as_right_answers_without_loss():
    logits = torch.tensor([[[2.0, -2, 2], [2, 2, 2]], [[-2, -2, -2], [2, -2, -2]]])[..., None]  # R = B = 2, T = 3
    targets = torch.tensor([[1.0, 1, 0], [1, 0, 0]])
    batch = Batch(torch.zeros(2, 3, 1), torch.tensor([3, 1]), targets)
    losses, right, lengths, counts = score(logits, batch, mse)
    wrong, good = torch.sigmoid(torch.tensor([2.0, -2.0])).square().tolist()
    expected = [[[good, wrong, wrong], [good, 0, 0]], [[wrong, wrong, good], [good, 0, 0]]]
    torch.testing.assert_close(losses, torch.tensor(expected))
    assert right.tolist() == [[[True, False, False], [True] * 3], [[False, False, True], [True] * 3]]
    assert lengths.tolist() == counts.tolist() == [[3, 1], [3, 1]]


def test_where_answers_are_asked():
    inputs, lengths, targets = torch.zeros(2, 3, 1), torch.tensor([3, 1]), torch.zeros(2, 3)
    assert asked_mask(Batch(inputs, lengths, targets)).tolist() == [[True] * 3, [True, False, False]]
    assert asked_mask(Batch(inputs, torch.tensor([3, 3]), targets)) is None
    assert asked_mask(Batch(inputs, lengths, torch.zeros(2))) is None


class Shapes(torch.nn.Module):
    """Gives what it is told to, a shape or another value."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def forward(self, inputs, lengths, dropout_key=None):
        return torch.zeros(self.given) if isinstance(self.given, list) else self.given


class Stacked(Shapes):
    replicates = 2


def batch(every_step, replicates):
    leading = [2] if replicates else []
    targets = [*leading, 4, 3] if every_step else [*leading, 4]
    return Batch(torch.zeros(*leading, 4, 3, 1), torch.full([*leading, 4], 3), torch.zeros(targets))


@pytest.mark.parametrize(
    ("every_step", "given", "asked"),
    [
        (True, [4, 3], "[4, 3, C]"),
        (True, [4, 1], "[4, 3, C]"),
        (True, [3, 4, 1], "[4, 3, C]"),
        (False, [4], "[4, C]"),
        (False, [4, 3, 1], "[4, C]"),
        (False, [], "[4, C]"),
    ],
)
def test_logits_of_another_shape_than_asked_for(every_step, given, asked):
    for replicates in (False, True):
        wrong = Shapes(given)
        message = f"test_losses.Shapes.forward: gave logits {given}, must be logits {asked}"
        asked_of = batch(every_step, replicates=False)
        if replicates:
            wrong, asked_of = Stacked([2, *given]), batch(every_step, replicates=True)
            message = message.replace("Shapes", "Stacked").replace(" [", " [2, ").replace("[2, ]", "[2]")
        with pytest.raises(UserError) as refused:
            forward_replicates(wrong, asked_of)
        assert str(refused.value) == message


def test_logits_of_another_number_of_replicates_classes_or_no_logits():
    with pytest.raises(UserError, match=r"Stacked.forward: gave logits \[3, 4, 1\], must be logits \[2, 4, C\]"):
        forward_replicates(Stacked([3, 4, 1]), batch(False, replicates=False))
    with pytest.raises(UserError, match=r"Shapes.forward: gave logits \[4, 3\], must be logits \[4, 10\]"):
        forward_replicates(Shapes([4, 3]), batch(False, replicates=False), form=AnswerFormat("classes", 10))
    with pytest.raises(UserError, match=r"Shapes.forward: gave a value of type tuple, must be logits \[4, C\]"):
        forward_replicates(Shapes(()), batch(False, replicates=False))


def test_logits_have_a_leading_axis_for_replicates():
    single = batch(True, replicates=False)
    assert forward_replicates(Shapes([4, 3, 5]), single, form=AnswerFormat("classes", 5)).shape == (1, 4, 3, 5)
    assert forward_replicates(Stacked([2, 4, 3, 5]), single).shape == (2, 4, 3, 5)
    assert forward_replicates(Stacked([2, 4, 3, 5]), batch(True, replicates=True)).shape == (2, 4, 3, 5)
    one = batch(True, replicates=True).each(lambda part: part[:1])
    assert forward_replicates(Shapes([4, 3, 5]), one).shape == (1, 4, 3, 5)
    unknown = single._replace(targets=single.lengths)  # nothing to compare with
    assert forward_replicates(Shapes([4, 3, 5]), unknown).shape == (1, 4, 3, 5)


def test_the_dropout_key_reaches_the_model():
    net = Network(1, 2, "every_step", layers=2, dropout=0.5)
    examples = Batch(torch.rand(4, 3, 1), torch.full((4,), 3), torch.zeros(4, 3))
    assert torch.equal(
        forward_replicates(net, examples, (1, 2)), net(examples.inputs, examples.lengths, dropout_key=(1, 2))
    )
    assert not torch.equal(forward_replicates(net, examples, (1, 2)), forward_replicates(net, examples))


def test_tally_of_three_sequences_counted_by_hand():
    """Two replicates; a bit at each of L + 1 steps; a sequence of length 1 and, in another batch, two of length 2."""
    tally = Tally(replicates=2, longest=3, extra_steps=1)
    losses = torch.tensor([[[0.5, 0.25, 0.0]], [[1.0, 2.0, 0.0]]])  # zero in the padding
    right = torch.tensor([[[True, True, True]], [[True, False, True]]])  # true in the padding
    tally.update(losses, right, *[torch.tensor([[2], [2]])] * 2)
    losses = torch.tensor([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 3.0], [1.0, 1.0, 1.0]]])
    right = torch.tensor([[[True, True, False], [True, True, True]], [[False, False, False], [True, True, True]]])
    tally.update(losses, right, *[torch.tensor([[3, 3], [3, 3]])] * 2)
    found = tally.compute()
    assert found.pop("by_length") == {
        "1": {"n": 1, "answers": 2, "loss": [0.375, 1.5], "accuracy": [1.0, 0.5], "sequence_accuracy": [1.0, 0.0]},
        "2": {"n": 2, "answers": 6, "loss": [0.5, 1.0], "accuracy": [5 / 6, 0.5], "sequence_accuracy": [0.5, 0.5]},
    }
    assert found == {
        "n": 3,
        "answers": 8,
        "loss": [3.75 / 8, 9 / 8],
        "accuracy": [7 / 8, 0.5],
        "sequence_accuracy": [2 / 3, 1 / 3],
    }
    assert tally.results(failed=[True, False])["loss"] == [None, 9 / 8]


def test_tally_of_one_answer():
    tally = Tally(replicates=1, longest=4)
    tally.update(torch.tensor([[0.7]]), torch.tensor([[True]]), torch.tensor([[4]]), torch.tensor([[1]]))
    found = tally.compute()
    assert found["by_length"] == {
        "4": {name: found[name] for name in ("n", "answers", "loss", "accuracy", "sequence_accuracy")}
    }
    assert (found["n"], found["accuracy"], found["sequence_accuracy"]) == (1, [1.0], [1.0])
    assert found["loss"] == pytest.approx([0.7])

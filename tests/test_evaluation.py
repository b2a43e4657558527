"""The evaluator gives what can be counted by hand."""

from functools import partial

import pytest
import torch

from rnn_tasks import config
from rnn_tasks.errors import UserError
from rnn_tasks.tasks.base import evaluation_loader
from rnn_tasks.training import evaluation, losses

WORDS = ["task.train_size=4", "task.val_size=40", "task.test_size=3", "task.lengths=[2,5]", "model.replicates=2"]


@pytest.fixture
def parts():
    """A task that has been set up, and a fresh model of two replicates."""
    task, model = config.build(config.compose(WORDS))
    task.setup()
    return task, model


def test_metrics_are_those_counted_by_hand(parts):
    task, model = parts
    measured = evaluation.measure(model, task, losses.bce, [task.val])
    answers = exact = total = 0
    loss = 0.0
    for number in range(len(task.val)):
        inputs, length, targets, _ = task.val[number]
        with torch.no_grad():
            logits = model(inputs[None, :length], length[None])[1, 0, :, 0].double()
        right = (logits > 0) == targets[:length].bool()
        answers, exact, total = answers + int(right.sum()), exact + bool(right.all()), total + int(length)
        loss += torch.nn.functional.binary_cross_entropy_with_logits(
            logits, targets[:length].double(), reduction="sum"
        ).item()
    assert measured["n"] == 40 and measured["chance"] == 0.5
    assert measured["accuracy"][1] == pytest.approx(answers / total)
    assert measured["sequence_accuracy"][1] == pytest.approx(exact / 40)
    assert measured["loss"][1] == pytest.approx(loss / total, rel=1e-5)
    assert set(measured["by_length"]) == {"2", "3", "4", "5"}


def test_failed_replicates_and_those_without_a_finite_loss_are_left_out(parts):
    task, model = parts
    assert evaluation.measure(model, task, losses.bce, [task.val], [True, False])["loss"][0] is None
    with torch.no_grad():
        model.head["bias"][1] = torch.nan
    measured = evaluation.measure(model, task, losses.bce, [task.val])
    assert measured["loss"][0] is not None and measured["loss"][1] is None
    assert measured["accuracy"][1] is None and measured["by_length"]["3"]["accuracy"][1] is None


def test_limit_is_a_number_or_a_share_of_batches(parts):
    task, model = parts
    measure = partial(evaluation.measure, model, task, losses.bce, task.test)
    loader = evaluation_loader(task.test, 2)
    sizes = [len(batch.lengths) for batch in loader]
    assert len(sizes) == 20
    assert measure(limit=1)["n"] == sizes[0] and measure(limit=7)["n"] == sum(sizes[:7])
    assert measure(limit=0.5)["n"] == sum(sizes[:10])
    assert measure(limit=1.0)["n"] == measure(limit=1000)["n"] == 60
    assert measure(limit=0) == measure(limit=0.0) == {}
    with pytest.raises(UserError, match=r"a share of 0\.01: leaves none of the 20 batches"):
        measure(limit=0.01)


def test_model_is_evaluated_without_dropout_and_stays_in_training_mode():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.drop = torch.nn.Linear(2, 1), torch.nn.Dropout(0.5)

        def forward(self, inputs, lengths, dropout_key=None):
            assert not torch.is_grad_enabled()
            return self.drop(self.head(inputs))

    task, _ = config.build(config.compose(WORDS))
    task.setup()
    model = Own().train()
    first, second = (evaluation.measure(model, task, losses.bce, [task.val]) for _ in range(2))
    assert first == second and len(first["loss"]) == 1
    assert model.training


def test_precision_is_that_of_the_parameters(parts):
    task, model = parts
    single = evaluation.measure(model, task, losses.bce, [task.val])["loss"]
    double = evaluation.measure(model.double(), task, losses.bce, [task.val])["loss"]
    assert double != single and double == pytest.approx(single, rel=1e-5)

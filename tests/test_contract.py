"""The contract of tasks: examples of wrong kinds, shapes and values are refused in one line that names the method."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import command
from torch import nn

from rnn_tasks import config
from rnn_tasks.errors import UserError
from rnn_tasks.models import Network
from rnn_tasks.tasks import Memory, Task
from rnn_tasks.tasks.examples import Examples
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.evaluation import measure
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.losses import bce, ce
from rnn_tasks.training.optimization import Scheduling

VALUES = {
    "name": "made", "batch_size": 2, "data_seed": 0, "train_size": 200, "val_size": 20, "test_size": 20,
    "lengths": (3, 3),
}  # fmt: skip


class Bits(Task):
    """Parity at the end, or the inputs at every step; ``change`` makes what ``draw`` gives wrong."""

    input_size, output_size, readout, chance_accuracy = 1, 1, "last", 0.5

    def __init__(self, change=lambda inputs, targets: (inputs, targets), **values):
        super().__init__(**VALUES | values)
        self.change = change

    def draw(self, lengths, stream):
        bits = torch.randint(2, (len(lengths), int(lengths.max())), generator=stream)
        return self.change(bits[..., None].float(), self.answers(bits))

    def answers(self, bits):
        return bits.sum(1) % 2


class Copy(Bits):
    readout = "every_step"

    def answers(self, bits):
        return bits


class Classes(Bits):
    output_size = 2


WRONG = {
    "targets with another axis": (Bits, lambda x, y: (x, y[:, None]), "targets [200, 1], must be [200]"),
    "inputs without features": (
        Bits,
        lambda x, y: (x[..., 0], y),
        "inputs [200, 3], must be [200, T, 1] with T at least 3",
    ),
    "another number of features": (
        Bits,
        lambda x, y: (x.expand(-1, -1, 2), y),
        "inputs [200, 3, 2], must be [200, T, 1]",
    ),
    "too few examples": (Bits, lambda x, y: (x[1:], y), "inputs [199, 3, 1], must be [200, T, 1]"),
    "too few steps": (Bits, lambda x, y: (x[:, 1:], y), "inputs [200, 2, 1], must be [200, T, 1] with T at least 3"),
    "numpy inputs": (Bits, lambda x, y: (x.numpy(), y), "inputs of type numpy.ndarray, must be a torch.Tensor"),
    "a list of targets": (Bits, lambda x, y: (x, y.tolist()), "targets of type list, must be a torch.Tensor"),
    "NaN": (Bits, lambda x, y: (x / x, y), "infinite or NaN inputs, must be finite"),
    "infinity": (Bits, lambda x, y: (x.double() * 1e300, y), "infinite or NaN inputs, must be finite"),
    "a bit of 2": (Bits, lambda x, y: (x, 2 * y), "targets between 0 and 2, must be 0 or 1"),
    "half a bit": (Bits, lambda x, y: (x, y / 2), "targets between 0 and 0.5, must be 0 or 1"),
    "NaN in targets": (Bits, lambda x, y: (x, y / 0), "targets between nan and nan, must be 0 or 1"),
    "single targets for every step": (Copy, lambda x, y: (x, y[:, 0]), "targets [200], must be [200, 3]"),
    "steps of targets": (Copy, lambda x, y: (x, y[:, 1:]), "targets [200, 2], must be [200, 3]"),
    "bits of -1": (Copy, lambda x, y: (x, y - 1), "targets between -1 and 0, must be 0 or 1, in the padding too"),
    "classes as floats": (Classes, lambda x, y: (x, y.float()), "targets of torch.float32, must be of torch.int64"),
    "a class too high": (Classes, lambda x, y: (x, y + 1), "targets between 1 and 2, must be from 0 to 1"),
    "a negative class": (Classes, lambda x, y: (x, -y), "targets between -1 and 0, must be from 0 to 1"),
    "inputs alone": (Bits, lambda x, y: x, "a value of type Tensor, must be (inputs, targets)"),
    "four things": (Bits, lambda x, y: (x, y, y, y), "a value of type tuple, must be (inputs, targets)"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_draw_may_not_give(wrong):
    kind, change, message = WRONG[wrong]
    with pytest.raises(UserError) as refused:
        kind(change).setup()
    tried = message.replace("199", "1").replace("200", "2")  # two examples are tried before all are drawn
    given = str(refused.value).removeprefix(f"test_contract.{kind.__name__}.draw: gave ")
    assert given.startswith((message, tried))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", [torch.bool, torch.int8, torch.int64, torch.float16, torch.float64])
def test_inputs_and_targets_of_every_kind_of_numbers(kind):
    bits = Bits(lambda x, y: (x.to(kind), y.to(kind)))
    bits.setup()
    assert bits.train.inputs.dtype == torch.float and bits.train.inputs.shape == (200, 3, 1)
    assert bits.train.targets.dtype == (kind if kind.is_floating_point else torch.long)
    assert torch.equal(bits.train.targets.float(), bits.train.inputs[..., 0].sum(1) % 2)


def test_sequences_may_have_more_steps_than_the_longest_needs():
    copy = Copy(lambda x, y: (torch.nn.functional.pad(x, (0, 0, 0, 2)), torch.nn.functional.pad(y, (0, 2))))
    copy.setup()
    assert copy.train.inputs.shape == (200, 5, 1) and copy.train[torch.arange(3)].inputs.shape == (3, 3, 1)


def test_new_test_sets_are_checked_too():
    bits = Bits()
    bits.setup()
    bits.change = lambda inputs, targets: (inputs, targets + 1)
    with pytest.raises(UserError, match=r"test_contract\.Bits\.draw: gave targets between 1 and 2"):
        bits.test_examples([4], 10)


def examples(size=10, steps=3, length=3, **changes):
    lengths = torch.full((size,), length)
    return Examples(
        **{"inputs": torch.zeros(size, steps, 1), "lengths": lengths, "targets": torch.zeros(size), **changes}
    )


class FromFile(Bits):
    """A task whose examples are not drawn."""

    made: dict

    def setup(self, stage=None):
        for name, value in {"train": examples(), "val": examples(), "test": [examples()], **self.made}.items():
            setattr(self, name, value)


OWN = {
    "targets": ({"train": examples(targets=torch.zeros(10, 1))}, "train has targets [10, 1], must be [10]"),
    "val": ({"val": examples(targets=torch.ones(10) * 3)}, "val has targets between 3 and 3, must be 0 or 1"),
    "test": (
        {"test": [examples(), examples(inputs=torch.zeros(10, 3))]},
        "test has inputs [10, 3], must be",
    ),
    "numpy": ({"train": examples(inputs=np.zeros((10, 3, 1)))}, "train has inputs of type numpy.ndarray"),
    "a list of lengths": ({"train": examples(lengths=[3] * 10)}, "train has lengths of type list"),
    "float lengths": ({"train": examples(lengths=torch.full((10,), 3.0))}, "train has lengths [10] of torch.float32"),
    "no examples": ({"train": examples(0)}, "train has lengths [0] of torch.int64, must be [N]"),
    "a length of 0": ({"train": examples(length=0)}, "train has a length of 0, must be at least 1"),
    "a length of 4": (
        {"train": examples(length=4)},
        "train has inputs [10, 3, 1], must be [10, T, 1] with T at least",
    ),
    "a foreign length": (
        {"val": examples(steps=9, length=5)},
        "val has lengths between 5 and 5, must be from 1 to 3, by task.lengths and task.test_lengths",
    ),
    "None": ({"train": None}, "train is NoneType, must be Examples"),
    "tensors": ({"val": torch.zeros(10, 3, 1)}, "val is torch.Tensor, must be Examples"),
    "one test set": ({"test": examples()}, "test is rnn_tasks.tasks.examples.Examples, must be a list of Examples"),
    "no test sets": ({"test": []}, "test is list, must be a list of Examples"),
}


@pytest.mark.parametrize("wrong", OWN)
def test_what_an_own_setup_may_not_make(wrong, monkeypatch):
    made, message = OWN[wrong]
    monkeypatch.setattr(FromFile, "made", made, raising=False)
    task = FromFile()
    for _ in range(2):  # a second call finds the same fault
        with pytest.raises(UserError) as refused:
            task.setup()
        assert str(refused.value).startswith(f"test_contract.FromFile.setup: {message}")


def test_what_a_setup_makes_after_that_of_its_base_class_is_checked_each_time():
    class Spoiled(Bits):
        def setup(self, stage=None):
            super().setup(stage)
            self.train.inputs[0] = math.nan

    task = Spoiled()
    for _ in range(2):
        with pytest.raises(UserError, match=r"Spoiled.setup: train has infinite or NaN inputs"):
            task.setup()


@pytest.mark.parametrize("classes", [5, 20])
def test_a_model_with_another_number_of_classes_than_its_task_is_refused(classes):
    class Wrong(nn.Linear):
        def forward(self, inputs, lengths, dropout_key=None):
            return super().forward(inputs[..., 0, :])

    sizes = {"lengths": (3, 4), "test_lengths": (3, 4), "train_size": 4, "val_size": 2, "test_size": 2}
    task = Memory(name="memory", batch_size=2, data_seed=0, **sizes)
    task.setup()
    with pytest.raises(UserError, match=rf"forward: gave logits \[\d+, {classes}\], must be logits \[\d+, 10\]"):
        measure(Wrong(10, classes), task, ce, task.test)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clip": -1}, "clip=-1: must be at least 0 and finite"),
        ({"clip_by": "foo"}, "clip_by='foo': must be norm or value"),
        ({"log_every": -1}, "log_every=-1: must be at least 0"),
    ],
)
def test_values_of_a_learner_that_make_no_sense(values, message):
    with pytest.raises(ValueError) as refused:
        Learner(Network(1, 1, "last"), Bits(), TrainSchedule(4, 2), bce, partial(torch.optim.Adam), **values)
    assert str(refused.value) == message


def test_a_scheduler_without_an_end_is_named():
    cosine = Scheduling(partial(torch.optim.lr_scheduler.CosineAnnealingLR))
    learner = Learner(Network(1, 1, "last"), Bits(), TrainSchedule(4, 2), bce, partial(torch.optim.Adam), cosine)
    with pytest.raises(UserError, match=r"^scheduler: CosineAnnealingLR needs an end; set trainer.max_epochs or"):
        learner.configure_optimizers()


def test_an_own_setup_runs_once(monkeypatch):
    monkeypatch.setattr(FromFile, "made", {}, raising=False)
    task = FromFile()
    assert task.train is None and not task.is_set_up
    task.setup("fit")
    first = task.train
    task.setup(stage="test")
    assert task.train is first and len(first) == 10 and task.is_set_up


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"batch_size": 1.0}, "batch_size=1.0: must be a whole number"),
        ({"train_size": 0}, "train_size=0: must be at least 1"),
        ({"val_size": -1}, "val_size=-1: must be at least 1"),
        ({"test_size": True}, "test_size=True: must be a whole number"),
        ({"data_seed": -1}, "data_seed=-1: must be at least 0"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"replicates": 0}, "replicates=0: must be from 1 to 1,024"),
        ({"lengths": (5, 2)}, "lengths=(5, 2): must be the lowest and the highest length, like (1, 20)"),
        ({"lengths": (0, 2)}, "lengths=(0, 2): must be the lowest"),
        ({"lengths": (1, 2, 3)}, "lengths=(1, 2, 3): must be the lowest"),
        ({"lengths": 7}, "lengths=7: must be the lowest"),
        ({"lengths": (1, 2.5)}, "lengths=(1, 2.5): must be the lowest"),
        ({"lengths": (True, 2)}, "lengths=(True, 2): must be the lowest"),
        ({"lengths": "12"}, "lengths='12': must be the lowest"),
        ({"test_lengths": [3, 1]}, "test_lengths=[3, 1]: must be the lowest"),
        ({"name": "report"}, "name='report': must be the name of a directory, without slashes and spaces, and none of"),
        ({"name": ""}, "name='': must be the name of a directory"),
    ],
)
def test_values_that_a_task_refuses(values, message):
    with pytest.raises(ValueError) as refused:
        Bits(**values)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


ATTRIBUTES = {"input_size": 1, "output_size": 1, "readout": "last"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": 0}, "input_size=0: must be at least 1"),
        ({"output_size": None}, "output_size=None: must be a whole number"),
        ({"readout": "end"}, "readout='end': must be every_step or last"),
        ({"chance_accuracy": 50}, "chance_accuracy=50: must be at least 0 and less than 1"),
        ({"extra_steps": -1}, "extra_steps=-1: must be at least 0"),
    ],
)
def test_class_attributes_that_a_task_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        type("Own", (Task,), ATTRIBUTES | changes)(**VALUES)


@pytest.mark.parametrize("missing", ATTRIBUTES)
def test_class_attributes_that_a_task_must_have(missing):
    with pytest.raises(ValueError, match=rf"test_contract\.Own: must have {missing}"):
        type("Own", (Task,), {name: value for name, value in ATTRIBUTES.items() if name != missing})(**VALUES)


SERIES = '''
import torch
from rnn_tasks.tasks import Examples, Task


class Series(Task):
    """Which of three curves rises at its end; there is no text form."""

    input_size, output_size, readout, chance_accuracy = 3, 3, "last", 1 / 3

    def setup(self, stage=None):
        values = torch.tensor([[float(word) for word in line.split(",")] for line in open("series.csv")])
        inputs, lengths = values.view(-1, 4, 3), torch.full((len(values),), 4)
        sets = [Examples(inputs[i::3], lengths[i::3], inputs[i::3, -1].argmax(-1)) for i in range(3)]
        self.train, self.val, self.test = sets[0], sets[1], [sets[2]]
'''
SERIES_VALUES = """
# @package _global_
defaults: [override /model: lstm, override /loss: ce]
task: {_target_: series.Series, name: series, losses: [ce], lr: {adam: 0.01, sgd: 0.1}, batch_size: 8, data_seed: 0,
       train_size: 30, val_size: 30, test_size: 30, lengths: [4, 4]}
"""
TRAIN = ["train", "--config-dir", "conf", "task=series", "trainer.max_epochs=1", "threads=1", "name=run"]


@pytest.fixture
def series(workplace, monkeypatch):
    """A task of the user's own that has nothing but setup, and its file."""
    (workplace / "series.py").write_text(SERIES)
    (workplace / "conf" / "task").mkdir(parents=True)
    (workplace / "conf" / "task" / "series.yaml").write_text(SERIES_VALUES.lstrip())
    monkeypatch.syspath_prepend(workplace)
    numbers = torch.rand(90, 12, generator=torch.Generator().manual_seed(0)).tolist()
    (workplace / "series.csv").write_text("\n".join(",".join(f"{value:.4f}" for value in row) for row in numbers))
    return workplace / "series.csv"


def test_a_task_needs_no_text_form(series):
    ended = command(*TRAIN)
    assert ended.returncode == 0, ended.stderr
    asked = command("predict", "outputs/series/run", "0.1 0.2 0.3; 0 0 0; 1 1 1; 0.5 0.6 1e-1")
    assert asked.returncode == 0 and asked.stdout.strip() in ("0", "1", "2")
    shown = command("show", "outputs/series/run")
    assert shown.returncode == 0 and "; " in shown.stdout
    for words, message in (
        (
            ["predict", "outputs/series/run", "0.1 0.2"],
            "must be steps of 3 numbers each, like '0.5 0.5 0.5; 0.5 0.5 0.5'",
        ),
        (["evaluate", "outputs/series/run", "--lengths", "5"], "series.Series.draw: is missing"),
    ):
        ended = command(*words)
        assert ended.returncode == 2 and message in ended.stderr and ended.stderr.count("error:") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), "series.Series.setup: [Errno 2] No such file or directory: 'series.csv'"),
        (lambda file: file.write_text("a,b,c"), "series.Series.setup: could not convert string to float: 'a'"),
    ],
)
def test_a_file_that_lacks_something_gets_one_line_before_training(series, change, message):
    change(series)
    ended = command(*TRAIN)
    assert ended.returncode == 2 and ended.stderr == f"error: {message}\n"
    assert not list(Path("outputs").rglob("run"))


def test_numbers_are_read_as_they_are_written(series):
    task = config.build_task(config.compose(["hydra.searchpath=[file://conf]", "task=series"]))
    inputs = torch.tensor([[0.5, 1.0, -2.0], [0.0, 1e-3, 7.0]])
    assert task.write_input(inputs) == "0.5 1 -2; 0 0.001 7" and torch.equal(task.parse("0.5 1 -2; 0 0.001 7"), inputs)
    for text in ("", "1 2", "1 2 3; 4 5", "1 2 nan", "1 2 inf", "a b c", ";"):
        with pytest.raises(ValueError, match="must be steps of 3 numbers each"):
            task.parse(text)

"""Optimizers and schedulers of every kind, and what is said of those that cannot be used."""

from functools import partial

import pytest
import torch
from helpers import assert_equal_ends, train_with_stops, trained
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rnn_tasks.errors import UserError
from rnn_tasks.runs.directory import read_config
from rnn_tasks.training.optimization import build_optimizer

OPTIM = "torch.optim"
SCHEDULER = "scheduler._target_=torch.optim.lr_scheduler"
WORDS = ["task.train_size=32", "task.val_size=8", "task.batch_size=8", "trainer.max_epochs=4", "model.hidden=2"]


def rates(run, *words):
    """The learning rate in each epoch's last step."""
    seen = []

    def note(optimizer, *_):
        seen.append(optimizer.param_groups[0]["lr"])

    handle = register_optimizer_step_pre_hook(note)
    try:
        trained(run, *WORDS, *words)
    finally:
        handle.remove()
    return seen[1:][3::4]  # the first step is a trial


def test_exponential_decay_takes_a_step_after_each_epoch(tmp_path, no_pictures):
    words = [f"{SCHEDULER}.ExponentialLR", "+scheduler.gamma=0.5", "optimizer.lr=0.8"]
    assert rates(tmp_path, *words) == pytest.approx([0.8, 0.4, 0.2, 0.1])


def test_interval_of_a_scheduler_is_the_users(tmp_path, no_pictures):
    words = [f"{SCHEDULER}.ExponentialLR", "+scheduler.gamma=0.5", "optimizer.lr=0.8"]
    assert rates(tmp_path, *words, "+scheduler.interval=step")[0] == pytest.approx(0.1)


def test_one_cycle_gets_the_number_of_steps(tmp_path, no_pictures):
    words = [f"{SCHEDULER}.OneCycleLR", "+scheduler.max_lr=0.1"]
    seen = rates(tmp_path, *words)
    assert seen[0] > seen[1] > seen[3] and seen[3] < 1e-4


def test_plateau_follows_the_validation_of_one_network(tmp_path, no_pictures):
    words = [f"{SCHEDULER}.ReduceLROnPlateau", "+scheduler.patience=0"]
    words += ["+scheduler.threshold=100", "+scheduler.threshold_mode=abs", "optimizer.lr=0.1"]
    assert rates(tmp_path, *words) == pytest.approx([0.1, 0.1, 0.01, 0.001])
    with pytest.raises(UserError, match=r"scheduler: ReduceLROnPlateau .* take model.replicates=1"):
        trained(tmp_path / "several", *WORDS, *words, "model.replicates=2")


def test_resume_with_a_scheduler_of_epochs(tmp_path, monkeypatch, no_pictures):
    words = [*WORDS, f"{SCHEDULER}.ExponentialLR", "+scheduler.gamma=0.5"]
    trained(tmp_path / "whole", *words)
    train_with_stops(monkeypatch, tmp_path / "run", (4, 9), *words)
    assert_equal_ends(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("name", ["RMSprop", "Adagrad", "NAdam", "Rprop", "Adamax"])
def test_optimizers_of_torch_train_several_replicates(tmp_path, no_pictures, name):
    trained(tmp_path, *WORDS, f"optimizer._target_={OPTIM}.{name}", "~optimizer.weight_decay", "model.replicates=2")
    assert read_config(tmp_path).optimizer._target_ == f"{OPTIM}.{name}"


REFUSED = {
    f"optimizer._target_={OPTIM}.LBFGS": "optimizer.weight_decay: no such key; torch.optim.LBFGS takes",
    f"optimizer._target_={OPTIM}.Adafactor": "optimizer: Adafactor couples the elements of a parameter",
    "+optimizer.nonsense=1": "optimizer.nonsense: no such key; torch.optim.Adam takes amsgrad, betas",
    "+optimizer.amsgrad=x": "optimizer.amsgrad=x: must be true or false",
    "+optimizer.foreach=true": "optimizer.foreach=True: .*fused.*foreach",
    "+optimizer.params=3": "optimizer.params: is set by the project",
    "+loss.weight=2": r"loss.weight: no such key; rnn_tasks.training.losses.bce takes nothing",
    "+model.seed=3": "model.seed: is set by the project",
    "+model.nonsense=3": "model.nonsense: no such key; rnn_tasks.models.Network takes bidirectional, cell",
    "+task.nonsense=3": "task.nonsense: no such key; rnn_tasks.tasks.Adder takes batch_size, data_seed",
    "+scheduler.T_max=5": "scheduler.T_max: is set by the project",
    "+scheduler.interval=hour": "scheduler.interval=hour: must be one of step, epoch",
    "+scheduler.gamma=5": "scheduler.gamma: no such key; .*CosineAnnealingLR takes eta_min$",
    "+optimizer.betas=[0.9]": r"optimizer.betas=\[0.9\]: list index .*; the default is \(0.9, 0.999\)$",
    "+optimizer.betas=x": "optimizer.betas=x: ",
    "+optimizer.eps=x": "optimizer.eps=x: .*; the default is 1e-08$",
    f"optimizer._target_={OPTIM}.lr_scheduler.Counter": "optimizer._target_=.*Counter: must be a torch.optim.Optimizer",
    "+scheduler.last_epoch=5": "scheduler.last_epoch: is set by the project; .*CosineAnnealingLR takes eta_min$",
    "+scheduler.eta_min=x": "scheduler.eta_min=x: ",
    f"{SCHEDULER}.LRScheduler": "scheduler: LRScheduler cannot be used: NotImplementedError",
    f"{SCHEDULER}.Tensor": "scheduler._target_=.*Tensor: must be a torch.optim.lr_scheduler.LRScheduler",
    "+trainer.logger=false": "trainer.logger: no such key; .* the project sets the others",
    "+trainer.overfit_batches=1": "trainer.overfit_batches: no such key",
    "optimizer._target_=torch.optim.Nothing": "optimizer._target_=torch.optim.Nothing: cannot be found",
    "optimizer._target_=5": "optimizer._target_=5: must be the place of a class",
    "model._target_=torch.nn": "model: must be a mapping with a class or a function as _target_",
    "logger.tensorboard._target_=nowhere.Logger": "logger.tensorboard._target_=nowhere.Logger: cannot be found",
    "logger.tensorboard.version=/tmp/elsewhere": "logger.tensorboard: would write to /tmp/elsewhere, must lie in",
    "logger.tensorboard.name=../..": "logger.tensorboard: would write to .*, must lie in the run directory",
}


@pytest.mark.parametrize("word", REFUSED)
def test_words_that_a_part_does_not_take_are_refused_in_one_line(tmp_path, word):
    with pytest.raises(UserError, match=REFUSED[word]) as refused:
        trained(tmp_path / "run", *WORDS, word, "model.replicates=2")
    assert "\n" not in str(refused.value)


def test_optimizer_that_takes_no_dense_gradients_is_refused_before_it_takes_a_step():
    weights = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(UserError, match=r"optimizer: SparseAdam cannot be used: .* dense gradients"):
        build_optimizer(partial(torch.optim.SparseAdam), [weights], 1)
    build_optimizer(partial(torch.optim.AdamW, weight_decay=0.5), [weights], 1)
    assert weights.tolist() == [1, 1] and weights.grad is None


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(UserError, match="optimizer: is a list, must be a"):
        build_optimizer(partial(list), [torch.nn.Parameter(torch.ones(1))], 1)

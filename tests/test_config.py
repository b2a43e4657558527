"""The configuration: everything composes and builds, and what is wrong is refused in one line."""

from importlib.machinery import ModuleSpec

import pytest
import torch
from hydra.utils import instantiate

from rnn_tasks import config
from rnn_tasks.config import composition
from rnn_tasks.errors import UserError
from rnn_tasks.models import Network


def options(group):
    return sorted(path.stem for path in (config.CONF / group).glob("*.yaml"))


REPORTED = {
    "adder_hidden", "adder_length5", "adder_loss", "memory_hidden10", "memory_hidden2", "memory_hidden5",
    "mnist_birnn_adam", "mnist_lstm_sgd", "mnist_lstm_sgd_slow", "mnist_rnn_adam", "mnist_rnn_sgd",
}  # fmt: skip


@pytest.mark.parametrize("task", options("task"))
@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds_for_every_task(task, model):
    words = ["model.channels=[4]"] if model == "crnn" and task == "adder" else []  # its inputs are two bits wide
    _, network = config.build(config.compose([f"task={task}", f"model={model}", *words]))
    assert isinstance(network, Network)


@pytest.mark.parametrize("task", options("task"))
@pytest.mark.parametrize("optimizer", options("optimizer"))
def test_an_optimizer_takes_the_learning_rate_of_the_task(task, optimizer):
    cfg = config.compose([f"task={task}", f"optimizer={optimizer}", "scheduler=cosine"])
    made = instantiate(cfg.optimizer)(torch.nn.Linear(1, 1).parameters())
    assert made.param_groups[0]["lr"] == cfg.task.lr[optimizer.removesuffix("w")]
    instantiate(cfg.scheduler)(made, T_max=10)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_and_opens_with_its_command(experiment):
    cfg = config.compose([f"experiment={experiment}"])
    assert cfg.experiment == experiment
    config.build(cfg)
    instantiate(cfg.loss)
    text = (config.CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert f"# python -m rnn_tasks.train experiment={experiment}\n" in text and len(text.splitlines()) <= 25


def test_all_experiments_of_the_report_are_there():
    assert set(options("experiment")) >= REPORTED


@pytest.mark.parametrize("debug", options("debug"))
@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_debug_and_logger_compose(debug, logger):
    config.compose([f"debug={debug}", f"logger={logger}"])


@pytest.mark.parametrize("loss", options("loss"))
@pytest.mark.parametrize("task", options("task"))
def test_losses_that_make_no_sense_are_refused_and_the_others_work(task, loss):
    if loss in config.compose([f"task={task}"]).task.losses:
        task_, _network = config.build(config.compose([f"task={task}", f"loss={loss}"]))
        targets = torch.zeros(2, dtype=torch.long if task_.output_size > 1 else torch.float)
        value = instantiate(config.compose([f"task={task}", f"loss={loss}"]).loss)
        assert value(torch.zeros(2, task_.output_size), targets).shape == (2,)
    else:
        with pytest.raises(UserError, match=rf"loss={loss}: makes no sense for task={task}; it takes .* or .*"):
            config.compose([f"task={task}", f"loss={loss}"])


def test_the_command_line_wins_over_experiment_over_task():
    cfg = config.compose(["experiment=mnist_rnn_adam", "model=birnn", "model.hidden=7", "optimizer=sgd"])
    assert (cfg.model.bidirectional, cfg.model.hidden, cfg.trainer.max_epochs) == (True, 7, 30)
    assert cfg.optimizer._target_ == "torch.optim.SGD"


WRONG = {
    "model.hiden=3": "model.hiden: no such key; model has .*hidden",
    "model=lstmm": "model=lstmm: no such model; there are bilstm, birnn, crnn, gru, lstm, rnn",
    "nonsense=3": "nonsense: no such key; .*seed",
    "model.hidden=five": "model.hidden=five: must be a whole number like 5",
    "model.hidden=2.5": "model.hidden=2.5: must be a whole number",
    "model.hidden=true": "model.hidden=True: must be a whole number",
    "model.hidden=0": "model.hidden=0: must be at least 1",
    "model.dropout=1": "model.dropout=1: must be at least 0 and less than 1",
    "optimizer.lr=0": "optimizer.lr=0: must be more than 0",
    "optimizer.lr=nan": "optimizer.lr=nan: must be a number",
    "optimizer.lr=inf": "optimizer.lr=inf: must be more than 0 and finite",
    "optimizer.momentum=0.9": "optimizer.momentum: no such key",
    "task.train_size=-5": "task.train_size=-5: must be at least 1",
    "task.lengths=[5,2]": r"task.lengths=\[5,2\]: must be the lowest and highest length",
    "task.lengths=[0,2]": r"task.lengths=\[0,2\]: must be the lowest",
    "task.lengths=[]": r"task.lengths=\[\]: must be the lowest",
    "task.lengths=7": r"task.lengths=7: must be a list like \[1,20\]",
    "task.lengths=[1,x]": "task.lengths=x: must be a whole number",
    "task.order=middle": "task.order=middle: must be one of lsb, msb",
    "trainer.max_epochs=0": "trainer.max_epochs=0: must be at least 1",
    "trainer.gpus=1": "trainer.gpus: no such key; trainer has accelerator",
    "seed=-1": "seed=-1: must be at least 0",
    "task.batch_size=1,2": "Ambiguous value",
    "task.lr=5": "task.lr",
    "~seed": "seed: cannot be left out",
    "~trainer.patience": "trainer.patience: cannot be left out",
    "trainer.val_check_interval=0": "trainer.val_check_interval=0: must be more than 0",
    "trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch=0: must be at least 1",
    "trainer.limit_train_batches=0": "trainer.limit_train_batches=0: must be more than 0",
    "trainer.precision=nonsense": "trainer.precision=nonsense: must be one of 32-true",
    "trainer.profiler=nonsense": "trainer.profiler=nonsense: must be one of null, simple",
    "+nonsense=3": "nonsense: no such key; the configuration has seed",
    "~logger": "logger=null: a logger must be chosen; there are csv, mlflow, tensorboard, wandb",
    "trainer.accelerator=abacus": "trainer.accelerator=abacus: must be one of auto, cpu",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches=0: must be at least 1",
    "trainer.min_epochs=x": "trainer.min_epochs=x: must be a whole number",
    "trainer.strategy=ddp_fork": "trainer.strategy=ddp_fork: leaves no metrics",
    "name=a/b": "name=a/b: must be the name of a directory",
    "name=..": "name=..: must be the name of a directory",
    "name=": "name=: must be the name of a directory",
    "model.hidden=[": "not of the form key=value",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_values_are_refused_in_one_line(override):
    with pytest.raises(UserError, match=WRONG[override]) as refused:
        config.compose([override])
    assert "\n" not in str(refused.value)


def test_relations_between_values():
    with pytest.raises(UserError, match=r"task.k=4: longer than the shortest sequence of task.lengths=\[3,10\]"):
        config.compose(["task=memory", "task.k=4"])
    with pytest.raises(UserError, match="MNIST has 60,000 images"):
        config.compose(["task=mnist", "task.val_size=5001"])


def test_a_logger_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(composition, "find_spec", lambda name: ModuleSpec(name, None))  # as of a directory of that name
    with pytest.raises(UserError, match="logger=wandb: that package is not installed; pip install wandb"):
        config.compose(["logger=wandb"])


def test_flags_may_stand_anywhere():
    assert config.arguments(["task=adder", "--multirun", "seed=1,2"]) == (["--multirun"], ["task=adder", "seed=1,2"])
    assert config.arguments(["a=1", "-c", "job", "b=2"]) == (["-c", "job"], ["a=1", "b=2"])
    assert config.arguments(["--info", "a=1"]) == ([], ["a=1", "--info"])
    for words in (["--mulitrun"], ["=3"], ["--cfg", "nonsense"], ["logger=null"]):
        with pytest.raises(UserError):
            config.arguments(words)


def test_directories_of_a_sweep_have_safe_and_different_names():
    assert config.directory_name("model.hidden=3,seed=1") == "model.hidden=3,seed=1"
    names = [
        config.directory_name(text) for text in ("a=b/c", "a=b_c", "a=b c", "a=" + "x" * 300, "a=" + "x" * 301, "")
    ]
    assert len(set(names)) == len(names)
    assert all(len(name.encode()) <= 200 and "/" not in name and " " not in name for name in names)


def test_only_one_thing_beside_resume():
    assert str(config.run_to_resume([], ["resume=outputs/a=1"])) == "outputs/a=1"
    assert config.run_to_resume([], ["seed=1"]) is None
    for flags, overrides in (
        (["--multirun"], ["resume=x"]),
        ([], ["resume=x", "seed=1"]),
        ([], ["resume=x", "resume=y"]),
    ):
        with pytest.raises(UserError, match="nothing can stand beside resume="):
            config.run_to_resume(flags, overrides)


def test_what_is_the_same_for_a_whole_sweep_does_not_name_its_runs():
    said = config.constant_keys(["experiment=adder_hidden", "model.hidden=1,3", "+task.k=3", "hydra.sweep.dir=x"])
    assert said == "hydra.job.config.override_dirname.exclude_keys=[name,experiment,task.k]"

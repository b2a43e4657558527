"""The configuration: everything composes and builds, and wrong keys and values are refused in one line."""

import re
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest
import torch
from hydra.utils import instantiate

from rnn_tasks import config
from rnn_tasks.config import composition
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.models import Replicated


def options(group):
    return sorted(path.stem for path in (config.CONF / group).glob("*.yaml"))


REPORTED = {
    "adder_hidden", "adder_length5", "adder_loss", "memory_hidden10", "memory_hidden2", "memory_hidden5",
    "mnist_birnn_adam", "mnist_lstm_sgd", "mnist_lstm_sgd_slow", "mnist_rnn_adam", "mnist_rnn_sgd",
}  # fmt: skip


EVERY_KIND = ("adder", "memory", "mnist", "flip_flop", "adding")  # of readout and answer


@pytest.fixture
def words_of(tmp_path):
    """What a task needs beside its name."""
    data = tmp_path / "data.csv"
    rows = [f"{number},{step},0.{number}" for number in range(1, 10) for step in (0, 1)]
    data.write_text("\n".join(["sequence,x,target", *rows]), encoding="utf-8")
    needs = {"file": [f"task.path={data}"], "regular": ["task.regex=(ab)*"]}
    return lambda task: [f"task={task}", *needs.get(task, [])]


@pytest.mark.parametrize("task", EVERY_KIND)
@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds_for_tasks_of_every_kind(task, model):
    words = (
        ["model.channels=[4]"] if model == "crnn" and task != "mnist" else []
    )  # a second one halves the inputs again
    _, network = config.build(config.compose([f"task={task}", f"model={model}", *words]))
    assert isinstance(network, Replicated)


@pytest.mark.parametrize("task", options("task"))
def test_every_task_builds_and_has_a_learning_rate_for_every_optimizer(task, words_of):
    cfg = config.compose(words_of(task))
    _, network = config.build(cfg)
    assert isinstance(network, Replicated)
    assert set(cfg.task.lr) == {optimizer.removesuffix("w") for optimizer in options("optimizer")}


@pytest.mark.parametrize("optimizer", options("optimizer"))
def test_optimizer_takes_learning_rate_of_task(optimizer):
    cfg = config.compose(["task=memory", f"optimizer={optimizer}", "scheduler=cosine"])
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


def test_every_experiment_of_the_report_exists():
    assert set(options("experiment")) >= REPORTED


def test_a_change_in_the_file_of_a_nested_group_is_noticed(tmp_path, monkeypatch):
    shutil.copytree(config.CONF, tmp_path / "conf")
    monkeypatch.setattr(composition, "CONF", tmp_path / "conf")
    words = ["task=mnist", "task/augmentation=handwriting"]
    assert "erase" in config.compose(words).task.augmentation
    file = tmp_path / "conf" / "task" / "augmentation" / "handwriting.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith("erase:")), encoding="utf-8")
    assert "erase" not in config.compose(words).task.augmentation


@pytest.mark.parametrize("debug", options("debug"))
@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_debug_and_logger_compose(debug, logger):
    config.compose([f"debug={debug}", f"logger={logger}"])


@pytest.mark.parametrize("task", options("task"))
def test_losses_that_suit_the_task_take_its_answers(task, words_of):
    cfg = config.compose(words_of(task))
    built = config.build_task(cfg)
    form = built.format
    kind = torch.long if form.kind == "classes" else torch.float
    targets = torch.zeros(2, *[form.size] * form.has_parts, dtype=kind)
    for loss in set(cfg.task.losses) if task != "file" else ():  # whose answers may be of any kind
        value = instantiate(config.compose([*words_of(task), f"loss={loss}"]).loss)
        assert value(torch.zeros(2, form.size), targets).shape == (2,)


@pytest.mark.parametrize(
    ("task", "loss"), [("adder", "ce"), ("memory", "bce"), ("adding", "bce"), ("parity", "squared")]
)
def test_losses_that_do_not_suit_the_task_are_refused(task, loss):
    with pytest.raises(UserError, match=rf"loss={loss}: does not suit task={task}; choose .*"):
        config.compose([f"task={task}", f"loss={loss}"])


def test_command_line_overrides_experiment_and_experiment_overrides_task():
    cfg = config.compose(["experiment=mnist_rnn_adam", "model=birnn", "model.hidden=7", "optimizer=sgd"])
    assert (cfg.model.bidirectional, cfg.model.hidden, cfg.trainer.max_epochs) == (True, 7, 30)
    assert cfg.optimizer._target_ == "torch.optim.SGD"


WRONG = {
    "model.hiden=3": "model.hiden: no such key; model has .*hidden",
    "model=lstmm": "model=lstmm: no such model; there are bilstm, birnn, crnn, gru, lstm, mingru, minlstm, rnn",
    "nonsense=3": "nonsense: no such key; .*seed",
    "model.hidden=five": "model.hidden=five: must be a whole number like 5",
    "model.hidden=2.5": "model.hidden=2.5: must be a whole number",
    "model.hidden=true": "model.hidden=True: must be a whole number",
    "model.hidden=0": "model.hidden=0: must be at least 1",
    "model.dropout=1": "model.dropout=1: must be at least 0 and less than 1",
    "optimizer.lr=0": "optimizer.lr=0: must be more than 0",
    "optimizer.lr=nan": "optimizer.lr=nan: must be a finite number",
    "optimizer.lr=inf": "optimizer.lr=inf: must be a finite number",
    "task.lr.sgd=-inf": "task.lr.sgd=-inf: must be a finite number",
    "+loss.label_smoothing=None": "loss.label_smoothing=None: must be at least 0",
    "optimizer.momentum=0.9": "optimizer.momentum: no such key",
    "task.train_size=-5": "task.train_size=-5: must be at least 1",
    "task.lengths=[5,2]": r"task.lengths=\[5,2\]: must be the lowest and highest length",
    "task.lengths=[0,2]": r"task.lengths=\[0,2\]: must be the lowest",
    "task.lengths=[]": r"task.lengths=\[\]: must be a list like \[1,20\]",
    "task.lengths=7": r"task.lengths=7: must be a list like \[1,20\]",
    "task.lengths=[1,x]": "task.lengths=x: must be a whole number",
    "task.test_lengths=[9,1]": r"task.test_lengths=\[9,1\]: must be the lowest and highest length",
    "model.pooling=max": "model.pooling=max: must be one of last, mean",
    "trainer.max_epochs=0": "trainer.max_epochs=0: must be at least 1",
    "trainer.gpus=1": "trainer.gpus: no such key; trainer has accelerator",
    "seed=-1": "seed=-1: must be at least 0",
    "task.batch_size=1,2": "Ambiguous value",
    "task.lr=5": "task.lr",
    "~seed": "seed: cannot be left out",
    "~trainer.patience": "trainer.patience: cannot be left out",
    "~optimizer._target_": "optimizer._target_: cannot be left out",
    "trainer.val_check_interval=0": "trainer.val_check_interval=0: must be more than 0",
    "trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch=0: must be at least 1",
    "trainer.limit_train_batches=0": "trainer.limit_train_batches=0: must be more than 0",
    "trainer.precision=nonsense": "trainer.precision=nonsense: must be one of 32-true",
    "trainer.profiler=nonsense": "trainer.profiler=nonsense: must be one of null, simple",
    "+nonsense=3": "nonsense: no such key; the configuration has seed",
    "~logger": "logger: one must be chosen; there are csv, mlflow, tensorboard, wandb",
    "logger=[]": "^logger: one must be chosen; there are csv, mlflow, tensorboard, wandb$",
    "logger=[1,2,3]": r"^logger=\[1,2,3\]: must be a name or a list of names, of csv, mlflow, tensorboard, wandb",
    "model=[lstm,rnn]": r"^model=\[lstm,rnn\]: must be one name, of bilstm, .*; model=A,B with --multirun makes a run",
    "model=null": "^model=null: must be one name, of bilstm, ",
    "debug=null": "^debug=null: must be one name, of fast, limit, .*; leave out debug= for none",
    "callbacks=null": "^callbacks=null: must be a name or a list of names, of participation, weight_norms",
    "optimizer.lr=${task.lr.nope}": "^optimizer.lr: Interpolation key 'task.lr.nope' not found$",
    "optimizer.lr=???": "^optimizer.lr: Missing mandatory value",
    f"+optimizer.eps=1{400 * '0'}": "^optimizer.eps=10+: must be a finite number",
    "+optimizer.betas=[0.9,-inf]": r"^optimizer.betas=\[0.9,-inf\]: must be a finite number",
    "task.losses=[]": r"^task.losses=\[\]: must be a list like \['bce','mse'\]",
    "trainer.accelerator=tpu": "^trainer.accelerator=tpu: must be one of auto, cpu, gpu, cuda, mps$",
    "trainer.max_time=99999999999:00:00:00": "trainer.max_time=.*: must be days, hours, minutes and seconds like",
    "+logger.tensorboard.filename_suffix=/../../x": "filename_suffix=/../../x: must be a part of a file's name",
    "logger.tensorboard.max_queue=x": "logger.tensorboard.max_queue=x: must be a whole number like 10",
    "logger.tensorboard.name=[1]": r"logger.tensorboard.name=\[1\]: must be a word",
    "trainer.accelerator=abacus": "trainer.accelerator=abacus: must be one of auto, cpu",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches=0: must be at least 1",
    "trainer.min_epochs=x": "trainer.min_epochs=x: must be a whole number",
    "trainer.devices=[0,1]": r"trainer.devices=\[0,1\]: must be a number of processes from 1 to 99",
    "trainer.devices=100": r"trainer.devices=100: .* or the index of one device like \[2\]",
    "trainer.max_time=5": "trainer.max_time=5: must be days, hours, minutes and seconds like 00:01:30:00",
    "name=a/b": "name=a/b: must be the name of a directory",
    "name=..": "name=..: must be the name of a directory",
    "task.name=latest": "task.name=latest: must be the name of a directory, .*, and none of answers",
    "name=": "name=: must be the name of a directory",
    "model.hidden=[": "no viable alternative at input .*; quote a value with other characters",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_values_are_refused_in_one_line(override):
    with pytest.raises(UserError, match=WRONG[override]) as refused:
        config.compose([override])
    assert "\n" not in str(refused.value)


def test_the_names_that_there_are_are_told_in_full():
    with pytest.raises(UserError) as refused:
        config.compose(["+trainer.x=1"])
    assert all(key in one_line(refused.value) for key in config.compose([]).trainer)


def test_relations_between_values_are_checked_by_constructors():
    with pytest.raises(UserError, match=r"^task: .*k=4: must be ") as refused:
        config.build_task(config.compose(["task=memory", "task.k=4"]))
    assert "\n" not in str(refused.value)


def test_nested_group_given_as_value_is_refused():
    with pytest.raises(UserError, match=r"task.augmentation=handwriting: is a group; choose by task/augmentation="):
        config.compose(["task=mnist", "task.augmentation=handwriting"])


def test_wrong_key_is_refused_before_torch_is_imported():
    code = (
        "import sys; sys.argv = ['train', 'model.hiden=3']\nfrom rnn_tasks.train import main\n"
        "try: main()\nfinally: print({'torch', 'lightning'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "set()\n")
    assert ended.stderr.startswith("error: model.hiden: no such key")


def test_missing_package_of_logger_is_refused(monkeypatch):
    monkeypatch.setattr(composition, "find_spec", lambda name: ModuleSpec(name, None))  # as of a directory of that name
    for choice in ("wandb", "[csv,wandb]"):
        with pytest.raises(UserError, match="logger=wandb: that package is not installed; pip install wandb"):
            config.compose([f"logger={choice}"])


def test_several_loggers_and_callbacks_compose():
    cfg = config.compose(["logger=[csv,tensorboard]", "+callbacks.mine._target_=my_module.Mine"])
    assert set(cfg.logger) == {"csv", "tensorboard"} and cfg.callbacks.mine._target_ == "my_module.Mine"
    with pytest.raises(UserError, match=r"logger\.csv\.nonsense: no such key"):
        config.compose(["logger=[csv,tensorboard]", "logger.csv.nonsense=1"])
    with pytest.raises(UserError, match="logger: one must be chosen"):
        config.compose(["logger=[]"])


def test_flags_and_overrides_in_any_order():
    assert config.arguments(["task=adder", "--multirun", "seed=1,2"]) == (["--multirun"], ["task=adder", "seed=1,2"])
    assert config.arguments(["a=1", "-c", "job", "b=2"]) == (["-c", "job"], ["a=1", "b=2"])
    assert config.arguments(["--info", "a=1"]) == config.arguments(["a=1", "-i"]) == (["--info=all"], ["a=1"])
    assert config.arguments(["--info", "config", "a=1"]) == config.arguments(["a=1", "--info=config"])
    for words in (["--mulitrun"], ["=3"], ["--cfg", "nonsense"], ["--info=nonsense"], ["~logger"]):
        with pytest.raises(UserError):
            config.arguments(words)


def test_names_of_runs_of_a_sweep_are_readable_safe_and_distinct():
    names = {
        "model.hidden=3,seed=1": {"seed": 1, "model.hidden": 3},
        "task.lengths=1+5": {"task.lengths": [1, 5]},
        "logger=csv+tensorboard": {"logger": ["csv", "tensorboard"]},
        "callbacks=none": {"callbacks": []},
        "optimizer=lr=0.1+momentum=0.9": {"optimizer": {"lr": 0.1, "momentum": 0.9}},
        "task.augmentation=none": {"task/augmentation": "none"},
        "model.bidirectional=true,trainer.max_time=null": {"trainer.max_time": None, "model.bidirectional": True},
        "optimizer.lr=1e-05": {"optimizer.lr": 1e-5},
        "run": {},
    }
    assert list(names) == [config.run_name(choices) for choices in names.values()]
    texts = ["b/c", "b_c", "b c", "x" * 300, "x" * 301, "1+5", "1,5", "c=d", ["1+5"], [[1], 5], [1, [5]], [1, 5], "ü"]
    made = [config.run_name({"a": text}) for text in texts]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[\w.,=+-]{1,200}", name, re.ASCII) for name in made)
    assert config.run_name({"a": "c,b=d"}) != config.run_name({"a": "c", "b": "d"})


def test_nothing_may_stand_beside_resume():
    assert config.to_resume([], ["resume=outputs/a=1"]) == config.Resumption("outputs/a=1")
    assert config.to_resume([], ["trainer.max_epochs=12", "resume=a"]) == config.Resumption("a", 12)
    launched = config.to_resume(["--multirun"], ["resume=a", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"])
    assert launched.launching == ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert config.to_resume([], ["seed=1"]) is None
    for flags, overrides in (
        (["--cfg", "job"], ["resume=x"]),
        ([], ["resume=x", "hydra.run.dir=y"]),
        ([], ["resume=x", "seed=1"]),
        ([], ["resume=x", "resume=y"]),
        ([], ["resume=x", "trainer.max_epochs=3", "trainer.max_epochs=4"]),
    ):
        with pytest.raises(UserError, match=r"nothing but trainer\.max_epochs, or .* can stand beside resume="):
            config.to_resume(flags, overrides)
    for number in ("1.5", "-1", "", "10,20", "\u0663"):
        with pytest.raises(UserError, match=f"^trainer.max_epochs={number}: must be a whole number$"):
            config.to_resume([], ["resume=x", f"trainer.max_epochs={number}"])


def test_constant_keys_do_not_name_runs_of_a_sweep():
    words = ["experiment=adder_hidden", "model.hidden=1,3", "+task.k=3", "hydra.sweep.dir=x", "task.lengths=[1,5]"]
    words += ["seed=range(4)", "model=glob(*)", "task.order=choice(lsb,msb)", "task.test_lengths=[1,2],[1,3]"]
    (override,) = config.for_a_sweep(words)
    assert override == "hydra.job.config.override_dirname.exclude_keys=[experiment,task.k,task.lengths,name]"


def test_a_sweep_over_tasks_has_one_directory():
    assert config.for_a_sweep(["task=adder,memory"])[1] == "hydra.sweep.dir=outputs/sweeps/${name}"
    assert len(config.for_a_sweep(["task=adder,memory", "hydra.sweep.dir=x"])) == 1
    place = r"hydra\.sweep\.dir=outputs/\$\{task\.name\}/[-\d_]+"
    keys, named = config.for_a_sweep(["name=a,b", "seed=1"])
    assert re.fullmatch(place, named) and keys.endswith("exclude_keys=[seed]")
    assert re.fullmatch(
        place.replace(r"\$\{task\.name\}", "sweeps"), config.for_a_sweep(["name=a,b", "task=adder,mnist"])[1]
    )


@pytest.mark.parametrize(
    ("word", "swept", "problem"),
    [
        ("hydra.sweep.subdir=x", "seed=1,2", "cannot be set, a run of a sweep is named by what is swept"),
        ("hydra.job.config.override_dirname.exclude_keys=[seed]", "seed=1,2", "cannot be set"),
        ("hydra.sweep.dir=sw${seed}", "seed=1,2", r"must be one directory .*, without \$\{seed\}, which is swept"),
        ("hydra.sweep.dir=${task.name}", "task=adder,memory", r"must be one directory .*, without \$\{task.name\}"),
        ("hydra.sweep.dir=${model.cell}", "experiment=adder_hidden,adder_loss", "must be one directory"),
        ("hydra.sweep.dir=x,y", "seed=1,2", "must be one directory for all runs of the sweep, not several"),
    ],
)
def test_a_sweep_has_one_directory_and_each_of_its_runs_one_of_its_own(word, swept, problem):
    with pytest.raises(UserError, match=f"^{re.escape(word)}: {problem}"):
        config.for_a_sweep([word, swept])
    config.for_a_sweep(["hydra.sweep.dir=sw${seed}", "hydra.sweep.dir=${task.name}/${name}", "model.hidden=1,2"])


def test_words_of_which_it_can_be_told_what_was_meant():
    assert config.arguments(["~scheduler", "--info", "all"]) == (["--info=all"], ["scheduler=none"])
    with pytest.raises(UserError, match=r"^debug=null,fast: must be one name, of fast, limit"):
        config.for_a_sweep(["debug=null,fast"])
    config.for_a_sweep(["model='lstm',gru", "task=glob(*)", "logger=[csv,tensorboard],csv", "+scheduler={a:1}"])
    with pytest.raises(UserError, match="logger: one must be chosen"):
        config.arguments(["~logger"])
    assert config.to_resume([], ["resume='a b'"]).named == "a b"


def test_error_of_the_grammar_says_how_to_quote():
    with pytest.raises(UserError, match=r"name=grün: .*; quote a value with other characters") as refused:
        config.compose(["name=grün"])
    assert "\n" not in str(refused.value)
    assert config.compose(['name="grün"']).name == "grün"


def test_search_path_of_the_command_line_is_kept(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text((composition.CONF / "model" / "gru.yaml").read_text())
    assert config.compose([f"hydra.searchpath=[file://{tmp_path}]", "model=mine"]).model.cell == "gru"


def test_a_changed_file_is_composed_anew(tmp_path, monkeypatch):
    shutil.copytree(composition.CONF, tmp_path / "conf")
    monkeypatch.setattr(composition, "CONF", tmp_path / "conf")
    assert "mine" not in config.compose([]).trainer
    with (tmp_path / "conf" / "task" / "adder.yaml").open("a", encoding="utf-8") as file:
        file.write("  mine: 1\n")  # below trainer
    assert config.compose([]).trainer.mine == 1

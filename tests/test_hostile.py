"""Run directories from anyone: whatever lies in them, nothing of it is executed and a user gets one line."""

import collections.abc
import copy
import json
import os
import random
import shutil
import sys
import types
import typing
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import yaml
from helpers import DATA, trained, without_pictures

from rnn_tasks import config, runs
from rnn_tasks.config import stored
from rnn_tasks.config.targets import ALLOWED, CLASS, first_foreign
from rnn_tasks.errors import UserError
from rnn_tasks.photos import files
from rnn_tasks.runs import directory, export, trust
from rnn_tasks.runs.asking import newest_run_for
from rnn_tasks.train import train
from rnn_tasks.training.recorder import KEPT

CALLS = [
    {"_target_": "asyncio.run", "_args_": [{"_target_": "asyncio.create_subprocess_shell", "_args_": ["touch hit"]}]},
    {"_target_": "os.system", "command": "touch hit"},
    {"_target_": "builtins.open", "file": "hit", "mode": "w"},
    {"_target_": "builtins.eval", "_args_": ["open('hit', 'w')"]},
    {"_target_": "subprocess.Popen", "args": ["touch", "hit"]},
    {"_target_": "joblib.load", "filename": "evil.pkl"},
    {"_target_": "numpy.load", "file": "evil.npy", "allow_pickle": True},
    {"_target_": "torch.load", "f": "evil.pt", "weights_only": False},
    {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "evil", "source": "local"},
    {"_target_": "torch.ops.load_library", "path": "evil.so"},
    {"_target_": "site.addsitedir", "sitedir": "."},
    {"_target_": "shutil.copy", "src": "config.yaml", "dst": "hit"},
    {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": ["hit"]}]},
    {"_target_": "rnn_tasks.files.write_atomically", "path": {"_target_": "pathlib.Path"}, "text": ""},
    {"_target_": "rnn_tasks.tasks.Adder.__init__.__globals__"},
    {"_target_": "torch.optim.sys.exit"},
    {"_target_": "importlib.import_module", "name": "evil"},
    {"_target_": "evil.run"},
    {"_target_": "os.abort"},
    {"_target_": "time.sleep", "_args_": [100]},
    {"_target_": "torch.package.PackageImporter", "file_or_buffer": "evil.zip"},
    {"_target_": "torch.nn.modules.module.Module"},
]
EVIL = {"_target_": "evil.run"}
IN_LISTS = {
    "optimizer.betas": [EVIL, 0.9],
    "optimizer._args_": [EVIL],
    "task.losses": ["bce", EVIL],
    "task.lengths": [1, [5, EVIL]],
    "trainer.plugins": [EVIL],
}
PLACES = [
    *(
        "task",
        "task.order",
        "task.losses",
        "task.lr",
        "task.extra",
        "task.lengths",
        "model",
        "model.cell",
        "model.init",
    ),
    *("loss", "loss.extra", "optimizer", "optimizer.lr", "scheduler", "scheduler.extra", "logger.tensorboard"),
    *("logger.other", "callbacks.other", "trainer.max_time", "experiment", "seed", "data_dir"),
]


def put(config, place, value):
    """A copy of a configuration with another value in a place."""
    config = copy.deepcopy(config)
    *path, last = place.split(".")
    node = config
    for key in path:
        node[key] = node.get(key) or {}
        node = node[key]
    node[last] = value
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("hostile") / "run"
    with without_pictures():
        trained(run, "task.test_size=2")
    return run


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of a finished run below the working directory's outputs, and a module there that must not be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNN_TASKS_DATA", str(DATA.resolve()))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text("open('hit', 'w')\nrun = None\n")
    shutil.copytree(finished, tmp_path / "outputs" / "adder" / "run")
    return Path("outputs/adder/run")


def refused(action):
    """The one line with which an action is refused."""
    with pytest.raises(UserError) as refusal:
        action()
    text = str(refusal.value)
    assert "\n" not in text and "Traceback" not in text
    return text


def config_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["_target_"])
def test_nothing_that_a_configuration_names_is_called(run, call):
    original = config_of(run)
    for place in PLACES:
        value = call["_target_"] if place == "model.cell" else call
        (run / "config.yaml").write_text(yaml.safe_dump(put(original, place, value)))
        for action in (lambda: runs.load(run), lambda: train(runs.read_config(run), run)):
            text = refused(action)
            assert text.startswith(str(run / "config.yaml")) and place.split(".")[0] in text
        refused(lambda: newest_run_for(["1+1"]))  # looks at every finished run
    assert not Path("hit").exists() and "evil" not in sys.modules


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["_target_"])
@pytest.mark.parametrize("place", ["task", "model", "loss", "optimizer", "scheduler", "logger.tensorboard"])
def test_class_that_is_not_on_the_list_is_named(finished, place, call):
    foreign = first_foreign(put(config_of(finished), place, {"_target_": call["_target_"]}))
    assert foreign == f"{place}._target_={call['_target_']}"


@pytest.mark.parametrize("place", IN_LISTS)
def test_nothing_in_a_list_of_a_configuration_is_called(run, place):
    (run / "config.yaml").write_text(yaml.safe_dump(put(config_of(run), place, IN_LISTS[place])))
    for action in (lambda: runs.load(run), lambda: train(runs.read_config(run), run)):
        text = refused(action)
        assert text.startswith(f"{run / 'config.yaml'}: {place}") and "is code that did not come with" in text
    assert not Path("hit").exists() and "evil" not in sys.modules


def test_result_is_no_way_around_the_configuration(run):
    result = json.loads((run / "result.json").read_text())
    result["config"]["loss"] = {"_target_": "evil.run"}
    (run / "result.json").write_text(json.dumps(result))
    assert "result.json: is damaged" in refused(lambda: runs.load(run))
    result["config"]["task"]["losses"] = ["run"]
    (run / "result.json").write_text(json.dumps(result))
    assert runs.load(run).config.loss._target_.startswith("rnn_tasks")
    assert not Path("hit").exists()


def test_classes_of_ones_own_need_a_signature_or_trust(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_loss.py").write_text("from rnn_tasks.training.losses import bce\n\n\ndef own(logits, targets):\n"
                                          "    return bce(logits, targets)\n")  # fmt: skip
    with without_pictures():
        trained(tmp_path / "run", "loss._target_=own_loss.own", "task.losses=[own]", "scheduler=none")
    assert runs.load(tmp_path / "run").config.loss._target_ == "own_loss.own"
    shutil.move(tmp_path / "run", tmp_path / "moved")
    runs.load(tmp_path / "moved")
    (tmp_path / "key").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "key"))  # another user
    line = refused(lambda: runs.load(tmp_path / "moved"))
    assert "loss._target_=own_loss.own: is code that did not come with rnn_tasks; --trust runs it" in line
    assert runs.load(tmp_path / "moved", trust=True).config.loss._target_ == "own_loss.own"
    export.as_run(runs.load(tmp_path / "moved", trust=True), "best", tmp_path / "alone")
    runs.lengthen(tmp_path / "moved", 5, trust=True)
    for trusted_once in ("moved", "alone"):
        assert "--trust" in refused(lambda name=trusted_once: runs.load(tmp_path / name))
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    runs.write_config(tmp_path / "moved", runs.read_config(tmp_path / "moved", trust=True))
    text = (tmp_path / "moved" / "config.yaml").read_text()
    (tmp_path / "moved" / "config.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    assert "--trust" in refused(lambda: runs.load(tmp_path / "moved"))  # altered since it was signed


def test_runs_of_the_projects_own_classes_are_not_signed(finished):
    assert not (finished / trust.SIGNATURE).exists()


def test_signature_that_is_a_fifo_does_not_make_a_command_wait(run):
    (run / "config.yaml").write_text(yaml.safe_dump(put(config_of(run), "loss", {"_target_": "evil.run"})))
    os.mkfifo(run / trust.SIGNATURE)
    assert "--trust runs it" in refused(lambda: runs.load(run))


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_key_that_others_can_read_signs_nothing(tmp_path, monkeypatch, mode):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / trust.SIGNATURE).write_text("of somebody else")
    assert not trust.is_signed(tmp_path, b"x") and not (tmp_path / "rnn_tasks").exists()  # looking makes no key
    trust.sign(tmp_path, b"x")
    assert trust.is_signed(tmp_path, b"x") and not trust.is_signed(tmp_path, b"y")
    (tmp_path / "rnn_tasks" / "key").chmod(mode)
    assert not trust.is_signed(tmp_path, b"x")


def test_key_that_cannot_be_made_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError))
    trust.sign(tmp_path, b"x")
    assert os.link.called and not list((tmp_path / "state" / "rnn_tasks").iterdir())
    assert not (tmp_path / trust.SIGNATURE).exists()


OTHER_CLASSES = {"Buffer", "LinearCrossEntropyOptions", "Optimizer", "Parameter", "Self", "Tensor"}
OTHER_CLASSES |= {"UninitializedBuffer", "UninitializedParameter"}  # hold values, and call nothing


def test_what_the_list_allows_of_torch_are_classes_that_only_compute():
    bases = {"model": (torch.nn, torch.nn.Module), "optimizer": (torch.optim, torch.optim.Optimizer)}
    bases["scheduler"] = (torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler)
    for group, (module, base) in bases.items():
        assert f"{module.__name__}." in ALLOWED[group].replace("\\", "")
        for name in dir(module):
            value = getattr(module, name)
            of_python = any(vars(library).get(name) is value for library in (typing, collections, collections.abc))
            if name[0].isupper() and callable(value) and not of_python and name not in OTHER_CLASSES:
                assert isinstance(value, type) and issubclass(value, base), name
            assert not isinstance(value, types.ModuleType) or not name[0].isupper()
    assert CLASS == r"[A-Z]\w*"


VALUES = {
    "seed": [-1, 10**30, 1.5, "x", None, [], {}, True],
    "threads": [0, 100_000, 1e30, "x", None, []],
    "name": ["../x", "a/b", "", None, [], "x" * 10_000],
    "data_dir": [None, []],
    "task": [None, "adder", [], 5, {}],
    "task.name": ["../x", "/abs", "", None, []],
    "task.batch_size": [0, -1, "x", None, 10**30, [], 1.5],
    "task.train_size": [0, "x", None, 10**30, 10**9],
    "task.test_size": [0, "x", 10**30, 10**9],
    "task.lengths": [[], [1], [5, 2], [0, 2], ["a", "b"], [1, 10**12], 7, None, {}, [1.5, 2]],
    "task.order": ["x", None, 5, []],
    "task.losses": ["ce", [], [5]],
    "task._target_": [None, 5, "Adder", "rnn_tasks", "rnn_tasks.tasks", "", [], {}],
    "model": [None, "rnn", [], {}],
    "model.hidden": [0, -1, 10**9, "x", None, 1.5, []],
    "model.layers": [0, 10**9, "x", None],
    "model.replicates": [0, 10**9, "x", None, 1.5, 2],
    "model.cell": ["x", None, 5, [], "outputs.adder.run.evil"],
    "model.pooling": ["max", None, 5],
    "model.bidirectional": ["x", 5, None],
    "model.dropout": [1, -1, "x", None, float("nan"), float("inf")],
    "model.init": [0, -1, "x", float("inf"), 1e300],
    "model.nonsense": [1],
    "model._partial_": [True],
    "model._args_": [[1]],
    "model._recursive_": [False],
    "model._convert_": ["all"],
    "loss": [None, "bce", [], {}],
    "loss._target_": [None, 5, "bce", "rnn_tasks.training.losses", "torch.nn.functional.mse_loss"],
    "optimizer": [None, [], {}, {"_target_": "torch.optim.SparseAdam", "_partial_": True, "lr": 0.1}],
    "optimizer.betas": [[0.9], "x", [0.9, 10**400]],
    "optimizer.eps": ["x", 10**400],
    "scheduler": [
        {"_target_": f"torch.optim.lr_scheduler.{name}", "_partial_": True, **values}
        for name, values in (
            ("Tensor", {}),
            ("LRScheduler", {}),
            ("CosineAnnealingLR", {"eta_min": "x"}),
            ("CosineAnnealingLR", {"last_epoch": 5}),
            ("StepLR", {"step_size": 0}),
        )
    ],
    "trainer": [None, [], {}],
    "trainer.max_epochs": [0, "x", None, [], 10**30],
    "trainer.precision": ["x", None, []],
    "trainer.plugins": [["x"]],
    "trainer.accelerator": ["tpu"],
    "trainer.max_time": ["99999999999:00:00:00"],
    "trainer.default_root_dir": ["/tmp"],
    "trainer.devices": [1000, "x", [0, 1]],
    "logger": ["tensorboard", []],
    "logger.tensorboard": [None, "x", [], {}],
    "logger.tensorboard.name": [[1]],
    "logger.tensorboard.max_queue": ["x"],
    "logger.tensorboard.filename_suffix": ["/../../esc", 5e400],
    "callbacks": ["x", []],
    "callbacks.mine": [None, {}, {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "/tmp"}],
    "logger.mlflow": [{"_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": "file:/tmp/x"}],
    "nonsense": [1],
    "swept": ["x", [1], {"model.hidden": "${oc.env:HOME}"}],
    "model.weights": ["/dev/zero", [1], "${oc.env:HOME}"],
    "experiment": [10**400, 5, [], "${oc.env:HOME}", "???", "${nothing}", "${run_name:[x=1],[]}"],
    "task.data_seed": ["${oc.decode:1}", "${now:%Y}", -1, 10**30],
}
CASES = [(key, value) for key, values in VALUES.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES, ids=lambda part: str(part)[:40])
def test_altered_configuration_is_refused_in_one_line(run, key, value):
    (run / "config.yaml").write_text(yaml.safe_dump(put(config_of(run), key, value)))
    (run / "result.json").unlink()
    refused(lambda: train(runs.read_config(run), run))
    assert not Path("hit").exists()


@pytest.mark.parametrize("key", ["seed", "threads", "name", "task", "model", "loss", "optimizer", "trainer", "logger"])
def test_configuration_without_a_key_is_refused(run, key):
    config = config_of(run)
    del config[key]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert key in refused(lambda: runs.load(run))


@pytest.mark.parametrize("key", ["task.batch_size", "task._target_", "loss._target_", "trainer.patience"])
def test_part_without_a_key_is_refused(run, key):
    config = config_of(run)
    group, word = key.split(".")
    del config[group][word]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    refused(lambda: runs.load(run))


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
TEXTS = {
    "alias bomb": BOMB,
    "deep": "a: " + "[" * 10_000 + "]" * 10_000,
    "deep mapping": "".join(" " * i + "a:\n" for i in range(500)),
    "large": "a: " + "x" * (1 << 19),
    "tag": "a: !!python/object/apply:os.system ['touch hit']",
    "path": "a: !!python/object/apply:pathlib.Path ['x']",
    "binary": "\x00\x01",
    "latin-1": b"name: gr\xfcn",
    "utf-16": "a: b".encode("utf-16"),
    "empty": "",
    "list": "[1, 2]",
    "word": "word",
    "cut": "task: {_target_: rnn_tasks.tasks.Add",
    "twice": "seed: 0\nseed: 1",
    "number": "9" * 100_000,
    "keys": "? [1, 2]\n: 3",
    "merge": "a: &a {b: 1}\nc:\n  <<: *a",
    "documents": "a: 1\n---\nb: 2",
    "interpolation": "a: ${b}\nb: ${a}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_that_is_no_configuration_is_refused(run, name):
    text = TEXTS[name]
    (run / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(lambda: runs.load(run))
    refused(lambda: newest_run_for(["1+1"]))
    assert not Path("hit").exists()


def test_projects_own_files_pass_the_limits():
    for path in stored.CONF.rglob("*.yaml"):
        assert stored.read_yaml(path)
    assert first_foreign({"task": {"_target_": "rnn_tasks.tasks.Adder"}, "model": {"cell": "gru"}}) is None


RESULTS = {
    "text": "{",
    "list": "[]",
    "nan": "NaN",
    "deep": "[" * 100_000,
    "number": "1" * 10_000,
    "empty": "{}",
}
ALTERED = {
    "metrics": [None, [], {}, {"train": 5}, {"train": {}, "test": "x"}],
    "replicates": [0, 2, None, "1", 1.5, 1.0, 10**9],
    "seed": [None, -1, 1.5, 1.0, True, "0", 10**400],
    "seconds": ["x", [], {}, -1e300, 10**400],
    "parameters": [None, "x", 1.5, -1, 10**400],
    "numerics": [None, 10**400],
    "config": [None, [], {}, "x"],
    "experiment": [5, []],
    "task": [None, 5],
    "fingerprint": [None, 5],
}


@pytest.mark.parametrize("name", RESULTS)
def test_damaged_result_is_refused(run, name):
    (run / "result.json").write_text(RESULTS[name])
    assert "result.json: is damaged; delete it" in refused(lambda: runs.load(run))
    assert [result for _, result in runs.results()] == [None]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ALTERED.items() for value in values])
def test_altered_result_is_refused(run, key, value):
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {key: value}))
    assert "result.json: is damaged; delete it" in refused(lambda: train(runs.read_config(run), run))


@pytest.mark.parametrize("key", ["seed", "replicates", "parameters", "seconds", "metrics", "config", "task"])
def test_result_without_a_key_is_refused(run, key):
    result = json.loads((run / "result.json").read_text())
    del result[key]
    (run / "result.json").write_text(json.dumps(result))
    assert "is damaged" in refused(lambda: runs.load(run))


@pytest.mark.parametrize(("key", "value"), [("n", -5), ("n", 10**400), ("answers", 1.5), ("accuracy", [7.0])])
def test_numbers_that_cannot_be_are_refused(run, key, value):
    result = json.loads((run / "result.json").read_text())
    result["metrics"]["test"][key] = value
    (run / "result.json").write_text(json.dumps(result))
    assert "is damaged" in refused(lambda: runs.load(run))


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("value", [None, [], ["x"], [True], [0.5, 0.5], 0.5, [None], {}])
def test_altered_metrics_are_refused(run, split, value):
    result = json.loads((run / "result.json").read_text())
    result["metrics"][split]["loss"] = value
    (run / "result.json").write_text(json.dumps(result))
    assert "is damaged" in refused(lambda: runs.load(run))


def altered_weights(change):
    def alter(checkpoint):
        checkpoint["state_dict"] = {name: change(tensor) for name, tensor in checkpoint["state_dict"].items()}
        return checkpoint

    return alter


CHECKPOINTS = {
    "whole numbers": altered_weights(lambda tensor: tensor.long()),
    "complex": altered_weights(lambda tensor: tensor + 0j),
    "sparse": altered_weights(lambda tensor: tensor.to_sparse()),
    "fp8": altered_weights(lambda tensor: tensor.to(torch.float8_e4m3fn)),
    "nan": altered_weights(lambda tensor: tensor * float("nan")),
    "inf": altered_weights(lambda tensor: tensor + float("inf")),
    "half a shape": altered_weights(lambda tensor: tensor[..., :1]),
    "text": altered_weights(str),
    "repeated": altered_weights(lambda tensor: torch.zeros(1).expand(10**11)),
    "nested": altered_weights(lambda tensor: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])),
    "empty": lambda checkpoint: checkpoint | {"state_dict": {}},
    "list": lambda checkpoint: [checkpoint],
    "no failed": lambda checkpoint: {key: value for key, value in checkpoint.items() if key != "failed"},
    "failed of two": lambda checkpoint: checkpoint | {"failed": [False, False], "score": [None, None]},
    "all failed": lambda checkpoint: checkpoint | {"failed": [True]},
    "score of nothing": lambda checkpoint: checkpoint | {"score": []},
    "score of words": lambda checkpoint: checkpoint | {"score": [["a", "b"]]},
    "score of nan": lambda checkpoint: checkpoint | {"score": [[float("nan"), 0.0]]},
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_altered_best_checkpoint_is_refused(run, name):
    path = run / "checkpoints" / "best.ckpt"
    torch.save(CHECKPOINTS[name](torch.load(path, weights_only=True)), path)
    refused(lambda: runs.load(run))


STATE = "RunRecorder"
LASTS = {
    "global_step": ["x", -1, None],
    "callbacks": [None, {}, {STATE: None}],
    "state_dict": [{}, None, {"failed": torch.zeros(1)}, {"failed": torch.zeros(1).bool().expand(10**10)}],
    "optimizer_states": [None, [], [{}], [{"state": {}, "param_groups": []}]],
    "lr_schedulers": [None, [5]],
    "loops": [None, {}, {"fit_loop": {}}],
    "epoch": ["x"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in LASTS.items() for value in values])
def test_altered_last_checkpoint_is_refused(run, key, value):
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {key: value}, path)
    (run / "checkpoints" / "previous.ckpt").unlink()
    (run / "result.json").unlink()
    before = {name.name for name in run.iterdir()}
    try:
        train(runs.read_config(run), run)
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        assert before <= {name.name for name in run.iterdir()}  # nothing is lost
    else:
        assert key in ("epoch", "loops", "lr_schedulers")  # Lightning does without


ROW = [0.0] * 8  # of a history: epoch, replicate, losses and accuracies
STATES = [(name, value) for name in (*KEPT, "seconds") for value in (None, "x", float("nan"), [5, 5, 5])]
STATES += [("weights", {"x": torch.zeros(1)}), ("score", ["x"]), ("epoch", [-5]), ("seconds", -1e9), ("seconds", 1e300)]
WRONG_ROWS = [torch.tensor([[*place, *ROW[2:]]], dtype=torch.float64) for place in ((1e300, 0), (0, 7), (0.5, 0))]
STATES += [("history", row) for row in WRONG_ROWS]
STATES += [("history", torch.zeros(1, 8, dtype=torch.float64).expand(10**9, 8))]


@pytest.mark.parametrize(("name", "value"), STATES, ids=lambda part: str(part)[:30] if isinstance(part, str) else "")
def test_altered_state_of_the_recorder_is_refused(run, name, value):
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    state = next(state for key, state in checkpoint["callbacks"].items() if STATE in key)
    state[name] = value
    torch.save(checkpoint, path)
    (run / "checkpoints" / "previous.ckpt").unlink()
    (run / "result.json").unlink()
    assert str(path) in refused(lambda: train(runs.read_config(run), run))


LINKS = [
    "result.json",
    "history.csv",
    "config.yaml.link",
    "checkpoints",
    "checkpoints/last.ckpt",
    "checkpoints/best.ckpt",
]
LINKS += ["train_curves.png", "test_by_length.png", "error.txt", ".lock", "checkpoints/previous.ckpt", ".signature"]


@pytest.mark.parametrize("name", LINKS)
def test_nothing_is_written_through_links(run, tmp_path, name):
    notes = tmp_path / "notes"
    target = notes if name != "checkpoints" else tmp_path / "elsewhere"
    notes.write_text("mine")
    (run / "result.json").unlink()
    if name == "checkpoints":
        target.mkdir()
        shutil.rmtree(run / name)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)
    config = runs.read_config(run)
    assert f"{name.split('/')[0]}" in refused(lambda: train(config, run))
    assert notes.read_text() == "mine" and not list(tmp_path.glob("elsewhere/*"))


@pytest.mark.parametrize("depth", ["a/b/hparams.yaml", "a/b", "a"])
@pytest.mark.parametrize("kind", ["file", "missing"])
def test_nothing_is_written_through_links_where_a_logger_writes(run, tmp_path, depth, kind):
    target = tmp_path / "elsewhere"
    target.mkdir() if kind == "file" and depth != "a/b/hparams.yaml" else None
    if kind == "file" and depth == "a/b/hparams.yaml":
        target.write_text("mine")
    before = target.read_text() if target.is_file() else None
    logger = {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "a", "version": "b"}
    (run / "config.yaml").write_text(yaml.safe_dump(put(config_of(run), "logger", {"csv": logger})))
    (run / "result.json").unlink()
    (run / depth).parent.mkdir(parents=True, exist_ok=True)
    (run / depth).symlink_to(target)
    assert f"{run / depth}: is a link that leads out of" in refused(lambda: train(runs.read_config(run), run))
    assert (target.read_text() if target.is_file() else None) == before
    assert not target.is_dir() or not list(target.iterdir())


def test_nothing_is_downloaded_to_where_a_run_says(tmp_path, monkeypatch):
    (victim := tmp_path / "victim").mkdir()
    (victim / "diary.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_TASKS_DATA", raising=False)
    cfg = config.compose(["task=mnist", f"data_dir={victim}"])
    (tmp_path / "run").mkdir()
    runs.write_config(tmp_path / "run", cfg)
    assert runs.read_config(tmp_path / "run").task.data_dir == str(tmp_path / "data")
    for name in stored.MNIST_FILES:
        (victim / "MNIST" / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (victim / "MNIST" / "raw" / name).touch()
    assert runs.read_config(tmp_path / "run").task.data_dir == str(victim)


def test_data_go_where_the_user_says_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_TASKS_DATA", raising=False)
    (tmp_path / "run").mkdir()
    for named in ("first", "second"):  # neither is there, so MNIST would be downloaded to it
        cfg = config.compose(["task=mnist", f"data_dir={tmp_path / named}", "name=run"])
        assert directory.own_config(tmp_path / "run", cfg).task.data_dir == str(tmp_path / named)


def test_data_of_ones_own_task_are_found_where_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_TASKS_DATA", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_task.py").write_text(
        "from rnn_tasks.tasks import Memory\n\n\nclass Own(Memory):\n    def __init__(self, data_dir, **values):\n"
        "        super().__init__(**values)\n        self.first = open(f'{data_dir}/first').read()\n"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "first").write_text("1")
    words = ["task=memory", "++task._target_=own_task.Own", "+task.data_dir=mine", "task.test_size=5"]
    trained(tmp_path / "run", *words)
    (tmp_path / "run" / "result.json").unlink()
    assert runs.load(tmp_path / "run").task.first == "1"
    assert trained(tmp_path / "run", *words)["metrics"]["test"]["n"] == 5


def test_links_that_a_logger_makes_for_itself_are_left_alone(run):
    deep = run / "wandb" / "offline-run-1" / "logs"
    deep.mkdir(parents=True)
    (deep / "debug-core.log").symlink_to("/nowhere/else.log")
    (run / "wandb" / "latest-run").symlink_to("offline-run-1")
    with runs.claimed(run):
        pass


@pytest.mark.parametrize("name", ["history.csv", "checkpoints/last.ckpt", "config.yaml", "result.json", "any"])
def test_fifos_do_not_make_a_command_wait(run, name):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    if name != "result.json":
        (run / "result.json").unlink()
    refused(lambda: train(runs.read_config(run), run))


def test_directories_in_the_place_of_files_are_refused(run):
    for name in ("checkpoints/last.ckpt", "checkpoints/best.ckpt", "history.csv"):
        (run / name).unlink()
        (run / name).mkdir()
        (run / "result.json").unlink(missing_ok=True)
        refused(lambda: train(runs.read_config(run), run))
        (run / name).rmdir()


def test_random_damage_of_every_file(finished, tmp_path, no_pictures):
    """Bytes that are changed at random: a run is loaded and resumed, or refused in one line."""
    chance, run = random.Random(0), tmp_path / "run"
    for name in ("config.yaml", "result.json", "history.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        for _ in range(12):
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(finished, run)
            content = bytearray((run / name).read_bytes())
            for _ in range(chance.choice([1, 5, 50])):
                content[chance.randrange(len(content))] = chance.randrange(256)
            (run / name).write_bytes(content[: chance.choice([len(content), len(content) // 2])])
            for action in (lambda: runs.load(run), lambda: runs.load(run, "last")):
                try:
                    action().ask("1+1")
                except UserError as error:
                    assert "\n" not in str(error)


@pytest.mark.parametrize("kind", ["fifo", "directory", "text", "huge", "cut", "many frames", "zip"])
def test_hostile_images_get_one_line(tmp_path, kind, mnist):
    from PIL import Image

    path = tmp_path / "x.png"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "huge":
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xff\xff\x7f\xff\xff\xff\x7f\x08\x00\x00\x00\x00" + b"\0" * 40
        )
    elif kind == "cut":
        Image.new("L", (50, 50)).save(path)
        path.write_bytes(path.read_bytes()[:60])
    elif kind == "many frames":
        path = tmp_path / "x.gif"
        path.write_bytes(b"GIF89a" + b"\xff" * 1000)
    else:
        path.write_bytes(b"PK\x03\x04" + b"\0" * 100 if kind == "zip" else b"no image")
    with pytest.raises(ValueError) as refusal:
        files.load(path)
    assert "\n" not in str(refusal.value)

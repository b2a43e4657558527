"""Random command lines: each is refused in one line, or trains; nothing ends in a traceback."""

import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers import DATA
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig

from rnn_tasks import config
from rnn_tasks.errors import UserError
from rnn_tasks.train import train

SMALL = ["task.train_size=8", "task.val_size=4", "task.test_size=1", "trainer.enable_progress_bar=false"]
ONE_EPOCH = ["trainer.max_epochs=1", "trainer.max_steps=2", "logger=csv"]


def keys(node, path=""):
    for key, value in node.items():
        yield f"{path}{key}"
        if isinstance(value, DictConfig):
            yield from keys(value, f"{path}{key}.")


KEYS = sorted(set(keys(config.compose([]))) | set(keys(config.compose(["task=memory", "model=crnn"]))))
GROUPS = ["task", "model", "optimizer", "scheduler", "loss", "logger", "callbacks", "experiment", "debug"]
OPTIONS = sorted({path.stem for path in config.CONF.glob("*/*.yaml")})
ODD = [
    "nonsense",
    "trainer.logger",
    "trainer.strategy",
    "task._args_",
    "model._target_",
    "loss.weight",
    "optimizer.foreach",
    "hydra.run.dir",
    "scheduler.gamma",
    "callbacks.x._target_",
    "trainer",
    "a.b.c",
    "seed.x",
    "task.lr.x",
    "é",
]
VALUES = [
    "0",
    "1",
    "-1",
    "2.5",
    "1e3",
    "1e400",
    "inf",
    "nan",
    "true",
    "null",
    "x",
    "[1,2]",
    "[]",
    "{a:1}",
    "1,2",
    "range(3)",
    "glob(*)",
    "choice(a,b)",
    "sort(2,1)",
    "${seed}",
    "${nothing}",
    "???",
    "[",
    "torch.optim.SGD",
    "rnn_tasks.models.Network",
    "os.system",
    "0x10",
    "+1",
    "1_000",
    "[[1]]",
    "${oc.env:HOME}",
    "''",
]
VALUES += ['"a b"', "1" * 40, "a" * 400, "\x07"]
WORDS = [
    "--weights",
    "best",
    "last",
    "--replicate",
    "all",
    "-1",
    "--json",
    "--lengths",
    "1-3",
    "3-1",
    "0",
    "--samples",
    "--ood",
    "--split",
    "val",
    "--to",
    "x.pt",
    "--onnx",
    "--run",
    "--trust",
    "latest",
    "adder",
    "nowhere",
    ".",
    "/",
    "1+1",
    "[1,2,3]",
    "x.png",
    "--port",
    "٣",
    "--help",
    "--",
    "task=adder",
]
WORDS += ["", "a" * 300]
override = st.one_of(
    st.tuples(st.sampled_from(["", "", "", "+", "++", "~"]), st.sampled_from(KEYS + ODD), st.sampled_from(VALUES)),
    st.tuples(st.just(""), st.sampled_from(GROUPS), st.sampled_from(OPTIONS + VALUES)),
    st.tuples(st.just(""), st.sampled_from(KEYS), st.text(max_size=8)),
    st.tuples(st.just(""), st.sampled_from(KEYS), st.one_of(st.integers(), st.floats()).map(str)),
)
line = st.lists(override.map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}"), min_size=1, max_size=4)
words = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=5)
NO_LIMITS = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "derandomize": True}


def composed_and_trained(overrides):
    """What a command line does, in this process: at most two steps on eight examples."""
    overrides = [word for word in overrides if "\0" not in word]
    try:
        _, rest = config.arguments(overrides)
        config.for_a_sweep(rest)
        config.compose(rest)
        cfg = config.compose([*rest, *SMALL, *ONE_EPOCH])
        with TemporaryDirectory() as run, redirect_stderr(StringIO()):
            train(cfg, Path(run) / "run")
    except UserError as error:
        assert "\n" not in str(error).strip(), error


def called(module, argv):
    """What a command does with some words, in this process."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as errors, suppress(SystemExit):
        sys.argv = [module, *argv]
        import_module(f"rnn_tasks.{module}").main()
    assert "Traceback" not in errors.getvalue()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, no_pictures):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNN_TASKS_DATA", str(DATA.resolve()))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "stdin", StringIO())


@settings(max_examples=100, **NO_LIMITS)
@given(line)
def test_command_lines(overrides):
    composed_and_trained(overrides)


@pytest.mark.slow
@settings(max_examples=3000, **NO_LIMITS)
@given(line)
def test_many_command_lines(overrides):
    composed_and_trained(overrides)


@settings(max_examples=60, **NO_LIMITS)
@given(st.sampled_from(["evaluate", "predict", "export", "show"]), words)
def test_words_of_other_commands(module, argv):
    called(module, argv)


@pytest.mark.slow
@settings(max_examples=1000, **NO_LIMITS)
@given(st.sampled_from(["evaluate", "predict", "export", "show"]), words)
def test_many_words_of_other_commands(module, argv):
    called(module, argv)

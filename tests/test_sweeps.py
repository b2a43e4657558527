"""Sweeps on the command line: their plan, their runs' names, how they go on, and what shows how far they are."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import yaml
from forked import command, start
from helpers import SMALL, assert_equal_ends, trained, wait_for

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.runs import plans, sweep_tables, sweeps
from rnn_tasks.runs.directory import is_held

train = sys.modules["rnn_tasks.train"]  # the command; rnn_tasks.train is the function
TINY = [*SMALL, "trainer.max_epochs=1", "task.test_size=40"]


def swept(run):
    return yaml.safe_load((run / "config.yaml").read_text())["swept"]


# Each form of a value in Hydra's grammar, and what the runs have of it for themselves.
FORMS = {
    "model.hidden=3,1": [3, 1],
    "seed=range(2)": [0, 1],
    "seed=range(start=1,stop=6,step=2)": [1, 3, 5],
    "seed=shuffle(range(2))": [0, 1],
    "seed=sort(3,1,reverse=true)": [3, 1],
    "optimizer.lr=choice(0.1,1e-3)": [0.1, 0.001],
    "optimizer.lr=tag(t,choice(0.1,0.2))": [0.1, 0.2],
    "model.dropout=float(choice(0,0))": [0.0],
    "task.lengths=[1,5],[2,3]": [[1, 5], [2, 3]],
    "model=glob(*nn,exclude=[cr*,bi*])": ["rnn"],
    "model=glob([l*,g*])": ["gru", "lstm"],
    "logger=[csv],[csv,tensorboard]": [["csv"], ["csv", "tensorboard"]],
    "callbacks=[],[weight_norms]": [[], ["weight_norms"]],
    "trainer.max_time=null,'00:00:01:00'": [None, "00:00:01:00"],
    "++trainer.max_epochs=1,2": [1, 2],
    "+task.extra=1,2": [1, 2],
    "trainer.detect_anomaly=true,false": [True, False],
    "task=adder,memory": ["adder", "memory"],
    "experiment=adder_length5,memory_hidden2": ["adder_length5", "memory_hidden2"],
    "name=a,'b'": ["a", "b"],
    "data_dir=/a/b,/a/c": ["/a/b", "/a/c"],
}


@pytest.mark.parametrize("word", FORMS)
def test_runs_of_a_sweep_are_those_of_its_plan(workplace, monkeypatch, word):
    """Hydra makes the runs, which write their configuration and are not trained."""

    def write_config(cfg, run, trust=False):
        with runs.claimed(run):
            return {"metrics": {}, "config": runs.own_config(run, cfg)}

    monkeypatch.setattr(train, "_train_and_report", write_config)
    monkeypatch.setattr(sys, "argv", ["train"])
    with pytest.raises(SystemExit):  # the runs have no result
        train._start(["--multirun"], [*SMALL, word, "hydra.sweep.dir=sweep", "hydra/launcher=basic"])
    made = {path.name for path in Path("sweep").iterdir() if path.is_dir()}
    plan = plans.read_plan(Path("sweep"))
    key = word.partition("=")[0].lstrip("+")
    assert made == set(plan.runs()) and plan.overrides == [each for each in SMALL if not each.startswith(f"{key}=")]
    values = [choices[key] for choices in plan.runs().values()]
    assert sorted(map(str, values)) == sorted(map(str, FORMS[word]))
    assert all(swept(Path("sweep", name)) == plan.runs()[name] for name in made)


def test_a_sweep_goes_on_by_its_name_and_by_resume(workplace):
    words = ["--multirun", *TINY, "model.hidden=1,2", "task.lengths=[1,3],[1,4]", "name=mine"]
    assert command("train", *words).returncode == 0
    sweep = Path("outputs/adder/mine")
    names = [f"model.hidden={hidden},task.lengths=1+{longest}" for hidden in (1, 2) for longest in (3, 4)]
    assert runs.finding.find_sweep("latest") == sweep and [row.run for row in sweeps.sweep_rows(sweep)] == names
    shutil.copytree(sweep, "whole")
    lost, cut = (sweep / name for name in names[1:3])
    shutil.rmtree(lost)
    (cut / "result.json").unlink()
    kept = (sweep / names[0] / "result.json").stat().st_mtime_ns
    shown = command("sweep", str(sweep))
    assert shown.stdout.endswith(f"{sweep}: 4 runs: 2 done, 1 stopped, 1 missing\n") and "1 of 1 epochs" in shown.stdout
    ended = command("train", f"resume={sweep}")
    assert ended.returncode == 0, ended.stderr
    shutil.rmtree(lost)
    assert command("train", *words).returncode == 0  # the same command, too
    for name in names:
        assert_equal_ends(sweep / name, Path("whole", name))
    assert (sweep / names[0] / "result.json").stat().st_mtime_ns == kept
    rows = json.loads(command("sweep", "latest", "--json").stdout)
    assert [row["task.lengths"] for row in rows] == ["[1, 3]", "[1, 4]"] * 2
    assert {row["state"] for row in rows} == {"done"} and [row["model.hidden"] for row in rows] == [1, 1, 2, 2]


def test_a_sweep_in_the_place_of_another_one_changes_nothing(workplace):
    words = ["--multirun", *TINY, "name=mine"]
    assert command("train", *words, "model.hidden=1,2").returncode == 0
    run = Path("outputs/adder/mine/model.hidden=1")
    result = (run / "result.json").read_text()
    ended = command("train", *words, "model.hidden=1,2", "optimizer.lr=0.5", "loss=mse")
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: outputs/adder/mine: holds a sweep without optimizer.lr (here 0.5), without loss (here mse);"
        " take another name=, or resume=outputs/adder/mine for that one\n"
    )
    Path("outputs/adder/mine/sweep.yaml").write_text("[", encoding="utf-8")  # its runs are still known
    ended = command("train", *words, "model.hidden=1,2", "optimizer.lr=0.5", "loss=mse")
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "holds another run, with optimizer.lr=0.01 (here 0.5), loss._target_=" in ended.stderr
    assert "losses.bce (here rnn_tasks.training.losses.mse); take another name=" in ended.stderr
    assert (run / "result.json").read_text() == result and ended.stdout.count("failed: outputs") == 2
    assert len(Path("outputs/adder/mine/networks.csv").read_text(encoding="utf-8").splitlines()) == 1
    Path("outputs/adder/mine/sweep.yaml").unlink()
    ended = command("train", *words, "model.hidden=1,2", "trainer.log_every_n_steps=3", "logger=csv")
    assert ended.returncode == 0, ended.stderr  # the table is whole again
    assert len(Path("outputs/adder/mine/networks.csv").read_text(encoding="utf-8").splitlines()) == 3
    ended = command("train", *words, "seed=1,2")
    assert (
        ended.returncode == 2 and "holds a sweep over model.hidden, not over seed; take another name=" in ended.stderr
    )
    ended = command("train", *TINY, "name=mine")
    assert (
        ended.returncode == 2
        and ended.stderr == "error: outputs/adder/mine: holds a sweep; take another name= for the run\n"
    )
    trained("outputs/adder/single")
    ended = command("train", *words[:-1], "name=single", "seed=1,2")
    assert ended.returncode == 2 and "single: holds a run; take another name= for the sweep\n" in ended.stderr


@pytest.mark.slow
def test_an_experiment_that_sweeps_goes_on(workplace):
    words = ["experiment=adder_loss", *TINY, "model.replicates=2", "name=mine"]
    assert command("train", *words).returncode == 0
    sweep = Path("outputs/adder/mine")
    plan = plans.read_plan(sweep)
    assert plan.swept == {"loss": ["mse", "bce"]} and plan.words()[-1] == "loss=mse,bce"
    shutil.rmtree(sweep / "loss=bce")
    assert command("train", f"resume={sweep}").returncode == 0
    assert runs.read_result(sweep / "loss=bce")["replicates"] == 2


def test_nobody_elses_sweep_is_gone_on_with_unasked(workplace):
    sweep = Path("outputs/adder/a b'c,d=e\\f\\'g\\")  # a name that Hydra would read in another way
    sweeps.begin(sweep, config.Plan(TINY, {"seed": ["0", "1"]}))
    plan = sweep / "sweep.yaml"
    plan.write_text(plan.read_text().replace("task.val_size=32", "task.val_size=31"))
    ended = command("train", f"resume={sweep}")
    assert ended.returncode == 2 and "was begun by somebody else, or on another machine; --trust" in ended.stderr
    assert [row.state for row in sweeps.sweep_rows(sweep)] == ["missing", "missing"]
    ended = command("train", f"resume={sweep}", "--trust")
    assert ended.returncode == 0, ended.stderr
    assert {row.state for row in sweeps.sweep_rows(sweep)} == {"done"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "overrides: []",
        "{overrides: [], swept: {seed: []}, flags: []}",
        "{overrides: [], swept: {seed: [1]}, flags: []}",
        "{overrides: [[]], swept: {}, flags: []}",
        "{overrides: [], swept: {}, flags: x}",
        "{overrides: [], swept: {}, flags: [], more: 1}",
        "{overrides: &a [x], swept: {a: *a}, flags: []}",
        "{overrides: [" + "x, " * 100_000 + "], swept: {}, flags: []}",
        "[" * 100,
        "overrides: !!python/object/apply:os.system [touch /tmp/executed]",
    ],
)
def test_a_damaged_plan_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "sweep.yaml").write_text(content)
    with pytest.raises(UserError, match=r"sweep\.yaml: is damaged; give the command of the sweep again$"):
        plans.read_plan(tmp_path)
    assert sweeps.sweep_rows(tmp_path) == []


def test_words_beside_the_name_of_a_sweep(workplace):
    sweeps.begin(Path("sweep"), config.Plan(TINY, {"seed": ["0", "1"]}))
    trained("run")
    for words, problem in (
        (["resume=sweep", "trainer.max_epochs=3"], "trainer.max_epochs=3: lengthens a run, and sweep is a sweep"),
        (["resume=run", "hydra/launcher=joblib"], "hydra/launcher=joblib: belongs to a sweep, and run is a run"),
        (["resume=sweep", "seed=3"], "seed=3: nothing but trainer.max_epochs, or of a sweep its launcher"),
    ):
        ended = command("train", *words)
        assert ended.returncode == 2 and ended.stderr.startswith(f"error: {problem}"), ended.stderr


def test_the_state_of_what_is_no_sweep(workplace):
    trained("run")
    Path("empty").mkdir()
    for name, problem in (
        ("run", "run: is a run; give the directory of a sweep"),
        ("empty", "empty: holds no sweep; give a directory of runs, or latest"),
        ("nix", "nix: holds no sweep"),
        ("latest", "latest: no sweep in outputs yet"),
    ):
        ended = command("sweep", name)
        assert ended.returncode == 2 and ended.stderr.startswith(f"error: {problem}"), ended.stderr


@pytest.mark.slow
def test_two_commands_share_a_sweep(workplace):
    """Each run is trained by one of them; the other one tells it, and nothing fails."""
    words = ["--multirun", *SMALL, "task.train_size=4000", "seed=range(3)", "name=mine"]
    both = [start("train", *words) for _ in range(2)]
    told = "".join(process.wait(120).stderr for process in both)
    rows = sweeps.sweep_rows(Path("outputs/adder/mine"))
    assert {row.state for row in rows} == {"done"} and len(rows) == 3
    assert "Traceback" not in told and not list(Path("outputs/adder/mine").glob("*/error.txt"))


def test_a_sweep_of_one_value_goes_on(workplace):
    assert command("train", "--multirun", *TINY, "seed=range(1)", "model=glob(r*)", "name=mine").returncode == 0
    run = Path("outputs/adder/mine/model=rnn,seed=0")
    (run / "result.json").unlink()
    ended = command("train", "resume=outputs/adder/mine")
    assert ended.returncode == 0 and (run / "result.json").exists(), ended.stderr


@pytest.mark.slow
def test_a_sweep_with_a_configuration_of_ones_own_goes_on(workplace):
    (options := workplace / "own" / "model").mkdir(parents=True)
    shutil.copy(config.CONF / "model" / "gru.yaml", options / "mine.yaml")
    (workplace / "own" / "named.yaml").write_text("defaults: [config, _self_]\noptimizer: {lr: 0.123}\n")
    flags = ["--config-dir", "own", "--config-name", "named"]
    ended = command("train", *flags, "--multirun", *TINY, "model=mine", "seed=0,1", "name=mine")
    assert ended.returncode == 0, ended.stderr
    sweep = Path("outputs/adder/mine").resolve()
    shutil.rmtree(sweep / "seed=1")
    (elsewhere := workplace / "elsewhere").mkdir()
    ended = command("train", f"resume={sweep}", cwd=elsewhere)
    assert ended.returncode == 0, ended.stderr
    cfg = runs.read_config(sweep / "seed=1")
    assert (cfg.model.cell, cfg.optimizer.lr, cfg.swept) == ("gru", 0.123, {"seed": 1})


@pytest.mark.parametrize(("launcher", "second"), [("stacked", "stopped"), ("basic", "missing")])
def test_an_interrupted_sweep_says_how_it_goes_on(workplace, launcher, second):
    words = ["--multirun", *SMALL, "task.train_size=20000", "trainer.max_epochs=50", "seed=0,1", "name=mine"]
    started = start("train", *words, f"hydra/launcher={launcher}")
    first = Path("outputs/adder/mine/seed=0")
    wait_for((first / "history.csv").exists, started)  # it has begun to train
    assert sweeps.sweep_rows(first.parent)[0].state == "running"
    started.send_signal(signal.SIGINT)
    ended = started.wait(60)
    assert ended.returncode == 130
    assert ended.stderr.endswith("stopped; go on with: python -m rnn_tasks.train resume=outputs/adder/mine\n")
    assert [row.state for row in sweeps.sweep_rows(first.parent)] == ["stopped", second]


def test_a_checkpoint_stands_for_its_run(workplace):
    trained("run")
    result = runs.read_result(Path("run"))
    (Path("run") / "result.json").unlink()
    ended = command("train", "resume=run/checkpoints/last.ckpt")
    assert ended.returncode == 0 and runs.read_result(Path("run"))["metrics"] == result["metrics"], ended.stderr


def test_a_trial_does_not_keep_its_name(workplace):
    assert command("train", *TINY, "trainer.fast_dev_run=true", "name=mine").returncode == 0
    ended = command("train", *TINY, "optimizer.lr=0.02", "name=mine")
    assert ended.returncode == 0, ended.stderr
    assert runs.read_config(Path("outputs/adder/mine")).optimizer.lr == 0.02


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["name='a b'", "seed=0,1"], "name=a b: must be the name of a directory, without slashes and spaces"),
        (["optimizer.lr=interval(0,1)"], "optimizer.lr=interval(0,1): must list its values, like 1,3,5 or range(4)"),
    ],
)
def test_a_sweep_that_is_refused_leaves_nothing(workplace, words, problem):
    ended = command("train", "--multirun", *words)
    assert ended.returncode == 2 and ended.stderr.startswith(f"error: {problem}"), ended.stderr
    assert not list(workplace.rglob("sweep.yaml"))


def test_a_sweep_that_was_refused_does_not_keep_its_name(workplace):
    for words in (["model.hiden=1,2"], ["model.hidden=0,x"]):
        assert command("train", "--multirun", *TINY, *words, "name=mine").returncode
    sweep = Path("outputs/adder/mine")
    assert command("train", "--multirun", *TINY, "seed=0,1", "name=mine").returncode == 0
    assert [row.state for row in sweeps.sweep_rows(sweep)] == ["done", "done"]
    again = command("train", "--multirun", *TINY, "model.hidden=1,2", "name=mine")
    assert again.returncode == 2 and "holds a sweep over seed, not over model.hidden" in again.stderr


def test_an_experiment_cannot_scatter_a_sweep(workplace):
    (options := workplace / "own" / "experiment").mkdir(parents=True)
    (options / "both.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {task: 'adder,memory'}}}\n"
    )
    ended = command("train", "--config-dir", "own", "experiment=both", *TINY)
    assert ended.returncode == 2
    assert (
        ended.stderr
        == "error: task: is swept by the experiment; give one place, like hydra.sweep.dir=outputs/sweeps/NAME\n"
    )
    ended = command("train", "--config-dir", "own", "experiment=both", *TINY, "hydra.sweep.dir=here")
    assert ended.returncode == 0 and {row.state for row in sweeps.sweep_rows(Path("here"))} == {"done"}, ended.stderr


def test_strange_things_in_a_sweep_do_no_harm(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    for name in ("fifo", "link", "list", "notes", "\x1b[31m"):
        (sweep := tmp_path / "sweep").joinpath(name).mkdir(parents=True)
    for name in ("fifo", "link", "list", "\x1b[31m"):
        (sweep / name / "config.yaml").write_text("swept: [1, 2]\n")
    os.mkfifo(sweep / "fifo" / ".lock")
    (sweep / "link" / "error.txt").symlink_to(secret)
    rows = {row.run: row for row in sweeps.sweep_rows(sweep)}
    assert set(rows) == {"fifo", "link", "list", "\x1b[31m"}  # notes are no run
    assert rows["list"].swept == {} and "is a link that leads out of" in rows["link"].note
    table = sweep_tables.sweep_table([*rows.values()], "simple")
    assert "\x1b" not in table and "hidden" not in table
    assert "neither a file nor a directory" in rows["fifo"].note
    assert not is_held(sweep / "fifo")

"""Sweeps by joblib, Slurm and Ray, and searches by Optuna: the numbers of a serial sweep, whatever dies meanwhile."""

import csv
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import slurm
from forked import command, start
from helpers import assert_equal_ends, wait_for

from rnn_tasks import config, runs
from rnn_tasks.config import launchers

LAUNCHERS = ("joblib", "slurm", "ray")
TINY = [
    *("task.train_size=64", "task.val_size=32", "task.test_size=4", "task.lengths=[1,4]", "task.test_lengths=[1,2]"),
    *("trainer.max_epochs=2", "logger=csv"),
]
GRID = ["model.hidden=1,2,3", "seed=0,1"]
LONG = [  # some seconds
    *("task.train_size=20000", "task.val_size=32", "task.test_size=4", "task.lengths=[1,8]", "task.test_lengths=[1,2]"),
    *("task.batch_size=4", "trainer.max_epochs=15"),
]


@pytest.fixture(scope="module")
def cluster():
    """A Slurm of two cores."""
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.running() as place:
        yield place


@pytest.fixture(scope="module")
def ray_cluster():
    """A Ray of two nodes with a core each; the first is its head."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def sweep(workplace):
    """Start a sweep with a launcher; it is ended with the test."""
    started = []

    def sweep(launcher, *words, name="sweep"):
        chosen = [f"hydra/launcher={launcher}", *KEYS[launcher]]
        started.append(start("train", "--multirun", *chosen, *words, f"hydra.sweep.dir={name}"))
        return started[-1]

    yield sweep
    for process in started:
        if process.poll() is None:
            for number in [process.process.pid, *children(process.process.pid)]:
                os.kill(number, signal.SIGKILL)


KEYS = {
    "basic": [],
    "joblib": ["hydra.launcher.n_jobs=2"],
    "slurm": ["hydra.launcher.mem_gb=1"],
    "ray": ["hydra.launcher.ray.init.num_cpus=2"],
}


def has_begun(run):
    """Whether a run has a checkpoint that it can go on from, and is not at its end."""
    return (run / "checkpoints" / "last.ckpt").exists()


def job_of(run, hidden):
    """The number of the Slurm job of a run."""
    return f"{max(int(job.partition('_')[0]) for job in slurm.jobs())}_{hidden - 1}"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Two runs that nothing disturbed."""
    place = tmp_path_factory.mktemp("reference")
    assert command("train", "--multirun", "model.hidden=1,2", *LONG, "hydra.sweep.dir=sweep", cwd=place).returncode == 0
    return place / "sweep"


def rows_of(sweep):
    """The rows of summary.csv without the seconds."""
    with (Path(sweep) / "summary.csv").open(encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def table_of(text):
    """The table at the end of what a sweep has printed, without its last column, the seconds."""
    lines = text.strip().rpartition("\n\n")[2].splitlines()[:-1]
    width = lines[0].index("seconds")
    return [line[:width].rstrip() for line in lines[:1] + lines[2:]]


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """A serial sweep of six tiny runs, and what it printed."""
    place = tmp_path_factory.mktemp("serial")
    ended = command("train", "--multirun", *GRID, *TINY, "hydra/launcher=basic", "hydra.sweep.dir=sweep", cwd=place)
    return place / "sweep", ended


@pytest.fixture
def cluster_words(request, launcher):
    """Where a launcher finds its cluster, which is there from now on."""
    if launcher == "slurm":
        request.getfixturevalue("cluster")
    pytest.importorskip(f"hydra_plugins.hydra_{PLUGINS[launcher]}_launcher")
    return on_cluster(request.getfixturevalue("ray_cluster")) if launcher == "ray" else []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_launcher_gives_what_a_serial_sweep_gives(serial, sweep, launcher, cluster_words):
    (reference, printed), ended = serial, sweep(launcher, *GRID, *TINY, *cluster_words).wait(180)
    assert ended.returncode == printed.returncode == 0, ended.stderr
    assert table_of(ended.stdout) == table_of(printed.stdout)
    assert rows_of("sweep") == rows_of(reference)
    for run in reference.glob("*/"):
        own = Path("sweep", run.name)
        assert runs.read_result(own)["metrics"] == runs.read_result(run)["metrics"]
        assert (own / "history.csv").read_text() == (run / "history.csv").read_text()
        log = Path(f"sweep/.logs/{run.name}.txt").read_text("utf-8")
        assert f"sweep/{run.name}\n" in log
    said = [re.sub(r"\d+\.\d\d %|[\d.]+ seconds", "#", line) for line in ended.stderr.splitlines()]
    assert sorted(said) == [f"{run}: test accuracy #, #" for run in sorted(row["run"] for row in rows_of("sweep"))]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_launcher_takes_runs_that_are_trained_at_once_as_one_job(serial, sweep, launcher, cluster_words):
    reference, _ = serial
    ended = sweep(launcher, *GRID, *TINY, *cluster_words, "hydra.launcher.stack=true").wait(180)
    assert ended.returncode == 0 and "at once (" in ended.stderr.splitlines()[0], ended.stderr
    assert rows_of("sweep") == rows_of(reference)
    for run in reference.glob("*/"):
        assert runs.read_result(Path("sweep", run.name))["metrics"] == runs.read_result(run)["metrics"]
    logs = [file.read_text("utf-8") for file in Path("sweep/.logs").glob("*.txt")]
    assert sum("at once, " in text for text in logs) == 1  # of all six, one has told of the training


PLUGINS = {"joblib": "joblib", "slurm": "submitit", "ray": "ray"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: needs hydra-joblib-launcher; .*'rnn-tasks.joblib.'"),
        (["hydra/launcher=slurm"], "hydra/launcher=slurm: needs hydra-submitit-launcher; .*'rnn-tasks.slurm.'"),
        (["hydra/launcher=ray"], "hydra/launcher=ray: needs hydra-ray-launcher; .*'rnn-tasks.ray.'"),
        (["hydra/sweeper=optuna"], "hydra/sweeper=optuna: needs hydra-optuna-sweeper; .*'rnn-tasks.optuna.'"),
        (
            ["hydra/launcher=slrum"],
            "hydra/launcher=slrum: no such hydra/launcher; there are basic, joblib, ray, .*slurm",
        ),
        (["hydra/sweeper=optun"], "hydra/sweeper=optun: no such hydra/sweeper; there are basic, optuna"),
    ],
)
def test_a_launcher_that_is_not_there_is_refused_in_one_line(workplace, call, monkeypatch, words, line):
    monkeypatch.setattr(launchers, "_is_installed", lambda module: False)
    status, output, errors = call("train", "--multirun", "model.hidden=1,2", *words)
    assert (status, output) == (2, "")
    assert re.fullmatch(f"error: {line}.*\n", errors)
    assert not list(workplace.iterdir())


def test_a_launcher_without_multirun_is_named(workplace, call, no_pictures):
    status, _, errors = call("train", "hydra/launcher=slurm", *TINY)
    assert status == 0
    assert errors.splitlines()[0] == "hydra/launcher=slurm: has no effect without --multirun"


def test_options_of_our_own_hide_those_of_the_plugins(workplace, recwarn):
    cfg = config.compose(["hydra/launcher=joblib", "hydra/sweeper=optuna", "hydra.launcher.n_jobs=3"])
    assert cfg.task.name == "adder" and not [each for each in recwarn if "ConfigStore" in str(each.message)]


@pytest.mark.slow
def test_a_failing_run_of_a_launcher_is_named_and_the_others_go_on(workplace, sweep):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    ended = sweep("joblib", "model.hidden=1,x", *TINY).wait(180)
    assert ended.returncode == 1 and "Traceback" not in ended.stdout + ended.stderr
    reason = "model.hidden=x: must be a whole number like 5"
    assert f"model.hidden=x: failed: {reason}" in ended.stderr.splitlines()
    assert [(row["state"], row["note"]) for row in rows_of("sweep")] == [("done", ""), ("failed", reason)]


def disturb_by_requeue(job):
    subprocess.run(["scontrol", "requeue", job], check=True)


def disturb_by_preemption(job):
    subprocess.run(["scancel", "--signal=USR2", job], check=True)


def assert_ends_like(reference):
    for hidden in (1, 2):
        assert_equal_ends(Path(f"sweep/model.hidden={hidden}"), reference / f"model.hidden={hidden}")


def assert_stopped(ended, *runs, status=1, states=("stopped", "missing")):
    """The command has ended as it should when its runs were stopped: a summary that names them, and no traceback."""
    assert ended.returncode == status and "Traceback" not in ended.stdout + ended.stderr, ended
    with open("sweep/summary.csv", encoding="utf-8") as file:
        rows = {row["run"]: row["state"] for row in csv.DictReader(file)}
    assert {run for run, state in rows.items() if state != "done"} == set(runs)
    assert all(rows[run] in states for run in runs)
    assert not list(Path("sweep").rglob("error.txt"))
    assert all(run in ended.stdout for run in rows)


@pytest.mark.slow
@pytest.mark.parametrize("disturb", [disturb_by_requeue, disturb_by_preemption])
def test_a_requeued_slurm_job_goes_on_to_the_same_end(cluster, sweep, reference, disturb):
    process = sweep("slurm", "model.hidden=1,2", *LONG)
    run = Path("sweep/model.hidden=1")
    wait_for(lambda: has_begun(run), process)
    job = job_of(run, 1)
    disturb(job)
    slurm.release(job)
    ended = process.wait(180)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr
    log = Path("sweep/.logs/model.hidden=1.txt").read_text("utf-8")
    assert "stopping in a moment" in log and "; from epoch" in log
    assert_ends_like(reference)


@pytest.mark.slow
def test_slurm_jobs_that_are_cancelled_killed_or_out_of_time_are_stopped_and_go_on(cluster, sweep, reference):
    words = ["model.hidden=1,2,3", *LONG, "hydra.launcher.timeout_min=1", "hydra.launcher.max_num_timeout=0"]
    words.append("hydra.launcher.signal_delay_s=25")
    process = sweep("slurm", *words)
    for hidden in (1, 2):
        wait_for(lambda hidden=hidden: has_begun(Path(f"sweep/model.hidden={hidden}")), process)
    subprocess.run(["scancel", job_of(None, 1)], check=True)
    subprocess.run(["scancel", "--signal=KILL", job_of(None, 2)], check=True)
    wait_for(lambda: has_begun(Path("sweep/model.hidden=3")), process)
    disturb_by_preemption(job_of(None, 3))
    ended = process.wait(180)
    assert_stopped(ended, *(f"model.hidden={hidden}" for hidden in (1, 2, 3)))
    assert ended.stderr.count("error: Slurm job") == 3
    assert sweep("slurm", "model.hidden=1,2,3", *LONG).wait(180).returncode == 0
    assert_ends_like(reference)


@pytest.mark.slow
def test_ctrl_c_leaves_slurm_jobs_and_says_so(cluster, sweep, reference):
    process = sweep("slurm", "model.hidden=1,2", *LONG)
    wait_for(lambda: has_begun(Path("sweep/model.hidden=1")), process)
    job = job_of(None, 1).partition("_")[0]
    process.send_signal(signal.SIGINT)
    ended = process.wait(180)
    states = ("running", "stopped", "missing")  # its jobs go on
    assert_stopped(ended, "model.hidden=1", "model.hidden=2", status=130, states=states)
    assert f"scancel {job}" in ended.stderr
    for hidden in (1, 2):
        wait_until(Path(f"sweep/model.hidden={hidden}/result.json").exists)
    assert sweep("basic", "model.hidden=1,2", *LONG).wait(180).returncode == 0
    assert_ends_like(reference)


def wait_until(condition):
    end = time.time() + 180
    while not condition():
        assert time.time() < end
        time.sleep(0.1)


def children(process):
    """The numbers of the processes that a process has started, and these."""
    found = [process]
    for parent in found:
        for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, tasks.read_text().split())
    return found[1:]


def workers_of(process):
    """The processes that train: those that hold the lock of a run."""
    locks = [file.resolve() for file in Path("sweep").glob("*/.lock")]
    open_files = {child: [path.resolve() for path in Path(f"/proc/{child}/fd").iterdir()] for child in process}
    return [child for child, files in open_files.items() if set(files) & set(locks)]


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_by_joblib_whose_worker_dies_goes_on(sweep, reference, signum):
    process = sweep("joblib", "model.hidden=1,2", *LONG)
    for hidden in (1, 2):
        wait_for(lambda hidden=hidden: has_begun(Path(f"sweep/model.hidden={hidden}")), process)
    every = children(process.process.pid)
    os.kill(workers_of(every)[0], signum)
    ended = process.wait(180)
    assert_stopped(ended, "model.hidden=1", "model.hidden=2")
    assert re.search(
        r"^error: hydra/launcher=joblib: .*; go on with: .* resume=sweep hydra/launcher=joblib$", ended.stderr, re.M
    )
    assert sweep("joblib", "model.hidden=1,2", *LONG).wait(180).returncode == 0
    assert_ends_like(reference)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "ray"])
def test_ctrl_c_stops_the_workers(sweep, reference, launcher):
    process = sweep(launcher, "model.hidden=1,2", *LONG)
    for hidden in (1, 2):
        wait_for(lambda hidden=hidden: has_begun(Path(f"sweep/model.hidden={hidden}")), process)
    workers = workers_of(children(process.process.pid))
    assert len(workers) == 2
    process.send_signal(signal.SIGINT)
    ended = process.wait(180)
    assert_stopped(ended, "model.hidden=1", "model.hidden=2", status=130)
    assert "stopped; go on with: " in ended.stderr
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert sweep(launcher, "model.hidden=1,2", *LONG).wait(180).returncode == 0
    assert_ends_like(reference)


def on_cluster(ray_cluster):
    """The words that let a sweep join a Ray."""
    return [f"hydra.launcher.ray.init.address={ray_cluster.address}", "hydra.launcher.ray.init.num_cpus=null"]


@pytest.mark.slow
def test_a_run_whose_ray_node_is_killed_goes_on_elsewhere(ray_cluster, sweep, reference):
    node = ray_cluster.add_node(num_cpus=1)
    process = sweep("ray", "model.hidden=1,2", *LONG, *on_cluster(ray_cluster))
    for hidden in (1, 2):
        wait_for(lambda hidden=hidden: has_begun(Path(f"sweep/model.hidden={hidden}")), process)
    raylet = next(info.process.pid for info in node.all_processes["raylet"])
    lost = workers_of(children(raylet))
    ray_cluster.remove_node(node, allow_graceful=False)
    ended = process.wait(180)
    assert ended.returncode == 0 and "Traceback" not in ended.stdout + ended.stderr
    logs = "".join(path.read_text() for path in Path("sweep/.logs").iterdir())
    assert logs.count("; from epoch") == len(lost) <= 1
    assert len(ended.stderr.splitlines()) < 8
    assert_ends_like(reference)


@pytest.mark.slow
def test_a_run_that_ray_gives_up_is_stopped(ray_cluster, sweep, reference):
    words = [*LONG, *on_cluster(ray_cluster), "hydra.launcher.ray.remote.max_retries=0"]
    process = sweep("ray", "model.hidden=1,2", *words)
    for hidden in (1, 2):
        wait_for(lambda hidden=hidden: has_begun(Path(f"sweep/model.hidden={hidden}")), process)
    os.kill(workers_of(children(os.getpid()))[0], signal.SIGKILL)
    ended = process.wait(180)
    lost = [row["run"] for row in rows_of("sweep") if row["state"] != "done"]
    assert len(lost) == 1
    assert_stopped(ended, *lost)
    assert "its run has not finished" in ended.stderr
    assert sweep("ray", "model.hidden=1,2", *words).wait(180).returncode == 0
    assert_ends_like(reference)

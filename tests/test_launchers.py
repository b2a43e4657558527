"""Sweeps by joblib, Slurm and Ray, and searches by Optuna: the numbers of a serial sweep, whatever dies meanwhile."""

import csv
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import slurm
from forked import command, start
from helpers import assert_equal_ends, wait_for

from rnn_tasks import runs

LAUNCHERS = ("joblib", "slurm", "ray")
TINY = [
    *("task.train_size=64", "task.val_size=32", "task.test_size=4", "task.lengths=[1,4]", "task.test_lengths=[1,2]"),
    *("trainer.max_epochs=2", "logger=csv"),
]
GRID = ["model.hidden=1,2,3", "seed=0,1"]
LONG = [  # some seconds
    *("task.train_size=2000", "task.val_size=32", "task.test_size=4", "task.lengths=[1,8]", "task.test_lengths=[1,2]"),
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


def disturb_by_requeue(job):
    subprocess.run(["scontrol", "requeue", job], check=True)


def disturb_by_preemption(job):
    subprocess.run(["scancel", "--signal=USR2", job], check=True)


def assert_ends_like(reference):
    for hidden in (1, 2):
        assert_equal_ends(Path(f"sweep/model.hidden={hidden}"), reference / f"model.hidden={hidden}")


def assert_stopped(ended, *runs, status=1):
    """The command has ended as it should when its runs were stopped: a summary that names them, and no traceback."""
    assert ended.returncode == status and "Traceback" not in ended.stdout + ended.stderr, ended
    with open("sweep/summary.csv", encoding="utf-8") as file:
        rows = {row["run"]: row["failed"] for row in csv.DictReader(file)}
    assert {run for run, reason in rows.items() if reason} == set(runs)
    assert all(rows[run] in ("stopped before its end", "not begun") for run in runs)
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
    log = Path("sweep/.logs/model.hidden=1.txt").read_text()
    assert "stopping in a moment" in log and "; from epoch" in log
    assert_ends_like(reference)


@pytest.mark.slow
def test_slurm_jobs_that_are_cancelled_killed_or_out_of_time_are_stopped_and_go_on(cluster, sweep, reference):
    words = ["model.hidden=1,2,3", *LONG, "hydra.launcher.timeout_min=1", "hydra.launcher.max_num_timeout=0"]
    process = sweep("slurm", *words)
    for hidden in (1, 2):
        wait_for(lambda hidden=hidden: has_begun(Path(f"sweep/model.hidden={hidden}")), process)
    subprocess.run(["scancel", job_of(None, 1)], check=True)
    subprocess.run(["scancel", "--signal=KILL", job_of(None, 2)], check=True)
    wait_for(lambda: has_begun(Path("sweep/model.hidden=3")), process)
    disturb_by_preemption(job_of(None, 3))
    ended = process.wait(180)
    print(ended.stdout, ended.stderr)
    assert_stopped(ended, *(f"model.hidden={hidden}" for hidden in (1, 2, 3)))
    assert ended.stderr.count("error: Slurm job") == 3
    again = sweep("slurm", "model.hidden=1,2", *LONG).wait(180)
    print(again.stdout, again.stderr)
    assert_ends_like(reference)


@pytest.mark.slow
def test_ctrl_c_leaves_slurm_jobs_and_says_so(cluster, sweep, reference):
    process = sweep("slurm", "model.hidden=1,2", *LONG)
    wait_for(lambda: has_begun(Path("sweep/model.hidden=1")), process)
    job = job_of(None, 1).partition("_")[0]
    process.send_signal(signal.SIGINT)
    ended = process.wait(180)
    print(ended.stdout, ended.stderr)
    assert_stopped(ended, "model.hidden=1", "model.hidden=2", status=130)
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
    print(ended.stdout, ended.stderr)
    assert_stopped(ended, "model.hidden=1", "model.hidden=2")
    assert re.search(r"^error: hydra/launcher=joblib: .*; the sweep goes on with .*=sweep$", ended.stderr, re.M)
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
    print(ended.stdout, ended.stderr)
    assert_stopped(ended, "model.hidden=1", "model.hidden=2", status=130)
    assert "stopped; the sweep goes on with" in ended.stderr
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert sweep(launcher, "model.hidden=1,2", *LONG).wait(180).returncode == 0
    assert_ends_like(reference)


def on_cluster(ray_cluster):
    """The words that let a sweep join a Ray."""
    return [f"hydra.launcher.ray.init.address={ray_cluster.address}", "hydra.launcher.ray.init.num_cpus=null"]


def worker_on(node, run):
    """The process on a node of a local Ray that does a run."""
    raylet = next(info.process.pid for info in node.all_processes["raylet"])
    return raylet, [worker for worker in workers_of(children(raylet)) if f"{run}/.lock" in held(worker)]


@pytest.mark.slow
def test_runs_of_a_killed_ray_node_go_on_elsewhere(ray_cluster, sweep, reference):
    node = ray_cluster.add_node(num_cpus=1, resources={"lost": 1})
    process = sweep("ray", "model.hidden=1,2", *LONG, *on_cluster(ray_cluster), "hydra.launcher.ray.remote.num_cpus=1")
    for hidden in (1, 2):
        wait_for(lambda hidden=hidden: has_begun(Path(f"sweep/model.hidden={hidden}")), process)
    ray_cluster.remove_node(node, allow_graceful=False)
    ended = process.wait(180)
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    assert_ends_like(reference)

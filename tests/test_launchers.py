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
    *("task.batch_size=4", "trainer.max_epochs=25"),
]


@pytest.fixture(scope="module")
def cluster():
    """A Slurm of two cores."""
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.running() as place:
        yield place


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
            process.process.kill()


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


@pytest.mark.slow
@pytest.mark.parametrize("disturb", [disturb_by_requeue, disturb_by_preemption])
def test_a_requeued_slurm_job_goes_on_to_the_same_end(cluster, sweep, reference, disturb):
    process = sweep("slurm", "model.hidden=1,2", *LONG)
    run = Path("sweep/model.hidden=1")
    wait_for(lambda: has_begun(run), process)
    job = job_of(run, 1)
    disturb(job)
    slurm.release(job)
    ended = process.wait(60)
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr
    log = Path("sweep/.logs/model.hidden=1.txt").read_text()
    print(log, *[p.read_text() for p in Path("sweep/.submitit").rglob("*.err")],*[p.read_text() for p in Path("sweep/.submitit").rglob("*.out")])
    assert "stopping in a moment" in log and "; from epoch" in log
    for hidden in (1, 2):
        assert_equal_ends(Path(f"sweep/model.hidden={hidden}"), reference / f"model.hidden={hidden}")

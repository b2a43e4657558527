"""What is taken from the inside of Lightning, Hydra and torch still does what it is taken for."""

import inspect
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from rnn_tasks import internals


class Steps(LightningModule):
    """Six batches an epoch under manual optimization; notes the batches before which it has been validated."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.layer, self.validated, self.batches = nn.Linear(1, 1), [], 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, index):
        self.batches += 1

    def validation_step(self, batch, index):
        self.validated.append(self.batches)


def fit(module, tmp_path, **words):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", enable_checkpointing=False, default_root_dir=tmp_path, **quiet, **words
    )
    trainer.fit(module, DataLoader(torch.zeros(6, 1)), DataLoader(torch.zeros(1, 1)))
    return trainer


def test_hydra_parser_knows_hydras_flags():
    flags = internals.flags_with_values(internals.hydra_parser())
    assert flags["--cfg"] and flags["--config-dir"] and not flags["--multirun"] and not flags["--resolve"]


def test_flags_with_values_is_that_of_argparse():
    from argparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("--with", "-w")
    parser.add_argument("--without", action="store_true")
    flags = internals.flags_with_values(parser)
    assert flags["--with"] and flags["-w"] and not flags["--without"]


def test_count_optimizer_steps_is_lightnings_global_step(tmp_path):
    class Counting(Steps):
        def training_step(self, batch, index):
            internals.count_optimizer_steps(self.trainer, 3)

    assert fit(Counting(), tmp_path).global_step == 18


def test_validate_after_decides_when_lightning_validates(tmp_path):
    class Validating(Steps):
        def on_train_batch_end(self, outputs, batch, index):
            internals.validate_after(self.trainer, index, now=index in (1, 2, 5))

    module = Validating()
    fit(module, tmp_path)
    assert module.validated == [2, 3, 6]


def test_replace_sigterm_handler_wins_over_lightnings(tmp_path):
    received = []

    class Stopped(Steps):
        def on_train_start(self):
            internals.replace_sigterm_handler(lambda number, frame: received.append(number))

        def training_step(self, batch, index):
            super().training_step(batch, index)
            if index == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    former, module = signal.getsignal(signal.SIGTERM), Stopped()
    try:
        trainer = fit(module, tmp_path)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert received == [signal.SIGTERM] and module.batches == 6 and not trainer.received_sigterm


def test_raised_in_lightning_tells_its_refusals_from_others(tmp_path):
    with pytest.raises(ValueError) as refused:
        Trainer(accelerator="cpu", devices=1, precision="nonsense")
    assert internals.raised_in_lightning(refused.value)
    with pytest.raises(ValueError) as own:
        int("x")
    assert not internals.raised_in_lightning(own.value)


AFRESH = """
import os, lightning
from rnn_tasks import internals

before = os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK")
internals.forget_cuda_check()
import torch
print(before, os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK"), torch.cuda.is_available())

internals.set_rank(0)
from lightning.pytorch.loggers import CSVLogger
logger = CSVLogger(".", name="", version="")
logger.log_metrics({"a": 1.0}, 0)
logger.save()
"""


@pytest.fixture(scope="module")
def afresh(tmp_path_factory):
    """What a process prints and writes that imports Lightning as the second of a Slurm job."""
    place, environment = tmp_path_factory.mktemp("afresh"), os.environ | {"SLURM_PROCID": "1"}
    words = [sys.executable, "-c", AFRESH]
    ended = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, place


def test_forget_cuda_check_undoes_what_lightning_sets(afresh):
    before, after, available = afresh[0].split()
    assert before == "1" and after == ("1" if available == "True" else "None")


def test_set_rank_lets_loggers_write_whatever_slurm_says(afresh):
    assert "1.0" in (afresh[1] / "metrics.csv").read_text()


def test_linear_pointwise_is_a_linear_layer():
    inputs, weight, bias, added = torch.randn(5, 3), torch.randn(4, 3), torch.randn(4), torch.randn(5, 4)
    torch.testing.assert_close(internals.linear_pointwise(inputs, weight, bias), inputs @ weight.T + bias)
    torch.testing.assert_close(internals.linear_pointwise(inputs, weight, added=added), inputs @ weight.T + added)


def test_tanh_backward_writes_the_gradient():
    inputs, gradient, out = torch.randn(5, requires_grad=True), torch.randn(5), torch.empty(5)
    output = inputs.tanh()
    (expected,) = torch.autograd.grad(output, inputs, gradient)
    internals.tanh_backward(gradient, output.detach(), out)
    torch.testing.assert_close(out, expected)


def test_emulates_bfloat16_says_what_linux_says_of_the_processor():
    flags = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not flags.exists():
        pytest.skip("there is no /proc/cpuinfo of an x86 processor")
    known = {"avx512_bf16", "amx_tile"} & set(flags.read_text(encoding="utf-8").split())
    assert internals.emulates_bfloat16() == (not known)


def test_every_function_of_the_module_has_a_test_by_its_name():
    functions = [
        name
        for name, value in vars(internals).items()
        if inspect.isfunction(value) and value.__module__ == internals.__name__ and not name.startswith("_")
    ]
    tests = [name for name in globals() if name.startswith("test_")]
    assert len(functions) >= 10
    assert not [name for name in functions if not any(test.startswith(f"test_{name}") for test in tests)]


def test_prefer_own_options_takes_those_of_plugins_away(tmp_path):
    from hydra.core.config_store import ConfigStore

    for name in ("own", "other"):
        ConfigStore.instance().store(name=name, group="hydra/launcher", node={"a": 1})
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "hydra" / "launcher" / "own.yaml").write_text("b: 1")
    internals.prefer_own_options(tmp_path)
    options = ConfigStore.instance().repo["hydra"]["launcher"]
    assert "own.yaml" not in options and "other.yaml" in options
    del options["other.yaml"]


@pytest.fixture
def four_jobs(tmp_path, monkeypatch):
    """Four jobs, whose states squeue tells, and what is said of lost ones."""
    slurm = pytest.importorskip("submitit.slurm.slurm")
    monkeypatch.setattr(slurm, "SlurmJob", slurm.SlurmJob)
    monkeypatch.setattr(slurm.SlurmExecutor, "job_class", slurm.SlurmExecutor.job_class)
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 7_0 PENDING; echo 7_1 CANCELLED; echo 7_3 CONFIGURING\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lost = []
    internals.follow_slurm_jobs(lost.append)
    jobs = [slurm.SlurmJob(tmp_path / "%j", f"7_{number}") for number in range(4)]
    for job in jobs:
        job.paths.folder.mkdir(exist_ok=True)
        job._results_timeout_s = 0
    return jobs, lost


def test_follow_slurm_jobs_asks_squeue_and_survives_a_lost_job(four_jobs):
    jobs, lost = four_jobs
    assert [job.done(force_check=True) for job in jobs] == [False, True, True, False]
    assert [job.results()[0].return_value for job in jobs[1:3]] == [None, None]
    assert [line.partition(",")[0] for line in lost] == ["Slurm job 7_1: is cancelled", "Slurm job 7_2: is forgotten"]


def test_slurm_jobs_are_those_that_have_not_ended(four_jobs):
    assert internals.slurm_jobs() == ["7"]
    for number in (0, 3):
        four_jobs[0][number].watcher._registered.remove(f"7_{number}")
    assert internals.slurm_jobs() == []


def test_survive_lost_tasks_returns_nothing_for_a_lost_task(monkeypatch):
    ray = pytest.importorskip("ray")
    core = pytest.importorskip("hydra_plugins.hydra_ray_launcher._core")
    monkeypatch.setattr(core, "ray", core.ray)
    lost = []
    internals.survive_lost_tasks(lost.append)

    def get(reference):
        if reference == "lost":
            raise ray.exceptions.WorkerCrashedError
        return reference

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "wait", lambda references, timeout: (references, []))
    assert core.ray.get("kept") == "kept" and not lost
    assert core.ray.get("lost").return_value is None and len(lost) == 1
    assert "ray.get(" in inspect.getsource(core) and inspect.getsource(core).count("ray.") == 1


def test_shorten_ray_prints_each_report_of_a_node_once(monkeypatch):
    worker = pytest.importorskip("ray._private.worker")
    printed = []
    monkeypatch.setattr(worker, "print_to_stdstream", lambda data, ignore_prefix: printed.append(data["lines"]))
    for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(name, "as it was")
    told = []
    internals.shorten_ray(told.append)
    for pid in ("raylet", "raylet", 17):
        worker.print_to_stdstream(
            {"lines": ["It died. Forty lines:\nmore"], "pid": pid, "is_err": False}, ignore_prefix=False
        )
    assert told == ["Ray: It died"] and printed == [["It died. Forty lines:\nmore"]]
    assert "print_to_stdstream(" in inspect.getsource(worker.listen_error_messages)


def test_end_joblib_workers_leaves_none(tmp_path):
    joblib = pytest.importorskip("joblib")
    from joblib.externals.loky import reusable_executor

    pids = joblib.Parallel(2)(joblib.delayed(os.getpid)() for _ in range(4))
    internals.end_joblib_workers()
    assert reusable_executor._executor is None or reusable_executor._executor._processes == {}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("make", [torch.optim.lr_scheduler.CosineAnnealingLR, torch.optim.lr_scheduler.StepLR])
def test_skip_steps_and_closed_form_rates_do_what_single_steps_do(make):
    def scheduler():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        return make(optimizer, 7)

    single, skipped = scheduler(), scheduler()
    rates = []
    for _ in range(6):
        single.optimizer.step()
        single.step()
        rates.append(single.optimizer.param_groups[0]["lr"])
    given = internals.closed_form_rates(skipped, 6)
    assert given == pytest.approx(rates, rel=1e-12)
    internals.skip_steps(skipped, 6, given[-1])
    assert skipped.state_dict() == {**single.state_dict(), "_last_lr": [given[-1]]}
    single.step()
    skipped.step()
    assert skipped.optimizer.param_groups[0]["lr"] == pytest.approx(single.optimizer.param_groups[0]["lr"], rel=1e-12)


def test_closed_form_rates_are_missing_where_a_scheduler_has_none():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    assert internals.closed_form_rates(torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 9), 3) is None


def test_has_hooks_finds_what_wants_to_be_called():
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def parts():
        model = torch.nn.Sequential(torch.nn.Linear(2, 1))
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    assert not internals.has_hooks(*parts())
    registrations = [
        lambda model, optimizer: model[0].register_forward_hook(print),
        lambda model, optimizer: model.register_full_backward_hook(print),
        lambda model, optimizer: model[0].weight.register_hook(print),
        lambda model, optimizer: model[0].bias.register_post_accumulate_grad_hook(print),
        lambda model, optimizer: optimizer.register_step_pre_hook(print),
        lambda model, optimizer: register_optimizer_step_post_hook(print),
    ]
    for register in registrations:
        model, optimizer = parts()
        handle = register(model, optimizer)
        assert internals.has_hooks(model, optimizer)
        handle.remove()
    assert not internals.has_hooks(*parts())


def test_parsed_regex_has_the_parts_of_an_expression():
    a, b = (("sequence", [("letters", frozenset(letter), False)]) for letter in "ab")
    assert internals.parsed_regex("a(b)*") == ("sequence", [a[1][0], ("repeat", 0, None, ("sequence", [b]))])
    assert internals.parsed_regex("a|[^b]")[1] == [("choice", [a, ("sequence", [("letters", frozenset("b"), True)])])]
    assert internals.parsed_regex(".{2,3}")[1] == [("repeat", 2, 3, ("sequence", [("letters", frozenset(), True)]))]
    for wrong in ("(", r"\1", "a$", "(?=a)", "(?i)a", r"\d", "[a-\uffff]"):
        with pytest.raises(ValueError, match="regex="):
            internals.parsed_regex(wrong)

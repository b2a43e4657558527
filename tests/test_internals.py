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
        if inspect.isfunction(value) and value.__module__ == internals.__name__
    ]
    tests = [name for name in globals() if name.startswith("test_")]
    assert len(functions) >= 10
    assert not [name for name in functions if not any(test.startswith(f"test_{name}") for test in tests)]

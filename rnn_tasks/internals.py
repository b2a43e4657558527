"""Everything that is taken from the inside of Lightning, Hydra or torch, where no public way leads there.

Each function says what it uses and why. Each has a test of its own in tests/test_internals.py, which fails by name when
a new version changes what it relies on. Imports are inside the functions, so that the command line is checked before
torch is imported. The file is longer than others, so that there is one place to look at when a library changes.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import cache
from pathlib import Path
from traceback import extract_tb
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning import Trainer
    from torch import Tensor


def hydra_parser() -> ArgumentParser:
    """Return Hydra's own command-line parser: ``hydra._internal.utils.get_args_parser``.

    Hydra rejects flags that stand between overrides, so they are sorted before Hydra sees them.
    """
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def flags_with_values(parser: ArgumentParser) -> dict[str, bool]:
    """Return whether each flag of a parser is followed by a value: ``argparse.ArgumentParser._actions``."""
    return {flag: action.nargs is None for action in parser._actions for flag in action.option_strings}


def prefer_own_options(folder: Path) -> None:
    """Let files in a folder ``hydra`` replace plugins' options of the same name: ``ConfigStore.instance().repo``.

    Hydra would merge both, with a warning, and refuse a file with a defaults list.

    Args:
        folder: that of all configuration files.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # plugins store their options when they are found
    for file in folder.glob("hydra/*/**/*.yaml"):
        group = ConfigStore.instance().repo
        for name in file.relative_to(folder).parent.parts:
            group = group.get(name, {})
        group.pop(file.name, None)


def end_joblib_workers() -> None:
    """End the processes that joblib would keep for five minutes: ``joblib.externals.loky``, its reusable executor."""
    from joblib.externals.loky import reusable_executor

    if reusable_executor._executor is not None:
        reusable_executor._executor.terminate(kill_workers=True)


def follow_slurm_jobs(lost: Callable[[str], Any]) -> None:
    """Let submitit ask squeue how its jobs are, and return from a lost one: ``submitit.slurm.slurm.SlurmJob``.

    It asks sacct, which fails where a cluster keeps no accounts; a cancelled job would then be waited for for ever.
    A lost job would end the waiting for the others.

    Args:
        lost: is called with what became of a job that has ended without a result.
    """
    from hydra.core.utils import JobReturn, JobStatus
    from submitit.core.utils import FailedJobError, UncompletedJobError
    from submitit.slurm import slurm

    logging.getLogger("submitit").setLevel(logging.ERROR)  # slurmctld may not answer for a while

    class Watcher(slurm.SlurmInfoWatcher):
        def _make_command(self) -> list[str]:
            return ["squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i %T"]

        def read_info(self, output: bytes | str) -> dict[str, dict[str, str]]:
            text = output if isinstance(output, str) else output.decode()
            states = dict(line.split() for line in text.splitlines())
            states = {job: states.get(job, "FORGOTTEN") for job in self._registered}
            return {job: {"State": state if state in SLURM_ENDS else "RUNNING"} for job, state in states.items()}

    class Job(slurm.SlurmJob):
        watcher = Watcher(delay_s=30)

        def results(self) -> list[Any]:
            try:
                return super().results()
            except (FailedJobError, UncompletedJobError) as error:
                reason = "see its log" if isinstance(error, FailedJobError) else f"is {self.state.lower()}"
                lost(f"Slurm job {self.job_id}: {reason}, {self.paths.stderr}")
                return [JobReturn(status=JobStatus.COMPLETED)]

    slurm.SlurmJob = slurm.SlurmExecutor.job_class = Job  # type: ignore[misc]


def slurm_jobs() -> list[str]:
    """Return the numbers of the Slurm jobs of this process that have not ended: ``SlurmJob.watcher``."""
    from submitit.slurm import slurm

    watcher = slurm.SlurmJob.watcher
    return sorted({job.partition("_")[0] for job in watcher._registered if not watcher.is_done(job, "force")})


SLURM_ENDS = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"),
    "FORGOTTEN",  # some minutes after its end
)


def shorten_ray(tell: Callable[[str], Any]) -> None:
    """Let Ray print the first sentence of what its own processes report: ``ray._private.worker.print_to_stdstream``.

    It prints forty lines of a log when a node dies. Also set what it reads from the environment: no token, which a
    cluster that the user has started has not either, no advice.

    Args:
        tell: prints a line.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray._private import worker

    original = worker.print_to_stdstream
    shown: set[str] = set()

    def show(data: Any, *rest: Any, **named: Any) -> Any:
        if data.get("pid") not in ("raylet", "gcs", "autoscaler"):  # of a job
            return original(data, *rest, **named)
        for text in {line.partition("\n")[0].partition(". ")[0] for line in data["lines"]} - shown:
            shown.add(text)
            tell(f"Ray: {text}")

    worker.print_to_stdstream = show


def survive_lost_tasks(lost: Callable[[str], Any]) -> None:
    """Let the Ray launcher go on when a task is lost for good: ``hydra_plugins.hydra_ray_launcher._core.ray``.

    While ``ray.get`` waits, it notices no signal but one that raises KeyboardInterrupt.

    Args:
        lost: is called with what became of the task.
    """
    import ray
    from hydra.core.utils import JobReturn, JobStatus
    from hydra_plugins.hydra_ray_launcher import _core

    def get(reference: Any) -> Any:
        try:
            while not ray.wait([reference], timeout=0)[0]:
                time.sleep(0.2)
            return ray.get(reference)
        except ray.exceptions.RayError as error:
            lost(f"Ray: {str(error).splitlines()[0]}")
            return JobReturn(status=JobStatus.COMPLETED)

    _core.ray = SimpleNamespace(get=get)  # type: ignore[assignment]


def count_optimizer_steps(trainer: Trainer, steps: int) -> None:
    """Let ``trainer.global_step`` count optimizer steps: ``manual_optimization.optim_step_progress``.

    Lightning counts one step for each call of its optimizer wrapper, which costs more than a step of a small network.
    """
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    for counter in (progress.total, progress.current):
        counter.ready += steps
        counter.completed += steps


def has_hooks(model: Any, optimizer: Any) -> bool:
    """Return whether something wants to be called in forward, backward or a step, as a callback of the user's own.

    The registries of torch.nn.Module, torch.Tensor, torch.optim.Optimizer and the global ones of optimizers.
    """
    from torch.optim import optimizer as optim

    of_modules = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    of_optimizers = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    return (
        any(getattr(module, name) for module in model.modules() for name in of_modules)
        or any(parameter._backward_hooks or parameter._post_accumulate_grad_hooks for parameter in model.parameters())
        or any(getattr(optimizer, name) for name in of_optimizers)
        or bool(optim._global_optimizer_pre_hooks or optim._global_optimizer_post_hooks)
    )


def closed_form_rates(scheduler: Any, steps: int) -> list[float] | None:
    """Return the learning rates after each of the next steps: ``LRScheduler._get_closed_form_lr``, if there is one.

    A step of a scheduler takes longer than one of a small network.
    """
    own = type(scheduler).__module__ != "torch.optim.lr_scheduler"  # whose rates may be others
    if own or not hasattr(scheduler, "_get_closed_form_lr"):
        return None
    before, rates = scheduler.last_epoch, []
    for step in range(1, steps + 1):
        scheduler.last_epoch = before + step
        rates.append(float(scheduler._get_closed_form_lr()[0]))
    scheduler.last_epoch = before
    return rates


def skip_steps(scheduler: Any, steps: int, rate: float) -> None:
    """Let a scheduler have taken steps that ended with a rate: ``_step_count`` and ``_last_lr`` of LRScheduler."""
    scheduler.last_epoch += steps
    scheduler._step_count += steps
    scheduler._last_lr = [rate]
    scheduler.optimizer.param_groups[0]["lr"] = rate


def validate_after(trainer: Trainer, batch_index: int, now: bool) -> None:
    """Validate after this batch of Lightning's, or not yet: ``trainer.val_check_batch``.

    Lightning validates after multiples of this number; chunks of batches end at no regular intervals.
    """
    trainer.val_check_batch = batch_index + (1 if now else 2)


def replace_sigterm_handler(handler: Callable[[int, Any], None]) -> None:
    """Take SIGTERM back from ``trainer._signal_connector``, which has set its own handler when training starts.

    Lightning's handler ends the process with status 0 at the next batch, without saving anything.
    """
    signal.signal(signal.SIGTERM, handler)


def raised_in_lightning(error: BaseException) -> bool:
    """Return whether Lightning itself raised an error: its innermost traceback entry lies in ``lightning``.

    Lightning reports settings that it cannot use by ValueError and TypeError, as any fault of a program does.
    """
    return "lightning" in Path(extract_tb(error.__traceback__)[-1].filename).parts


def forget_cuda_check() -> None:
    """Undo ``PYTORCH_NVML_BASED_CUDA_CHECK=1``, which ``lightning.fabric`` sets, on a machine without CUDA.

    With it each optimizer step of torch looks for a GPU again.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def set_rank(rank: int) -> None:
    """Tell Lightning's loggers which process this is: ``lightning.pytorch.utilities.rank_zero_only.rank``.

    Lightning guesses it from variables like SLURM_PROCID, which may be left over from something else.
    """
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    rank_zero_only.rank = rank  # type: ignore[attr-defined]


def linear_pointwise(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, added: Tensor | None = None) -> Tensor:
    """Compute inputs weight' + bias + added by oneDNN: ``torch.ops.mkldnn._linear_pointwise``, in float32.

    On some processors that is twice as fast as the library behind torch.mm; nn.LSTM uses oneDNN, too.

    Args:
        inputs: [B, D].
        weight: [H, D].
        bias: [H].
        added: [B, H].
    """
    plain, with_added = _linear_pointwise()
    if added is None:
        return plain(inputs, weight, bias, "none", [], "")
    return with_added(inputs, added, weight, bias, "add")


@cache  # looked up once: a layer calls these at every step
def _linear_pointwise() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    import torch

    return torch.ops.mkldnn._linear_pointwise, torch.ops.mkldnn._linear_pointwise.binary


def tanh_backward(gradient: Tensor, output: Tensor, out: Tensor) -> Tensor:
    """gradient * (1 - output^2), written to ``out`` in one pass: ``torch.ops.aten.tanh_backward.grad_input``."""
    return _tanh_backward()(gradient, output, grad_input=out)


@cache
def _tanh_backward() -> Callable[..., Tensor]:
    import torch

    return torch.ops.aten.tanh_backward.grad_input


def emulates_bfloat16() -> bool:
    """Return whether an x86 processor computes bfloat16 without instructions for it, which is slow.

    ``torch.cpu._is_avx512_bf16_supported`` and ``torch.cpu._is_amx_tile_supported``; of other processors it is unknown.
    """
    import torch

    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def parsed_regex(regex: str) -> tuple[Any, ...]:
    """Return the parts of a regular expression: ``re._parser`` (``sre_parse`` up to Python 3.10).

    Parts are ("letters", characters, whether it is all others), ("sequence", parts), ("choice", parts) and
    ("repeat", least, most or None, part).

    Raises:
        ValueError: it is no regular expression, or has references, assertions, anchors or flags.
    """
    import re

    try:
        from re import _parser as parser  # type: ignore[attr-defined]
    except ImportError:
        import sre_parse as parser

    try:
        tree = parser.parse(regex)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"regex={regex!r}: is no regular expression ({error})") from None
    if tree.state.flags & ~re.UNICODE:
        raise ValueError(f"regex={regex!r}: must be without flags")
    return _regex_part(tree, regex)


def _regex_part(tree: Any, regex: str) -> tuple[Any, ...]:
    parts: list[tuple[Any, ...]] = []
    for code, value in tree:
        name = str(code)
        if name in ("LITERAL", "NOT_LITERAL"):
            parts.append(("letters", frozenset(chr(value)), name == "NOT_LITERAL"))
        elif name == "ANY":
            parts.append(("letters", frozenset(), True))
        elif name == "IN":
            parts.append(_regex_letters(value, regex))
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, body = value
            parts.append(("repeat", low, None if str(high) == "MAXREPEAT" else high, _regex_part(body, regex)))
        elif name == "BRANCH":
            parts.append(("choice", [_regex_part(branch, regex) for branch in value[1]]))
        elif name == "SUBPATTERN" and not any(value[1:3]):
            parts.append(_regex_part(value[3], regex))
        else:
            raise ValueError(
                f"regex={regex!r}: {name.lower()} is not supported; take letters, [], |, *, +, ?, {{}} and ()"
            )
    return "sequence", parts


def _regex_letters(items: Any, regex: str) -> tuple[Any, ...]:
    letters, negated = "", False
    for code, value in items:
        name = str(code)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            letters += chr(value)
        elif name == "RANGE":
            low, high = value
            if high - low > 1000:
                raise ValueError(f"regex={regex!r}: a range of {high - low + 1:,} characters is too large")
            letters += "".join(map(chr, range(low, high + 1)))
        else:
            raise ValueError(f"regex={regex!r}: {str(value).lower()} is not supported; list the characters, like [0-9]")
    return "letters", frozenset(letters), negated

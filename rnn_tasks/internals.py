"""Everything that is taken from the inside of Lightning, Hydra or torch, where no public way leads there.

Each function says what it uses and why. Each has a test of its own in tests/test_internals.py, which fails by name when
a new version changes what it relies on. Imports are inside the functions, so that the command line is checked before
torch is imported.
"""

from __future__ import annotations

import os
import platform
import signal
from argparse import ArgumentParser
from collections.abc import Callable
from functools import cache
from pathlib import Path
from traceback import extract_tb
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


def count_optimizer_steps(trainer: Trainer, steps: int) -> None:
    """Let ``trainer.global_step`` count optimizer steps: ``manual_optimization.optim_step_progress``.

    Lightning counts one step for each call of its optimizer wrapper, which costs more than a step of a small network.
    """
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    for counter in (progress.total, progress.current):
        counter.ready += steps
        counter.completed += steps


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

"""The recurrences as compiled code, for many small networks on a CPU: kernel.cpp.

It is built at its first use, where a C++ compiler is found, and kept in the user's cache directory.
RNN_TASKS_KERNEL=off does without it.
"""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torch.autograd.function import once_differentiable

SOURCE = Path(__file__).with_name("kernel.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-w")
COMPILED = ("rnn", "lstm", "gru")
LARGEST = 48  # units, beyond which the matrix products of a library are faster
FEW = 16  # replicates that leave lanes unused, which pays for little work alone:
LITTLE = 2**13  # B * G * H^2


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, built if it has not been for this machine; None without a compiler."""
    try:
        compiler = shlex.split(os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or "")
        if not compiler or os.environ.get("RNN_TASKS_KERNEL") == "off":
            return None
        directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnn_tasks"
        built = directory / f"kernel_{_key(compiler)}.so"
        if not built.exists():
            directory.mkdir(parents=True, exist_ok=True)
            with FileLock(built.with_suffix(".lock")):
                if not built.exists():
                    _build(compiler, built)
        return ctypes.CDLL(str(built))
    except (OSError, RuntimeError, subprocess.SubprocessError):  # of a home directory, too, that is not there
        return None


def _key(compiler: list[str]) -> str:
    """What the compiled code depends on: home directories may be shared by different machines."""
    cpu = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = "".join(sorted({line for line in info.read_text().splitlines() if line.startswith(("flags", "model"))}))
    return blake2b(repr((compiler, FLAGS, cpu)).encode() + SOURCE.read_bytes(), digest_size=8).hexdigest()


def _build(compiler: list[str], target: Path) -> None:
    temporary = target.with_suffix(".tmp")
    for threads in ("-fopenmp", ""):  # a compiler may come without OpenMP
        words = [*compiler, *FLAGS, *threads.split(), str(SOURCE), "-o", str(temporary)]
        if subprocess.run(words, capture_output=True, timeout=300).returncode == 0:
            temporary.replace(target)
            return
    raise subprocess.SubprocessError(f"{compiler[0]} cannot compile {SOURCE}")


def fits(cell: str, inputs: Tensor, weight_hh: Tensor) -> bool:
    """Whether the kernel can take a layer, and is the fastest way for it."""
    replicates, rows, hidden = weight_hh.shape
    return (
        cell in COMPILED
        and hidden <= LARGEST
        and (replicates >= FEW or inputs.shape[1] * rows * hidden <= LITTLE)
        and inputs.device.type == "cpu"
        and inputs.dtype == weight_hh.dtype in (torch.float32, torch.float64)
        and library() is not None
    )


class Layer(torch.autograd.Function):
    """A recurrent layer of R replicates, and the linear read-out behind it if there is one.

    ``Layer.apply(cell, inputs, weight_ih, weight_hh, bias_ih, bias_hh, weight, bias, lengths)`` of shapes [R, B, T, D],
    [R, G*H, D], [R, G*H, H], [R, G*H] twice, and of the read-out [R, C, H], [R, C] or None: gives [R, B, T, C], without
    a read-out [R, B, T, H]; with ``lengths`` [R, B] what stands at each sequence's last step, [R, B, C] or [R, B, H].
    """

    @staticmethod
    def forward(ctx: Any, cell: str, inputs: Tensor, *others: Tensor | None) -> Tensor:
        *weights, lengths = [tensor if tensor is None else tensor.contiguous() for tensor in others]
        lengths = lengths if lengths is None else lengths.long()
        inputs = inputs if inputs.stride(3) == 1 else inputs.contiguous()
        replicates, batch, steps, features = inputs.shape
        hidden = weights[1].shape[2]
        if weights[0].shape != (replicates, weights[1].shape[1], features):
            raise ValueError(f"inputs {tuple(inputs.shape)} do not fit weights {tuple(weights[0].shape)}")
        if lengths is not None and not 1 <= lengths.min() <= lengths.max() <= steps:
            raise ValueError(f"lengths must be from 1 to {steps}, the steps of the inputs")
        outputs = 0 if weights[4] is None else weights[4].shape[1]
        kernel, number, width = library(), COMPILED.index(cell), outputs or hidden
        lanes = kernel.lanes(inputs.element_size())
        padded = -(-replicates // lanes) * lanes * steps * batch
        kept = inputs.new_empty(padded * features), inputs.new_empty(padded * hidden * kernel.slots(number))
        shape = (replicates, batch, width) if lengths is not None else (replicates, batch, steps, width)
        out = inputs.new_empty(shape)
        sizes = (replicates, batch, steps, features, hidden, outputs, lengths is not None, *inputs.stride()[:3])
        tensors = (inputs, *weights, lengths, *kept, out)
        _call(number, sizes, (*tensors, *[None] * 8), backward=False)
        ctx.save_for_backward(*tensors)
        ctx.number, ctx.sizes = number, sizes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        wanted = [tensors[0] if ctx.needs_input_grad[1] else None, *tensors[1:7]]
        gradients = [None if tensor is None else torch.empty(tensor.shape, dtype=tensor.dtype) for tensor in wanted]
        _call(ctx.number, ctx.sizes, (*tensors, gradient.contiguous(), *gradients), backward=True)
        return None, *gradients, None


_Sizes, _Tensors = ctypes.c_int64 * 10, ctypes.c_void_p * 19


def _call(number: int, sizes: tuple[int, ...], tensors: tuple[Tensor | None, ...], backward: bool) -> None:
    """The arguments of kernel.cpp, in the order of its Sizes and Tensors."""
    addresses = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    layer = library().layer_float if tensors[0].dtype == torch.float32 else library().layer_double
    layer(number, _Sizes(*sizes), _Tensors(*addresses), backward, torch.get_num_threads())

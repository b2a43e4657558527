"""Recurrent layers of many small networks on a CPU as compiled code: kernel.cpp.

It is built at its first use, where a C++ compiler is found, and kept in the user's cache directory. Where there is no
compiler PyTorch computes the layers, which is slower. RNN_TASKS_KERNEL=off disables the kernel.
"""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
from contextlib import ExitStack, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_tasks.errors import one_line, tell
from rnn_tasks.files import replacing

SOURCE = Path(__file__).with_name("kernel.cpp")
# Only the lanes of a vector are vectorized, not loops, which would take twice as long to compile and gain nothing.
VECTORS = ("-march=native", "-fno-tree-vectorize", "-ftree-slp-vectorize")
FLAGS = ("-std=c++17", "-O3", *VECTORS, "-fno-math-errno", "-shared", "-fPIC", "-w")
COMPILED = ("rnn", "lstm", "gru")


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernel, built at its first use on a machine; None where it is disabled or unavailable.

    A missing compiler is no fault. If there is one, but the kernel cannot be built or loaded, one line on stderr says
    why, once in a process.
    """
    if os.environ.get("RNN_TASKS_KERNEL") == "off":
        return None
    try:
        compiler = shlex.split(os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or "")
        return _load(compiler) if compiler else None
    except (OSError, RuntimeError, ValueError, AttributeError, subprocess.SubprocessError) as error:
        tell(
            "PyTorch computes the recurrent layers, more slowly, since the compiled kernel cannot be used"
            f" ({one_line(error)[:200]}); RNN_TASKS_KERNEL=off disables the kernel and this message"
        )
        return None


def _load(compiler: list[str]) -> ctypes.CDLL:
    """Open the library that is kept in the user's cache, or build it and keep it there.

    Its name holds a hash of its content: opening a damaged library can kill the process.
    """
    directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnn_tasks"
    name = f"kernel_{_key(compiler)}"
    if kept := _kept(directory, name):
        return _opened(kept)
    with ExitStack() as stack, TemporaryDirectory() as temporary:
        with suppress(OSError, Timeout):  # where nothing can be kept, or another process has come to a stop
            directory.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(directory / f"{name}.lock", timeout=300))
        if kept := _kept(directory, name):
            return _opened(kept)
        built = Path(temporary) / "kernel.so"
        _build(compiler, built)
        content = built.read_bytes()
        target = directory / f"{name}_{_digest(content)}.so"
        try:
            with replacing(target) as file:
                file.write(content)
        except OSError as error:
            tell(f"{directory}: cannot keep the compiled kernel ({error.strerror}), so each run compiles it anew")
            return _opened(built)
        return _opened(target)


def _kept(directory: Path, name: str) -> Path | None:
    """Return the library in the cache whose content is what its name says; others are removed."""
    for path in directory.glob(f"{name}_*.so"):
        if path.stem == f"{name}_{_digest(path.read_bytes())}":
            return path
        with suppress(OSError):
            path.unlink()
    return None


def _opened(path: Path) -> ctypes.CDLL:
    code = ctypes.CDLL(str(path))
    for name in ("layer_float", "layer_double", "train_float", "train_double"):
        getattr(code, name)  # AttributeError if it is another library
    return code


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def _key(compiler: list[str]) -> str:
    """Hash all that the compiled code depends on, as machines of different kinds may share a home directory."""
    cpu = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = "".join(
            sorted(
                {line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith(("flags", "model"))}
            )
        )
    return _digest(repr((compiler, FLAGS, cpu)).encode() + SOURCE.read_bytes())


def _build(compiler: list[str], target: Path) -> None:
    for threads in (["-fopenmp"], []):  # a compiler may come without OpenMP
        command = [*compiler, *FLAGS, *threads, str(SOURCE), "-o", str(target)]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
        if ended.returncode == 0:
            return
    reason = next((line for line in ended.stderr.splitlines() if "error" in line), f"status {ended.returncode}")
    raise RuntimeError(f"{compiler[0]} cannot compile it: {reason}")


def supports(cell: str, inputs: Tensor, weight_hh: Tensor) -> bool:
    """Return whether the kernel can compute a layer of the cell of this name, whether or not it is the fastest way."""
    return (
        cell in COMPILED
        and inputs.device.type == "cpu"
        and inputs.dtype == weight_hh.dtype in (torch.float32, torch.float64)
        and library() is not None
    )


class Layer(torch.autograd.Function):
    """A recurrent layer of R replicates, and the linear read-out behind it if there is one.

    ``Layer.apply(cell, inputs, weight_ih, weight_hh, bias_ih, bias_hh, weight, bias, lengths, keep)`` with inputs
    [R, B, T, D], recurrent weights [R, G*H, D], [R, G*H, H], twice [R, G*H], a read-out [R, C, H], [R, C] or None
    twice, and lengths [R, B] or None. It gives [R, B, T, C], without a read-out [R, B, T, H]; with lengths only the
    last step of each sequence, [R, B, C] or [R, B, H]. With ``keep`` the states of all steps are kept for the backward
    pass; without, those of two, which stay in the processor's cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        inputs: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        w_out: Tensor | None,
        b_out: Tensor | None,
        lengths: Tensor | None,
        keep: bool,
    ) -> Tensor:
        inputs = inputs if inputs.stride(3) == 1 else inputs.contiguous()
        lengths = None if lengths is None else lengths.long()
        (replicates, batch, steps, features), hidden = inputs.shape, w_hh.shape[2]
        if w_ih.shape != (replicates, w_hh.shape[1], features):
            raise ValueError(f"inputs {tuple(inputs.shape)} do not fit weights {tuple(w_ih.shape)}")
        if lengths is not None and not 1 <= lengths.min() <= lengths.max() <= steps:
            raise ValueError(f"lengths must be from 1 to {steps}, the steps of the inputs")
        outputs, last = 0 if w_out is None else w_out.shape[1], lengths is not None
        code, number, width = _code(), COMPILED.index(cell), outputs or hidden
        lanes = code.lanes(inputs.element_size())
        window = steps if keep else min(steps, 2)
        padded = -(-replicates // lanes) * lanes * window * batch
        kept = inputs.new_empty(padded * features), inputs.new_empty(padded * hidden * code.slots(number))
        out = inputs.new_empty((replicates, batch, width) if last else (replicates, batch, steps, width))
        sizes = (replicates, batch, steps, features, hidden, outputs, last, window, *inputs.stride()[:3])
        others = (w_ih, w_hh, b_ih, b_hh, w_out, b_out, lengths)
        tensors = (inputs, *(None if tensor is None else tensor.contiguous() for tensor in others), *kept, out)
        _call(number, inputs.dtype, sizes, (*tensors, *[None] * 8), backward=False)
        ctx.save_for_backward(*tensors)
        ctx.number, ctx.sizes = number, sizes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        wanted = [tensors[0] if ctx.needs_input_grad[1] else None, *tensors[1:7]]
        gradients = [None if tensor is None else torch.empty(tensor.shape, dtype=tensor.dtype) for tensor in wanted]
        arguments = (*tensors, gradient.contiguous(), *gradients)
        _call(ctx.number, gradient.dtype, ctx.sizes, arguments, backward=True)
        return None, *gradients, None, None


_Sizes, _Tensors = ctypes.c_int64 * 11, ctypes.c_void_p * 19


def _code() -> ctypes.CDLL:
    code = library()
    assert code is not None, "a layer is given to the kernel only where it supports it"
    return code


def _call(
    number: int, dtype: torch.dtype, sizes: tuple[int, ...], tensors: tuple[Tensor | None, ...], backward: bool
) -> None:
    """Call kernel.cpp with its Sizes and Tensors, in the order in which they stand there."""
    addresses = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    function = _code().layer_float if dtype == torch.float32 else _code().layer_double
    function(number, _Sizes(*sizes), _Tensors(*addresses), backward, torch.get_num_threads())

"""What a run changes in its process, all in one place: threads, memory, environment, warnings."""

import ctypes
import logging
import os
import threading
import warnings
from contextlib import suppress

import torch

from rnn_tasks import internals

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of mallopt

# Lightning's remarks about what is so on purpose.
EXPECTED = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
    ".*your dataloader is not resumable.*",
    ".*GPU available but not used.*",
    ".*`srun` command is available.*",
    ".*`lr_scheduler.step..` before `optimizer.step..`.*",  # the kernel takes the optimizer's steps
)


def prepare_process(threads: int, profile: bool = False, rank: int = 0) -> None:
    """Set up this process for training; called once by ``train()``.

    Args:
        threads: for torch's operations; one is the fastest for small networks.
        profile: show Lightning's table of times, which it logs as information.
        rank: of this process among those of the run.
    """
    torch.set_num_threads(threads)
    _keep_memory()
    threading.excepthook = _without_file_errors
    internals.forget_cuda_check()
    internals.set_rank(rank)
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO if profile else logging.WARNING)
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)


def _without_file_errors(fault: threading.ExceptHookArgs) -> None:
    """Show what ends a thread, but no full disk: what TensorBoard writes next raises it in the main thread."""
    if not isinstance(fault.exc_value, OSError):
        threading.__excepthook__(fault)


def return_memory() -> None:
    """Let this process give memory back between many measurements of different sizes, rather than keep it.

    glibc returns blocks of more than 1 MB at once, and oneDNN keeps the code of few shapes instead of 1,024. Without it
    the measurement of 2,000 lengths grows to several gigabytes.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")  # read at the first use
    _tune_malloc({MMAP_THRESHOLD: 1 << 20})


def _keep_memory() -> None:
    """Let glibc keep freed blocks: fetching large ones anew at every step takes longer than a tanh of them."""
    _tune_malloc({TRIM_THRESHOLD: 1 << 30, MMAP_THRESHOLD: 1 << 30})


def _tune_malloc(values: dict[int, int]) -> None:
    with suppress(AttributeError, OSError, TypeError):  # other systems have no such call
        library = ctypes.CDLL(None)
        for parameter, value in values.items():
            library.mallopt(parameter, value)

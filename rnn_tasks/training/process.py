"""What a run changes in its process, all in one place: threads, memory, environment, warnings."""

import ctypes
import logging
import warnings
from contextlib import suppress

import torch

from rnn_tasks import internals

# Lightning's remarks about what is so on purpose.
EXPECTED = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
    ".*your dataloader is not resumable.*",
    ".*GPU available but not used.*",
)


def prepare_process(threads: int, profile: bool = False) -> None:
    """Set up this process for training; called once by ``train()``.

    Args:
        threads: for torch's operations; one is the fastest for small networks.
        profile: show Lightning's table of times, which it logs as information.
    """
    torch.set_num_threads(threads)
    _keep_memory()
    internals.forget_cuda_check()
    internals.act_as_main_process()
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO if profile else logging.WARNING)
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)


def _keep_memory() -> None:
    """Let glibc keep freed blocks: fetching large ones anew at every step takes longer than a tanh of them."""
    trim_threshold, mmap_threshold = -1, -3
    with suppress(AttributeError, OSError, TypeError):  # other systems have no such call
        library = ctypes.CDLL(None)
        for parameter in (trim_threshold, mmap_threshold):
            library.mallopt(parameter, 1 << 30)

"""How much memory there is, and a refusal of what would need more, before anything is built."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

from rnn_tasks.errors import UserError

GIGABYTE = 1e9
CGROUP = Path("/sys/fs/cgroup/memory.max")  # the limit of a container


def total() -> float:
    """Return the bytes of memory that this machine, or this container, has; infinity where that cannot be told."""
    sizes = [float("inf")]
    with suppress(OSError, ValueError, AttributeError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):
        sizes.append(float(CGROUP.read_text(encoding="utf-8")))
    return min(sizes)


def give_back() -> None:
    """Give memory that this process has freed back to the system, where the C library can (glibc)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def require(size: float, key: str) -> None:
    """Refuse what needs more memory than there is.

    Args:
        size: bytes.
        key: the input that decides the size, with its value, like "model.hidden=100000".

    Raises:
        UserError: one line with the key and both sizes.
    """
    if size > (most := total()):
        raise UserError(
            f"{key}: needs {size / GIGABYTE:,.1f} GB of memory, and there are {most / GIGABYTE:,.1f} GB; take less"
        )

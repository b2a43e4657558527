"""Train in a child process that ends with its parent: ``python -m rnn_tasks.report.child PARENT OVERRIDES``.

PARENT is a process id, the rest of the command line is that of rnn_tasks.train.
"""

import ctypes
import os
import runpy
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # see prctl(2)


def end_with(parent: int) -> None:
    """Let Linux send this process SIGTERM when its parent dies, so that it saves what it has.

    Args:
        parent: process id of the parent; if it has died already, this process ends at once.
    """
    with suppress(AttributeError, OSError):  # other systems have no prctl
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    end_with(int(sys.argv.pop(1)))
    runpy.run_module("rnn_tasks.train", run_name="__main__", alter_sys=True)

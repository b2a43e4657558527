"""Small recurrent networks on tasks whose right answer is known.

For notebooks and scripts: ``train``, ``sweep``, ``load``, ``evaluate``, ``compare`` and ``compose``. They are imported
when they are used, since torch takes seconds.
"""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

try:
    __version__ = version("rnn-tasks")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "unknown"

FUNCTIONS = ("compare", "compose", "evaluate", "load", "sweep", "train")

__all__ = ["__version__", *FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'rnn_tasks' has no attribute {name!r}")
    return getattr(import_module("rnn_tasks.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *FUNCTIONS})


class _Package(ModuleType):
    """Keeps ``rnn_tasks.train`` the function where the command rnn_tasks/train.py is imported, too."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in FUNCTIONS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

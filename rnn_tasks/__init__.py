"""Small recurrent networks on tasks whose right answer is known."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("rnn-tasks")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "unknown"

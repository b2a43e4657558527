"""The configuration of a run: composed by Hydra, and checked before torch is imported or data are drawn."""

from rnn_tasks.config.command_line import arguments, for_a_sweep, run_to_resume
from rnn_tasks.config.composition import CONF, compose, directory_name, prepare, refusals
from rnn_tasks.config.instantiation import build, build_task, instantiated

__all__ = [
    "CONF",
    "arguments",
    "build",
    "build_task",
    "compose",
    "directory_name",
    "for_a_sweep",
    "instantiated",
    "prepare",
    "refusals",
    "run_to_resume",
]

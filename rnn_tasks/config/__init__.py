"""The configuration of a run: composed by Hydra, and checked before torch is imported or data are drawn."""

from rnn_tasks.config.command_line import (
    arguments,
    constant_and_swept,
    for_a_sweep,
    key_of,
    run_to_resume,
    runs_of_a_sweep,
)
from rnn_tasks.config.composition import CONF, compose, directory_name, prepare, refusals
from rnn_tasks.config.instantiation import build, build_task, instantiated

__all__ = [
    "CONF",
    "arguments",
    "build",
    "build_task",
    "compose",
    "constant_and_swept",
    "directory_name",
    "for_a_sweep",
    "instantiated",
    "key_of",
    "prepare",
    "refusals",
    "run_to_resume",
    "runs_of_a_sweep",
]

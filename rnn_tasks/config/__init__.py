"""The configuration of a run: composed by Hydra, and checked before torch is imported or data are drawn."""

from rnn_tasks.config.command_line import Resumption, arguments, to_resume
from rnn_tasks.config.composition import CONF, compose, prepare, refusals
from rnn_tasks.config.instantiation import build, build_task, instantiated
from rnn_tasks.config.naming import own_choices, quoted, run_name
from rnn_tasks.config.sweeping import (
    Plan,
    for_a_sweep,
    in_directory,
    plan,
    planned,
    require_one_place,
    with_all_folds,
)

__all__ = [
    "CONF",
    "Plan",
    "Resumption",
    "arguments",
    "build",
    "build_task",
    "compose",
    "for_a_sweep",
    "in_directory",
    "instantiated",
    "own_choices",
    "plan",
    "planned",
    "prepare",
    "quoted",
    "refusals",
    "require_one_place",
    "run_name",
    "to_resume",
    "with_all_folds",
]

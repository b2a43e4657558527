"""Run directories: written by training; found, loaded and measured by everything else."""

from rnn_tasks.runs.directory import (
    OUTPUTS,
    PRETRAINED,
    claimed,
    describe,
    find,
    finished,
    own_config,
    read_config,
    read_result,
    results,
    write_result,
)
from rnn_tasks.runs.identity import fingerprint, influence
from rnn_tasks.runs.loading import Run, load, tell_replicate

__all__ = [
    "OUTPUTS",
    "PRETRAINED",
    "Run",
    "claimed",
    "describe",
    "find",
    "fingerprint",
    "finished",
    "influence",
    "load",
    "own_config",
    "read_config",
    "read_result",
    "results",
    "tell_replicate",
    "write_result",
]

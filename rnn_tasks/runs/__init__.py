"""Run directories: written by training; found, loaded and measured by everything else."""

from rnn_tasks.runs.describing import describe_data
from rnn_tasks.runs.directory import (
    CONFIG,
    OUTPUTS,
    claimed,
    own_config,
    read_config,
    result_of,
    write_config,
)
from rnn_tasks.runs.finding import PRETRAINED, find, find_to_resume, finished, require, results
from rnn_tasks.runs.identity import fingerprint, influence
from rnn_tasks.runs.lengthening import lengthen
from rnn_tasks.runs.loading import load, tell_run, weights_to_measure
from rnn_tasks.runs.results import describe, read_result, write_result
from rnn_tasks.runs.run import Run
from rnn_tasks.runs.starting import keeps_weights, tell_weights_apart, with_located_weights

__all__ = [
    "CONFIG",
    "OUTPUTS",
    "PRETRAINED",
    "Run",
    "claimed",
    "describe",
    "describe_data",
    "find",
    "find_to_resume",
    "fingerprint",
    "finished",
    "influence",
    "keeps_weights",
    "lengthen",
    "load",
    "own_config",
    "read_config",
    "read_result",
    "require",
    "result_of",
    "results",
    "tell_run",
    "tell_weights_apart",
    "weights_to_measure",
    "with_located_weights",
    "write_config",
    "write_result",
]

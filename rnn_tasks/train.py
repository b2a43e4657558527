"""Train a network on a task: ``python -m rnn_tasks.train task=adder model.hidden=5 loss=bce``."""

import os
import shlex
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from rnn_tasks import config
from rnn_tasks.arguments import command
from rnn_tasks.errors import Interrupted, UserError, refuse
from rnn_tasks.runs import sweeps


def train(cfg: DictConfig, run: Path) -> dict[str, Any]:
    """Train, measure and record a run: from the start, from its last checkpoint, or not at all if it is finished.

    Args:
        cfg: a checked configuration, see config.compose.
        run: the run directory.

    Returns:
        What result.json holds.

    Raises:
        UserError: the directory is in use, the data are missing, the loss became NaN.
        Interrupted: a signal stopped the run; it can be resumed.
    """
    from rnn_tasks import runs

    with runs.claimed(run):
        cfg = runs.own_config(run, cfg)
        result = runs.read_result(run)
        return _fit_and_measure(cfg, run) if result is None else result


def _fit_and_measure(cfg: DictConfig, run: Path) -> dict[str, Any]:
    from rnn_tasks import runs  # these import torch, which takes seconds
    from rnn_tasks.runs import outcome
    from rnn_tasks.training.session import build_session
    from rnn_tasks.training.signals import StopSignals
    from rnn_tasks.training.trainer import refusals

    with StopSignals() as signals, refusals():
        session = build_session(cfg, run, signals)
        session.fit()
        metrics = outcome.measure(session, cfg, run)
        result = runs.describe(cfg, session.learner.model, metrics, session.recorder.seconds)
        if not cfg.trainer.fast_dev_run:  # a trial must not be taken for a run
            outcome.show(session, metrics, cfg, run)
            runs.write_result(run, result)
    return result


def _train_and_report(cfg: DictConfig, run: Path) -> None:
    try:
        result = train(cfg, run)
    except Interrupted as stop:
        print(f"stopped; go on with: python -m rnn_tasks.train {shlex.quote(f'resume={run}')}", file=sys.stderr)
        sys.exit(128 + stop.signum)
    from rnn_tasks.runs.tables import print_result

    print_result(result, run)


@hydra.main(config_path=str(config.CONF), config_name="config", version_base="1.3")
def _job(cfg: DictConfig) -> None:
    job = HydraConfig.get()
    run = Path(os.path.relpath(job.runtime.output_dir))
    in_a_sweep = job.mode == RunMode.MULTIRUN
    try:
        _train_and_report(config.prepare(cfg, job.runtime.choices), run)
    except UserError as error:
        with suppress(OSError):
            run.rmdir()  # Hydra made it; it stays if anything has been written there
        if not in_a_sweep:
            refuse(error)
        sweeps.note_failure(run, error)
    except SystemExit:  # stopped by a signal
        if in_a_sweep:
            sweeps.write_summary(Path(job.sweep.dir))
            print(f"the sweep goes on with the same command and hydra.sweep.dir={job.sweep.dir}", file=sys.stderr)
        raise
    except Exception as error:  # a fault of the program
        traceback.print_exc()
        if not in_a_sweep:
            sys.exit(1)
        sweeps.note_failure(run, error)


@command
def main() -> None:
    """Run the command, also installed as rnn-train."""
    flags, overrides = config.arguments(sys.argv[1:])
    if run := config.run_to_resume(flags, overrides):
        from rnn_tasks import runs

        _train_and_report(runs.read_config(run), run)
    else:
        completing = {"-sc", "--shell-completion"} & set(flags)
        sys.argv[1:] = flags + overrides if completing else [*flags, config.constant_keys(overrides), *overrides]
        with config.refusals():
            _job()


if __name__ == "__main__":
    main()

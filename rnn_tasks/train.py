"""Train a network on a task: ``python -m rnn_tasks.train task=adder model.hidden=5 loss=bce``."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from rnn_tasks import config, internals
from rnn_tasks.arguments import command, command_line, discard_output
from rnn_tasks.errors import Interrupted, UserError, file_error, refuse, tell
from rnn_tasks.runs import launching, summaries, sweeps
from rnn_tasks.runs.directory import CONFIG
from rnn_tasks.runs.plans import is_sweep, read_plan

if TYPE_CHECKING:
    from rnn_tasks.training.signals import StopSignals

TRUST = "--trust"
WEIGHTS = "model.weights="


def train(cfg: DictConfig, run: Path, trust: bool = False) -> dict[str, Any]:
    """Train, measure and record a run: from the start, from its last checkpoint, or not at all if it is finished.

    Args:
        cfg: a checked configuration, see config.compose.
        run: the run directory.
        trust: go on with a run of somebody else's that names classes which did not come with this package.

    Returns:
        What result.json holds.

    Raises:
        UserError: the directory is in use or cannot be written, the data are missing, the loss became NaN.
        Interrupted: a signal stopped the run; it can be resumed.
    """
    from rnn_tasks import runs
    from rnn_tasks.training.signals import StopSignals

    with StopSignals() as signals:
        runs.tell_weights_apart(cfg, run)
        runs.describe_data(cfg)
        if result := runs.result_of(run, cfg, trust):  # also where nothing can be written
            return result
        with runs.claimed(run):
            cfg = runs.own_config(run, cfg, trust)
            return runs.read_result(run) or _fit_and_measure(cfg, run, signals)


def _fit_and_measure(cfg: DictConfig, run: Path, signals: StopSignals) -> dict[str, Any]:
    from rnn_tasks.training.signals import delayed_stops
    from rnn_tasks.training.workers import ranks_of

    with ranks_of(cfg, run) as ranks:
        with delayed_stops():
            from rnn_tasks.runs import outcome  # these import torch, which takes seconds
            from rnn_tasks.training.session import build_session
            from rnn_tasks.training.trainer import refusals

        with refusals():
            session = build_session(cfg, run, signals, ranks=ranks)
            session.fit()
            return outcome.conclude(session, cfg, run, signals)


def _train_and_report(cfg: DictConfig, run: Path, trust: bool = False) -> dict[str, Any]:
    result = train(cfg, run, trust)
    from rnn_tasks.runs.tables import print_result

    print_result(result, run)
    return result


@hydra.main(config_path=str(config.CONF), config_name="config", version_base="1.3")
def _job(cfg: DictConfig) -> float | None:
    """Train a run of the command line; the mean accuracy in validation is what Hydra's optimizing sweepers get."""
    job = HydraConfig.get()
    run = _place(job, job.runtime.output_dir)
    from rnn_tasks.training.signals import StopSignals

    try:
        with StopSignals():
            result = _train_and_report(config.prepare(cfg, job), run)
    except UserError as error:
        with suppress(OSError):
            run.rmdir()  # Hydra made it; it stays if anything has been written there
        if job.mode != RunMode.MULTIRUN:
            refuse(error)
        sweeps.note_failure(run, error)
    except Interrupted as stop:
        if launching.Launch.home:
            _tell_how_to_go_on(run, _place(job, job.sweep.dir) if job.mode == RunMode.MULTIRUN else None)
        sys.exit(128 + stop.signum)
    except OSError as error:  # of the standard output: the run has finished
        discard_output()
        if isinstance(error, BrokenPipeError):
            sys.exit(141)
        if job.mode != RunMode.MULTIRUN:
            refuse(file_error(error))
    except Exception as error:  # a fault of the program
        traceback.print_exc()
        if job.mode != RunMode.MULTIRUN:
            sys.exit(1)
        sweeps.note_failure(run, error)
    else:
        return summaries.objective(result)
    return None


def _place(job: HydraConf, directory: str) -> Path:
    """Return a directory of Hydra's relative to where the command was called, in full where the job is elsewhere."""
    place = os.path.join(job.runtime.cwd, directory)
    return Path(place if job.job.chdir else os.path.relpath(place))


def _tell_how_to_go_on(run: Path, sweep: Path | None = None) -> None:
    """Print what goes on with a run, or a sweep, that a signal has stopped."""
    if sweep is not None:
        summaries.summarize(sweep)
    if sweep is None and not (run / CONFIG).exists():
        tell("stopped before the run began")
    else:
        tell(f"stopped; go on with: {command_line('train', shlex.quote(f'resume={sweep or run}'))}")


def _run(words: list[str]) -> None:
    """Do what a command line says."""
    trust = TRUST in words
    flags, overrides = config.arguments([word for word in words if word != TRUST])
    resumed = config.to_resume(flags, overrides)
    if resumed is not None:
        _resume(resumed, trust)
    elif trust:
        raise UserError(f"{TRUST}: belongs to resume=RUN, a run that somebody else has made")
    else:
        _start(flags, overrides)


def _start(flags: list[str], overrides: list[str]) -> None:
    """Train a new run, or sweep; one that has begun in the same directory goes on."""
    if any(WEIGHTS in word for word in overrides):
        from rnn_tasks import runs

        overrides = runs.with_located_weights(overrides)
    completing = {"-sc", "--shell-completion"} & set(flags)
    given, overrides = overrides, overrides if completing else config.with_all_folds(overrides)
    if overrides != given:
        flags = ["--multirun", *flags]
    sys.argv[1:] = flags + overrides if completing else [*flags, *config.for_a_sweep(overrides), *overrides]
    internals.prefer_own_options(config.CONF)
    with config.refusals(), launching.outages():
        _job()


def _resume(resumed: config.Resumption, trust: bool) -> None:
    """Go on with a run, or with a sweep."""
    from rnn_tasks import runs

    run, epochs = runs.find_to_resume(resumed.named), resumed.epochs
    if is_sweep(run):
        if epochs is not None:
            raise UserError(
                f"trainer.max_epochs={epochs}: lengthens a run, and {run} is a sweep; resume its runs one by one"
            )
        plan = read_plan(run, own=not trust)
        return _start(["--multirun", *plan.flags], [*plan.words(), *resumed.launching, config.in_directory(run)])
    if resumed.launching:
        raise UserError(f"{resumed.launching[0]}: belongs to a sweep, and {run} is a run")
    try:
        cfg = runs.read_config(run, trust) if epochs is None else runs.lengthen(run, epochs, trust)
        if cfg.model.get("weights") and not runs.keeps_weights(run):
            raise UserError(f"{run}: has not kept the weights that it begins with; give its own command again")
        _train_and_report(cfg, run, trust)
    except Interrupted as stop:
        _tell_how_to_go_on(run)
        sys.exit(128 + stop.signum)


@command
def main() -> None:
    """Run the command, also installed as rnn-train."""
    from rnn_tasks.training.signals import StopSignals

    with StopSignals():
        _run(sys.argv[1:])


if __name__ == "__main__":
    main()

"""What came out of a run: measured on the whole test set, and shown in plots and in TensorBoard."""

import time
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from PIL import Image

from rnn_tasks.errors import UserError
from rnn_tasks.files import replacing
from rnn_tasks.runs import plots
from rnn_tasks.runs.cases import case_pictures, cases_table, verification_cases
from rnn_tasks.runs.results import describe, write_result
from rnn_tasks.tasks import Task
from rnn_tasks.tasks.base import Examples
from rnn_tasks.training import KINDS, evaluation
from rnn_tasks.training.history import as_rows
from rnn_tasks.training.intervals import curve
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.metrics import best_replicate, sort_keys
from rnn_tasks.training.session import Session
from rnn_tasks.training.signals import StopSignals
from rnn_tasks.training.tensorboard_logger import TensorBoard

COMPARED = ("model", "model.hidden", "optimizer", "optimizer.lr", "task.batch_size", "loss", "seed")
NOT_COMPARED = (
    "_partial_",
    "fused",
    "name",
    "losses",
    "data_dir",
    "shard_replicates",
    "weights_digest",
    "digest",
    "description",
)


def conclude(session: Session, cfg: DictConfig, run: Path, signals: StopSignals) -> dict[str, Any]:
    """Measure a run that has been trained, show what came out of it and write it down.

    Returns:
        What result.json holds.

    Raises:
        UserError: the run ended before its first epoch, or all replicates have failed.
        Interrupted: a signal came before the result was written.
    """
    began = time.monotonic()
    metrics = measure(session, cfg, run)
    seconds = session.recorder.seconds + time.monotonic() - began
    result = describe(cfg, session.learner.model, metrics, seconds)
    if not cfg.trainer.fast_dev_run:  # a trial must not be taken for a run
        show(session, metrics, cfg, run)
        signals.raise_if_received()
        write_result(run, result)
    return result


def measure(session: Session, cfg: DictConfig, run: Path) -> dict[str, Any]:
    """Return the metrics of the last epoch's weights: as training went, and on the full validation and test sets.

    A set that ``trainer.limit_val_batches=0`` or ``limit_test_batches=0`` leaves out is missing. A replicate whose loss
    on one of them is not finite has failed.

    Raises:
        UserError: the run ended before its first epoch, or all replicates have failed.
    """
    learner, task, history = session.learner, session.task, as_rows(session.recorder.history)
    if not history:
        raise UserError("trainer.max_time: the run ended before its first epoch")
    limits = {split: cfg.trainer[f"limit_{split}_batches"] for split in ("val", "test")}
    if cfg.trainer.fast_dev_run:
        limits = dict.fromkeys(limits, 1)
    sets = {"val": [task.val], "test": task.test}
    measured = {split: _measured(learner, task, sets[split], limit) for split, limit in limits.items() if limit}
    last = {row["replicate"]: row for row in history}  # of a stalled one, of the epoch in which it was frozen
    rows = [None if failed else last[replicate] for replicate, failed in enumerate(learner.failed.tolist())]
    train = {kind: [row and row[f"train_{kind}"] for row in rows] for kind in KINDS}
    return {"train": {"n": session.recorder.schedule.examples, **train}, **measured}


def _measured(learner: Learner, task: Task, sets: list[Examples], limit: int | float) -> dict[str, Any]:
    """Metrics on examples; replicates whose loss is not finite fail, and are left out."""
    metrics = evaluation.measure(learner.model, task, learner.loss, sets, learner.failed.tolist(), limit=limit)
    lost = [loss is None and not failed for loss, failed in zip(metrics["loss"], learner.failed.tolist(), strict=True)]
    if any(lost):
        learner.fail(torch.tensor(lost, device=learner.failed.device), learner.global_step)
        learner.end_if_done()
    return metrics


def show(session: Session, metrics: dict[str, Any], cfg: DictConfig, run: Path) -> None:
    """Save the plots of a run and give every logger its outcome; TensorBoard gets plots and verification cases too."""
    task, model, step = session.task, session.learner.model, session.trainer.global_step
    by_length = metrics.get("test", {}).get("by_length", {})
    figures = {"train/curves": plots.curves({"": as_rows(session.recorder.history)})}
    if len(by_length) > 1:
        figures["test/by_length"] = plots.by_length({"": by_length}, metrics["test"]["chance"], task.lengths)
    pictures = {name: plots.pixels(figure) for name, figure in figures.items()}
    for name, picture in pictures.items():
        with replacing(run / f"{name.replace('/', '_')}.png") as file:
            Image.fromarray(picture).save(file, format="PNG")
    final = {
        f"{split}/final_{kind}{suffix}": value
        for split in ("val", "test")
        for kind in KINDS
        if split in metrics
        for suffix, value in curve(metrics[split][kind]).items()
    }
    cases = verification_cases(task, model, best_replicate(sort_keys(metrics["val"])) if "val" in metrics else 0)
    if cases[0].is_picture:
        pictures["verification"] = plots.pixels(plots.image_grid(case_pictures(cases)))
    for logger in session.trainer.loggers:
        if isinstance(logger, TensorBoard):
            logger.log_outcome(hyperparameters(cfg), final, by_length, pictures, cases_table(cases), step)
        else:
            logger.log_hyperparams(hyperparameters(cfg))
            logger.log_metrics(final, step)
            logger.finalize("success")


def hyperparameters(cfg: DictConfig) -> dict[str, int | float | str]:
    """Return the flat values of a configuration that a user compares runs by, for the loggers.

    What is most often compared comes first, as TensorBoard shows only the first ones until asked for more. A model is
    named by its cell.
    """
    values = {key: cfg[key] for key in ("seed", "experiment")}
    for group in ("task", "model", "loss", "optimizer", "scheduler"):
        for key, value in (cfg[group] or {}).items():
            if key == "_target_":
                values[group] = value.rpartition(".")[2]
            elif key not in (*NOT_COMPARED, "lr" if group == "task" else ""):
                values[f"{group}.{key}"] = value
    for key in ("max_epochs", "gradient_clip_val", "precision"):
        values[f"trainer.{key}"] = cfg.trainer[key]
    values["model"] = values.pop("model.cell", values["model"])
    named = {key: values[key] for key in (*COMPARED, *values) if values.get(key) is not None}
    return {key: value if type(value) in (int, float) else str(value) for key, value in named.items()}

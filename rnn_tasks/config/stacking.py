"""Which runs of a sweep can be trained at once: those that differ in nothing but numbers of each network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.stored import leaves

LARGEST = 48  # hidden units of a network; from there on a processor computes one network after the other as fast
LOSSES = tuple(f"rnn_tasks.training.losses.{name}" for name in ("bce", "ce", "mse"))
NETWORK = "rnn_tasks.models.Network"
LOGGERS = ("rnn_tasks.training.tensorboard_logger.TensorBoard", "lightning.pytorch.loggers.CSVLogger")
MOST_RUNS = 200  # of a stack: each keeps some files open

# What may differ between the runs of a stack. Of the parts in NUMBERS numbers may differ, but not classes and flags.
FREE = {
    *("seed", "name", "swept", "experiment", "logger"),
    *(f"model.{name}" for name in ("hidden", "init", "dropout", "weights", "weights_digest")),
    *("task.data_seed", "task.fold", "task.lr"),
    *(f"trainer.{name}" for name in ("gradient_clip_val", "gradient_clip_algorithm", "patience", "min_epochs")),
    *(f"trainer.{name}" for name in ("min_steps", "limit_test_batches", "log_every_n_steps")),
}
NUMBERS = ("optimizer", "scheduler")


@dataclass(frozen=True)
class Grouping:
    """How the runs of a sweep are trained.

    Attributes:
        stacks: the numbers of the runs that are trained at once, each a list of two or more.
        alone: why the others are trained by themselves, by their numbers.
        apart: swept keys whose values keep the stacks apart.
    """

    stacks: list[list[int]]
    alone: dict[int, str]
    apart: list[str]

    def describe(self, networks: Sequence[int]) -> str:
        """Return in one line how the runs are grouped, and why some are not.

        Args:
            networks: of each run.
        """
        texts = []
        if self.stacks:
            runs = _listed([len(stack) for stack in self.stacks])
            counts = _listed([sum(networks[number] for number in stack) for stack in self.stacks])
            why = f", apart by {', '.join(self.apart)}" if self.apart else ""
            texts.append(f"{runs} runs at once ({counts} networks{why})")
        reasons: dict[str, int] = {}
        for reason in self.alone.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        texts += [f"{count} by itself ({reason})" for reason, count in reasons.items() if count == 1]
        texts += [f"{count} by themselves ({reason})" for reason, count in reasons.items() if count > 1]
        return ", ".join(texts)


def _listed(numbers: list[int]) -> str:
    """Return numbers in words, like "6 times 10" or "10, 10 and 4"."""
    texts = [f"{number:,}" for number in numbers]
    if len(texts) == 1:
        return texts[0]
    if len(set(texts)) == 1:
        return f"{len(texts)} times {texts[0]}"
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def grouped(
    runs: Sequence[DictConfig | None], sizes_may_differ: Callable[[str], bool], most: int | None = None
) -> Grouping:
    """Return which runs are trained at once.

    Args:
        runs: their configurations, checked; None for one that is refused.
        sizes_may_differ: tells of a cell, by its name, whether networks of different sizes can be trained at once.
        most: networks of a stack, None for no limit.
    """
    alone: dict[int, str] = {}
    groups: dict[str, list[int]] = {}
    for number, cfg in enumerate(runs):
        reason = "is refused" if cfg is None else _reason_to_be_alone(cfg, most)
        if reason:
            alone[number] = reason
        elif cfg is not None:
            common = _common(cfg) | ({} if sizes_may_differ(cfg.model.cell) else {"model.hidden": cfg.model.hidden})
            groups.setdefault(json.dumps(common, sort_keys=True), []).append(number)
    parts = [part for group in groups.values() for part in _split(group, runs, most)]
    several = {number for group in groups.values() if len(group) > 1 for number in group}
    full = f"at most {MOST_RUNS} runs at once" if most is None else f"at most {most} networks at once"
    for number in (part[0] for part in parts if len(part) == 1):
        alone[number] = full if number in several else "all others differ in more than numbers"
    stacks = [part for part in parts if len(part) > 1]
    return Grouping(stacks, alone, _apart([[runs[number] for number in stack] for stack in stacks]))


def networks(cfg: DictConfig | None) -> int:
    """Return how many networks a run has."""
    return 1 if cfg is None else int(cfg.model.get("replicates", 1))


def _reason_to_be_alone(cfg: DictConfig, most: int | None) -> str:
    """Return why a run is trained by itself; nothing if it can be part of a stack."""
    trainer, model = cfg.trainer, cfg.model
    on_processor = trainer.accelerator in ("auto", "cpu")
    reasons = {
        f"model._target_={model._target_}": model._target_ != NETWORK,
        f"more than {LARGEST} hidden units": on_processor and model.get("hidden", 0) > LARGEST,
        "callbacks": bool(cfg.callbacks),
        "a logger that has one run in a process": any(part._target_ not in LOGGERS for part in cfg.logger.values()),
        f"trainer.devices={trainer.devices}": str(trainer.devices) not in ("1", "auto"),
        "trainer.fast_dev_run": bool(trainer.fast_dev_run),
        "trainer.max_time": trainer.max_time is not None,
        "trainer.profiler": trainer.profiler is not None,
        f"more networks than max_replicates={most}": most is not None and networks(cfg) > most,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _common(cfg: DictConfig) -> dict[str, Any]:
    """Return the values that all runs of a stack have in common, by their keys."""
    values = dict(leaves(OmegaConf.to_container(cfg, resolve=True)))
    common = {key: value for key, value in values.items() if not _is_free(key, value)}
    if common.get("loss._target_") in LOSSES:
        common = {key: value for key, value in common.items() if not key.startswith("loss.")}
    return common


def _is_free(key: str, value: Any) -> bool:
    free = any(key == name or key.startswith((f"{name}.", f"{name}[")) for name in FREE)
    return free or (key.partition(".")[0] in NUMBERS and type(value) in (int, float))


def _split(group: list[int], runs: Sequence[DictConfig | None], most: int | None) -> list[list[int]]:
    """Return the runs of a group in parts of at most so many networks, and of MOST_RUNS runs."""
    parts: list[list[int]] = [[]]
    for number in group:
        size = sum(networks(runs[other]) for other in parts[-1]) + networks(runs[number])
        if parts[-1] and ((most is not None and size > most) or len(parts[-1]) == MOST_RUNS):
            parts.append([])
        parts[-1].append(number)
    return parts


def _apart(stacks: list[list[DictConfig | None]]) -> list[str]:
    """Return the swept keys whose values differ between stacks, and within none."""
    swept = [[dict(cfg.swept or {}) for cfg in stack if cfg is not None] for stack in stacks]
    values = {key: [{str(run.get(key)) for run in runs} for runs in swept] for runs in swept for key in runs[0]}
    return [key for key, each in values.items() if all(len(one) == 1 for one in each) and len(set.union(*each)) > 1]

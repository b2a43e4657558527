"""The networks of a setting: of a run, or of a directory of runs that differ only in their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnn_tasks import runs
from rnn_tasks.config.stored import leaves
from rnn_tasks.errors import UserError
from rnn_tasks.runs import sweeps
from rnn_tasks.runs.run import Run

SEEDS = ("seed", "model.replicates")  # keys in which the runs of a setting may differ

Setting = Run | str | Path


@dataclass(frozen=True)
class Networks:
    """The networks of a setting.

    Attributes:
        config: all that decides their numbers but their seeds, by full keys like "model.hidden".
        numbers: a metric of each network by its seed, None for one that has failed.
    """

    config: dict[str, Any]
    numbers: dict[int, float | None]

    @property
    def live(self) -> dict[int, float]:
        """The numbers of the networks that have not failed."""
        return {seed: number for seed, number in self.numbers.items() if number is not None}


def networks(setting: Setting, metric: str, split: str) -> Networks:
    """Return the networks of a setting with a metric after the last epoch.

    Args:
        setting: as for ``compare``.
        metric: "sequence_accuracy", "accuracy" or "loss".
        split: "test", "val" or "train".

    Raises:
        UserError: there is no such run, one has not finished, is damaged or has not measured the split, two have a seed
            in common or differ in more than their seeds, or all networks have failed.
    """
    parts = {run: _of_run(run, result, metric, split) for run, result in _results(setting).items()}
    if not parts:
        raise UserError(f"{setting}: holds no run; give a run, or a directory of runs")
    (first, one), *others = parts.items()
    numbers = dict(one.numbers)
    for run, other in others:
        if keys := differing_keys(one.config, other.config):
            key = "task.name" if "task.name" in keys else keys[0]
            raise UserError(
                f"{run}: differs in {key} from {first.name}; the runs of a setting may differ only in their seeds"
            )
        if twice := numbers.keys() & other.numbers.keys():
            raise UserError(f"{run}: seed {min(twice)} is also that of another run of {setting}; compare single runs")
        numbers |= other.numbers
    found = Networks(one.config, numbers)
    if not found.live:
        raise UserError(f"{setting}: all its networks have failed")
    return found


def differing_keys(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the keys in which two configurations differ, each in the form of ``Networks.config``."""
    absent = object()
    keys = [key for key in {**first, **second} if first.get(key, absent) != second.get(key, absent)]
    return list(dict.fromkeys(key.partition("[")[0] for key in keys))  # lengths[0] and lengths[1] are one key


def _results(setting: Setting) -> dict[Path, dict[str, Any] | None]:
    """Return the content of result.json of each run of a setting; None where it has not finished or is damaged."""
    if isinstance(setting, Run):
        return {setting.path: setting.result}
    path = Path(setting)
    if path.is_dir() and not (path / runs.CONFIG).exists():
        return {path / name: result for name, result in sweeps.sweep_results(path).items()}
    found = runs.require(setting)
    return {found: runs.read_result(found)}


def _of_run(run: Path, result: dict[str, Any] | None, metric: str, split: str) -> Networks:
    """Return the networks of a run, all of them failed if it has no result."""
    cfg = OmegaConf.create(result["config"]) if result else _config_of_failed(run)
    config = {key: value for key, value in leaves(runs.influence(cfg)) if key not in SEEDS}
    if result is None:
        return Networks(config, dict.fromkeys(range(cfg.seed, cfg.seed + cfg.model.get("replicates", 1))))
    if split not in result["metrics"]:
        raise UserError(f"{run}: has measured no {split} set")
    return Networks(config, dict(enumerate(result["metrics"][split][metric], result["seed"])))


def _config_of_failed(run: Path) -> DictConfig:
    """Return the configuration of a run of a sweep whose training has failed.

    Raises:
        UserError: its result is damaged, or it has not come to its end.
    """
    runs.read_result(run)  # refuses a damaged one
    if not (run / runs.CONFIG).is_file():
        raise UserError(f"{run}: holds no trained run; repeat the command of its sweep, or move it elsewhere")
    cfg = runs.read_config(run, trust=True)  # nothing of it is built
    if not (run / sweeps.FAILURE).is_file():
        raise UserError(f"{run}: has not finished; resume={run} goes on with it")
    return cfg

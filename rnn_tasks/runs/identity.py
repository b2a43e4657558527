"""The fingerprint of a run: its configuration and the version of the numerics."""

import json
import re
from hashlib import blake2b
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Raised by hand when a change is meant to change the numbers of a run. tests/test_golden.py fails when they change
# without it.
NUMERICS = 1

NO_INFLUENCE = ("name", "threads", "data_dir", "logger", "swept")  # keys that do not change the numbers of a run
PLACES = ("task.data_dir", "model.weights", "trainer.devices", "model.shard_replicates")
ONLY_SHOWN = ("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "profiler")  # the same in ``trainer``


def changes_numbers(key: str) -> bool:
    """Return whether a key of the command line, like "trainer.max_epochs", changes the numbers of a run by its value.

    Those of a place do not: of data and weights their content counts.
    """
    shown = [f"trainer.{name}" for name in ONLY_SHOWN]
    return key.partition(".")[0] not in (*NO_INFLUENCE, "hydra") and key not in (*shown, *PLACES)


def influence(cfg: DictConfig) -> dict[str, Any]:
    """Return the part of a configuration that decides the numbers of a run, as plain containers."""
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    values = {key: value for key, value in values.items() if key not in NO_INFLUENCE}
    task = {key: value for key, value in values["task"].items() if key == "name" or key not in NO_INFLUENCE}
    if task.get("read") == "rows":  # of MNIST, whose runs before there were other readings say nothing of it
        task.pop("read")
    if task.get("digest"):  # the content of a file counts, not where it lies; what was understood follows from it
        task = {key: value for key, value in task.items() if key not in ("path", "description")}
    trainer = {key: value for key, value in values["trainer"].items() if key not in ONLY_SHOWN}
    if re.fullmatch("[0-9]+", str(trainer["devices"])):
        trainer["devices"] = 1  # the number of processes changes nothing but rounding, like that of threads
    values["model"].pop("shard_replicates", None)
    if values["model"].get("weights_digest") or values["model"].get("weights") is None:
        values["model"].pop("weights", None)  # the weights count, not where they lie
    if not values.get("callbacks"):  # a callback may change anything, its absence changes nothing
        values.pop("callbacks", None)
    return {**values, "trainer": trainer, "task": task}


def fingerprint(cfg: DictConfig) -> str:
    """Return a hash of all that decides the numbers of a run.

    Returns:
        32 hexadecimal digits.
    """
    text = json.dumps([influence(cfg), NUMERICS], sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()

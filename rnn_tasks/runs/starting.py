"""``model.weights=RUN``: which checkpoint is meant, and what tells its weights from others."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from rnn_tasks.config.naming import quoted
from rnn_tasks.config.stored import read_yaml
from rnn_tasks.errors import UserError
from rnn_tasks.runs.directory import CONFIG
from rnn_tasks.runs.finding import require

KEY = "model.weights"
BEST = "checkpoints/best.ckpt"
GRAMMAR = re.compile(r"""['"\[{]|null$|\w+\(""")  # begins a value that is written in Hydra's grammar


def with_located_weights(words: Sequence[str]) -> list[str]:
    """Return overrides in which ``model.weights`` names checkpoints by their places, in quotes.

    So "latest" means the same run in all runs of a sweep, and names with commas and equals signs can stand there, like
    those of the runs of a sweep.
    """
    return [_located(word) if word.lstrip("+").startswith(f"{KEY}=") else word for word in words]


def _located(word: str) -> str:
    key, _, value = word.partition("=")
    if value[:1] in ("'", '"') and value[-1:] == value[:1] and value[:1] not in value[1:-1]:
        value = value[1:-1]
    if not value or GRAMMAR.match(value):
        return word
    try:
        return f"{key}={','.join(quoted(str(path)) for path in _each(value))}"
    except UserError:  # it is refused when the run begins; one that has begun goes on without it
        return f"{key}={quoted(os.path.abspath(value) if os.sep in value else value)}"


def _each(value: str) -> list[Path]:
    """Return the checkpoints of one or several runs, whose names may have commas."""
    try:
        return [weights_of(value)]
    except UserError as error:
        parts = value.split(",")
        for end in range(len(parts) - 1, 0, -1):
            try:
                first = weights_of(",".join(parts[:end]))
            except UserError:
                continue
            return [first, *_each(",".join(parts[end:]))]
        raise error from None


def weights_of(run: str) -> Path:
    """Return the checkpoint that ``model.weights=RUN`` names, in full.

    Args:
        run: a checkpoint, or a run as for ``find``, whose best weights are meant.

    Raises:
        UserError: there is no such run, or it has no weights yet.
    """
    path = Path(run)
    try:
        if not path.is_file():
            path = require(run) / BEST
            if not path.is_file():
                raise UserError(f"{run}: {path} is missing; give a run that has got so far, or a checkpoint")
    except UserError as error:
        raise UserError(f"{KEY}={error}") from None
    return path.absolute()


def tell_weights_apart(cfg: DictConfig, run: Path) -> None:
    """Add a hash of the weights that a run begins with to its configuration, if it begins with any.

    Where the run has begun with the same ones, these are not looked at again: they may have changed, or be gone.

    Args:
        cfg: the configuration that the run is asked for with.
        run: its directory.

    Raises:
        UserError: there is no such run, or its weights are damaged.
    """
    weights = cfg.model.get("weights")
    if weights is None:
        return
    begun = _begun(run)
    place = Path(str(weights)).absolute()
    same = begun.get("weights") in [str(each) for each in (weights, place, place / BEST)]
    if same and isinstance(begun.get("weights_digest"), str):
        cfg.model.weights, cfg.model.weights_digest = begun["weights"], begun["weights_digest"]
        return
    from rnn_tasks.training.start import weights_digest  # imports torch, which takes seconds

    cfg.model.weights = str(weights_of(str(weights)))
    cfg.model.weights_digest = weights_digest(Path(cfg.model.weights))


def _begun(run: Path) -> dict[str, str]:
    try:
        model = read_yaml(run / CONFIG)["model"]
    except Exception:  # missing, or damaged in one of many ways
        return {}
    return model if isinstance(model, dict) else {}


def keeps_weights(run: Path) -> bool:
    """Return whether a run has kept the weights that it began with, or later ones."""
    return any((run / "checkpoints").glob("*.ckpt"))

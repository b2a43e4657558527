"""Checkpoints: written so that a kill leaves the former one whole, read without executing anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from rnn_tasks.errors import UserError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds: plain containers and tensors.

    Raises:
        UserError: it is damaged.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if path.stem == "last":
            _ = checkpoint["global_step"], checkpoint["state_dict"]["failed"]
        else:
            _ = checkpoint["score"], checkpoint["state_dict"], checkpoint["failed"]
        return checkpoint
    except Exception as error:  # a damaged file raises many kinds
        raise UserError(f"{path}: is damaged ({type(error).__name__}); delete it to begin again") from None


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint beside its target, then rename it: a kill leaves the former one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (temporary := path.with_name(f".{path.name}.tmp")).open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lets Lightning write its checkpoints by ``save``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        save(checkpoint, Path(path))

"""Checkpoints: written so that a kill leaves the former one whole, read without executing anything, checked in full."""

from __future__ import annotations

import io
import math
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from rnn_tasks import memory
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.files import ENDING, replacing

LAST, BEST, PREVIOUS = "last.ckpt", "best.ckpt", "previous.ckpt"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # of weights


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds: plain containers and tensors.

    Each part of the file has a checksum (CRC-32, which torch.save writes and torch.load does not look at).

    Raises:
        UserError: it is damaged, or not what this project writes under that name, or larger than the memory.
        OSError: it cannot be read.
    """
    try:
        if not path.is_file():
            raise ValueError("is no ordinary file")
        memory.require(path.stat().st_size, str(path))
        content = io.BytesIO(path.read_bytes())
        _verify(content)
        checkpoint = torch.load(content, map_location="cpu", weights_only=True)
        _check_tensors(checkpoint)
        _check_last(checkpoint) if path.name in (LAST, PREVIOUS) else _check_best(checkpoint)
        return checkpoint
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # a damaged file raises many kinds
        reason = type(error).__name__ if str(error) == "" else one_line(error)[:100]
        raise UserError(f"{path}: is damaged ({reason}); delete it to begin again") from None


def model_weights(checkpoint: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[list[float] | None], list[bool]]:
    """Return the weights that a checkpoint holds, the scores in validation that go with them, and which have failed.

    Args:
        checkpoint: as ``read_checkpoint`` gives it. Of a last one the scores are those of the best weights.
    """
    state = checkpoint["state_dict"]
    if "optimizer_states" not in checkpoint:
        return state, checkpoint["score"], checkpoint["failed"]
    failed = state["failed"].tolist()
    recorder = checkpoint["callbacks"].get("RunRecorder")
    scores = recorder.get("score") if isinstance(recorder, dict) else None
    if not isinstance(scores, list) or not are_scores(scores) or len(scores) != len(failed):
        scores = [None] * len(failed)
    model = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
    return model, scores, failed


def _verify(content: io.BytesIO) -> None:
    """Compare the checksums of a file, whose parts must be stored as they are: a small file cannot become a large one.

    Raises:
        ValueError: they differ.
    """
    with zipfile.ZipFile(content) as archive:
        parts = archive.infolist()
        if not all(map(_is_stored, parts)) or sum(part.file_size for part in parts) > content.getbuffer().nbytes:
            raise ValueError("has compressed parts")
        if (name := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {name} is wrong")
    content.seek(0)


def _is_stored(part: zipfile.ZipInfo) -> bool:
    """Return whether a part is a file as it is; torch would leave the tensor of a directory as memory happens to be."""
    plain = part.compress_type == zipfile.ZIP_STORED and part.external_attr == 0
    return plain and part.compress_size == part.file_size


def _check_tensors(node: Any) -> None:
    """Check that all tensors hold their own numbers: one that repeats a few could become larger than the memory."""
    if torch.is_tensor(node):
        whole = node.layout == torch.strided and not (node.is_quantized or node.is_nested or node.is_complex())
        whole = whole and node.device.type == "cpu"
        _require(whole and node.numel() * node.element_size() <= node.untyped_storage().nbytes(), "a tensor")
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        _check_tensors(part)


def _check_last(checkpoint: dict[str, Any]) -> None:
    _require(isinstance(checkpoint["global_step"], int) and checkpoint["global_step"] >= 0, "global_step")
    _require(isinstance(checkpoint["callbacks"], dict) and isinstance(checkpoint.get("loops", {}), dict), "callbacks")
    optimizers = checkpoint["optimizer_states"]
    one = isinstance(optimizers, list) and len(optimizers) == 1 and isinstance(optimizers[0], dict)
    _require(one and {"state", "param_groups"} <= set(optimizers[0]), "optimizer_states")
    _check_weights(checkpoint["state_dict"])
    failed = checkpoint["state_dict"]["failed"]
    _require(failed.dtype == torch.bool and failed.dim() == 1 and len(failed) > 0, "failed")


def _check_best(checkpoint: dict[str, Any]) -> None:
    failed, scores = checkpoint["failed"], checkpoint["score"]
    _require(isinstance(failed, list) and len(failed) > 0 and all(type(each) is bool for each in failed), "failed")
    _require(are_scores(scores) and len(scores) == len(failed), "score")
    _check_weights(checkpoint["state_dict"])


def are_scores(scores: Any) -> bool:
    """Return whether these are the scores of best weights: a pair of numbers for each replicate, or None."""

    def is_score(score: Any) -> bool:
        numbers = isinstance(score, list) and len(score) == 2 and all(isinstance(number, float) for number in score)
        return score is None or (numbers and all(map(math.isfinite, score)))

    return isinstance(scores, list) and all(map(is_score, scores))


def _check_weights(state: Any) -> None:
    _require(isinstance(state, dict) and len(state) > 0, "state_dict")
    for name, tensor in state.items():
        _require(isinstance(name, str) and torch.is_tensor(tensor), "state_dict")
        _require(not tensor.is_floating_point() or tensor.dtype in DTYPES, "state_dict")


def _require(valid: bool, name: str) -> None:
    if not valid:
        raise ValueError(f"{name} is wrong")


def save(checkpoint: dict[str, Any], path: Path, keep: Path | None = None) -> None:
    """Write a checkpoint, see files.replacing.

    Args:
        checkpoint: plain containers and tensors.
        path: its file.
        keep: where the former one is kept.
    """
    content = io.BytesIO()
    torch.save(checkpoint, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content.getbuffer())
        if keep is not None and path.exists():
            _keep(path, keep)


def _keep(path: Path, keep: Path) -> None:
    """Let ``keep`` be the file that ``path`` is now, which stays until it is replaced."""
    link = keep.with_name(f".{keep.name}{ENDING}")
    with suppress(FileNotFoundError):
        link.unlink()
    try:
        os.link(path, link, follow_symlinks=False)
        link.replace(keep)
        link.unlink(missing_ok=True)  # which is still there if a kill had left both as one file
    except (OSError, NotImplementedError):  # a file system without hard links
        path.replace(keep)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lets Lightning write its checkpoints by ``save`` and read them by ``read_checkpoint``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        save(checkpoint, Path(path), Path(path).with_name(PREVIOUS))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))

"""The runs of a report in one file, from which it can be written again without training."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import torch

from rnn_tasks import runs
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.files import replacing
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.kept import VERSIONS, kept, packed
from rnn_tasks.runs.results import RESULT
from rnn_tasks.training.checkpoints import LAST, read_checkpoint
from rnn_tasks.training.history import HISTORY

LARGEST, LARGEST_HEADER = 1 << 28, 1 << 20  # bytes of all runs, and of what is read at once
WEIGHTS = f"checkpoints/{LAST}"
PARTS = (runs.CONFIG, RESULT, HISTORY, *VERSIONS, WEIGHTS)


def pack(evidence: Evidence, file: Path) -> None:
    """Write the runs that a report has used into an archive; equal runs give equal files.

    A run whose network was looked into comes with its weights, without the rest of its checkpoint: it can be loaded,
    not resumed. Of other runs there are the results alone.

    Raises:
        UserError: a checkpoint is missing or damaged.
    """
    with replacing(file) as target, tarfile.open(fileobj=target, mode="w:xz") as archive:
        for path, run in sorted(evidence.used.items()):
            name = path.relative_to(evidence.root).as_posix()
            for part in (runs.CONFIG, RESULT, HISTORY):
                _add(archive, f"{name}/{part}", (path / part).read_bytes())
            weights = _weights(path / WEIGHTS) if run.loaded else b""
            for part in VERSIONS:
                if found := kept(path, part):
                    _add(archive, f"{name}/{part}", packed(part, found, weights).encode())
            if weights:
                _add(archive, f"{name}/{WEIGHTS}", weights)


def _weights(path: Path) -> bytes:
    """Return a checkpoint without the state of its training."""
    checkpoint, content = read_checkpoint(path), io.BytesIO()
    kept = {key: checkpoint[key] for key in ("global_step", "state_dict")}
    torch.save(kept | {"callbacks": {}, "optimizer_states": [{"state": {}, "param_groups": []}]}, content)
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # of no owner and no time
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def unpack(file: Path, root: Path) -> None:
    """Write the runs of an archive below a directory; nothing else, and nothing outside of it.

    Raises:
        UserError: the file is no such archive, or is damaged.
    """
    endings = tuple(f"/{part}" for part in PARTS)
    try:
        with _Bounded(file) as content, tarfile.open(fileobj=content, mode="r:") as archive:
            for member in archive:
                if not member.isreg() or member.issparse() or not member.name.endswith(endings):
                    raise UserError(f"{file}: holds {member.name!r}, which is no file of a run")
                archive.extract(member, root, filter="data")
    except (OSError, EOFError, ValueError, tarfile.TarError, lzma.LZMAError) as error:
        raise UserError(f"{file}: is no archive of runs, or damaged ({one_line(error)})") from None


class _Bounded(lzma.LZMAFile):
    """Stops where a small file becomes a large one, or has a header as large as a file."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_HEADER:
            raise ValueError("a header is too large")
        if self.tell() + size > LARGEST:
            raise ValueError(f"holds more than {LARGEST:,} bytes")
        return super().read(size)

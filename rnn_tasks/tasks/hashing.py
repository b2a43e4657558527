"""Hashes of the content of files, made while they are read or in a pass of their own."""

from __future__ import annotations

import io
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

BLOCK = 1 << 24  # bytes
DIGEST = 16  # bytes


class Hashed(io.RawIOBase):
    """A file whose content is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.content = file, blake2b(digest_size=DIGEST)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part = self.file.read(size)
        self.content.update(part)
        return part


def uncompressed(path: Path, file: Any) -> Any:
    """Return what Arrow reads a file from, uncompressed where its name ends in .gz."""
    import pyarrow as pa

    plain = pa.PythonFile(file, "r")
    return pa.CompressedInputStream(plain, "gzip") if path.suffix.lower() == ".gz" else plain


def file_digest(path: Path) -> str:
    """Return a hash of the content of a file."""
    content = blake2b(digest_size=DIGEST)
    with path.open("rb") as file:
        while part := file.read(BLOCK):
            content.update(part)
    return content.hexdigest()

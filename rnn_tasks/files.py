"""Files that are replaced as a whole, and never through a link."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rnn_tasks.errors import UserError

ENDING = ".tmp"  # of files that are being written
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".npz")  # endings of files of sequences


def is_table_name(name: str) -> bool:
    """Return whether a file of this name holds sequences, by its ending."""
    return name.lower().endswith(TABLES)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file to write, which takes the place of ``path`` when it is complete.

    A kill leaves either the old file or the new one, never a part. The new file is created under a name that cannot be
    foreseen, so nothing is written through a link that lies there.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}{ENDING}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(temporary, flags, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, see ``replacing``."""
    with replacing(path) as file:
        file.write(text.encode())


def read_text(path: Path, most: int) -> str:
    """Return the text of a file in UTF-8.

    Args:
        path: an ordinary file, or a link to one.
        most: its largest size in bytes.

    Raises:
        ValueError: it is larger, no ordinary file, or not UTF-8.
        OSError: it cannot be read.
    """
    return read_bytes(path, most).decode()


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of an ordinary file; errors as those of ``read_text``."""
    if not path.is_file():  # reading a FIFO would wait for ever
        raise ValueError("is not an ordinary file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"is larger than {most:,} bytes")
    return content


def refuse_ways_out(directory: Path, run: Path | None = None) -> None:
    """Refuse a directory with a link that leads out of a run, or a FIFO or device: nothing is written through one.

    Args:
        directory: is looked at, and its own directories; it may be a link itself.
        run: the directory that nothing may lead out of; the same one by default.

    Raises:
        UserError: one line names what leads out.
    """
    run = run or directory
    for pattern in ("*", "*/*"):
        for path in directory.glob(pattern):
            if path.is_symlink() and run.resolve() not in path.resolve().parents:
                raise UserError(f"{path}: is a link that leads out of {run}; remove it")
            if path.exists() and not path.is_file() and not path.is_dir():
                raise UserError(f"{path}: is neither a file nor a directory; remove it")


def remove_unfinished(directory: Path) -> None:
    """Remove what a kill has left of files that were being written in a directory and in its own directories."""
    for pattern in (f".*{ENDING}", f"*/.*{ENDING}"):
        for path in directory.glob(pattern):
            with suppress(OSError):
                path.unlink()

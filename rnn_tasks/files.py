"""Atomic writing of text files."""

from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8; a kill leaves either the old file or the new one, never a part."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, newline="", encoding="utf-8")
    temporary.replace(path)

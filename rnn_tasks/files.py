"""Files that a kill leaves whole."""

from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a kill leaves the former one whole."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, newline="", encoding="utf-8")
    temporary.replace(path)

"""How run directories are found: by their place, as the newest, as the best of a task."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnn_tasks.errors import UserError
from rnn_tasks.runs.directory import CONFIG, OUTPUTS, require_run
from rnn_tasks.runs.plans import SWEEP, is_sweep
from rnn_tasks.runs.results import RESULT, read_result

PRETRAINED = Path(__file__).parent.parent / "pretrained"  # runs that come with the package


def finished(root: Path = OUTPUTS) -> list[Path]:
    """Return the finished runs below a directory, the newest first."""
    return [path.parent for path in _newest_first(root, RESULT)]


def results(root: Path = OUTPUTS) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Return the finished runs below a directory with the content of their result.json, the newest first.

    Of a run whose result.json is damaged the content is None.
    """
    for path in finished(root):
        try:
            yield path, read_result(path)
        except UserError:
            yield path, None


def find(run: str | Path) -> Path | None:
    """Return the directory of a run.

    Args:
        run: a directory, which a Path always is; "latest" for the newest finished run; the name of a task for its
            finished run whose best network is best in validation, the newest of equal ones; or the name of a run that
            comes with the package: "handwriting", or "report", the best of the report's that read MNIST.

    Returns:
        None where it is none of these.

    Raises:
        UserError: a directory holds no run, or nothing has finished yet.
    """
    try:
        if isinstance(run, Path):
            return require_run(run)
        is_directory, root = Path(run).is_dir(), _root(run)
    except OSError:  # too long for a name
        return None
    shipped = PRETRAINED / run if re.fullmatch(r"\w+", run) and (PRETRAINED / run).is_dir() else None
    if shipped and not (Path(run) / CONFIG).exists():
        return shipped
    if root and (run == "latest" or not is_directory):
        newest = next(iter(finished(root)), None)
        if newest is None:
            raise UserError(f"{run}: no finished run in {root} yet; python -m rnn_tasks.train makes one")
        return newest if run == "latest" else max(results(root), key=lambda found: _validation(found[1]))[0]
    if is_directory:
        require_run(Path(run))
        return Path(run)
    return None


def require(run: str | Path) -> Path:
    """Return the directory of a run, see ``find``.

    Raises:
        UserError: there is no such run.
    """
    path = find(run)
    if path is None:
        raise UserError(f"{run}: no such run; give its directory, latest, the name of a task, handwriting or report")
    return path


def _validation(result: dict[str, Any] | None) -> float:
    """Return the share of sequences in validation that the best network of a run gets right; -1 if it is not known."""
    shares = result["metrics"].get("val", {}).get("sequence_accuracy", []) if result else []
    return max((share for share in shares if share is not None), default=-1.0)


def _root(run: str) -> Path | None:
    """Return the directory in which "latest", or the name of a task, is looked for; None for another word."""
    root = OUTPUTS if run == "latest" else OUTPUTS / run
    return root if run == "latest" or (root.parent == OUTPUTS and root.is_dir()) else None


def find_to_resume(run: str) -> Path:
    """Return the directory of a run, or of a sweep, to go on with.

    Args:
        run: a directory, or a checkpoint in it; "latest", or the name of a task, for the newest run that has begun.

    Raises:
        UserError: it is none of these, or a directory of runs that holds no plan of a sweep.
    """
    path = Path(run)
    if path.is_file() and path.parent.name == "checkpoints":
        path = path.parent.parent
    if (path / CONFIG).is_file() or is_sweep(path):
        return path
    if root := _root(run):
        begun = _newest_first(root, CONFIG)
        if begun:
            return begun[0].parent
    return require_run(path)


def find_sweep(sweep: str) -> Path:
    """Return the directory of a sweep, or of runs.

    Args:
        sweep: a directory, or "latest" for the sweep that was begun last.

    Raises:
        UserError: there is none.
    """
    path = Path(sweep)
    if sweep == "latest":
        if begun := _newest_first(OUTPUTS, SWEEP):
            return begun[0].parent
        raise UserError(f"latest: no sweep in {OUTPUTS} yet; python -m rnn_tasks.train --multirun makes one")
    if (path / CONFIG).is_file():
        raise UserError(f"{sweep}: is a run; give the directory of a sweep")
    if not is_sweep(path) and not any(path.glob(f"*/{CONFIG}")):
        raise UserError(f"{sweep}: holds no sweep; give a directory of runs, or latest")
    return path


def _newest_first(root: Path, name: str) -> list[Path]:
    """Return the files of a name below a directory, without links that lead nowhere and what is deleted meanwhile."""
    changed = {}
    for path in _files(root, name):
        with suppress(OSError):
            changed[path] = path.stat().st_mtime_ns
    return sorted(changed, key=lambda path: changed[path], reverse=True)


def _files(root: Path, name: str) -> Iterator[Path]:
    """Return the files of a name below a directory, also where a directory on the way is a link; no place twice."""
    seen = set()
    for directory, below, files in os.walk(root, followlinks=True):
        if (real := os.path.realpath(directory)) in seen:
            below.clear()
            continue
        seen.add(real)
        if name in files:
            yield Path(directory, name)

"""Run directories: their lock and their configuration."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.stored import LARGEST, checked, holds_mnist, leaves, parse
from rnn_tasks.config.targets import first_foreign
from rnn_tasks.errors import UserError, file_error, one_line, printable
from rnn_tasks.files import read_text, refuse_ways_out, remove_unfinished, write_atomically
from rnn_tasks.runs.identity import influence
from rnn_tasks.runs.migration import migrated
from rnn_tasks.runs.plans import is_sweep
from rnn_tasks.runs.results import RESULT, read_result
from rnn_tasks.runs.trust import SIGNATURE, is_signed, sign

OUTPUTS = Path("outputs")
CONFIG, LOCK = "config.yaml", ".lock"
FAILURE = "error.txt"  # why the last attempt at a run of a sweep has failed
SHOWN = 5  # runs of a sweep, or differences of configurations, in one line
PATIENCE = 0.2  # seconds to wait for the lock, which is_held may hold for a moment


class InUse(UserError):
    """Another process trains in a run directory."""


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Hold a run directory, which is made if it is missing, for this process alone.

    A new run that is refused before it has anything to keep leaves no files behind; what a kill has left half written
    is removed.

    Raises:
        InUse: another process trains there.
        UserError: the directory holds a sweep or cannot be written, or a link in it leads out of it.
    """
    if is_sweep(run):
        raise UserError(f"{run}: holds a sweep; take another name= for the run")
    try:
        run.mkdir(parents=True, exist_ok=True)
        refuse_ways_out(run)
        with FileLock(run / LOCK, timeout=PATIENCE):
            new = not (run / CONFIG).exists()
            remove_unfinished(run)
            (run / FAILURE).unlink(missing_ok=True)
            try:
                yield
            except UserError:
                if new and {path.name for path in run.iterdir()} <= {CONFIG, LOCK, SIGNATURE}:
                    for name in (CONFIG, SIGNATURE, LOCK):  # the lock last: from then on another may begin
                        (run / name).unlink(missing_ok=True)
                raise
    except Timeout:
        raise InUse(f"{run}: is being trained by another process") from None
    except OSError as error:
        raise file_error(error, run) from error


def is_held(run: Path) -> bool:
    """Return whether a process trains in a run directory, on this machine or another one that shares its files."""
    try:
        descriptor = os.open(run / LOCK, os.O_RDONLY | os.O_NONBLOCK)  # does not wait for the writer of a FIFO
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def own_config(run: Path, cfg: DictConfig, trust: bool = False) -> DictConfig:
    """Write a run's configuration into its directory, or return that of the same run begun before.

    Raises:
        UserError: another run lies there.
    """
    if not (run / CONFIG).exists():
        write_config(run, cfg)
    begun = read_config(run, trust)
    if influence(begun) != influence(cfg):
        if not begun.trainer.fast_dev_run:
            differences = _differences(_shown(begun), _shown(cfg))
            raise UserError(
                f"{run}: holds another run, with {differences}; take another name=, or resume={run} for that one"
            )
        rmtree(run / "checkpoints", ignore_errors=True)  # nothing is kept of a trial
        write_config(run, cfg)
        return cfg
    if begun.model.get("weights"):
        begun.model.weights = cfg.model.weights
    if "data_dir" in begun.task:
        begun.task.data_dir = cfg.task.data_dir  # the user has named it now, or read_config has looked at it
    if begun.task.get("digest"):
        begun.task.path = cfg.task.path  # the file may have moved
    return begun


def result_of(run: Path, cfg: DictConfig, trust: bool = False) -> dict[str, Any] | None:
    """Return the content of result.json if this run has finished in the directory; nothing is written.

    Raises:
        UserError: another run lies there, or the file is damaged.
    """
    if not (run / RESULT).exists() or not (run / CONFIG).exists():
        return None
    own_config(run, cfg, trust)
    with suppress(OSError):
        (run / FAILURE).unlink(missing_ok=True)
    return read_result(run)


def _shown(cfg: DictConfig) -> dict[str, Any]:
    """Return what decides the numbers of a run, with the places of its weights and of its data file."""
    values = influence(cfg)
    if digest := values["model"].pop("weights_digest", None):
        values["model"]["weights"] = f"{cfg.model.weights}, hash {digest}"
    if digest := values["task"].pop("digest", None):
        values["task"]["path"] = f"{cfg.task.path}, hash {digest}"
    return values


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Return in which values two configurations differ, like "model.hidden=3 (here 5)"; nothing if they are equal."""
    old, new = dict(leaves(there)), dict(leaves(here))
    keys = [key for key in {**old, **new} if key not in old or key not in new or old[key] != new[key]]
    texts = [f"{key}={_text(old.get(key))} (here {_text(new.get(key))})" for key in keys]
    more = [f"{len(texts) - SHOWN} more differences"] if len(texts) > SHOWN else []
    return ", ".join([*texts[:SHOWN], *more])


def _text(value: Any) -> str:
    return "null" if value is None else printable(str(value))


def write_config(run: Path, cfg: DictConfig, own: bool = True) -> None:
    """Write config.yaml, signed where it names classes of the user's own.

    Args:
        run: its directory.
        cfg: what is written.
        own: whether this user has made the run; one that is only trusted gets no signature.
    """
    text = OmegaConf.to_yaml(cfg, resolve=True)
    if own and first_foreign(OmegaConf.to_container(cfg, resolve=True)):  # type: ignore[arg-type]
        sign(run, text.encode())
    write_atomically(run / CONFIG, text)


def is_own(run: Path) -> bool:
    """Return whether this user has made a run that names classes of the user's own."""
    return is_signed(run, (run / CONFIG).read_bytes())


def read_config(run: Path, trust: bool = False) -> DictConfig:
    """Return the configuration of a run, in the form of this version.

    Args:
        run: its directory.
        trust: allow classes that did not come with this package, whoever has made the run.

    Raises:
        UserError: there is no such run; its configuration is damaged, or names classes that are not trusted.
    """
    path = require_run(run) / CONFIG
    try:
        text = read_text(path, LARGEST)
        content = migrated(parse(text))
        foreign = None if trust else first_foreign(content)
        if foreign and not is_signed(run, text.encode()):
            raise UserError(f"{foreign}: is code that did not come with rnn_tasks; --trust runs it, if you trust it")
        cfg = checked(content)
        if "data_dir" in cfg.task:
            downloads = first_foreign({"task": content["task"]}) is None
            cfg.task.data_dir = _data_directory(str(cfg.task.data_dir), downloads)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a damaged yaml file raises many kinds
        raise UserError(f"{path}: is damaged ({one_line(error)[:80]})") from None
    return cfg


def require_run(run: Path) -> Path:
    """Return a directory that holds a run.

    Raises:
        UserError: it holds none, or several.
    """
    if not (run / CONFIG).is_file():
        names = sorted((file.parent.name for file in run.glob(f"*/{CONFIG}")), key=lambda name: (len(name), name))
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            listed = f"{', '.join(names[:SHOWN])}{more}"
            raise UserError(f"{run}: is a sweep, or a directory of runs; name one of them: {listed}")
        raise UserError(f"{run}: holds no run; give a directory that has a config.yaml")
    return run


def _data_directory(stored: str, downloads: bool) -> str:
    """Return where the data lie: they may have moved since, and nothing is downloaded to where a run says.

    A task of the user's own, which loads no MNIST, finds them where they were.
    """
    there = holds_mnist(Path(stored)) if downloads else os.path.isdir(stored)
    return os.path.abspath(os.environ.get("RNN_TASKS_DATA") or (stored if there else "data"))

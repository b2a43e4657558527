"""Signatures of runs that use classes of the user's own: this user has made them, on this machine.

The signature is a keyed hash of config.yaml. Its key lies in a file that only the user can read, so nobody else can
sign a run, and a configuration that was altered has no valid signature.
"""

import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from rnn_tasks.files import read_bytes, write_atomically

SIGNATURE = ".signature"
KEY_SIZE = 32  # bytes


def sign(run: Path, config: bytes) -> None:
    """Write the signature of a configuration into a run directory; without a place for the key there is none."""
    with suppress(OSError, ValueError):
        write_atomically(run / SIGNATURE, _signature(config, make_key=True))


def is_signed(run: Path, config: bytes) -> bool:
    """Return whether this user has signed the configuration, on this machine."""
    try:
        found = read_bytes(run / SIGNATURE, 200)
        return hmac.compare_digest(found, _signature(config, make_key=False).encode())
    except (OSError, ValueError):
        return False


def _signature(config: bytes, make_key: bool) -> str:
    return hmac.new(_key(make_key), config, "sha256").hexdigest()


def _key(make: bool) -> bytes:
    """Return this user's key, which may be made when it is missing.

    Raises:
        OSError: it cannot be written or read.
        ValueError: the file is not this user's alone.
    """
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError as error:  # nobody's home
        raise ValueError(str(error)) from None
    path = state / "rnn_tasks" / "key"
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = path.with_name(f".key.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_SIZE))
            with suppress(FileExistsError):  # another process was faster
                os.link(own, path)
        finally:
            own.unlink(missing_ok=True)
    status = path.lstat()
    foreign = hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077)
    if not stat.S_ISREG(status.st_mode) or foreign or len(key := path.read_bytes()) != KEY_SIZE:
        raise ValueError(f"{path}: is not a key that only you can read")
    return key

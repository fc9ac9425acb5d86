"""The root directory of a host: who may change it, and what is written in one step."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Failure(Exception):  # noqa: N818 - it is no error of this program
    """What went wrong on this host, with what mends it."""

    def __init__(self, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.hint = hint


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the host's lock, so that two controllers never change one root at a time."""
    lock = _locked(root)
    while not _is_at(root / ".lock", lock):
        lock.close()
        lock = _locked(root)
    with lock:
        # uv holds a flock too: should this program be killed, nobody builds beside it. On Windows
        # it holds none, and ends with the session that started it.
        os.set_inheritable(lock.fileno(), True)
        yield


def _locked(root: Path) -> IO[str]:
    """Open and lock the lock file of a root. Raises Failure where another run holds it."""
    root.mkdir(parents=True, exist_ok=True)
    # A lock that others can open is one that they can hold.
    lock = os.fdopen(os.open(str(root / ".lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        if sys.platform != "win32":
            os.fchmod(lock.fileno(), 0o600)
        _lock(lock)
    except BaseException as error:
        lock.close()
        if not isinstance(error, (BlockingIOError, PermissionError)):
            raise
        raise Failure(
            f"another run is at work in {root}", "wait for it to end, then run again"
        ) from None
    return lock


def _is_at(path: Path, lock: IO[str]) -> bool:
    """Whether a lock file is still the one at its path: ``uninstall`` removes the one it holds."""
    if sys.platform == "win32":  # which removes nothing that is open
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _lock(handle: IO[str]) -> None:
    if sys.platform == "win32":
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def prepare(path: Path, text: str) -> Path:
    """Write a text to the disk beside a file, which it can then replace without failing."""
    new = path.with_name(f".{path.name}-{os.getpid()}")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return new

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
    root.mkdir(parents=True, exist_ok=True)
    # A lock that others can open is one that they can hold.
    with os.fdopen(os.open(str(root / ".lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        (root / ".lock").chmod(0o600)
        try:
            _lock(lock)
        except (BlockingIOError, PermissionError):
            raise Failure(
                f"another run is at work in {root}", "wait for it to end, then run again"
            ) from None
        # uv holds a flock too: should this program be killed, nobody builds beside it. On Windows
        # it holds none, and ends with the session that started it.
        os.set_inheritable(lock.fileno(), True)
        yield


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

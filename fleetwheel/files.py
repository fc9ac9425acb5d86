"""Where files are kept; writing them in one step, and reading what others may have written."""

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO


def cache_directory() -> Path:
    """Return fleetwheel's directory among the user's caches (XDG base directories)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "fleetwheel"


def replace(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text beside the file and put it in its place; the directory is made if need be.

    Who may read it is what the umask says, unless ``mode`` says it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    handle = os.open(beside, flags, 0o666 if mode is None else mode)
    with os.fdopen(handle, "w", encoding="utf-8") as new:
        try:
            new.write(text)
            new.flush()
            if mode is not None and os.name == "posix":
                # Not by its name, which the owner of the directory may give to another file.
                os.fchmod(new.fileno(), mode)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read; OSError for anything else there, such as a fifo that would wait."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a regular file; OSError for other things, and beyond ``most`` bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most / 2**20:.0f} MiB", str(path))
    return content

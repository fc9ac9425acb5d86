"""Where fleetwheel keeps files, and writing one in one step: old content or new, never half."""

import os
import secrets
from pathlib import Path


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

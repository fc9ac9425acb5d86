"""Writing files in one step: the old content or the new, never half of it."""

import os
import tempfile
from pathlib import Path


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text beside the file and put it in its place; the directory is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".", delete=False, encoding="utf-8"
    ) as new:
        beside = Path(new.name)
        try:
            new.write(text)
            new.flush()
            if os.name == "posix":
                # Not by its name, which the owner of the directory may give to another file.
                os.fchmod(new.fileno(), mode)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

"""Whether the files of a generation are those of their wheels; nothing is written."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def verify(root: str, id: str) -> dict[str, Any]:
    """Name the packages with a file that differs from its RECORD; nothing is written."""
    return {"damaged": damaged_packages(Path(root) / "envs" / id)}


def site_packages(stage: Path) -> Path:
    if sys.platform == "win32":
        return stage / "Lib" / "site-packages"
    return next((stage / "lib").glob("python3*/site-packages"))


def damaged_packages(stage: Path) -> list[str]:
    """Return the names of installed packages with a file that differs from its RECORD hash."""
    site = site_packages(stage)
    files = [
        (info.name.split("-")[0], site / row[0], row[1])
        for info in site.glob("*.dist-info")
        for row in csv.reader((info / "RECORD").read_text(encoding="utf-8").splitlines())
        if len(row) > 1 and row[1].startswith("sha256=")
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        intact = pool.map(lambda file: recorded_hash(file[1]) == file[2], files)
    # strict= came with Python 3.10
    checked = zip(files, intact)  # noqa: B905
    return sorted({file[0] for file, same in checked if not same})


def recorded_hash(path: Path) -> str:
    """Return the hash of a file as RECORD writes it; empty when it cannot be read."""
    try:
        return "sha256=" + base64.urlsafe_b64encode(file_hash(path)).rstrip(b"=").decode()
    except OSError:
        return ""


def file_hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.digest()

"""This program as one archive: the same bytes from the same files."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pynvml

PACKAGE = "fleetwheel/node"


def program() -> dict[str, bytes]:
    """Return the files of a directory that Python runs: this package, and what it imports."""
    here = Path(__file__).parent
    modules = {
        f"{PACKAGE}/{path.relative_to(here).as_posix()}": path.read_bytes()
        for path in sorted([*here.rglob("*.py"), *here.glob("*.sh")])
    }
    return {
        "__main__.py": modules[f"{PACKAGE}/__main__.py"],
        "fleetwheel/__init__.py": b"",
        **modules,
        "pynvml.py": inspect.getsource(pynvml).encode(),
    }


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return what names a version of a program, by its paths and contents."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path} {len(files[path])}\n".encode() + files[path])
    return digest.hexdigest()[:16]


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of files, path to content."""
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=9) as zipped:
        for path in sorted(files):
            member = ZipInfo(path)  # its date is 1980
            member.compress_type = ZIP_DEFLATED
            zipped.writestr(member, files[path], compresslevel=9)
    return archive.getvalue()

"""Whether the files of a generation are those of their wheels, and a RECORD of the others."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from fleetwheel.node.publish import looked

EVERYTHING = "every package"
"""What is damaged where an environment has lost its lib/."""
NAMED = 20
"""Files that no RECORD names, of which an answer has so many."""


def verify(
    root: str,
    id: str,
    hashes: bool = True,
    environment: str = "",
    publish: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Name packages with files that differ from their RECORD, and files that none names.

    Without ``hashes``, files are looked at for their sizes alone. With ``publish``, what people
    find the ``environment`` by is looked at too (publish.py).
    """
    outside = looked(root, id, environment, publish) if publish else {}
    return {**outside, **verified(Path(root) / "envs" / id, hashes)}


def verified(generation: Path, hashes: bool) -> dict[str, Any]:
    if not site_packages(generation).is_dir():
        return {"damaged": [EVERYTHING], "unrecorded": []}
    if not hashes:
        return {"damaged": damaged_packages(generation, hashes=False)}
    return {
        "damaged": damaged_packages(generation),
        "unrecorded": unrecorded_files(generation)[:NAMED],
    }


def site_packages(stage: Path) -> Path:
    if sys.platform == "win32":
        return stage / "Lib" / "site-packages"
    lib = stage / "lib"
    return next(lib.glob("python3*/site-packages"), lib / "python3/site-packages")


def environment_python(stage: Path) -> Path:
    return stage / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def damaged_packages(stage: Path, *, hashes: bool = True) -> list[str]:
    """Return the names of installed packages with a file that differs from its RECORD hash.

    Without ``hashes``, only a file that is gone or of another size than RECORD states is read.
    """
    files = [file for file in recorded_files(stage) if file.hash.startswith("sha256=")]
    suspects = files if hashes else [file for file in files if size_of(file.path) != file.size]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        intact = pool.map(lambda file: recorded_hash(file.path) == file.hash, suspects)
    # strict= came with Python 3.10
    checked = zip(suspects, intact)  # noqa: B905
    return sorted({file.package for file, same in checked if not same})


def size_of(path: Path) -> str:
    """Return the size of a file as RECORD writes it; empty where there is no file."""
    try:
        return str(path.stat().st_size)
    except OSError:
        return ""


class RecordedFile(NamedTuple):
    """A row of a RECORD: hash and size are as it writes them, and may be empty."""

    package: str
    path: Path
    hash: str
    size: str


def recorded_files(stage: Path) -> list[RecordedFile]:
    """Return every file that a RECORD names.

    A package without METADATA is none: nobody would miss it, and its RECORD could name anything.
    """
    site = site_packages(stage)
    records = [(m.parent.name.split("-")[0], m.parent) for m in site.glob("*.dist-info/METADATA")]
    return [
        RecordedFile(package, Path(os.path.normpath(str(site / row[0]))), row[1], row[2])
        for package, place in [*records, ("fleetwheel", stage)]
        if (place / "RECORD").exists()
        for row in csv.reader((place / "RECORD").read_text(encoding="utf-8").splitlines())
        if len(row) > 2
    ]


def programs_and_modules(stage: Path) -> list[Path]:
    """Return all that an environment could run or import; links are not followed."""
    site = site_packages(stage)
    found = []
    for place in (environment_python(stage).parent, site):
        for directory, directories, names in os.walk(str(place)):
            links = [name for name in directories if (Path(directory) / name).is_symlink()]
            found += [Path(directory) / name for name in names + links]
    return found


def record_own(stage: Path, own: list[Path]) -> None:
    """Write a RECORD of what no wheel brought: by uv for each environment, and by fleetwheel."""
    site = str(site_packages(stage))
    rows = [
        [os.path.relpath(str(path), site), "" if path.is_symlink() else recorded_hash(path), ""]
        for path in own
        if os.path.lexists(str(path))
    ]
    with (stage / "RECORD").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def unrecorded_files(stage: Path) -> list[str]:
    """Return programs and modules that no RECORD names, as paths in the generation.

    What Python compiled of a module that one names is exempt.
    """
    recorded = {file.path for file in recorded_files(stage)}
    return sorted(
        str(path.relative_to(stage))
        for path in programs_and_modules(stage)
        if path not in recorded and source_of(path) not in recorded
    )


def source_of(bytecode: Path) -> Path | None:
    """Return the module that ``__pycache__/x.cpython-311.pyc`` was compiled from."""
    if bytecode.parent.name != "__pycache__" or bytecode.suffix != ".pyc":
        return None
    return bytecode.parent.parent / (bytecode.name.split(".")[0] + ".py")


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

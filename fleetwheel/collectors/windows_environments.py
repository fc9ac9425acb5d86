"""What stands under fleetwheel's root on Windows: runs there, Python 3.8 or newer.

Says what environments.sh says on Linux, line by line.
"""

from __future__ import annotations

import hashlib
import ntpath
import os
import sys
from collections.abc import Iterator
from pathlib import Path

TRUSTED = "trusted_python_"
"""How the names of the batch file's variables begin."""


def lines(root: Path) -> Iterator[str]:
    """Return the lines of the answer, without the name of the section."""
    if current := target(root, root / "current"):
        yield f"current {current}"
    for link in sorted((root / "environments").glob("*")):
        yield f"environment {link.name} {target(root, link)}"
    for line in text(root / "state.json").splitlines():
        yield f"record {line}"
    for wheel in (root / "cache" / "wheels").glob("*/*.whl"):
        yield f"wheel {wheel.parent.name}"
    for place in sorted((root / "envs").iterdir()):
        if place.is_dir() and place.name[0] != ".":
            yield from generation(place)


def target(root: Path, link: Path) -> str:
    """Return what a junction leads to, as a symbolic link would say it, or a file in its place.

    Nothing where a junction leads elsewhere than to a generation.
    """
    if not link.is_dir():
        return text(link).strip().replace("\\", "/")
    place, id = os.path.split(os.path.realpath(str(link)))
    if os.path.normcase(place) != os.path.normcase(os.path.realpath(str(root / "envs"))):
        return ""
    return f"envs/{id}" if link.parent == root else f"../envs/{id}"


def generation(place: Path) -> Iterator[str]:
    yield f"generation {place.name}"
    config = text(place / "pyvenv.cfg").splitlines()
    if (place / "Scripts" / "python.exe").exists() and interpreter(config) in trusted():
        yield f"runs {place.name}"
    for line in config:
        yield f"config {place.name}/pyvenv.cfg:{line}"
    if (place / "pylock.toml").exists():
        digest = hashlib.sha256((place / "pylock.toml").read_bytes()).hexdigest()
        yield f"lock {digest}  {place.name}/pylock.toml"
    for info in sorted(place.glob("Lib/site-packages/*.dist-info")):
        fields = text(info / "METADATA").split("\n\n")[0].splitlines()
        for line in fields:
            if line.startswith(("Name:", "Version:")):
                yield f"package {place.name}/lib/site-packages/{info.name}/METADATA:{line}"


def interpreter(config: list[str]) -> str:
    """Return the interpreter that an environment's own python.exe starts, as it is compared."""
    homes = [line.partition("=")[2].strip() for line in config if line.startswith("home")]
    return ntpath.normcase(ntpath.join(*homes[:1], "python.exe"))


def trusted() -> set[str]:
    """Return the interpreters that the controller takes for safe, which the batch file names."""
    named = (value for key, value in os.environ.items() if key.lower().startswith(TRUSTED))
    return set(map(ntpath.normcase, named))


def text(path: Path) -> str:
    """Return what a file holds; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    for line in lines(Path(sys.argv[3])):
        sys.stdout.buffer.write(f"environments {line}\r\n".encode("utf-8", "replace"))

"""The project directory, in which pyinfra is run: where its files come from, and a new one."""

import shutil
from pathlib import Path

from fleetwheel.errors import FleetwheelError

PARTS = ("config.py", "inventory.py", "deploys", "facts", "inventory", "operations", "templates")
"""What a project directory holds, as files and folders of the clone."""
EXAMPLE = Path("docs/inventory.example.yaml")
"""Explains every key, and errors name it."""

_packaged = Path(__file__).parent / "skeleton"
ORIGIN = _packaged if _packaged.is_dir() else Path(__file__).parents[1]
"""Where the parts lie: in the installed distribution, or in the clone."""


def parts() -> list[Path]:
    """Return every file of a project directory, relative to ``ORIGIN``."""
    found = [ORIGIN / part for part in (*PARTS, EXAMPLE) if (ORIGIN / part).is_file()]
    for part in PARTS:
        found += [path for path in (ORIGIN / part).rglob("*") if _belongs(path)]
    return sorted(path.relative_to(ORIGIN) for path in found)


def _belongs(path: Path) -> bool:
    """Whether a file is the project's own: a clone has hosts of its user's, and caches, too."""
    return path.is_file() and path.suffix in (".py", ".j2", ".md")


def create(directory: Path) -> list[Path]:
    """Write a project directory and return its files; nothing that is there is overwritten."""
    wanted = parts()
    there = [str(part) for part in wanted if (directory / part).exists()]
    if there:
        raise FleetwheelError(
            f"{directory} holds {', '.join(there[:3])}{' and more' if there[3:] else ''} already",
            hint="name a new directory; an inventory moves over by copying inventory/*.yaml",
        )
    try:
        for part in wanted:
            target = directory / part
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ORIGIN / part, target)
    except OSError as error:
        raise FleetwheelError(f"{directory} cannot be written: {error.strerror}") from error
    return wanted

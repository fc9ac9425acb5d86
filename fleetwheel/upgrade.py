"""A newer version's files for a project directory: what a person has edited there is kept."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from fleetwheel import files, project
from fleetwheel.errors import FleetwheelError


@dataclass
class Upgrade:
    """What became of the files of a project directory, by their paths in it."""

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    edited: dict[str, str] = field(default_factory=dict)
    """Files that were left as they are, each with a diff to what this version has."""


def upgrade(directory: Path) -> Upgrade:
    """Bring a project directory to this version, and return what was done.

    A file is replaced or taken away only where it is still what fleetwheel has written.
    Raises FleetwheelError for what is no project directory, and where it cannot be written.
    """
    if directory.resolve() == project.ORIGIN.resolve():
        raise FleetwheelError(f"{directory} is a clone", hint="git pull brings its newer version")
    if not (directory / "deploys").is_dir():
        raise FleetwheelError(f"{directory} is no project directory: it holds no deploys")
    try:
        return _upgrade(directory, project.written(directory))
    except OSError as error:
        raise FleetwheelError(f"{error.filename} cannot be used: {error.strerror}") from error


def _upgrade(directory: Path, before: dict[str, str]) -> Upgrade:
    done, new = Upgrade(), project.contents()
    for name, text in new.items():
        there = _read(directory / name)
        if there is None or (there != text and project.digest(there) == before.get(name)):
            files.replace(directory / name, text)
            done.written.append(name)
        elif there != text:
            done.edited[name] = _diff(name, there, text)
    for name in sorted(before.keys() - new.keys()):
        there = _read(directory / name)
        if there is not None and project.digest(there) == before[name]:
            (directory / name).unlink()
            done.removed.append(name)
    project.remember(directory, new)
    return done


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def _diff(name: str, there: str, new: str) -> str:
    lines = difflib.unified_diff(
        there.splitlines(), new.splitlines(), f"{name} (yours)", f"{name} (new)", lineterm="", n=2
    )
    return "\n".join(lines)

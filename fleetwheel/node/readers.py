"""Who may read an environment: everybody, or the members of one group."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from fleetwheel.node.root import Failure

if sys.platform != "win32":
    import grp


def number_of(group: str | None) -> int | None:
    """Return the number of a group; None, everybody, for none. Raises Failure for one unknown."""
    if group is None:
        return None
    if sys.platform == "win32":
        raise Failure("a group of readers is not known on Windows", "take out group: for this host")
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise Failure(
            f"there is no group {group} on the host",
            f"add it (groupadd {group}), or name another one in the inventory",
        ) from None


def name_of(group: int) -> str:
    """Return ``group vision``, or with its number where the host has no name for it."""
    if sys.platform != "win32":
        with suppress(KeyError):
            return f"group {grp.getgrgid(group).gr_name}"
    return f"group {group}"


def give(path: Path, group: int | None) -> None:
    """Let everybody read a file or directory, or the members of a group alone, by its number."""
    if sys.platform == "win32":
        return
    opened = 0o755 if path.is_dir() else 0o644
    if group is None:
        path.chmod(opened)
        return
    path.chmod(opened & 0o700)
    os.chown(str(path), -1, group)
    path.chmod(opened & 0o750)


def make_private(directory: Path) -> None:
    """Make a directory that its owner alone can get into, before anything is in it.

    Who opens a directory below it in time reads there ever after, whatever is closed above.
    """
    directory.mkdir()
    directory.chmod(0o700)  # not by mkdir: Windows would leave an ACL, since Python 3.12.4


def close_tree(directory: Path) -> None:
    """Close a directory to all but its owner, with those below that others may have open."""
    for below, _, _ in os.walk(str(directory), topdown=False):
        Path(below).chmod(0o700)


def readers(path: Path) -> int | None:
    """Return the number of the group that alone may read a file or directory; None for all."""
    found = path.stat()
    return None if sys.platform == "win32" or found.st_mode & 0o004 else found.st_gid


def is_open_to_all(directory: Path) -> bool:
    """Whether every user can get into a directory, or into what there is of it."""
    way = [place for place in (directory, *directory.parents) if place.exists()]
    return sys.platform != "win32" and all(place.stat().st_mode & 0o001 for place in way)

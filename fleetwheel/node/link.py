"""``current``, the link to the generation in use: replaced in one step, on every system."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fleetwheel.node.moving import move


def point(link: Path, target: Path) -> None:
    """Make ``link`` a symbolic link to ``target`` in one step: never absent, never half made."""
    new = link.with_name(f".{link.name}-{os.getpid()}")
    remove_link(new)
    if sys.platform == "win32":
        point_junction(link, target, new)
    else:
        new.symlink_to(target)
        move(new, link)


def point_junction(link: Path, target: Path, new: Path) -> None:
    """Make ``link`` a junction, or where the disk has none a file with the name of the target.

    Windows replaces no directory, so there is a moment between two renames without a ``link``.
    Where the second fails, the old one goes back; ``tidy`` does that for one that was interrupted.
    """
    try:
        create_junction(link.parent / target, new)
    except OSError:
        remove_link(new)  # the empty directory that was to become one
        new.write_text(f"{target}\n", encoding="utf-8")
    old = old_name(link)
    if os.path.lexists(str(link)) and not link.is_file():
        remove_link(old)
        move(link, old)
    try:
        move(new, link)
    except BaseException:
        restore(link)
        remove_link(new)
        raise
    remove_link(old)


def old_name(link: Path) -> Path:
    """Return where a link is while it is replaced."""
    return link.with_name(f".{link.name}-old")


def restore(link: Path) -> None:
    """Put a link back that was to be replaced, where nothing has taken its place."""
    if not os.path.lexists(str(link)) and os.path.lexists(str(old_name(link))):
        move(old_name(link), link)


def tidy(root: Path) -> None:
    """Make good what an interrupted activation left behind; the lock is held by the caller."""
    restore(root / "current")
    for left in [*root.glob(".current-*"), *root.glob(".state.json-*")]:
        remove_link(left)


def create_junction(target: Path, link: Path) -> None:
    """Make a directory junction, for which Windows wants no special rights."""
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(str(target), str(link))


def remove_link(link: Path) -> None:
    """Remove a symbolic link, a junction or a file; what it leads to stays."""
    if not os.path.lexists(str(link)):
        return
    try:
        link.unlink()
    except PermissionError:
        link.rmdir()


def generation_in_use(root: Path) -> str:
    """Return the id of the generation that ``current`` leads to."""
    current = root / "current"
    if current.is_file():
        current = root / current.read_text(encoding="utf-8").strip()
    return current.resolve().name

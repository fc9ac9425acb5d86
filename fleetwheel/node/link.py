"""The links to the generations in use: replaced in one step, on every system.

``current`` is that of the environment "default", ``environments/NAME`` those of the others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fleetwheel.node.moving import move

DEFAULT, ENVIRONMENTS = "default", "environments"


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
        create_junction(Path(os.path.normpath(str(link.parent / target))), new)
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
    for old in [*root.glob(".current-old"), *root.glob(f"{ENVIRONMENTS}/.*-old")]:
        restore(old.with_name(old.name[1 : -len("-old")]))
    unfinished = (".current-*", ".state.json-*", f"{ENVIRONMENTS}/.*")
    for left in [path for pattern in unfinished for path in root.glob(pattern)]:
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


def link_of(root: Path, environment: str) -> Path:
    """Return the link that leads to the generation in use in an environment."""
    return root / "current" if environment == DEFAULT else root / ENVIRONMENTS / environment


def links(root: Path) -> list[Path]:
    """Return the links of all environments that there are."""
    named = (root / ENVIRONMENTS).glob("[a-z]*")
    return [root / "current", *(path for path in named if path.name != DEFAULT)]


def lead(root: Path, environment: str, id: str) -> None:
    """Have an environment lead to a generation."""
    if environment == DEFAULT:
        point(root / "current", Path("envs") / id)
    else:
        (root / ENVIRONMENTS).mkdir(exist_ok=True)
        point(link_of(root, environment), Path("..") / "envs" / id)


def name_default(root: Path) -> None:
    """Have ``environments/default`` lead to ``current``: two links could not move together."""
    alias = root / ENVIRONMENTS / DEFAULT
    if not os.path.lexists(str(alias)):
        alias.parent.mkdir(exist_ok=True)
        point(alias, Path("..") / "current")


def generation_at(link: Path) -> str | None:
    """Return the id of the generation that a link points at, whether it is there or not."""
    if link.is_symlink():
        return Path(os.readlink(str(link))).name  # noqa: PTH115 - Path.readlink came with 3.9
    if link.is_file():
        return link.read_text(encoding="utf-8").strip().replace("\\", "/").split("/")[-1]
    return link.resolve().name if link.exists() else None

"""The links to the generations in use: replaced in one step, on every system.

``current`` is that of the environment "default", ``environments/NAME`` those of the others.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from fleetwheel.node.moving import move

DEFAULT, ENVIRONMENTS = "default", "environments"
NAME = "[a-z][a-z0-9_-]{0,31}"
"""What an environment may be called."""
UNFINISHED = "-([0-9]+|old)"
"""How the name of a link ends while it is made or replaced."""
MOUNT_POINT = 0xA0000003
"""IO_REPARSE_TAG_MOUNT_POINT, which makes a directory a junction."""


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
    named = ((root, r"\.current"), (root / ENVIRONMENTS, rf"\.{NAME}"))
    for place, name in named:
        found = [path for path in place.glob(".*") if re.fullmatch(name + UNFINISHED, path.name)]
        for left in filter(is_link, found):
            if left.name.endswith("-old"):
                restore(left.with_name(left.name[1 : -len("-old")]))
            remove_link(left)
    for left in root.glob(".state.json-*"):
        if re.fullmatch(r"\.state\.json-[0-9]+", left.name) and left.is_file():
            left.unlink()


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link, or what stands for one on Windows."""
    if path.is_symlink() or sys.platform != "win32":
        return path.is_symlink()
    return path.is_file() or is_junction(path)


def is_junction(path: Path) -> bool:
    try:
        return getattr(path.lstat(), "st_reparse_tag", 0) == MOUNT_POINT
    except OSError:
        return False


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


def leading(root: Path) -> dict[str, str]:
    """Return the generation that each environment leads to, by its name."""
    links = [path.name for path in (root / ENVIRONMENTS).glob("[a-z]*")]
    names = [DEFAULT, *(name for name in sorted(links) if re.fullmatch(NAME, name))]
    found = {name: generation_of(root, name) for name in names}
    return {name: id for name, id in found.items() if id}


def generation_of(root: Path, environment: str) -> str | None:
    """Return the generation that an environment leads to, whether it is there or not.

    A link counts that ``lead`` could have made, and no other one.
    """
    link = link_of(root, environment)
    if is_junction(link):
        place, id = os.path.split(os.path.realpath(str(link)))
        return id if _same(place, root / "envs") else None
    up = "" if environment == DEFAULT else r"\.\./"
    found = re.fullmatch(rf"{up}envs/([^/.][^/]*)", _written(link))
    return found[1] if found else None


def _written(link: Path) -> str:
    """Return where a symbolic link leads, or a file in its place; empty where there is neither."""
    if link.is_symlink():
        target = os.readlink(str(link))  # noqa: PTH115 - Path.readlink came with 3.9
    elif sys.platform == "win32" and link.is_file():
        target = link.read_text(encoding="utf-8", errors="replace").strip()
    else:
        return ""
    return target.replace("\\", "/") if sys.platform == "win32" else target


def _same(place: str, directory: Path) -> bool:
    real = os.path.realpath(str(directory))
    return os.path.normcase(place) == os.path.normcase(real)


def lead(root: Path, environment: str, id: str) -> None:
    """Have an environment lead to a generation."""
    if environment == DEFAULT:
        point(root / "current", Path("envs") / id)
    else:
        (root / ENVIRONMENTS).mkdir(exist_ok=True)
        point(link_of(root, environment), Path("..") / "envs" / id)


def name_default(root: Path) -> None:
    """Have ``environments/default`` lead to ``current``: two links could not move together.

    What is no link there stays.
    """
    alias = alias_of(root)
    if generation_of(root, DEFAULT) is None or names_current(root):
        return
    if is_link(alias) or not os.path.lexists(str(alias)):
        alias.parent.mkdir(exist_ok=True)
        point(alias, Path("..") / "current")


def alias_of(root: Path) -> Path:
    """Return the link that gives the environment "default" a name like that of the others."""
    return root / ENVIRONMENTS / DEFAULT


def names_current(root: Path) -> bool:
    """Whether ``environments/default`` is the link that ``name_default`` makes."""
    alias = alias_of(root)
    if is_junction(alias):
        return _same(os.path.realpath(str(alias)), root / "current")
    return _written(alias) == "../current"

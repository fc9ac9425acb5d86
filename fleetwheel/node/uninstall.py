"""Taking all that fleetwheel has put under its root off this host, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fleetwheel.node.clean import discard, interrupted, is_ours
from fleetwheel.node.freed import freed_bytes
from fleetwheel.node.link import (
    ENVIRONMENTS,
    alias_of,
    leading,
    link_of,
    names_current,
    remove_link,
    tidy,
)
from fleetwheel.node.publish import found_by, take_away
from fleetwheel.node.remove import in_use_failure, shown, users_of
from fleetwheel.node.root import exclusive
from fleetwheel.node.state import records

WINDOWS = sys.platform == "win32"
DIGEST = "[0-9a-f]" * 16
OURS = (
    "state.json",
    ".state.json-*",
    "cache/uv",
    "cache/wheels",
    "certificates.pem",
    "bin/uv.new",
    f"bin/uv-*-{DIGEST}*",
    "bin/fleetwheel-node",
    "bin/fleetwheel-node.cmd",
    "bin/.fleetwheel-node*-*",
    "bin/fleetwheel-drift.cmd",
    "schedule/fleetwheel-drift.xml",
    "schedule/last.json",
    "schedule/last.json.new",
    "schedule/last.log",
    "pythons/*cpython-*",
    "pythons/.gitignore",
    "pythons/.lock",
    "pythons/.temp",
    f"lib/node-{DIGEST}",
    f"lib/.placing-{DIGEST}",
    "lib/.removing-node-*",
)
"""What stands under a root beside generations and links, in the order in which it goes."""
DIRECTORIES = ("envs", ENVIRONMENTS, "cache", "bin", "schedule", "pythons", "lib")
"""Directories of ours, which stay where they hold anything else."""


def leftovers(root: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """Say what ``uninstall`` removes; change nothing.

    ``bytes`` go free, ``users`` says which generations are in use, ``published`` names what goes
    outside of the root, and ``foreign`` what is not ours: with that in it the root stays. So it
    does where it is a link, to what ``linked`` names.
    ``others`` are names in the root that go by other means.
    """
    base = Path(root)
    going = [*generations(base), *ours(base)]
    known = [*going, *(base / name for name in others)]
    published, kept = signposted(base)
    return {
        "there": bool(going or our_links(base)) or (base / ".lock").exists(),
        "bytes": freed_bytes(going),
        "users": users_of([*generations(base), *interrupted(base)]),
        "published": shown([*map(str, published)]),
        "foreign": shown([*foreign(base, known), *map(str, kept)]),
        "linked": os.path.realpath(root) if base.is_symlink() else "",
    }


def uninstall(root: str, used: bool = False) -> dict[str, Any]:
    """Remove all that is ours, and the root where that leaves it empty.

    Nothing is removed where a generation is in use, unless it may go while it is ``used``.
    """
    base = Path(root)
    with exclusive(base):
        users = "" if used else users_of([*generations(base), *interrupted(base)])
        if users:
            raise in_use_failure(users)
        tidy(base)
        freed = freed_bytes([*generations(base), *ours(base)])
        published, kept = signposted(base)
        for path in published:
            take_away(path)
        for link in our_links(base):
            remove_link(link)
        for path in generations(base):
            if not discard(path, used=used):
                raise in_use_failure(users_of([path]) or f"{path.name}, of which a file is open")
        for path in ours(base):
            drop(path)
        for name in DIRECTORIES:
            drop_empty(base / name)
        if not WINDOWS:  # which removes nothing that is open
            (base / ".lock").unlink()
            drop_empty(base)
    if WINDOWS:
        (base / ".lock").unlink()
        drop_empty(base)
    return {"bytes": freed, "foreign": shown([*foreign(base, []), *map(str, kept)])}


def signposted(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the files that environments are found by: those that go, and what stays."""
    each = [found_by(root, name) for name in records(root)]
    return [path for going, _ in each for path in going], [
        path for _, kept in each for path in kept
    ]


def generations(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("envs/[!.]*")) if is_ours(path)]


def our_links(root: Path) -> list[Path]:
    """Return the links of all environments, and that to uv; on Windows some are files (link.py)."""
    links = [link_of(root, name) for name in leading(root)]
    links += [alias_of(root)] if names_current(root) else []
    uv = root / "bin" / ("uv.exe" if WINDOWS else "uv")
    placed = uv.exists() if WINDOWS else leads_to_uv(uv)
    return [*links, uv] if placed else links


def leads_to_uv(link: Path) -> bool:
    """Whether a link leads to a uv of ours beside it."""
    target = os.readlink(str(link)) if link.is_symlink() else ""  # noqa: PTH115 - new in 3.9
    return re.fullmatch("uv-[^/]+", target) is not None


def ours(root: Path) -> list[Path]:
    return [*interrupted(root), *(path for pattern in OURS for path in sorted(root.glob(pattern)))]


def foreign(root: Path, going: Sequence[Path]) -> list[str]:
    """Return what is neither ``going`` nor ours, as paths under the root."""
    kept = {*going, *map(root.joinpath, DIRECTORIES), root / ".lock", *our_links(root)}
    there = [*root.glob("*"), *(path for name in DIRECTORIES for path in root.glob(f"{name}/*"))]
    return sorted(path.relative_to(root).as_posix() for path in there if path not in kept)


def drop(path: Path) -> None:
    """Remove a file, a link or a directory; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path), ignore_errors=True)
    else:
        path.unlink()


def drop_empty(directory: Path) -> None:
    with suppress(OSError):
        directory.rmdir()

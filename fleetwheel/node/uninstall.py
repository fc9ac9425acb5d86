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

from fleetwheel.node.clean import discard
from fleetwheel.node.freed import freed_bytes
from fleetwheel.node.link import (
    DEFAULT,
    ENVIRONMENTS,
    generation_at,
    links,
    remove_link,
    tidy,
)
from fleetwheel.node.remove import all_generations, in_use_failure, is_ours, users_of
from fleetwheel.node.root import exclusive
from fleetwheel.node.state import records

WINDOWS = sys.platform == "win32"
DIGEST = "[0-9a-f]" * 16
OURS = (
    "envs/.building-*",
    "envs/.removing-*",
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
LEADS = r"(\.\./)?envs/[^/]+|\.\./current|uv-[^/]+"
"""Where links of ours lead to."""
DIRECTORIES = ("envs", ENVIRONMENTS, "cache", "bin", "schedule", "pythons", "lib")
"""Directories of ours, which stay where they hold anything else."""


def leftovers(root: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """Say what ``uninstall`` removes; change nothing.

    ``bytes`` go free, ``users`` says which generations are in use, and ``foreign`` names what is
    not ours: with that the root stays. ``others`` are names in the root that go by other means.
    """
    base = Path(root)
    going = [*generations(base), *ours(base)]
    return {
        "there": bool(going or our_links(base)) or (base / ".lock").exists(),
        "bytes": freed_bytes(going),
        "users": users_of(generations(base)),
        "foreign": foreign(base, [*going, *(base / name for name in others)]),
    }


def uninstall(root: str, used: bool = False) -> dict[str, Any]:
    """Remove all that is ours, and the root where that leaves it empty.

    Nothing is removed where a generation is in use, unless it may go while it is ``used``.
    """
    base = Path(root)
    with exclusive(base):
        users = "" if used else users_of(generations(base))
        if users:
            raise in_use_failure(users)
        tidy(base)
        freed = freed_bytes([*generations(base), *ours(base)])
        for link in our_links(base):
            remove_link(link)
        for path in generations(base):
            if not discard(path, used=used):
                raise in_use_failure(users_of([path]) or f"{path.name}, of which a file is open")
        for path in ours(base):
            drop(path)
        for name in DIRECTORIES:
            drop_empty(base / name)
    (base / ".lock").unlink()
    drop_empty(base)
    return {"bytes": freed, "foreign": foreign(base, [])}


def generations(root: Path) -> list[Path]:
    """Return the generations: what a record or a link names, and what has a copy of its lock."""
    found = records(root)
    named = {*all_generations(found), *map(generation_at, links(root))}
    there = sorted(path for path in root.glob("envs/[!.]*") if path.is_dir())
    return [path for path in there if path.name in named or is_ours(path)]


def our_links(root: Path) -> list[Path]:
    """Return the links of all environments, and that to uv; on Windows some are files (link.py)."""
    named = [*links(root), root / ENVIRONMENTS / DEFAULT]
    if WINDOWS:
        return [link for link in [*named, root / "bin" / "uv.exe"] if link.exists()]
    return [link for link in [*named, root / "bin" / "uv"] if link.is_symlink() and leads(link)]


def leads(link: Path) -> bool:
    """Whether a link leads to what ours lead to."""
    return re.fullmatch(LEADS, os.readlink(str(link))) is not None  # noqa: PTH115 - new in 3.9


def ours(root: Path) -> list[Path]:
    return [path for pattern in OURS for path in sorted(root.glob(pattern))]


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

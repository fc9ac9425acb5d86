"""What may go once another generation is in use: old generations, and what only they needed."""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleetwheel.node.freed import files_in, inode
from fleetwheel.node.link import is_link, leading
from fleetwheel.node.state import KEEP, listed, named_generations, records

if sys.platform != "win32":
    import fcntl

FRESH_S = 3600
"""Seconds from its build to when a generation is in use at the latest."""
GENERATION = re.compile(r"[^/-]+-cp[0-9]+t?-[0-9a-f]{12}-[0-9]{1,9}")
"""Names of generations: torch, interpreter, digest and build (``Lock.generation``)."""
OFD_GETLK, FLOCK = 36, "hhqqi"
"""Linux's F_OFD_GETLK, which Python knows from 3.9 on, and its struct flock on 64 bits."""


def clean(root: Path, environment: str, failed: list[str], left: list[str]) -> list[str]:
    """Remove generations that no environment keeps; never one that is pointed at or in use.

    The records name those to keep. Others, such as what a rollback went back from, fill up what
    each environment may keep, the newest first. Of the rest go those that the ``environment`` has
    just ``left``, or that ``failed`` before, and what was not built within the hour: another
    controller may be about to use that. What is not ours stays.
    """
    sweep(root)
    found = records(root)
    wanted = _wanted(root, found, environment)
    there = [path for path in (root / "envs").iterdir() if is_ours(path)]
    changed = {path: path.stat().st_mtime for path in there if path.name not in wanted}
    good = [path for path in changed if path.name not in failed]
    good.sort(key=lambda path: changed[path], reverse=True)
    named = len(there) - len(changed)
    room = max(sum(map(_keeps, found.values())) - named, 0)
    removed = []
    for path in {*changed} - {*good[:room]}:
        leaves = path.name in {*left, *failed} or not is_fresh(path)
        if leaves and not in_use(path) and discard(path):
            removed.append(path.name)
    return sorted(removed)


def _wanted(root: Path, found: dict[str, dict[str, Any]], environment: str) -> set[str]:
    """Return the generations that records name and links lead to, and what others look at."""
    others = (record for name, record in found.items() if name != environment)
    looked_at = (id for record in others for id in listed(record, "failed", str))
    return {*named_generations(found), *looked_at, *leading(root).values()}


def _keeps(record: dict[str, Any]) -> int:
    keep = record.get("keep")
    return keep if isinstance(keep, int) else KEEP


def is_ours(path: Path) -> bool:
    """Whether a directory among the generations is one, whole, and not a person's.

    Earlier versions of fleetwheel wrote no RECORD.
    """
    if not GENERATION.fullmatch(path.name) or is_link(path) or not (path / "pyvenv.cfg").is_file():
        return False
    lock = _text(path / "pylock.toml")
    return (path / "RECORD").is_file() or re.search(r"^\[tool\.fleetwheel", lock, re.M) is not None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def interrupted(root: Path) -> list[Path]:
    """Return generations that a build or a removal was ended in the middle of."""
    left = [*root.glob("envs/.building-*"), *root.glob("envs/.removing-*")]
    return [path for path in left if GENERATION.fullmatch(path.name.partition("-")[2])]


def sweep(root: Path) -> None:
    """Remove what was interrupted, unless a process runs from it; the lock is held."""
    for left in interrupted(root):
        if not is_link(left) and not in_use(left):
            shutil.rmtree(str(left), ignore_errors=True)


def is_fresh(path: Path) -> bool:
    """Whether a generation was just built: another controller may be about to use it."""
    config = path / "pyvenv.cfg"
    return config.exists() and time.time() - config.stat().st_mtime < FRESH_S


def discard(path: Path, *, used: bool = False) -> bool:
    """Remove a generation unless a process starts from it in the meantime; ``used`` allows that."""
    leaving = path.with_name(".removing-" + path.name)
    try:
        path.rename(leaving)
    except OSError:  # it stays for the next run: cleaning decides nothing
        return False
    if not used and in_use(leaving):
        leaving.rename(path)
        return False
    shutil.rmtree(str(leaving), ignore_errors=True)
    return True


def trim(root: Path) -> None:
    """Drop from the caches what no generation is made of: uv fetches it again if it is wanted."""
    for place in unused(root):
        shutil.rmtree(str(place), ignore_errors=True)


def unused(root: Path, leaving: Sequence[Path] = ()) -> list[Path]:
    """Return what the caches hold for no generation, once those that are ``leaving`` have gone.

    Files in uv's cache that a generation uses are hard links, and have more than one name.
    """
    copies = [path for path in root.glob("envs/*/pylock.toml") if path.parent not in leaving]
    locks = [_text(path) for path in copies]
    gone = Counter(inode(path.lstat()) for tree in leaving for path in files_in(tree))
    return [
        *(
            place
            for place in root.glob("cache/wheels/*")
            if place.name == "incoming" or not any(place.name in lock for lock in locks)
        ),
        *(place for place in root.glob("cache/uv/archive-*/*") if not _linked(place, gone)),
    ]


def _linked(unpacked: Path, gone: Counter[tuple[int, int]]) -> bool:
    """Whether a file has names elsewhere, those aside that will be gone."""
    found = (path.lstat() for path in files_in(unpacked))
    return any(status.st_nlink - gone[inode(status)] > 1 for status in found)


def in_use(generation: Path) -> bool:
    """Whether a process that runs from the generation holds the lease that it took at its start.

    Asked without taking a lock, which a process that starts right now would meet. Before there was
    a RECORD beside it the lease was a flock.
    """
    if sys.platform == "win32":
        return False
    lease = generation / "pyvenv.cfg"
    try:
        with lease.open("r+") as file:
            whole = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            found = struct.unpack(FLOCK, fcntl.fcntl(file, OFD_GETLK, whole))
            if found[0] != fcntl.F_UNLCK:
                return True
            if not (generation / "RECORD").exists():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False

"""What may go once another generation is in use: old generations, and what only they needed."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from pathlib import Path

from fleetwheel.node.link import generation_at, links
from fleetwheel.node.state import KEEP, named_generations, records

if sys.platform != "win32":
    import fcntl

OFD_GETLK, FLOCK = 36, "hhqqi"
"""Linux's F_OFD_GETLK, which Python knows from 3.9 on, and its struct flock on 64 bits."""


def clean(root: Path, environment: str, failed: list[str]) -> list[str]:
    """Remove generations that no environment keeps; never one that is pointed at or in use.

    The records name those to keep. Others, such as what a rollback left, fill up what each
    environment may keep, the newest first, unless they ``failed`` before this ``environment`` got
    a better one.
    """
    found = records(root)
    looked_at = [
        id
        for name, record in found.items()
        if name != environment
        for id in record.get("failed") or ()
    ]
    wanted = {*named_generations(found), *looked_at, *map(generation_at, links(root))}
    there = [path for path in (root / "envs").iterdir() if path.name[0] != "."]
    others = [path for path in there if path.name not in wanted]
    good = [path for path in others if path.name not in failed]
    good.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    room = sum(record.get("keep", KEEP) for record in found.values()) - len(there) + len(others)
    kept = good[: max(room, 0)]
    removed = []
    for path in others:
        if path in kept or in_use(path):
            continue
        leaving = path.with_name(".removing-" + path.name)
        try:
            path.rename(leaving)
        except OSError:  # it stays for the next run: cleaning decides nothing
            continue
        if in_use(leaving):  # by a process that started in between
            leaving.rename(path)
            continue
        shutil.rmtree(str(leaving), ignore_errors=True)
        removed.append(path.name)
    return removed


def trim(root: Path) -> None:
    """Drop from the caches what no generation is made of: uv fetches it again if it is wanted.

    Files in uv's cache that a generation uses are hard links, and have more than one name.
    """
    shutil.rmtree(str(root / "cache" / "wheels" / "incoming"), ignore_errors=True)
    locks = [path.read_text(encoding="utf-8") for path in root.glob("envs/*/pylock.toml")]
    for place in root.glob("cache/wheels/*"):
        if not any(place.name in lock for lock in locks):
            shutil.rmtree(str(place), ignore_errors=True)
    for unpacked in root.glob("cache/uv/archive-*/*"):
        if not any(path.stat().st_nlink > 1 for path in unpacked.rglob("*") if path.is_file()):
            shutil.rmtree(str(unpacked), ignore_errors=True)


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

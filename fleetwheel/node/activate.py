"""Putting a generation to use: ``current`` and the record of a host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from fleetwheel.node.clean import clean, trim
from fleetwheel.node.link import generation_in_use, point, remove_link, tidy
from fleetwheel.node.moving import move
from fleetwheel.node.root import Failure, exclusive, prepare


def activate(root: str, id: str, record: str, keep: int, failed: list[str]) -> dict[str, Any]:
    """Point ``current`` at a generation, write the record, and clean up."""
    base = Path(root)
    with exclusive(base):
        generation = base / "envs" / id
        if not (generation / "pyvenv.cfg").exists():
            raise Failure(f"generation {id} is not there any more", "run again to build it")
        os.utime(str(generation))
        tidy(base)
        before = generation_in_use(base)
        prepared = prepare(base / "state.json", record)
        point(base / "current", Path("envs") / id)
        try:
            move(prepared, base / "state.json")
        except BaseException:
            take_back(base, before)
            raise
        removed = clean(base, keep, failed)
        trim(base)
    return {"activated": id, "removed": removed}


def take_back(root: Path, before: str) -> None:
    """Have ``current`` lead to what the record says: it could not be replaced."""
    if (root / "envs" / before).is_dir():
        point(root / "current", Path("envs") / before)
    else:
        remove_link(root / "current")


def record(root: str, record: str) -> dict[str, Any]:
    """Write the record alone: after a smoke test that activates nothing."""
    with exclusive(Path(root)):
        move(prepare(Path(root) / "state.json", record), Path(root) / "state.json")
    return {}


def drop_bytecode(root: str, id: str) -> dict[str, Any]:
    """Drop what Python compiled in a generation: on a full disk it writes half of a file.

    It believes that file ever after, so that an earlier run may have spoilt the generation.
    """
    with exclusive(Path(root)):
        for bytecode in (Path(root) / "envs" / id).rglob("__pycache__"):
            shutil.rmtree(str(bytecode), ignore_errors=True)
    return {}

"""Putting a generation to use: the link and the record of an environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from fleetwheel.node.clean import clean, trim
from fleetwheel.node.link import (
    generation_of,
    lead,
    link_of,
    name_default,
    remove_link,
    tidy,
)
from fleetwheel.node.moving import move
from fleetwheel.node.root import Failure, exclusive, prepare
from fleetwheel.node.state import named_generations, records, state_with


def activate(
    root: str, id: str, environment: str, record: dict[str, Any], failed: list[str]
) -> dict[str, Any]:
    """Have an environment lead to a generation, write its record, and clean up."""
    base = Path(root)
    with exclusive(base):
        generation = base / "envs" / id
        if not (generation / "pyvenv.cfg").exists():
            raise Failure(f"generation {id} is not there any more", "run again to build it")
        os.utime(str(generation))
        tidy(base)
        before = generation_of(base, environment)
        kept = records(base).get(environment, {})
        prepared = prepare(base / "state.json", state_with(base, environment, record))
        lead(base, environment, id)
        try:
            move(prepared, base / "state.json")
        except BaseException:
            take_back(base, environment, before)
            raise
        name_default(base)
        removed = clean(base, environment, failed, named_generations({environment: kept}))
        trim(base)
    return {"activated": id, "removed": removed}


def take_back(root: Path, environment: str, before: str | None) -> None:
    """Have an environment lead to what its record says: that could not be replaced."""
    if before and (root / "envs" / before).is_dir():
        lead(root, environment, before)
    else:
        remove_link(link_of(root, environment))


def record(root: str, environment: str, record: dict[str, Any]) -> dict[str, Any]:
    """Write a record alone: after a smoke test that activates nothing."""
    base = Path(root)
    with exclusive(base):
        move(
            prepare(base / "state.json", state_with(base, environment, record)), base / "state.json"
        )
    return {}


def drop_bytecode(root: str, id: str) -> dict[str, Any]:
    """Drop what Python compiled in a generation: on a full disk it writes half of a file.

    It believes that file ever after, so that an earlier run may have spoilt the generation.
    """
    with exclusive(Path(root)):
        for bytecode in (Path(root) / "envs" / id).rglob("__pycache__"):
            shutil.rmtree(str(bytecode), ignore_errors=True)
    return {}

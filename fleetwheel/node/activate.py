"""Putting a generation to use: the link and the record of an environment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetwheel.node.clean import clean, trim
from fleetwheel.node.kept import settle_readers
from fleetwheel.node.link import (
    generation_of,
    lead,
    link_of,
    name_default,
    remove_link,
    tidy,
)
from fleetwheel.node.moving import move
from fleetwheel.node.publish import NOTHING, carry_out, publication, published_in
from fleetwheel.node.readers import give, number_of, readers
from fleetwheel.node.root import Failure, exclusive, prepare
from fleetwheel.node.state import named_generations, records, state_text, state_with


def activate(
    root: str,
    id: str,
    environment: str,
    record: dict[str, Any],
    failed: list[str],
    planned_by: dict[str, Any] | None = None,
    publish: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:
    """Have an environment lead to a generation, write its record, and clean up.

    ``planned_by`` is the record that the controller knew, which must still be the one here.
    ``publish`` says who may read the environment and what people find it by (publish.py).
    """
    base = Path(root)
    with exclusive(base):
        generation = base / "envs" / id
        if not (generation / "pyvenv.cfg").exists():
            raise Failure(f"generation {id} is not there any more", "run again to build it")
        os.utime(str(generation))
        tidy(base)
        before = generation_of(base, environment)
        kept = records(base).get(environment, {})
        refuse_overtaken(kept, planned_by or {})
        readable_by(base, id, environment, publish["group"])
        made = publication(generation, environment, published_in(kept), publish)
        record = {**record, "published": made.published}
        prepared = prepare(base / "state.json", state_with(base, environment, record))
        lead(base, environment, id)
        try:
            move(prepared, base / "state.json")
        except BaseException:
            take_back(base, environment, before)
            raise
        name_default(base)
        settle_readers(base, environment, publish["group"])
        carry_out(made, number_of(publish["group"]))
        removed = clean(base, environment, failed, named_generations({environment: kept}))
        trim(base)
    return {"activated": id, "removed": removed, "obstacles": [*made.obstacles]}


def readable_by(root: Path, id: str, environment: str, group: str | None) -> None:
    """Let those read a generation whom its environment is for: a rollback may lead to another's.

    Raises Failure where one uses it that is for others.
    """
    generation = root / "envs" / id
    if readers(generation) == number_of(group):
        return
    for name, record in records(root).items():
        if name != environment and generation_of(root, name) == id and record.get("group") != group:
            raise Failure(
                f"{id} is in use in {name} too, which is not for the same users",
                "deploy this environment, which builds one of its own",
            )
    give(generation, number_of(group))


def take_back(root: Path, environment: str, before: str | None) -> None:
    """Have an environment lead to what its record says: that could not be replaced."""
    if before and (root / "envs" / before).is_dir():
        lead(root, environment, before)
    else:
        remove_link(link_of(root, environment))


def refuse_overtaken(now: dict[str, Any], planned_by: dict[str, Any]) -> None:
    """Raise Failure where another run has moved the environment: maybe a rollback, which holds."""
    if any(now.get(key) != planned_by.get(key) for key in ("generation", "deployed_at")):
        raise Failure("another run has changed the environment since this one began", "run again")


def note_test(
    root: str,
    environment: str,
    generation: str,
    smoke: dict[str, Any] | None,
    looked_at: bool = False,
) -> dict[str, Any]:
    """Write the result of a smoke test into the record as it is now, where it still matters.

    A pass is that of the environment that uses the generation. After a failure, ``smoke`` of None,
    no pass of the generation counts, in whichever environment; ``looked_at`` keeps the generation
    for a look.
    """
    base = Path(root)
    with exclusive(base):
        found = records(base)
        own = found.get(environment, {})
        if smoke is None:
            for each in found.values():
                if (each.get("smoke") or {}).get("generation") == generation:
                    each["smoke"] = None
            if own and looked_at:
                own["failed"] = list(dict.fromkeys([*(own.get("failed") or ()), generation]))
        elif own.get("generation") == generation:
            own["smoke"] = smoke
        else:
            return {"noted": False}
        if found:
            move(prepare(base / "state.json", state_text(found)), base / "state.json")
    return {"noted": bool(own)}


def drop_bytecode(root: str, id: str) -> dict[str, Any]:
    """Drop what Python compiled in a generation: on a full disk it writes half of a file.

    It believes that file ever after, so that an earlier run may have spoilt the generation.
    """
    with exclusive(Path(root)):
        for bytecode in (Path(root) / "envs" / id).rglob("__pycache__"):
            shutil.rmtree(str(bytecode), ignore_errors=True)
    return {}

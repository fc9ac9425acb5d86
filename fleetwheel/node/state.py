"""The state of this host, ``<root>/state.json``: a record for each environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from fleetwheel.node.link import DEFAULT
from fleetwheel.node.root import Failure

SCHEMA, FIRST_SCHEMA = "fleetwheel.state/2", "fleetwheel.state/1"
T = TypeVar("T")
KEEP = 3
"""Generations that an environment keeps whose record does not say."""


class StrangeState(Failure):
    """Why the state of this host cannot be read."""


def records(root: Path) -> dict[str, dict[str, Any]]:
    """Return the record of each environment; none without a state. Raises StrangeState."""
    path = root / "state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        schema = state.get("schema")
    except FileNotFoundError:
        return {}
    except (AttributeError, OSError, RecursionError, ValueError) as error:
        raise StrangeState(f"{path} cannot be read: {error}") from error
    if schema not in (SCHEMA, FIRST_SCHEMA):
        raise StrangeState(
            f"{path} is written in the schema {str(schema)[:40]}, and this program knows {SCHEMA}:"
            " run deploys/torch.py with the fleetwheel that wrote it"
        )
    found = {DEFAULT: state} if schema == FIRST_SCHEMA else state.get("environments")
    if not isinstance(found, dict) or not all(isinstance(r, dict) for r in found.values()):
        raise StrangeState(f"{path} cannot be read: it has no records")
    return found


def state_with(root: Path, environment: str, record: dict[str, Any] | None) -> str:
    """Return the text of the state with another record of one environment; None takes it away.

    Those of the others stay as they are, whichever controller wrote them. Raises StrangeState.
    """
    found = records(root)
    found[environment] = record or {}
    return state_text({name: each for name, each in found.items() if each})


def state_text(found: dict[str, dict[str, Any]]) -> str:
    """Return the text of a state with these records; one of the first schema named it itself."""
    plain = {
        name: {key: value for key, value in record.items() if key != "schema"}
        for name, record in found.items()
    }
    return json.dumps({"schema": SCHEMA, "environments": plain}, indent=2) + "\n"


def named_generations(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return the generations that records name, in use or to go back to."""
    ids: list[Any] = []
    for record in found.values():
        earlier = [each.get("generation") for each in listed(record, "earlier", dict)]
        ids += [record.get("generation"), *earlier, record.get("previous")]
        ids += listed(record, "older", str)
    return [id for id in ids if id and isinstance(id, str)]


def own_generations(
    found: dict[str, dict[str, Any]], environment: str, group: str | None
) -> set[str]:
    """Return what an environment names that no other one names for other readers.

    That is what it uses, may go back to, went back from, or keeps for a look.
    """
    others = [each for name, each in found.items() if name != environment]
    strange = [mentioned(each) for each in others if each.get("group") != group]
    return mentioned(found.get(environment, {})).difference(*strange)


def mentioned(record: dict[str, Any]) -> set[str]:
    """Return every generation that a record names."""
    hold = record.get("hold")
    fled = [hold.get("rolled_back_from")] if isinstance(hold, dict) else []
    ids = [*named_generations({"": record}), *listed(record, "failed", str), *fled]
    return {id for id in ids if isinstance(id, str)}


def listed(record: dict[str, Any], key: str, kind: type[T]) -> list[T]:
    """Return what a record lists under a key; what is not of this kind is passed over."""
    found = record.get(key)
    return [each for each in found if isinstance(each, kind)] if isinstance(found, list) else []


def believed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return whom the inventory believed besides, when this was deployed."""
    trust = record.get("trust") or {}
    return {key: trust.get(key, ()) for key in ("users", "groups")}

"""The generations that a host had in use, one after the other, and what differs between two."""

from collections.abc import Mapping

from fleetwheel.deploy.record import Record

REMEMBERED = 20
"""Generations that a record names; a host keeps fewer."""
NAMED = 6
"""Packages that a sentence names."""


def before(record: Record | None) -> tuple[str, ...]:
    """Return the generations in use before the present one, newest first.

    What a rollback left is not among them: a second one goes further back.
    """
    if record is None:
        return ()
    fled = record.hold.rolled_back_from if record.hold else None
    return tuple(id for id in (record.previous, *record.older) if id and id != fled)


def before_next(record: Record | None, generation: str, *, rolled_back: bool) -> tuple[str, ...]:
    """Return the same for the time when this generation is in use."""
    if record is None:
        return ()
    earlier = before(record)
    if rolled_back:
        start = earlier.index(generation) + 1 if generation in earlier else 0
        earlier = earlier[start:]
    elif record.generation != generation:
        earlier = (record.generation, *earlier)
    return tuple(id for id in dict.fromkeys(earlier) if id != generation)[:REMEMBERED]


def package_changes(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return which packages change from one set to another, for people; empty where none does."""
    names = sorted({*old, *new}, key=lambda name: (name != "torch", name))
    changed = [
        f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in names
        if old.get(name) != new.get(name)
    ]
    more = len(changed) - NAMED
    return ", ".join([*changed[:NAMED], *([f"and {more} more"] if more > 0 else [])])

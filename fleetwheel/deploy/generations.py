"""The generations that an environment had in use, and what differs between two of them."""

from collections.abc import Mapping

from fleetwheel.deploy.record import Earlier, Record

NAMED = 6
"""Packages that a sentence names."""


def before(record: Record | None) -> tuple[Earlier, ...]:
    """Return the generations in use before the present one, newest first.

    What a rollback left is not among them: a second one goes further back.
    """
    if record is None:
        return ()
    fled = record.hold.rolled_back_from if record.hold else None
    return tuple(each for each in record.earlier if each.generation != fled)


def before_next(
    record: Record | None, generation: str, *, rolled_back: bool, keep: int
) -> tuple[Earlier, ...]:
    """Return the same for the time when this generation is in use, no more than are kept."""
    if record is None:
        return ()
    earlier = before(record)
    names = [each.generation for each in earlier]
    if rolled_back:
        earlier = earlier[names.index(generation) + 1 if generation in names else 0 :]
    elif record.generation != generation:
        earlier = (
            _left(record),
            *(each for each in earlier if each.generation != record.generation),
        )
    return tuple(each for each in earlier if each.generation != generation)[: keep - 1]


def _left(record: Record) -> Earlier:
    return Earlier(
        generation=record.generation, deployed_at=record.deployed_at, request=record.request
    )


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

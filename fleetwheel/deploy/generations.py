"""The generations that an environment had in use, and what differs between two of them."""

from collections.abc import Mapping

from pydantic import AwareDatetime

from fleetwheel.choice.request import Request
from fleetwheel.deploy.record import Earlier, Record, State
from fleetwheel.host.profile import Installation
from fleetwheel.value import Value

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


class ListedGeneration(Value):
    """One generation of an environment, as people look for one to go back to."""

    environment: str
    generation: str
    deployed_at: AwareDatetime | None = None
    """When it was put to use last; None where nobody wrote that down."""
    torch: str = ""
    changes: str = ""
    """What is different from the generation before."""
    request: Request | None = None
    state: str = ""
    """``in use``, ``on hold``, ``failed`` or ``gone``; empty for one to go back to."""


def generations_of(found: State, there: Installation) -> list[ListedGeneration]:
    """Return the generations of each environment of a host, the one in use first."""
    built = {generation.id: generation.packages for generation in there.generations}
    return [
        listed for name, record in found.environments.items() for listed in _of(name, record, built)
    ]


def _of(
    environment: str, record: Record, built: Mapping[str, Mapping[str, str]]
) -> list[ListedGeneration]:
    way = [_left(record), *record.earlier]
    in_use = "on hold" if record.hold else "in use"
    failed = [
        Earlier(generation=id) for id in record.failed if id not in {e.generation for e in way}
    ]
    states = dict.fromkeys(record.failed, "failed") | {record.generation: in_use}
    found = []
    for each, older in zip([*way, *failed], [*way[1:], None, *(None for _ in failed)], strict=True):
        packages = built.get(each.generation, {})
        before = built.get(older.generation, {}) if older else {}
        found.append(
            ListedGeneration(
                environment=environment,
                generation=each.generation,
                deployed_at=each.deployed_at,
                torch=packages.get("torch", ""),
                changes=package_changes(before, packages) if before and packages else "",
                request=each.request,
                state=states.get(each.generation, "" if packages else "gone"),
            )
        )
    return found

"""Taking environments off this host, with the generations that no other one names."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fleetwheel.node.clean import discard, in_use, is_fresh, is_ours, sweep, trim, unused
from fleetwheel.node.freed import freed_bytes
from fleetwheel.node.link import (
    DEFAULT,
    alias_of,
    generation_of,
    lead,
    leading,
    link_of,
    names_current,
    remove_link,
    tidy,
)
from fleetwheel.node.moving import move
from fleetwheel.node.publish import found_by, take_away
from fleetwheel.node.root import Failure, exclusive, prepare
from fleetwheel.node.state import listed, named_generations, records, state_with

SHOWN = 6
"""Names of what stays that an answer has."""


class Going(NamedTuple):
    """What goes along with environments."""

    generations: tuple[Path, ...] = ()
    cached: tuple[Path, ...] = ()
    """What the caches hold for these generations alone, or for none."""
    foreign: tuple[str, ...] = ()
    """What would go if it were ours, as paths under the root."""

    @property
    def trees(self) -> tuple[Path, ...]:
        return (*self.generations, *self.cached)


def removal(root: str, environments: Sequence[str], used: bool = False) -> dict[str, Any]:
    """Say what ``remove`` does with these environments one after the other; change nothing.

    Of each the answer has the ``generations`` that go, what goes that is ``published`` outside of
    the root, the ``bytes`` that go free, what stays because it is ``foreign``, and who uses what
    goes: with such ``users`` the environment stays, unless it may go while it is ``used``.
    """
    base = Path(root)
    gone: list[str] = []
    before, freed = going_with(base, gone), 0
    answer = {}
    for environment in environments:
        going = going_with(base, [*gone, environment])
        more = [path for path in going.generations if path not in before.generations]
        new = [name for name in going.foreign if name not in before.foreign]
        published, kept = found_by(base, environment)
        users, total = users_of(more), freed_bytes(going.trees)
        answer[environment] = {
            "generations": [path.name for path in more],
            "published": shown([*map(str, published)]),
            "bytes": total - freed,
            "users": users,
            "foreign": shown([*new, *map(str, kept)]),
        }
        if used or not users:
            gone, before, freed = [*gone, environment], going, total
    return {"removal": answer}


def remove(root: str, environment: str, used: bool = False) -> dict[str, Any]:
    """Take an environment away: its link, the generations that go with it, then its record.

    One that is in use stays as it is, unless it may go while it is ``used``. What was interrupted
    is done by the next run, because the record goes last.
    """
    base = Path(root)
    with exclusive(base):
        tidy(base)
        sweep(base)
        going = going_with(base, [environment])
        users = "" if used else users_of(going.generations)
        if users:
            raise in_use_failure(users)
        freed = freed_bytes(going.trees)
        before = generation_of(base, environment)
        published, kept = found_by(base, environment)
        for path in published:
            take_away(path)
        unlink(base, environment)
        for path in reversed(going.generations):  # the one in use last
            if not discard(path, used=used):
                if before and (base / "envs" / before).is_dir():
                    lead(base, environment, before)
                raise in_use_failure(users_of([path]) or f"{path.name}, of which a file is open")
        move(prepare(base / "state.json", state_with(base, environment, None)), base / "state.json")
        trim(base)
    return {
        "removed": [path.name for path in going.generations],
        "published": shown([*map(str, published)]),
        "bytes": freed,
        "foreign": shown([*going.foreign, *map(str, kept)]),
    }


def in_use_failure(users: str) -> Failure:
    return Failure(
        f"it stays, because it is in use: {users}",
        "end what runs there, or remove it anyway with --data in_use=true",
    )


def going_with(root: Path, environments: Sequence[str]) -> Going:
    """Return what goes with environments: generations that no other one names, those in use first.

    With the last environment go the rest of them too, but for what another controller may just
    have built.
    """
    if not environments:
        return Going()
    found = records(root)
    stays = {name: record for name, record in found.items() if name not in environments}
    leaving = {name: record for name, record in found.items() if name in environments}
    led = leading(root)
    others = [id for name, id in led.items() if name not in environments]
    kept = {*all_generations(stays), *others}
    used = [led[name] for name in environments if name in led]
    there = {path.name: path for path in sorted(root.glob("envs/[!.]*"))}
    named = [there[id] for id in [*used, *all_generations(leaving)] if id in there]
    rest = [] if stays or others else [path for path in there.values() if not is_fresh(path)]
    meant = [path for path in dict.fromkeys([*named, *rest]) if path.name not in kept]
    going = [path for path in meant if is_ours(path)]
    links = [link_of(root, name) for name in environments if name not in led]
    foreign = [link for link in links if os.path.lexists(str(link))]
    foreign += [path for path in meant if path not in going]
    names = [path.relative_to(root).as_posix() for path in foreign]
    return Going(tuple(going), tuple(unused(root, going)), tuple(names))


def all_generations(found: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the generations that records name, those that are kept for a look included."""
    failed = (id for record in found.values() for id in listed(record, "failed", str))
    return [*named_generations(dict(found)), *failed]


def unlink(root: Path, environment: str) -> None:
    """Remove the links of an environment; one that is not ours stays."""
    if environment == DEFAULT and names_current(root):
        remove_link(alias_of(root))
    if generation_of(root, environment):
        remove_link(link_of(root, environment))


def shown(names: Sequence[str]) -> list[str]:
    """Return names for people, not too many: a directory may hold any number of any name."""
    first = ["".join(c if c.isprintable() else "?" for c in name) for name in names[:SHOWN]]
    return [*first, f"{len(names) - SHOWN} more"] if len(names) > SHOWN else first


def users_of(generations: Iterable[Path]) -> str:
    """Return who uses which of these generations, for people; empty where nobody does."""
    used = {path.name: processes_of(path) for path in generations if in_use(path)}
    return "; ".join(
        f"{name} by {', '.join(found) or 'processes of other users'}"
        for name, found in used.items()
    )


def processes_of(generation: Path) -> list[str]:
    """Return the processes that hold the lease of a generation, as far as this user may know."""
    if sys.platform == "win32":
        return []
    lease = os.path.realpath(str(generation / "pyvenv.cfg"))
    found = []
    for handle in glob.iglob("/proc/[0-9]*/fd/*"):  # noqa: PTH207 - it passes over what has ended
        process = Path(handle).parents[1]
        try:
            if os.readlink(handle) == lease:  # noqa: PTH115 - Path.readlink came with 3.9
                (name,) = shown([(process / "comm").read_text(errors="replace").strip()])
                found.append(f"process {process.name} ({name})")
        except OSError:
            continue
    return sorted({*found})

"""What may be taken off a host: decided before anything is asked of it again."""

from collections.abc import Sequence
from typing import NamedTuple

from fleetwheel.delivery.space import readable
from fleetwheel.deploy.hold import held
from fleetwheel.deploy.record import State
from fleetwheel.errors import FleetwheelError, RefusedError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import Installation, Profile, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.terminal import single_line


def leaving(settings: Settings, there: Installation, state: State) -> list[str]:
    """Return the environments that a host has and the inventory has not, of those that are meant.

    Raises RefusedError for one that is named and still in the inventory.
    """
    wanted = settings.by_environment()
    for name in settings.environment:
        if name in wanted:
            raise RefusedError(
                f"{name} is in the inventory, and the next deploy would build it again",
                hint=f"write environments: {{{name}: null}} for this host there, then run again",
            )
    has = environments_of(there, state)
    return [name for name in has if name not in wanted and name in (settings.environment or has)]


def environments_of(there: Installation, state: State) -> list[str]:
    """Return the environments of a host, by its record and by its links."""
    default = [DEFAULT] if there.current else []
    return list(dict.fromkeys([*state.environments, *default, *there.environments]))


def refuse_held(settings: Settings, state: State) -> None:
    """Raise RefusedError for a host where an environment is on hold."""
    own = settings.by_environment()
    for name, record in state.environments.items():
        if on_hold := held(record, own.get(name, settings)):
            raise RefusedError(f"{name} stays, and so does the rest: {on_hold}")


def remover(profile: Profile, root: str) -> Python:
    """Return the interpreter that removes something: one outside of the root, if there is one.

    Raises FleetwheelError where the host has none.
    """
    inside = f"{root}/".replace("\\", "/").casefold()
    order = sorted(
        profile.pythons, key=lambda p: p.path.replace("\\", "/").casefold().startswith(inside)
    )
    if not order:
        raise FleetwheelError(
            "the host has no Python, which removes what is there",
            hint="run deploys/onboard.py for it first, or remove it on the host by hand",
        )
    return order[0]


def refuse_used(what: str, users: str) -> None:
    """Raise RefusedError for what a host says somebody uses."""
    if users:
        raise RefusedError(
            f"{what} stays, because it is in use: {single_line(users)}",
            hint="end what runs there, or remove it anyway with --data in_use=true",
        )


class Leaving(NamedTuple):
    """An environment that goes, or has gone, as its host tells it."""

    name: str
    generations: Sequence[str]
    bytes: int
    foreign: Sequence[str] = ()
    users: str = ""
    """Who will lose it under way."""
    published: Sequence[str] = ()
    """Paths outside of the root by which people find it."""

    def told(self, *, done: bool = False) -> str:
        """Return what goes, for people, or what has gone once that is ``done``.

        Tables name every environment but "default".
        """
        count = len(self.generations)
        several = "" if count == 1 else "s"
        named = single_line(", ".join(self.generations))
        outside = [*map(single_line, self.published)]
        parts = ["its link", *outside, "its record"]
        parts += [f"{count} generation{several} ({named})"] if count else []
        what = tense(f"{', '.join(parts[:-1])} and {parts[-1]}", self.bytes, done=done)
        more = f"{_staying(self.foreign)}{_losing(self.users)}"
        words = f"{DEFAULT} is not" if self.name == DEFAULT else "not"
        return f"{words} in the inventory: {what}{more}"


def tense(what: str, freed: int, *, done: bool) -> str:
    """Return that something goes, or has gone, and the space that this frees."""
    words = ("removed", "freed") if done else ("would remove", "frees")
    return f"{words[0]} {what}; {words[1]} {readable(freed)}"


def what_of_root(
    root: str,
    names: Sequence[str],
    foreign: Sequence[str],
    users: str = "",
    linked: str = "",
    published: Sequence[str] = (),
) -> tuple[str, str]:
    """Return what goes of a root, and what to know of it, for people.

    ``linked`` is where a root leads that is a link.
    """
    several = "" if len(names) == 1 else "s"
    with_names = f"{len(names)} environment{several} ({', '.join(names)}) and " if names else ""
    link = (
        f"\n{root} stays: it is a link to {single_line(linked)}, which stays too" if linked else ""
    )
    outside = f"{', '.join(map(single_line, published))}, " if published else ""
    what = f"{outside}{with_names}all of fleetwheel's under {root}"
    return what, f"{_staying(foreign)}{link}{_losing(users)}"


def _staying(foreign: Sequence[str]) -> str:
    """Return what stays because it is not ours; the last may stand for others."""
    if not foreign:
        return ""
    verb, whose = ("stay", "they are") if len(foreign) > 1 else ("stays", "it is")
    names = " and ".join(filter(None, [", ".join(foreign[:-1]), foreign[-1]]))
    return f"\n{single_line(names)} {verb}: {whose} not fleetwheel's"


def _losing(users: str) -> str:
    return f"\nwhat runs there will fail: {single_line(users)}" if users else ""

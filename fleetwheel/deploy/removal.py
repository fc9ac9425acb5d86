"""What may be taken off a host: decided before anything is asked of it again."""

from collections.abc import Sequence

from fleetwheel.delivery.space import readable
from fleetwheel.deploy.hold import held
from fleetwheel.deploy.record import State
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import Installation, Profile, Python
from fleetwheel.inventory.settings import Settings


def leaving(settings: Settings, there: Installation, state: State) -> list[str]:
    """Return the environments that a host has and the inventory has not, of those that are meant.

    Raises FleetwheelError for one that is named and still in the inventory.
    """
    wanted = settings.by_environment()
    for name in settings.environment:
        if name in wanted:
            raise FleetwheelError(
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
    """Raise FleetwheelError for a host where an environment is on hold."""
    own = settings.by_environment()
    for name, record in state.environments.items():
        if on_hold := held(record, own.get(name, settings)):
            raise FleetwheelError(f"{name} stays, and so does the rest: {on_hold}")


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


def what_goes(generations: Sequence[str], freed: int, users: str = "") -> str:
    """Return what goes with an environment, for people; ``users`` will lose it under way."""
    several = "" if len(generations) == 1 else "s"
    named = f": {', '.join(generations)}" if generations else ""
    goes = f"link, record and {len(generations)} generation{several} go{named}"
    used = f"\nwhat runs there will fail: {users}" if users else ""
    return f"not in the inventory; {goes}; frees {readable(freed)}{used}"


def what_of_root(root: str, names: Sequence[str], foreign: Sequence[str], users: str = "") -> str:
    """Return what goes of a root, for people."""
    several = "" if len(names) == 1 else "s"
    with_names = f"{len(names)} environment{several} ({', '.join(names)}) and " if names else ""
    stays = f"\n{', '.join(foreign)} in it stays: it is not fleetwheel's" if foreign else ""
    used = f"\nwhat runs there will fail: {users}" if users else ""
    return f"{with_names}all of fleetwheel's under {root}{stays}{used}"

"""Where the program for hosts stands on the hosts of this run."""

from pyinfra.api import Host

from fleetwheel.collectors import program
from fleetwheel.host.profile import Installation

_places: dict[str, str] = {}
"""Host to the directory of this version of the program on it."""


def note_program(host: Host, there: Installation) -> None:
    """Remember whether a host has this version of the program."""
    forget_program(host)
    if program.digest() in there.node:
        remember_program(host, there.root)


def remember_program(host: Host, root: str) -> None:
    """Remember that a host has this version of the program under its root."""
    _places[host.name] = f"{root}/lib/node-{program.digest()}"


def forget_program(host: Host) -> None:
    """Have a host get the program along with the next action."""
    _places.pop(host.name, None)


def kept_program(host: Host) -> str | None:
    """Return the directory of the program on a host; None where it has to be sent along."""
    return _places.get(host.name)

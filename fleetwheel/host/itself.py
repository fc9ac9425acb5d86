"""Which host of the inventory this machine is, where a host runs its own deploy."""

import os

SELF = "FLEETWHEEL_SELF"
"""Environment variable with the name that the inventory has for this machine."""


def inventory_name(name: str) -> str:
    """Return the inventory's name of a host, which is ``@local`` where it runs its own deploy."""
    return os.environ.get(SELF) or name if name == "@local" else name

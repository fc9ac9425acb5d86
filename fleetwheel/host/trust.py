"""Whom a host believes besides root and the user that acts there."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from fleetwheel.value import Value


def _member(value: object) -> object:
    """Accept a number for a user or group that has no name on the host."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number else value


Member = Annotated[
    str, BeforeValidator(_member), Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}\$?$")
]
"""Name or number of a user or group; its characters mean nothing to a shell."""


class Trust(Value):
    """Users and groups whose files a host runs and believes: ``{groups: [staff]}``."""

    users: tuple[Member, ...] = ()
    groups: tuple[Member, ...] = ()

    def __str__(self) -> str:
        named = [f"user {name}" for name in self.users] + [f"group {name}" for name in self.groups]
        return ", ".join(named)


NOBODY = Trust()

"""What deploys have left on a host beside its root."""

import re
from collections.abc import Sequence

from pydantic import Field
from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from fleetwheel.value import Value

QUESTION = """
if test -d /run/systemd/system; then echo systemd; fi
if test "$(id -u)" = 0; then echo root; fi
if id "$0" >/dev/null 2>&1; then echo user; fi
for path in "$@"; do
    if test -e "$path" || test -L "$path"; then
        size=$(du -sk -- "$path" 2>/dev/null)
        echo "${size%%[!0-9]*} $path"
    fi
done
exit 0
"""
PLACE = re.compile(r"([0-9]{0,15}) (/.+)")


class Traces(Value):
    """What there is of what was asked for."""

    systemd: bool = False
    root: bool = False
    """Whether commands run as root."""
    user: bool = False
    """Whether the user exists."""
    paths: dict[str, int] = Field(default_factory=dict)
    """Path of each file and directory that is there, to the bytes that it takes."""


class HostTraces(FactBase[Traces]):
    """
    Returns which of some paths a Linux host has, and whether it has a user.

    + paths: absolute paths
    + user: name of the user

    .. code:: python

        {"systemd": True, "root": True, "user": True, "paths": {"/opt/fleetwheel/mirror": 8192}}
    """

    @override
    def command(self, paths: Sequence[str], user: str) -> StringCommand:
        return StringCommand("sh", "-c", *map(QuoteString, (QUESTION, user, *paths)))

    @override
    def process(self, output: list[str]) -> Traces:
        found = filter(None, map(PLACE.fullmatch, output))
        return Traces(
            systemd="systemd" in output,
            root="root" in output,
            user="user" in output,
            paths={place[2]: int(place[1] or 0) * 1024 for place in found},
        )

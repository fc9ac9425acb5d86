"""What `fleetwheel facts --settings` shows: every setting of a host, and where it comes from."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pyinfra.api import Host
from rich.console import Console

from fleetwheel.cli._options import Scope
from fleetwheel.cli.fleet import prepare
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.load import origin
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations._command_line import known_names
from fleetwheel.reporting.table import print_rows

LOGIN = re.compile(r"""(?<=://)[^/\s@]+@|(?<=")(?![a-z]+://)[^/\s"@:]+:[^"@]+@""")
"""User name and password in an address, whether or not it has its scheme."""
HIDDEN = "***"


class Setting(NamedTuple):
    """One setting of a host: plain JSON without passwords."""

    value: Any
    origin: str
    """``default``, ``--data``, ``host`` or ``group NAME``; with file and line where known."""


class HostSettings(NamedTuple):
    """All settings of one host, or what is wrong with them."""

    name: str
    groups: list[str]
    settings: dict[str, Setting]
    error: str = ""

    def document(self) -> dict[str, Any]:
        """Return the entry of ``fleetwheel facts --settings --json``."""
        if self.error:
            return {"name": self.name, "error": self.error}
        said = {name: {"value": s.value, "from": s.origin} for name, s in self.settings.items()}
        return {"name": self.name, "groups": self.groups, "settings": said}


def settings_of(scope: Scope) -> list[HostSettings]:
    """Return the settings of every host; none is contacted. Raises as ``prepare`` does."""
    ways = known_names([])
    return [_of(host, ways) for host in prepare(scope)[1]]


def print_settings(hosts: Iterable[HostSettings], console: Console) -> None:
    """Print a row for each setting of each host."""
    rows = [
        (host.name, name, _shown(setting.value), setting.origin)
        for host in hosts
        for name, setting in host.settings.items()
    ]
    wrong = [(host.name, "-", host.error, "") for host in hosts if host.error]
    print_rows(("host", "setting", "value", "from"), [*rows, *wrong], console)


def _of(host: Host, ways: Iterable[str]) -> HostSettings:
    data = host.data.dict()
    try:
        settings = Settings.from_data(data).model_dump(mode="json")
    except FleetwheelError as error:
        return HostSettings(host.name, list(host.groups), {}, str(error))
    way = {name: data[name] for name in sorted(ways) if name in data}
    found = {
        name: Setting(_redacted(name, value), _origin(host, name))
        for name, value in {**settings, **way}.items()
    }
    return HostSettings(host.name, list(host.groups), found)


def _origin(host: Host, name: str) -> str:
    """Return where pyinfra takes one of a host's data from."""
    inventory = host.inventory
    if name in inventory.get_override_data():
        return "--data"
    if name in inventory.get_host_data(host.name):
        return origin(host.name, name) or "host"
    saying = [group for group in host.groups if name in inventory.get_group_data(group)]
    if saying:
        return f"group {saying[-1]}"
    return "group all" if name in inventory.get_data() else "default"


def _redacted(name: str, value: Any) -> Any:
    """Return a value as plain JSON, without passwords."""
    if "password" in name and value:
        return HIDDEN
    return json.loads(LOGIN.sub(f"{HIDDEN}@", json.dumps(value, default=str)))


def _shown(value: Any) -> str:
    """Return a value in one line, without what is not said in it."""
    if isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if inner not in (None, [])}
    return value if isinstance(value, str) else json.dumps(value)

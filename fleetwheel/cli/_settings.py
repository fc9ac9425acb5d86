"""What `fleetwheel facts --settings` shows: every setting of a host, and where it comes from."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pyinfra.api import Host
from rich.console import Console
from rich.markup import escape

from fleetwheel.cli._options import Scope
from fleetwheel.cli.fleet import prepare
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.inventory.load import RESERVED, origin
from fleetwheel.inventory.settings import EnvironmentSettings, Settings
from fleetwheel.operations._command_line import known_names
from fleetwheel.reporting.table import WIDE, print_rows
from fleetwheel.terminal import printable

LOGIN = re.compile(r"""(?<=://)[^/\s@]+@|(?<=")(?![a-z]+://)[^/\s"@:]+:[^"@]+@""")
"""User name and password in an address, whether or not it has its scheme."""
HIDDEN = "***"
ENVIRONMENTS = "environments"


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
    """Those of an environment are ``vision.torch`` and so on, with the values that count for it."""
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
    """Print a table for each host, with a row for each of its settings."""
    for i, host in enumerate(hosts):
        groups = ", ".join(name for name in host.groups if name not in RESERVED)
        title = f"{host.name} ({groups})" if groups else host.name
        console.print("\n" * bool(i) + escape(printable(title)), style="bold")
        rows = [
            (name, _shown(s.value), _placed(s.origin, console)) for name, s in host.settings.items()
        ]
        print_rows(("setting", "value", "from"), rows, console)
        if host.error:
            console.print(escape(printable(host.error)), soft_wrap=True)


def _placed(origin: str, console: Console) -> str:
    """Return where a value comes from, its file on a line of its own where lines are short."""
    return origin if console.width >= WIDE else origin.replace(", ", "\n", 1)


def _of(host: Host, ways: Iterable[str]) -> HostSettings:
    data = host.data.dict()
    try:
        settings = Settings.from_data(data)
    except FleetwheelError as error:
        return HostSettings(host.name, list(host.groups), {}, str(error))
    own = settings.model_dump(mode="json", exclude={"environments"})
    way = {name: data[name] for name in sorted(ways) if name in data}
    found = {
        name: Setting(_redacted(name, value), _origin(host, name))
        for name, value in {**own, **way}.items()
    }
    return HostSettings(host.name, list(host.groups), found | _of_environments(host, settings))


def _of_environments(host: Host, settings: Settings) -> dict[str, Setting]:
    """Return what counts for each environment; one that is not on the host is null."""
    found: dict[str, Setting] = {}
    effective = settings.by_environment()
    inherited = "as the host" if DEFAULT in settings.environments else "as default"
    for name, own in settings.environments.items():
        if own is None:
            found[f"environments.{name}"] = Setting(None, _origin(host, ENVIRONMENTS, name))
            continue
        values = effective[name].model_dump(
            mode="json", include={*EnvironmentSettings.model_fields}
        )
        for key, value in values.items():
            stated = key in own.model_fields_set
            at = _origin(host, ENVIRONMENTS, name, key) if stated else inherited
            found[f"{name}.{key}"] = Setting(_redacted(key, value), at)
    return found


def _origin(host: Host, name: str, *inner: str) -> str:
    """Return where pyinfra takes one of a host's data from, or what is inside of it."""
    inventory = host.inventory
    if name in inventory.get_override_data():
        return "--data"
    if name in inventory.get_host_data(host.name):
        return origin(host.name, ".".join((name, *inner))) or "host"
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

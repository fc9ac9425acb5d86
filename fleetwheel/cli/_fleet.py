"""What the hosts of an inventory answer, for the commands that take one."""

from pathlib import Path

from fleetwheel.cli._options import Scope
from fleetwheel.inventory.command_line import select
from fleetwheel.inventory.recorded import HostSnapshot, load_snapshots
from fleetwheel.inventory.settings import Settings

SILENT = 4
"""Exit status where some hosts could not be reached, or did not answer."""


def answers(scope: Scope) -> list[HostSnapshot]:
    """Return what the hosts say, or said when they were recorded."""
    if is_recorded(scope):
        return _recorded(Path(str(scope.inventory)), scope)
    from fleetwheel.cli.fleet import gather

    return gather(scope)


def is_recorded(scope: Scope) -> bool:
    """Return whether hosts are meant that ``facts --save`` has recorded."""
    place = Path(str(scope.inventory))
    return place.is_dir() or (place.suffix == ".json" and place.parts[0][0] != "@")


def _recorded(place: Path, scope: Scope) -> list[HostSnapshot]:
    """Return recorded hosts, with what the command line says of them."""
    hosts = {host.name: host for host in load_snapshots(place)}
    profiles = {name: host.profile for name, host in hosts.items() if host.profile}
    names = select(dict.fromkeys(hosts, ()), scope.limit, lambda: profiles)
    return [_told(hosts[name], scope) for name in (names if scope.limit else hosts)]


def _told(host: HostSnapshot, scope: Scope) -> HostSnapshot:
    said = host.settings.model_dump(exclude_unset=True) | dict(scope.data)
    return host.model_copy(update={"settings": Settings.from_data(said)})

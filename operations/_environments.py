"""The environments of the host of the moment, each planned and carried out by itself."""

from collections.abc import Callable, Generator, Iterator, Mapping

from pyinfra import host, inventory
from pyinfra.api import Host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import PyinfraError

from fleetwheel.errors import FleetwheelError, unforeseen
from fleetwheel.host.profile import HostState
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _report
from fleetwheel.operations._step import environment_failed
from fleetwheel.reporting.report import EnvironmentReport, HostReport

Steps = Callable[[str, Settings], Iterator[PyinfraCommand]]


def asked_environments(settings: Settings) -> dict[str, Settings]:
    """
    Return the settings of the environments of the host that the run is for, by their names.

    Raises FleetwheelError for a name that no host of the inventory has.
    """
    there = settings.by_environment()
    for name in settings.environment:
        if name not in there and not any(
            name in environments_of_host(other) for other in inventory
        ):
            raise FleetwheelError(
                f"no host of the inventory has an environment {name}",
                hint=f"this one has {', '.join(there) or 'none'}",
            )
    return {name: own for name, own in there.items() if name in (settings.environment or there)}


def environments_of_host(other: Host) -> Mapping[str, Settings]:
    """Return what a host's data say of each environment; nothing where they are not valid."""
    try:
        return Settings.from_data(other.data.dict()).by_environment()
    except FleetwheelError:
        return {}


def each_environment(
    facts: HostState, asked: Mapping[str, Settings], steps: Steps
) -> Generator[PyinfraCommand]:
    """
    Yield the steps of each environment; what fails in one of them leaves the others alone.

    + facts: what the host has answered
    + asked: the settings of each environment, by its name
    + steps: yields what one of them takes, given its name and settings

    A last command fails the host where an environment has failed.
    """
    _report.note_profile(host.name, facts.profile)
    if not asked:
        why = "the inventory has no such environment for this host"
        _report.record(
            HostReport(name=host.name, status="unchanged", why=why, profile=facts.profile)
        )
        host.noop(why)
        return
    for name in asked:  # hosts of later waves wait until each of these has ended
        if _report.environment_status(host.name, name) is None:
            begun = EnvironmentReport(name=name, status="would change")
            _report.record_environment(host.name, begun)
    # All are planned before the first command: of a dry run pyinfra wants no more than that one.
    planned = [[*_by_itself(name, steps(name, settings))] for name, settings in asked.items()]
    for commands in planned:
        yield from commands
    states = {_report.environment_status(host.name, name) for name in asked}
    if any(planned) or states & {*_report.NOT_WELL}:
        yield _report.fail_at_end()


def _by_itself(name: str, steps: Iterator[PyinfraCommand]) -> Iterator[PyinfraCommand]:
    about = EnvironmentReport(name=name, status="failed")
    try:
        yield from steps
    except (FleetwheelError, OSError) as error:
        environment_failed(host, about, error)
    except PyinfraError:  # no host is left, or this one cannot be reached
        raise
    except Exception as error:
        environment_failed(host, about, unforeseen(error))

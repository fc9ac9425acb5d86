"""A drift check at regular times, on the host that has the project directory."""

import hashlib
from collections.abc import Generator, Iterator, Mapping
from io import StringIO

from pyinfra import host
from pyinfra.api import (
    FileUploadCommand,
    FunctionCommand,
    Host,
    QuoteString,
    State,
    StringCommand,
    operation,
)
from pyinfra.api.command import PyinfraCommand

from facts.schedule import DriftSchedule, Scheduling
from fleetwheel import schedule as schedules
from fleetwheel.errors import FleetwheelError
from fleetwheel.report import HostReport
from fleetwheel.schedule import FILES, STATE, TIMER, Schedule
from fleetwheel.settings import Settings
from fleetwheel.winssh import is_windows
from operations import _windows_schedule
from operations._outcome import note, refuse

UNIT = TIMER.rpartition("/")[2]


@operation()
def drift_check(settings: Settings) -> Generator[PyinfraCommand]:
    """
    Have the host look for drift at regular times, if the inventory gives it a schedule.

    + settings: what the inventory says about the host; ``schedule`` with ``present: false`` takes
      the schedule away

    **Example:**

    .. code:: python

        schedule.drift_check(
            name="Look for drift at regular times",
            settings=settings(),
        )
    """
    wanted = settings.schedule
    if wanted is None:
        host.noop("the inventory gives this host no schedule")
        return
    if is_windows(host):
        yield from _windows_schedule.commands(settings, wanted)
        return
    try:
        there = _look(settings, wanted)
        files = _files(wanted, there) if wanted.present else {}
    except FleetwheelError as error:
        yield refuse(HostReport(name=host.name, status="failed", why=str(error)))
        return
    stale = [path for path in there.files if path not in files]
    changed = {path: text for path, text in files.items() if there.files.get(path) != _hash(text)}
    why = _why(wanted, there)
    if not stale and not changed and (there.active or TIMER not in files):
        note(HostReport(name=host.name, status="unchanged", why=why))
        host.noop(why)
        return
    note(HostReport(name=host.name, status="would change", why=why))
    yield from _take_away(stale, there)
    if wanted.present:
        yield from _put(wanted, changed, there)
    yield FunctionCommand(_done, [why], {})


def _look(settings: Settings, wanted: Schedule) -> Scheduling:
    """Return what the host has; FleetwheelError where there can be no schedule."""
    there = host.get_fact(
        DriftSchedule,
        directory=wanted.directory,
        program=wanted.check("")[0],
        user=wanted.user or "root",
        timer=UNIT,
        files=FILES,
        _timeout=settings.fact_timeout,
    )
    if there is None:
        raise FleetwheelError("what it has for a schedule cannot be read")
    if not there.root:
        raise FleetwheelError("only root can schedule the check", hint="use sudo: true")
    if wanted.present:
        _demand(wanted, there)
    return there


def _demand(wanted: Schedule, there: Scheduling) -> None:
    """Raise FleetwheelError for what a check could not do without."""
    if not there.directory:
        raise FleetwheelError(
            f"there is no project directory {wanted.directory} on this host",
            hint=f"make one there with: fleetwheel init {wanted.directory}",
        )
    if not there.program:
        raise FleetwheelError(
            f"{wanted.check('')[0]} is no program on this host",
            hint="run there, in the project directory: python3 quickstart.py",
        )
    if not there.user:
        raise FleetwheelError(f"there is no user {wanted.user} on this host")
    if not (there.systemd or there.cron):
        raise FleetwheelError(
            "the host has neither systemd nor /etc/cron.d", hint="install cron on it"
        )


def _files(wanted: Schedule, there: Scheduling) -> dict[str, str]:
    if there.systemd:
        return schedules.systemd_files(wanted)
    return schedules.cron_files(wanted, host.name)


def _why(wanted: Schedule, there: Scheduling) -> str:
    if not wanted.present:
        return "no drift check is scheduled"
    by = "systemd" if there.systemd else "cron"
    return f"{by} checks {wanted.inventory} in {wanted.directory} for drift: {wanted.at}"


def _take_away(stale: list[str], there: Scheduling) -> Iterator[StringCommand]:
    if not stale:
        return
    if TIMER in stale and there.systemd:
        yield StringCommand("systemctl", "disable", "--now", UNIT)
    yield StringCommand("rm", "-f", *map(QuoteString, stale))
    if there.systemd:
        yield StringCommand("systemctl", "daemon-reload")


def _put(
    wanted: Schedule, changed: Mapping[str, str], there: Scheduling
) -> Iterator[PyinfraCommand]:
    if there.systemd:
        # A time that systemd does not know is refused before anything is written.
        calendar = QuoteString(schedules.calendar(wanted.at))
        yield StringCommand("systemd-analyze", "calendar", calendar, ">/dev/null")
    owner = QuoteString(wanted.user or "root")
    for directory in (STATE, f"{wanted.directory}/reports"):
        mode = "0700" if directory == STATE else "0755"
        quoted = QuoteString(directory)
        yield StringCommand("test", "-d", quoted, "|| install -d -m", mode, "-o", owner, quoted)
    for path, text in changed.items():
        yield FileUploadCommand(StringIO(text), f"{path}.new")
        yield StringCommand("chmod 0644", QuoteString(f"{path}.new"))
        yield StringCommand("mv -f", QuoteString(f"{path}.new"), QuoteString(path))
    if there.systemd:
        yield StringCommand("systemctl", "daemon-reload")
        yield StringCommand("systemctl", "enable", UNIT)
        yield StringCommand("systemctl", "restart", UNIT)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _done(state: State, host: Host, why: str) -> bool:
    note(HostReport(name=host.name, status="changed", why=why))
    return True

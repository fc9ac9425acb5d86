"""What a host does at regular times: look at the fleet for drift, or pull what it should be."""

import hashlib
from collections.abc import Generator, Iterator, Mapping
from io import StringIO

from pyinfra import host
from pyinfra.api import (
    FunctionCommand,
    Host,
    QuoteString,
    State,
    StringCommand,
    operation,
)
from pyinfra.api.command import PyinfraCommand

from facts.schedule import HostSchedule, Scheduling
from fleetwheel import pull
from fleetwheel import schedule as schedules
from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting.report import HostReport
from fleetwheel.schedule import Schedule
from fleetwheel.settings import Settings
from fleetwheel.windows.winssh import is_windows
from operations import _push, _report, _windows_schedule

FILES = (*schedules.FILES, *pull.FILES)


@operation()
def regularly(settings: Settings, mode: str | None = None) -> Generator[PyinfraCommand]:
    """
    Have the host look for drift or pull at regular times, if the inventory gives it a schedule.

    + settings: what the inventory says about the host; ``schedule`` with ``present: false`` takes
      the schedule away
    + mode: ``check`` or ``pull``, instead of what the inventory says

    **Example:**

    .. code:: python

        schedule.regularly(
            name="Look for drift, or pull, at regular times",
            settings=settings(),
        )
    """
    wanted = settings.schedule
    if wanted is None and not mode:
        host.noop("the inventory gives this host no schedule")
        return
    try:
        wanted = _wanted(wanted, mode)
        if is_windows(host):
            yield from _windows_schedule.commands(settings, wanted)
            return
        there = _look(settings, wanted)
        files = _files(wanted, there) if wanted.present else {}
    except FleetwheelError as error:
        yield _report.failed(error)
        return
    stale = [path for path in there.files if path not in files]
    changed = {path: text for path, text in files.items() if there.files.get(path) != _hash(text)}
    why = _why(wanted, there)
    if not stale and not changed and (there.active or not any(map(_is_timer, files))):
        _report.record(HostReport(name=host.name, status="unchanged", why=why))
        host.noop(why)
        return
    _report.record(HostReport(name=host.name, status="would change", why=why))
    yield from _take_away(stale, there)
    if wanted.present:
        yield from _put(wanted, changed, there)
    yield FunctionCommand(_done, [why], {})


def _wanted(said: Schedule | None, mode: str | None) -> Schedule:
    if said is None:
        raise FleetwheelError(
            "the inventory gives this host no schedule",
            hint="write one, for all under defaults: schedule: {source: URL, directory: /srv/f}",
        )
    return said.in_mode(mode) if mode else said


def _look(settings: Settings, wanted: Schedule) -> Scheduling:
    """Return what the host has; FleetwheelError where there can be no schedule."""
    there = host.get_fact(
        HostSchedule,
        directory=wanted.directory,
        program=wanted.check("")[0],
        user=wanted.user or "root",
        timer=_unit(wanted),
        programs=pull.programs(wanted) if wanted.mode == "pull" else (),
        files=FILES,
        _timeout=settings.fact_timeout,
    )
    if there is None:
        raise FleetwheelError("what it has for a schedule cannot be read")
    if not there.root:
        raise FleetwheelError("only root can schedule anything", hint="use sudo: true")
    if wanted.present and wanted.mode == "pull":
        pull.demand(settings)
        _demand_programs(there, pull.programs(wanted))
    elif wanted.present:
        _demand(wanted, there)
    if wanted.present and not (there.systemd or there.cron):
        raise FleetwheelError(
            "the host has neither systemd nor /etc/cron.d", hint="install cron on it"
        )
    return there


def _demand(wanted: Schedule, there: Scheduling) -> None:
    """Raise FleetwheelError for what a check could not do without."""
    if not there.directory:
        raise FleetwheelError(
            f"there is no project directory {wanted.directory} on this host",
            hint="clone fleetwheel there, and run in the clone: python3 quickstart.py install",
        )
    if not there.program:
        raise FleetwheelError(
            f"{wanted.check('')[0]} is no program on this host",
            hint="run in the clone there: python3 quickstart.py install; "
            "without a clone, install fleetwheel into that .venv",
        )
    if not there.user:
        raise FleetwheelError(f"there is no user {wanted.user} on this host")


def _demand_programs(there: Scheduling, needed: tuple[str, ...]) -> None:
    lacks = [program for program in needed if program not in there.programs]
    if there.program and "python" in lacks:
        lacks.remove("python")
    if lacks:
        raise FleetwheelError(
            f"the host has no {' and no '.join(lacks)}, which a pull needs",
            hint="install it there; python is Python 3.11 or newer",
        )


def _files(wanted: Schedule, there: Scheduling) -> dict[str, str]:
    if wanted.mode == "pull":
        return pull.pull_files(wanted, host.name, systemd=there.systemd)
    if there.systemd:
        return schedules.systemd_files(wanted)
    return schedules.cron_files(wanted, host.name)


def _why(wanted: Schedule, there: Scheduling) -> str:
    if not wanted.present:
        return "nothing is scheduled"
    by = "systemd" if there.systemd else "cron"
    if wanted.mode == "pull":
        return f"{by} pulls {wanted.source} into {wanted.directory}: {wanted.at}"
    return f"{by} checks {wanted.inventory} in {wanted.directory} for drift: {wanted.at}"


def _take_away(stale: list[str], there: Scheduling) -> Iterator[StringCommand]:
    if not stale:
        return
    for path in filter(_is_timer, stale):
        if there.systemd:
            yield StringCommand("systemctl", "disable", "--now", path.rpartition("/")[2])
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
    for directory, mode in _directories(wanted).items():
        quoted = QuoteString(directory)
        yield StringCommand("test", "-d", quoted, "|| install -d -m", mode, "-o", owner, quoted)
    for path, text in changed.items():
        yield _push.upload(StringIO(text), f"{path}.new")
        mode = "0755" if path == pull.PROGRAM else "0644"
        yield StringCommand("chmod", mode, QuoteString(f"{path}.new"))
        yield StringCommand("mv -f", QuoteString(f"{path}.new"), QuoteString(path))
    if there.systemd:
        yield StringCommand("systemctl", "daemon-reload")
        yield StringCommand("systemctl", "enable", _unit(wanted))
        yield StringCommand("systemctl", "restart", _unit(wanted))


def _directories(wanted: Schedule) -> dict[str, str]:
    """Return the directories that have to be there, with the modes that they are made with."""
    if wanted.mode == "check":
        return {schedules.STATE: "0700", f"{wanted.directory}/reports": "0755"}
    files = [path for path in (wanted.html, wanted.prometheus) if path]
    public = {path.rpartition("/")[0] or "/": "0755" for path in files}
    return {pull.STATE: "0700", wanted.directory: "0700"} | public


def _unit(wanted: Schedule) -> str:
    return f"{pull.NAME if wanted.mode == 'pull' else schedules.NAME}.timer"


def _is_timer(path: str) -> bool:
    return path.endswith(".timer")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _done(state: State, host: Host, why: str) -> bool:
    _report.record(HostReport(name=host.name, status="changed", why=why))
    return True

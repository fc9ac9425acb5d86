"""What a host does at regular times: look for drift, or pull what it should be."""

import hashlib
from collections.abc import Generator, Iterator, Mapping
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import (
    Host,
    QuoteString,
    StringCommand,
    operation,
)
from pyinfra.api.command import PyinfraCommand

from fleetwheel.connection.winssh import is_windows
from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.schedule import HostSchedule
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _push, _report, _windows_schedule
from fleetwheel.operations._host_state import alone, fact
from fleetwheel.operations._removal import Removal
from fleetwheel.operations._step import step
from fleetwheel.reporting.report import HostReport
from fleetwheel.schedule.check import CheckJob
from fleetwheel.schedule.files import calendar
from fleetwheel.schedule.job import Job, Scheduling
from fleetwheel.schedule.pull import PROGRAM, PullJob
from fleetwheel.schedule.slurm import HEALTH, PROLOG, SlurmJob

JOBS: Mapping[str, type[Job]] = {"check": CheckJob, "pull": PullJob, "slurm": SlurmJob}
"""By the mode of the schedule."""
NOWHERE = "/nonexistent"
"""The project directory of a host whose schedule nobody knows any more."""
MAKE = """
umask 022
test -d "$0" || { mkdir -p -- "${0%/*}/" && mkdir -m "$1" -- "$0" && chown -h -- "$2" "$0"; }
"""
"""A shell's program, for a directory, its mode and its owner; it changes none that is there.

Through a link that somebody has just put there, ``install -d`` would change what it leads to.
"""
PROGRAMS = (PROGRAM, HEALTH, PROLOG)
FILES = [path for job in JOBS.values() for path in job.may_have]


@operation()
def regularly(settings: Settings, mode: str | None = None) -> Generator[PyinfraCommand]:
    """
    Have the host look for drift or pull at regular times, if the inventory gives it a schedule.

    + settings: what the inventory says about the host; ``schedule`` with ``present: false`` takes
      the schedule away
    + mode: ``check``, ``pull`` or ``slurm``, instead of what the inventory says

    **Example:**

    .. code:: python

        schedule.regularly(
            name="Look for drift, or pull, at regular times",
            settings=settings(),
        )
    """
    if settings.schedule is None and not mode:
        host.noop("the inventory gives this host no schedule")
        return
    yield from alone(_regularly(settings, mode))


def _regularly(settings: Settings, mode: str | None) -> Generator[PyinfraCommand]:
    wanted = _wanted(settings.schedule, mode)
    job = JOBS[wanted.mode](wanted, host.name, settings.trust, settings.root)
    if is_windows(host):
        yield from _windows_schedule.task_commands(settings, job)
        return
    there = _look(settings, job)
    files = job.files(systemd=there.systemd) if wanted.present else {}
    stale = [path for path in there.files if path not in files]
    changed = {path: text for path, text in files.items() if there.files.get(path) != _hash(text)}
    by = job.by or ("systemd" if there.systemd else "cron")
    why = f"{by} {job.does}" if wanted.present else "nothing is scheduled"
    if not stale and not changed and (there.active or not any(map(_is_timer, files))):
        _report.record(HostReport(name=host.name, status="unchanged", why=why))
        host.noop(why)
        return
    going = list(_take_away(stale, there))
    about = HostReport(name=host.name, status="would change", why=why)
    _report.record(about)
    yield from going
    if wanted.present:
        yield from _put(job, changed, there)
    yield step(about, _done, why)


def schedule_removal(settings: Settings) -> Removal | None:
    """Return what takes the schedule of the host away, whatever it is; None where it has none."""
    said = settings.schedule or Schedule(directory=NOWHERE)
    job = CheckJob(said.model_copy(update={"present": False}), host.name, settings.trust)
    if is_windows(host):
        return _windows_schedule.task_removal(settings, job)
    there = _look(settings, job)
    stale = list(there.files)
    return Removal("the schedule", list(_take_away(stale, there))) if stale else None


def _wanted(said: Schedule | None, mode: str | None) -> Schedule:
    if said is None:
        raise FleetwheelError(
            "the inventory gives this host no schedule",
            hint="write one, for all under defaults: schedule: {source: URL, directory: /srv/f}",
        )
    return said.in_mode(mode) if mode else said


def _look(settings: Settings, job: Job) -> Scheduling:
    """Return what the host has; FleetwheelError where there can be no schedule."""
    wanted = job.schedule
    there = fact(
        HostSchedule,
        directory=wanted.directory,
        program=job.program,
        user=wanted.user or "root",
        timer=job.timer,
        programs=job.programs,
        runs=job.runs,
        files=FILES,
        trust=settings.trust,
        _timeout=settings.fact_timeout,
    )
    if there is None:
        raise FleetwheelError("what it has for a schedule cannot be read")
    if not there.root:
        raise FleetwheelError("only root can schedule anything", hint="use sudo: true")
    if wanted.present:
        job.demand(settings, there)
        job.refuse_others(there)
    if wanted.present and not (job.by or there.systemd or there.cron):
        raise FleetwheelError(
            "the host has neither systemd nor /etc/cron.d", hint="install cron on it"
        )
    return there


def _take_away(stale: list[str], there: Scheduling) -> Iterator[StringCommand]:
    if not stale:
        return
    refuse_run_by_slurm(stale, there)
    for path in filter(_is_timer, stale):
        if there.systemd:
            yield StringCommand("systemctl", "disable", "--now", path.rpartition("/")[2])
    yield StringCommand("rm", "-f", *map(QuoteString, stale))
    if there.systemd:
        yield StringCommand("systemctl", "daemon-reload")


def refuse_run_by_slurm(stale: list[str], there: Scheduling) -> None:
    """Raise FleetwheelError for a file that Slurm would miss: without its prolog no job starts."""
    used = sorted(there.slurm_runs.intersection(stale))
    if used:
        raise FleetwheelError(
            f"Slurm still runs {' and '.join(used)}, and without its prolog it starts no job",
            hint="take them out of slurm.conf, run `scontrol reconfigure`, and then this again",
        )


def _put(job: Job, changed: Mapping[str, str], there: Scheduling) -> Iterator[PyinfraCommand]:
    wanted = job.schedule
    timed = there.systemd and not job.by
    if timed:
        # A time that systemd does not know is refused before anything is written.
        time = QuoteString(calendar(wanted.at))
        yield StringCommand("systemd-analyze", "calendar", time, ">/dev/null")
    for directory, mode in job.directories.items():
        values = (str(PurePosixPath(directory)), mode, wanted.user or "root")
        yield StringCommand("sh", "-c", QuoteString(MAKE), *map(QuoteString, values))
    for path, text in changed.items():
        yield from _push.put_text(text, path, "0755" if path in PROGRAMS else "0644")
    if timed:
        yield StringCommand("systemctl", "daemon-reload")
        yield StringCommand("systemctl", "enable", job.timer)
        yield StringCommand("systemctl", "restart", job.timer)


def _is_timer(path: str) -> bool:
    return path.endswith(".timer")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _done(host: Host, why: str) -> None:
    _report.record(HostReport(name=host.name, status="changed", why=why))

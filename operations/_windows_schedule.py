"""The schedule of the drift check on Windows: a task of Task Scheduler that runs a batch file."""

from collections.abc import Generator
from contextlib import suppress
from io import BytesIO

from paramiko import SSHException
from pyinfra import host
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.api.command import PyinfraCommand

from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.schedule import WindowsDriftSchedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _push, _report
from fleetwheel.operations._host_state import fact
from fleetwheel.operations._step import step
from fleetwheel.reporting.report import HostReport
from fleetwheel.schedule.check import windows_state
from fleetwheel.schedule.job import Job, Scheduling


def task_commands(settings: Settings, job: Job) -> Generator[PyinfraCommand]:
    """Yield what it takes to have the task, or to have it no more."""
    wanted = job.schedule
    files = job.windows_files()
    there = _look(settings, job)
    why = f"Task Scheduler {job.does}"
    if not wanted.present:
        why = "no drift check is scheduled"
    found = {path: content for path in files if (content := _content(path)) is not None}
    if (there.active, found) == ((True, files) if wanted.present else (False, {})):
        _report.record(HostReport(name=host.name, status="unchanged", why=why))
        host.noop(why)
        return
    about = HostReport(name=host.name, status="would change", why=why)
    _report.record(about)
    yield from _put(job, files) if wanted.present else _take_away(job, list(found), there)
    yield step(about, _done, why)


def _look(settings: Settings, job: Job) -> Scheduling:
    """Return what the host has; FleetwheelError where there can be no schedule."""
    wanted = job.schedule
    program = wanted.check("", "\\")[0]
    there = fact(
        WindowsDriftSchedule,
        directory=wanted.directory,
        program=program,
        task=job.name,
        _timeout=settings.fact_timeout,
    )
    if there is None:
        raise FleetwheelError("what it has for a schedule cannot be read")
    if wanted.present and not there.program:
        raise FleetwheelError(
            f"{program} is no program on this host",
            hint="run in the clone there: python quickstart.py install; "
            "without a clone, install fleetwheel into that .venv",
        )
    return there


def _content(path: str) -> bytes | None:
    """Return a file of the host; None where it cannot be had, and so has to be written."""
    content = BytesIO()
    with suppress(OSError, SSHException):
        host.get_file(path, content)
        return content.getvalue()
    return None


def _put(job: Job, files: dict[str, bytes]) -> Generator[PyinfraCommand]:
    state = windows_state(job.schedule)
    yield StringCommand("if not exist", QuoteString(f"{state}\\."), "md", QuoteString(state))
    for path, content in files.items():
        yield _push.upload(BytesIO(content), path)
    task = next(path for path in files if path.endswith(".xml"))
    yield StringCommand("schtasks /create /f /tn", job.name, "/xml", QuoteString(task))


def _take_away(job: Job, found: list[str], there: Scheduling) -> Generator[PyinfraCommand]:
    if there.active:
        yield StringCommand("schtasks /delete /f /tn", job.name)
    for path in found:
        yield StringCommand("del", QuoteString(path))


def _done(host: Host, why: str) -> None:
    _report.record(HostReport(name=host.name, status="changed", why=why))

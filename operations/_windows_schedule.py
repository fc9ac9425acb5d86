"""The schedule of the drift check on Windows: a task of Task Scheduler that runs a batch file."""

from collections.abc import Generator
from contextlib import suppress
from io import BytesIO

from paramiko import SSHException
from pyinfra import host
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.api.command import PyinfraCommand

from fleetwheel.deploy.preflight import distrusted
from fleetwheel.errors import FleetwheelError
from fleetwheel.facts._question import windows_places
from fleetwheel.facts.schedule import WindowsDriftSchedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _push, _report
from fleetwheel.operations._host_state import fact
from fleetwheel.operations._removal import Removal
from fleetwheel.operations._step import step
from fleetwheel.reporting.report import HostReport
from fleetwheel.schedule.job import Job, Scheduling
from fleetwheel.schedule.windows import TASK, same_task, windows_state

SCHTASKS = r"%SystemRoot%\System32\schtasks.exe"


def task_commands(settings: Settings, job: Job) -> Generator[PyinfraCommand]:
    """Yield what it takes to have the task, or to have it no more."""
    wanted = job.schedule
    root = _root(settings)
    files = job.windows_files(root) if wanted.present else {}
    there = _look(settings, job, root)
    found = {path: content for path in _paths(root) if (content := _content(path)) is not None}
    why = f"Task Scheduler has the host look at itself: {wanted.at}"
    if not wanted.present:
        why = "nothing is scheduled"
    if found == files and there.active == wanted.present and _task_is(files, there):
        _report.record(HostReport(name=host.name, status="unchanged", why=why))
        host.noop(why)
        return
    about = HostReport(name=host.name, status="would change", why=why)
    _report.record(about)
    yield from _put(job, files, root) if wanted.present else _take_away(job, list(found), there)
    yield step(about, _done, why)


def task_removal(settings: Settings, job: Job) -> Removal | None:
    """Return what takes the task away, whatever it does; None where there is none."""
    root = _root(settings)
    there = _look(settings, job, root)
    found = [path for path in _paths(root) if _content(path) is not None]
    if not found and not there.active:
        return None
    return Removal("the schedule", list(_take_away(job, found, there)))


def _root(settings: Settings) -> str:
    """Return the root; FleetwheelError where others could change what the task would run."""
    places = windows_places(settings.root, settings.trust)
    if places.distrusted:
        raise distrusted(places.root or "the root", places.distrusted, "the task")
    return places.root


def _paths(root: str) -> tuple[str, str]:
    return rf"{root}\bin\{TASK}.cmd", rf"{windows_state(root)}\{TASK}.xml"


def _look(settings: Settings, job: Job, root: str) -> Scheduling:
    """Return what the host has; FleetwheelError where there can be no schedule."""
    there = fact(WindowsDriftSchedule, root=root, task=job.name, _timeout=settings.fact_timeout)
    if there is None:
        raise FleetwheelError("what it has for a schedule cannot be read")
    if job.schedule.present and not there.program:
        raise FleetwheelError(
            f"{root} has no program that looks at the host",
            hint="deploy to it first: deploys/torch.py",
        )
    return there


def _content(path: str) -> bytes | None:
    """Return a file of the host; None where it cannot be had, and so has to be written."""
    content = BytesIO()
    with suppress(OSError, SSHException):
        host.get_file(path, content)
        return content.getvalue()
    return None


def _task_is(files: dict[str, bytes], there: Scheduling) -> bool:
    """Whether Task Scheduler's own copy says what was written, and nobody has disabled it."""
    wanted = next((content for path, content in files.items() if path.endswith(".xml")), None)
    return wanted is None or same_task(wanted, _content(there.kept) or b"")


def _put(job: Job, files: dict[str, bytes], root: str) -> Generator[PyinfraCommand]:
    state, user = QuoteString(windows_state(root)), job.schedule.user
    yield StringCommand("if not exist", state, "md", state)
    for path, content in files.items():
        yield _push.upload(BytesIO(content), path)
    runs_as: tuple[str | QuoteString, ...] = ()
    if user:
        grant = QuoteString(f"{user}:(OI)(CI)M")
        yield StringCommand(r"%SystemRoot%\System32\icacls.exe", state, "/grant", grant)
        # Without a password: the task gets to this host alone.
        runs_as = ("/ru", QuoteString(user), "/np")
    task = QuoteString(_paths(root)[1])
    yield StringCommand(SCHTASKS, "/create /f /tn", job.name, "/xml", task, *runs_as)


def _take_away(job: Job, found: list[str], there: Scheduling) -> Generator[PyinfraCommand]:
    if there.active:
        yield StringCommand(SCHTASKS, "/delete /f /tn", job.name)
    for path in found:
        yield StringCommand("del", QuoteString(path))


def _done(host: Host, why: str) -> None:
    _report.record(HostReport(name=host.name, status="changed", why=why))

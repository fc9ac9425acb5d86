"""What a run did on each host: recorded, and printed as a table at its end; one host's refusal."""

import atexit
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, State
from rich.console import Console

from fleetwheel.connection.unreachable import why_unreachable
from fleetwheel.errors import NotBegunError, RefusedError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import Profile
from fleetwheel.host.trust import Trust
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations._command_line import asked
from fleetwheel.reporting import history, report
from fleetwheel.reporting.cause import Cause, cause_of, of_words
from fleetwheel.reporting.causes import follow
from fleetwheel.reporting.report import EnvironmentReport, HostReport, Kept, Kind, Report, Status
from fleetwheel.terminal import INDENT, hanging, new_console, printable

_hosts: dict[str, HostReport] = {}
"""What is known of each host itself, without its environments."""
_environments: dict[str, dict[str, EnvironmentReport]] = {}
"""Host, then name of the environment."""
_deep: set[str] = set()
_started = time.monotonic()
_errors: dict[str, list[str]] = {}
"""The first errors about each host, by its name in brackets."""
MOST_LINES = 50
REPORTS = Path("reports")
INTERRUPTED = "interrupted: run again, it starts over where this was"
NOT_WELL: tuple[Status, ...] = ("failed", "refused", "not begun")


class _Errors(logging.Handler):
    """Keeps what pyinfra logs as an error: nothing else says why a host gives no answer."""

    def emit(self, record: logging.LogRecord) -> None:
        name, _, text = click.unstyle(record.getMessage()[:1000]).strip().partition("] ")
        lines = _errors.setdefault(f"{name}]", [])
        if len(lines) < MOST_LINES:
            lines.append(text.strip().replace(f"\n{INDENT}", "\n"))


def record(entry: HostReport, *, deep: bool = False) -> None:
    """Keep what was done on a host; a later entry takes the place of an earlier one.

    ``deep`` says that every file was looked at. Environments of the entry count as recorded too.
    """
    if deep:
        _deep.add(entry.name)
    _hosts[entry.name] = entry.model_copy(update={"seconds": _seconds(), "environments": ()})
    for environment in entry.environments:
        record_environment(entry.name, environment)


def record_environment(name: str, entry: EnvironmentReport) -> None:
    """Keep what was done in an environment of a host that was recorded."""
    _environments.setdefault(name, {})[entry.name] = entry
    _hosts[name] = _hosts[name].model_copy(update={"seconds": _seconds()})


def note_profile(name: str, profile: Profile) -> None:
    """Keep what a host is, before its environments are dealt with; other steps have ended."""
    before = _hosts.get(name) or HostReport(name=name, status="unchanged")
    done = before.status == "would change" and state.is_executing
    status: Status = "changed" if done else before.status
    record(before.model_copy(update={"status": status, "profile": profile}))


def _seconds() -> float:
    return round(time.monotonic() - _started, 1)


def environment_entry(name: str, environment: str) -> EnvironmentReport | None:
    """Return the last that was recorded of an environment of a host."""
    return _environments.get(name, {}).get(environment)


def environment_status(name: str, environment: str) -> Status | None:
    """Return the status of the same."""
    found = environment_entry(name, environment)
    return found.status if found else None


def ended(name: str) -> set[Status]:
    """Return how the environments of a host ended, or the host itself where it has none.

    Nothing while something there is still to be done. The host's own end counts beside those of its
    environments only where it is an end of its own: ``unchanged`` is how it begins.
    """
    found = {each.status for each in _environments.get(name, {}).values()}
    own = {_hosts[name].status} if name in _hosts else set()
    statuses = found | (own - {"unchanged"} if found else own)
    return set() if "would change" in statuses else statuses


def refuse(entry: HostReport, *, deep: bool = False) -> FunctionCommand:
    """
    Return a command that fails on this host, with the reason of its report.

    An exception raised in an operation ends the run for every host; a failed command does not. The
    reason is logged at once as well, because a dry run never gets to the command.
    """
    record(entry, deep=deep)
    log_failure(host, report.why_of(entry))
    return FunctionCommand(_fail, [], {})


def log_failure(host: Host, why: str) -> None:
    """Log why a host failed: what it said cannot steer the terminal, or pass for another host."""
    logger.error(f"{host.print_prefix}{hanging(printable(why))}")


def fail_environment(host: Host, entry: EnvironmentReport) -> None:
    """Keep and log why an environment failed; those beside it go on.

    ``fail_at_end`` is the command that then fails the host.
    """
    record_environment(host.name, entry)
    place = "" if entry.name == DEFAULT else f"{entry.name}: "
    log_failure(host, f"{place}{entry.why}")


def fail_at_end() -> FunctionCommand:
    """Return the last command of a host with environments: it fails where one of them did."""
    return FunctionCommand(_all_well, [], {})


def _all_well(state: State, host: Host) -> bool:
    return not any(each.status in NOT_WELL for each in _environments.get(host.name, {}).values())


def failed(why: object, profile: Profile | None = None) -> FunctionCommand:
    """Return a command that fails on this host, for a reason; see ``refuse``."""
    return refuse(HostReport(name=host.name, profile=profile, **ended_by(why)))


def ended_by(why: object) -> dict[str, Any]:
    """Return how a report calls what ended with this error, or for another reason, and why."""
    status = status_of(why)
    cause = None if status == "not begun" else cause_of(status, why)
    return {"status": status, "why": str(why), "cause": cause}


def cause_unreachable(error: BaseException | None = None) -> Cause:
    """Return the cause of a host that cannot be reached; ``error`` is what the attempt raised."""
    return of_words("unreachable", *why_unreachable(error))


def status_of(why: object) -> Literal["not begun", "refused", "failed"]:
    """Return how a report calls what ended with this error, or for another reason."""
    if isinstance(why, NotBegunError):
        return "not begun"
    return "refused" if isinstance(why, RefusedError) else "failed"


def _fail(state: State, host: Host) -> bool:
    return False


@dataclass(frozen=True)
class _Run:
    """What pyinfra's command line asks for."""

    kind: Kind
    """The kind of the report, by the name of the deploy file: deploy, if nothing else."""
    inventory: str
    deploys: tuple[str, ...]
    """The files of deploys/ that run."""
    lists_changes: bool
    """Whether pyinfra lists for people what would change."""


def report_at_exit() -> None:
    """
    Have the table printed when a run of deploys/ ends, also one that reached no host.

    config.py calls this, which pyinfra runs before anything else. Where something other than
    pyinfra's command line runs config.py, or where it runs no file of deploys/, nothing happens.
    """
    run = _run()
    if run is None:
        return
    atexit.register(_show, run)
    signal.signal(signal.SIGINT, lambda number, frame: _interrupted(run))
    keep_errors()


def _from_here(file: str) -> str:
    """Return the path of a file as one names it from the project directory."""
    path, here = Path(file).absolute(), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else file


def _run() -> _Run | None:
    options = asked()
    if options is None:
        return None
    deploys = {Path(file).stem for file in options["operations"]}
    kinds: tuple[Kind, ...] = ("smoke", "drift")
    return _Run(
        kind=next((kind for kind in kinds if kind in deploys), "deploy"),
        inventory=options["inventory"],
        deploys=tuple(map(_from_here, options["operations"])),
        lists_changes=not options["json_output"],
    )


def finished(kind: Kind, unfinished: str = "a step did not end well") -> Report:
    """Return the report of the run so far; a host that was begun and has not ended has failed."""
    entries = [_settled(name, unfinished) for name in _hosts]
    found = report.report_of(
        map(_with_trust, [*entries, *_unreachable()]), environments=_environments_of_run()
    )
    return found.model_copy(update={"kind": kind, "deep": bool(_deep) and _deep >= set(_hosts)})


def _environments_of_run() -> tuple[str, ...]:
    """Return the environments that ``--data`` names; none where the run is for all."""
    inventory = getattr(state, "inventory", None)  # None before it is read
    said = inventory.get_override_data().get("environment", ()) if inventory else ()
    return Settings.model_validate({"environment": said}).environment


def keep_errors() -> None:
    """Keep what pyinfra logs as errors from now on: the reasons of hosts that give no answer."""
    if not any(isinstance(handler, _Errors) for handler in logger.handlers):
        logger.addHandler(_Errors(logging.ERROR))


def errors_of(name: str) -> list[str]:
    """Return the first errors that were logged of a host."""
    return list(_errors.get(f"[{name}]", ()))


def _interrupted(run: _Run) -> NoReturn:
    """End at once, as Ctrl-C is meant: pyinfra would finish what it is at, and then exit 0.

    What runs on hosts ends by itself when nobody reads its output any more.
    """
    _show(run, INTERRUPTED)
    sys.stderr.flush()
    os._exit(130)


def _show(run: _Run, unfinished: str = "a step did not end well") -> None:
    """Print the table of the run, and keep its report unless nothing was executed."""
    found = finished(run.kind, unfinished)
    if not found.hosts:
        return
    made_by = {"inventory": run.inventory, "deploys": run.deploys}
    earlier = history.load_earlier(REPORTS, found, logger.warning)
    found = follow(found.model_copy(update=made_by), earlier)
    console = new_console(file=sys.stderr)
    console.print()
    report.print_table(found, console)
    if run.lists_changes and (note := _told_apart(found)):
        console.print(f"\n{note}", markup=False)
    if state.is_executing:
        _save(found, console)


def _told_apart(found: Report) -> str:
    """Return which hosts pyinfra counts as changes in a dry run, though nothing would change."""
    stopped = [
        h.name
        for h in found.hosts
        if h.status in ("refused", "failed") and "would change" not in h.statuses
    ]
    if state.is_executing or not stopped:
        return ""
    return f"pyinfra counts {', '.join(stopped)} under Change above; nothing would change there"


def _save(found: Report, console: Console) -> None:
    try:
        console.print(f"\n{report.save_report(REPORTS, found, kept_reports())}", style="dim")
    except OSError as error:
        console.print(f"\nthe report cannot be kept: {error}", style="red", markup=False)


def kept_reports() -> Kept:
    """Return how many reports stay: the most that any host of the inventory asks for."""
    said = [host.data.get("reports") for host in state.inventory]
    found = [Kept.model_validate(one) for one in said if one]
    return reduce(or_, found) if found else Kept()


def _with_trust(entry: HostReport) -> HostReport:
    """Return an entry that says whose files its host was told to believe."""
    said = state.inventory.get_host(entry.name).data.get("trust")
    return entry.model_copy(update={"trust": Trust.model_validate(said)}) if said else entry


def _settled(name: str, unfinished: str) -> HostReport:
    """A step that was begun in a real run and never reported its end has failed."""
    own, environments = _hosts[name], _environments.get(name, {}).values()
    if not state.is_executing:
        return own.with_environments(environments)
    why = f"{unfinished}\n{_said_of(name)}".strip()
    failure = {"status": "failed", "why": why, "cause": of_words("failed", unfinished)}
    if own.status == "would change":
        own = own.model_copy(update=failure)
    return own.with_environments(
        each.model_copy(update=failure) if each.status == "would change" else each
        for each in environments
    )


def _said_of(name: str) -> str:
    return "\n".join(errors_of(name))


def _unreachable() -> list[HostReport]:
    return [
        HostReport(
            name=host.name,
            status="unreachable",
            why=_said_of(host.name) or "no connection",
            cause=cause_unreachable(),
        )
        for host in getattr(state, "failed_hosts", ())  # none before the inventory is read
        if host.name not in _hosts
    ]

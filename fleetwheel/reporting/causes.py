"""The causes of a report: equal ones together, since when, what is new, and what to type."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fleetwheel.reporting.cause import WORST_CAUSES, Affected, Cause, SharedCause
from fleetwheel.reporting.finding import Finding, Key, Sight, findings
from fleetwheel.reporting.report import HostReport, LastSeen, Report

TORCH = "deploys/torch.py"
FILES = {
    "deploy": TORCH,
    "rebuild": TORCH,
    "smoke": "deploys/smoke.py",
    "onboard": "deploys/onboard.py",
    "remove": "deploys/remove.py",
}
"""What carries out each action."""
DEPLOYS = {f"deploys/{name}.py" for name in ("drift", "mirror", "rollback", "schedule")}
DEPLOYS |= {*FILES.values()}
"""All that a report can have a person run again: it may be somebody else's."""
AMBIGUOUS = re.compile(r"^-|[*?\[\],]")
"""What begins an option, or means other hosts, where a host's name should stand."""


@dataclass(frozen=True)
class Past:
    """What earlier reports know together, whichever hosts each of them was about."""

    standing: dict[Key, tuple[Finding, datetime]] = field(default_factory=dict)
    """What was wrong when each place was looked at last, and since when."""
    looked: set[str] = field(default_factory=set)
    """The hosts that any of them is about."""
    at: datetime | None = None
    """When the newest of them was made."""


@dataclass(frozen=True)
class Changes:
    """What is other than at the last look at each host."""

    since: datetime
    """When the last report before was made."""
    appeared: list[Finding]
    mended: list[Finding]
    unchanged: list[Finding]
    unknown: list[Finding]
    """Found then, on hosts and environments that could not be looked at now."""

    @property
    def nothing(self) -> bool:
        """Whether nothing was found, then or now."""
        return not (self.appeared or self.mended or self.unchanged or self.unknown)


def comparable(earlier: Iterable[Report], report: Report) -> list[Report]:
    """Return the earlier reports that are about the same environments as this one."""
    return [other for other in earlier if {*other.environments} == {*report.environments}]


def follow(report: Report, earlier: Sequence[Report]) -> Report:
    """Return a report with its causes, and with what earlier ones knew of its hosts.

    ``earlier`` are those of its kind, the oldest first, of whichever hosts and environments.
    """
    found = report.model_copy(update={"hosts": _remembered(report, earlier)})
    return found.model_copy(update={"causes": _shared(found, past_of(comparable(earlier, report)))})


def past_of(earlier: Iterable[Report]) -> Past:
    """Return what reports know together, the oldest first.

    A report says nothing of hosts that it is not about, nor of what it could not look at.
    """
    past = Past()
    for report in earlier:
        past = _after(past, report)
    return past


def changes(report: Report, past: Past) -> Changes | None:
    """Return what changed since each host of a report was looked at last; None without a past."""
    if past.at is None:
        return None
    now = {finding.reason: finding for finding in findings(report)}
    names = {host.name for host in report.hosts}
    gone = [f for key, (f, _) in past.standing.items() if f.host in names and key not in now]
    sight = Sight(report)
    mended = [finding for finding in gone if sight.covers(finding)]
    return Changes(
        since=past.at,
        appeared=[f for key, f in now.items() if key not in past.standing and _known(f, past)],
        mended=mended,
        unchanged=[f for key, f in now.items() if key in past.standing],
        unknown=[finding for finding in gone if finding not in mended],
    )


def _known(finding: Finding, past: Past) -> bool:
    return finding.host in past.looked


def _after(past: Past, report: Report) -> Past:
    now = {finding.reason: finding for finding in findings(report)}
    recorded = {
        (each.name, each.environment, cause.id): each.since
        for cause in report.causes
        for each in cause.hosts
    }
    sight = Sight(report)
    standing = {
        key: (finding, at)
        for key, (finding, at) in past.standing.items()
        if not sight.covers(finding)
    }
    for key, finding in now.items():
        since = past.standing[key][1] if key in past.standing else report.at
        standing[key] = (finding, min(since, recorded.get(key[:3], since)))
    looked = past.looked | {host.name for host in report.hosts}
    return Past(standing, looked, report.at)


def _shared(report: Report, past: Past) -> tuple[SharedCause, ...]:
    """Return the causes of a report, the worst first and then those of most hosts."""
    groups: dict[Cause, list[Finding]] = {}
    for finding in findings(report):
        groups.setdefault(finding.cause, []).append(finding)
    shared = [_together(cause, found, report, past) for cause, found in groups.items()]
    return tuple(
        sorted(shared, key=lambda one: (WORST_CAUSES.index(one.class_), -len(one.names), one.what))
    )


def _together(cause: Cause, found: Sequence[Finding], report: Report, past: Past) -> SharedCause:
    times = {host.name: host.at or report.at for host in report.hosts}
    hosts = tuple(_affected(finding, times[finding.host], past) for finding in found)
    return SharedCause(
        **cause.model_dump(),
        id=cause.anchor,
        command=_command(cause, found, report),
        since=min(each.since for each in hosts),
        hosts=hosts,
    )


def _affected(finding: Finding, at: datetime, past: Past) -> Affected:
    before = past.standing.get(finding.reason)
    return Affected(
        name=finding.host,
        environment=finding.environment,
        expected=finding.expected,
        found=finding.found,
        since=before[1] if before else at,
        new=before is None and _known(finding, past),
    )


def _command(cause: Cause, found: Sequence[Finding], report: Report) -> str:
    """Return what carries a remedy out on all hosts, or looks at them again after it.

    Empty where the report names what could mean something else at a prompt.
    """
    names = list(dict.fromkeys(finding.host for finding in found))
    concerned = {finding.environment for finding in found}
    one = concerned.pop() if len(concerned) == 1 else ""
    environments = [one] if _by_name(one, found, report) else list(report.environments)
    files = [FILES[cause.action]] if cause.action else list(report.deploys)
    words = (*names, report.inventory.removeprefix("@"))
    if not {*files} <= DEPLOYS or any(map(AMBIGUOUS.search, words)):
        return ""
    if not files:
        limit = ["--limit", ",".join(names)]
        options = [word for name in environments for word in ("--environment", name)]
        deep = ["--deep"] if any(finding.deep for finding in found) else []
        return shlex.join(["fleetwheel", report.kind, report.inventory, *limit, *options, *deep])
    limit = [word for name in names for word in ("--limit", name)]
    data = [f"environment={','.join(environments)}"] if environments else []
    data += ["rebuild=true"] if cause.action == "rebuild" else []
    options = [word for pair in data for word in ("--data", pair)]
    return shlex.join(["pyinfra", "-y", report.inventory, *files, *limit, *options])


def _by_name(environment: str, found: Sequence[Finding], report: Report) -> bool:
    """Whether an environment has to be named, because a host of these has others beside it."""
    names = {finding.host for finding in found}
    hosts = (host for host in report.hosts if host.name in names)
    return bool(environment) and any(len(host.environments) > 1 for host in hosts)


def _remembered(report: Report, earlier: Iterable[Report]) -> tuple[HostReport, ...]:
    """Return the hosts of a report, with when they were well last and what they were."""
    success: dict[str, datetime] = {}
    seen: dict[str, tuple[HostReport, datetime]] = {}
    for other in (*earlier, report):
        for host in other.hosts:
            if host.status == "clean" and not other.environments:
                success[host.name] = host.at or other.at
            elif host.last_success:
                success.setdefault(host.name, host.last_success)
            if host.profile or host.last_seen:
                seen[host.name] = (host, host.at or other.at)
    return tuple(
        host.model_copy(
            update={
                "last_success": success.get(host.name),
                "last_seen": None if host.profile else _seen(seen.get(host.name)),
            }
        )
        for host in report.hosts
    )


def _seen(last: tuple[HostReport, datetime] | None) -> LastSeen | None:
    if last is None:
        return None
    host, at = last
    if host.profile is None:
        return host.last_seen
    return LastSeen(at=at, profile=host.profile, environments=host.environments)

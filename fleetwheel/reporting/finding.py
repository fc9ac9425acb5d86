"""Everything that is wrong in a report, one by one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fleetwheel.node import compare
from fleetwheel.reporting.cause import Cause, CauseClass, of_words
from fleetwheel.reporting.report import Drift, HostReport, Part, Report, Status

Key = tuple[str, str, str, str]
"""Host, environment, kind and subject of a finding."""

TROUBLE: tuple[Literal["failed", "refused", "unreachable", "drifted"], ...] = (
    "failed",
    "refused",
    "unreachable",
    "drifted",
)
"""What a host can come to that a person has to look at."""
COMMANDS = (compare.DEPLOY, compare.REBUILD, compare.TEST)
"""Repairs that say no more than the command of their action."""
UNSEEN: tuple[Status, ...] = ("failed", "refused", "unreachable")
"""Of such a host nobody knows whether its earlier drift is still there."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one host, or with one of its environments."""

    host: str
    environment: str
    """Empty for what is wrong with the host itself."""
    kind: str
    """The class of a drift; ``host`` or ``environment`` where that failed as a whole."""
    what: str
    cause: Cause
    expected: str = ""
    found: str = ""
    deep: bool = False
    """Whether only a deep look finds it."""

    @property
    def place(self) -> tuple[str, str]:
        """Where it was found: host and environment."""
        return self.host, self.environment

    @property
    def whole(self) -> bool:
        """Whether a whole host or environment failed."""
        return self.kind in ("host", "environment")

    @property
    def key(self) -> Key:
        """What makes it the same finding in another report, whatever its values are by then."""
        return *self.place, self.kind, "" if self.whole else self.what

    @property
    def reason(self) -> Key:
        """What makes it the same finding for the same cause."""
        return (
            *self.place,
            self.cause.anchor,
            "" if self.whole else self.what,
        )


def findings(report: Report) -> list[Finding]:
    """Return everything that is wrong in a report, in the order of its hosts."""
    ill = (host for host in report.hosts if host.status in TROUBLE or host.differences)
    return [finding for host in ill for finding in _findings(host)]


class Sight:
    """What a report could see: of what it does not show there, it says that it is mended."""

    def __init__(self, report: Report) -> None:
        parts = {(h.name, part.environment): part.status for h in report.hosts for part in h.parts}
        self.deep = report.deep
        self.ended = parts.keys()
        """The hosts and environments that it is about."""
        self.seen = {place for place, status in parts.items() if status not in UNSEEN}
        """Those of them that it could look into."""

    def covers(self, finding: Finding) -> bool:
        """Whether it would have found this: a failure by any other end of its place."""
        if finding.whole:
            return finding.place in self.ended
        return finding.place in self.seen and (self.deep or not finding.deep)


def _findings(host: HostReport) -> Iterable[Finding]:
    for part in host.parts:
        yield from _of_part(host.name, part)


def _of_part(host: str, part: Part) -> Iterator[Finding]:
    for each in part.drift:
        yield Finding(
            host,
            part.environment,
            each.class_,
            each.what,
            cause_of_drift(each),
            each.expected,
            each.found,
            each.deep,
        )
    status: CauseClass | None = next((one for one in TROUBLE if one == part.status), None)
    if status and not (status == "drifted" and part.drift):
        kind, said = "environment" if part.environment else "host", part.why.partition("\n")[0]
        cause = part.cause or of_words(status, said or status)
        yield Finding(host, part.environment, kind, status, cause, found=said)


def cause_of_drift(drift: Drift) -> Cause:
    """Return the cause that a difference is an instance of."""
    remedy = "" if drift.repair in COMMANDS else drift.repair
    return of_words(drift.class_, drift.subject or drift.what, remedy, drift.action)

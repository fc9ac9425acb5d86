"""Everything that is wrong in a report, one by one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

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
    def key(self) -> Key:
        """What makes it the same finding in another report, whatever its values are by then."""
        whole = self.kind in ("host", "environment")
        return *self.place, self.kind, "" if whole else self.what

    @property
    def reason(self) -> Key:
        """What makes it the same finding for the same cause."""
        return (
            *self.place,
            self.cause.anchor,
            "" if self.kind in ("host", "environment") else self.what,
        )


def findings(report: Report) -> list[Finding]:
    """Return everything that is wrong in a report, in the order of its hosts."""
    return [finding for host in report.hosts for finding in _findings(host)]


def places_seen(report: Report) -> set[tuple[str, str]]:
    """Return the hosts and environments that a report could look at."""
    return {
        (host.name, part.environment)
        for host in report.hosts
        for part in host.parts
        if part.status not in UNSEEN
    }


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
    return of_words(drift.class_, drift.subject or drift.what, drift.repair, drift.action)

"""Reports of the schema fleetwheel.report/1, where a host had one environment: read for ever.

docs/reports.md has the mapping as a table.
"""

import re
from typing import Any, Literal

from pydantic import Field

from fleetwheel.choice.choose import Choice
from fleetwheel.host.profile import Profile
from fleetwheel.host.trust import Trust
from fleetwheel.reporting.past_time import PastTime
from fleetwheel.reporting.report import (
    OF_ENVIRONMENT,
    Drift,
    EnvironmentReport,
    HostReport,
    Kind,
    Report,
    Status,
)
from fleetwheel.value import Value

OF_GPU = re.compile(r" of GPU \d+$")
"""Runtime drift that is the host's: what a GPU says of itself."""
SCHEMA: Literal["fleetwheel.report/1"] = "fleetwheel.report/1"


class HostReport1(Value):
    """A host in report/1, with what belongs to its one environment."""

    name: str
    group: str = ""
    status: Status
    why: str = ""
    seconds: float | None = None
    profile: Profile | None = None
    choice: Choice | None = None
    generation: str | None = None
    smoke: dict[str, Any] | None = None
    drift: tuple[Drift, ...] = ()
    trust: Trust = Trust()


class Report1(Value):
    """The document of report/1."""

    format: Literal["fleetwheel.report/1"] = Field(alias="schema")
    kind: Kind = "deploy"
    deep: bool = False
    at: PastTime
    hosts: tuple[HostReport1, ...]


def parse_report_1(document: object) -> Report:
    """Return a document of report/1 as a report of today; pydantic's ValidationError if it is none.

    Fields that are no longer known are passed over.
    """
    old = Report1.model_validate(document, extra="ignore")
    hosts = tuple(map(_host, old.hosts))
    return Report(kind=old.kind, deep=old.deep, at=old.at, hosts=hosts)


def _host(old: HostReport1) -> HostReport:
    environment = _environment(old)
    said = environment is not None and environment.status == old.status
    return HostReport(
        name=old.name,
        group=old.group,
        status=old.status,
        why="" if said else old.why,
        seconds=old.seconds,
        profile=old.profile,
        drift=tuple(drift for drift in old.drift if not _inside(drift)),
        environments=(environment,) if environment else (),
        trust=old.trust,
    )


def _environment(old: HostReport1) -> EnvironmentReport | None:
    """Return the environment that a host had; None where nothing was known of one."""
    drift = tuple(filter(_inside, old.drift))
    known = any(part is not None for part in (old.choice, old.generation, old.smoke))
    if not known and not drift:
        return None
    host_alone = old.status == "drifted" and old.drift and not drift
    return EnvironmentReport(
        status="clean" if host_alone else old.status,
        why="" if host_alone else old.why,
        choice=old.choice,
        generation=old.generation,
        smoke=old.smoke,
        drift=drift,
    )


def _inside(drift: Drift) -> bool:
    return drift.class_ in OF_ENVIRONMENT and not OF_GPU.search(drift.what)

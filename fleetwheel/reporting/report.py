"""The report of a run: a table for people and a JSON document for machines."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field
from pydantic_core import from_json
from rich.console import Console
from rich.text import Text

from fleetwheel import files
from fleetwheel.choice.choose import Choice
from fleetwheel.host import itself
from fleetwheel.host.environment import DEFAULT, EnvironmentName
from fleetwheel.host.profile import DriverState, Profile
from fleetwheel.host.trust import Trust
from fleetwheel.reporting.cause import Action, Cause, SharedCause
from fleetwheel.reporting.cause_list import print_causes
from fleetwheel.reporting.past_time import PastTime
from fleetwheel.reporting.table import print_rows
from fleetwheel.value import Value

Status = Literal[
    "unchanged",
    "changed",
    "would change",
    "on hold",
    "not begun",
    "refused",
    "failed",
    "unreachable",
    "clean",
    "drifted",
]

WORST_FIRST: tuple[Status, ...] = (
    "unreachable",
    "failed",
    "refused",
    "drifted",
    "would change",
    "changed",
    "not begun",
    "on hold",
    "unchanged",
    "clean",
)
COLOURS: dict[Status, str] = {
    "unchanged": "green",
    "changed": "yellow",
    "would change": "yellow",
    "on hold": "cyan",
    "not begun": "cyan",
    "refused": "red",
    "failed": "red",
    "unreachable": "red",
    "clean": "green",
    "drifted": "yellow",
}
HEAD = 400
"""Bytes at the start of a report in which its kind stands."""
NOT_WELL, CHANGED = 4, 2
"""Exit statuses, which add up: a host is not well; a host has changed, or would change."""


DriftClass = Literal["package", "driver", "hardware", "runtime"]
OF_HOST: tuple[DriftClass, ...] = ("driver", "hardware", "runtime")
OF_ENVIRONMENT: tuple[DriftClass, ...] = ("package", "runtime")


class Drift(Value):
    """One difference between what a host is and what it should be."""

    model_config = ConfigDict(populate_by_name=True)

    class_: DriftClass = Field(alias="class")
    what: str
    """What differs, in a few words: ``numpy``, ``driver version``, ``GPU GPU-1f2e...``."""
    expected: str
    found: str
    repair: str
    """What mends it, in one sentence or command."""
    deep: bool = False
    """Whether only a deep look finds it."""
    action: Action = ""
    subject: str = ""
    """``what`` in words that hosts share; empty where it names no place on this one."""


class EnvironmentReport(Value):
    """What a run did or found in one environment of a host, and why."""

    name: EnvironmentName = DEFAULT
    status: Status
    why: str = ""
    cause: Cause | None = None
    """Why it failed or was refused; None for anything else."""
    choice: Choice | None = None
    generation: str | None = None
    smoke: dict[str, Any] | None = None
    drift: tuple[Drift, ...] = ()
    """What differs in the environment: packages and runtime."""


@dataclass(frozen=True)
class Part:
    """A host itself, or one of its environments: each has its own status, reason and drift."""

    environment: str
    """Empty for the host itself."""
    status: Status | None
    """None for a host of which its environments say it all."""
    why: str
    drift: tuple[Drift, ...]
    classes: tuple[DriftClass, ...]
    """What drift is looked for in it."""
    choice: Choice | None = None
    generation: str | None = None
    smoke: dict[str, Any] | None = None
    cause: Cause | None = None


class LastSeen(Value):
    """What was known of a host when it could be looked at last."""

    at: PastTime
    profile: Profile
    environments: tuple[EnvironmentReport, ...] = ()


class HostReport(Value):
    """What a run did or found on one host, and why."""

    name: str
    group: str = ""
    """The inventory's group that the host stands in."""
    status: Status
    """The worst of the host's own and those of its environments."""
    why: str = ""
    """Of the host itself; each environment says its own."""
    cause: Cause | None = None
    """Why the host itself failed, was refused or not reached; None for anything else."""
    at: PastTime | None = None
    """When it was looked at, where that was before its report: of merged ones alone."""
    seconds: float | None = None
    profile: Profile | None = None
    drift: tuple[Drift, ...] = ()
    """What differs on the host itself: driver, hardware, and what GPUs say of themselves."""
    environments: tuple[EnvironmentReport, ...] = ()
    """In the order of the inventory, or by name; none of a host that could not be looked at."""
    trust: Trust = Trust()
    """Whose files the host ran and believed, besides those of root and of the acting user."""
    last_success: PastTime | None = None
    """When a check of all its environments found nothing last; of drift checks alone."""
    last_seen: LastSeen | None = None
    """Of a host that says nothing now."""

    @property
    def trusted(self) -> str:
        """What people read of ``trust``; empty where it is nobody."""
        return f"the inventory trusts {self.trust} as it does root" if str(self.trust) else ""

    @property
    def differences(self) -> tuple[Drift, ...]:
        """The drift of the host and of its environments."""
        return (*self.drift, *(drift for each in self.environments for drift in each.drift))

    @property
    def statuses(self) -> frozenset[Status]:
        """Its own status and those of its environments; drifted too where anything differs."""
        drifted: tuple[Status, ...] = ("drifted",) if self.differences else ()
        return frozenset((self.status, *drifted, *(each.status for each in self.environments)))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The host itself, then its environments."""
        return (
            Part(
                "",
                self._own_status,
                self.why,
                self.drift,
                self._own_classes,
                cause=self.cause,
            ),
            *map(_part, self.environments),
        )

    @property
    def told(self) -> tuple[Part, ...]:
        """The parts as people are told of them: one environment is told as one with its host."""
        if len(self.environments) != 1:
            return self.parts
        own, only = self.parts
        return (
            replace(
                only,
                status=self.status,
                why="\n".join(filter(None, (own.why, only.why))),
                drift=self.differences,
                classes=get_args(DriftClass),
            ),
        )

    @property
    def _own_status(self) -> Status | None:
        if self.status not in (each.status for each in self.environments):
            return self.status
        return "drifted" if self.drift else None

    @property
    def _own_classes(self) -> tuple[DriftClass, ...]:
        """Return those of a host; all of them where it has no environment to look at."""
        found = {drift.class_ for drift in self.drift}
        every: tuple[DriftClass, ...] = get_args(DriftClass)
        return tuple(c for c in every if not self.environments or c in OF_HOST or c in found)

    def with_environments(self, environments: Iterable[EnvironmentReport]) -> "HostReport":
        """Return the same host with its environments, and the status that follows from them."""
        found = tuple(environments)
        status = worst([self.status, *(each.status for each in found)])
        return self.model_copy(update={"environments": found, "status": status})


def _part(of: EnvironmentReport) -> Part:
    told = (of.choice, of.generation, of.smoke, of.cause)
    return Part(of.name, of.status, of.why, of.drift, OF_ENVIRONMENT, *told)


def why_of(host: HostReport) -> str:
    """Return why a host is as it is: what is said of itself, and of each of its environments."""
    several = len(host.environments) > 1
    lines = [f"{each.name}: {each.why}" if several else each.why for each in host.environments]
    return "\n".join(filter(None, [host.why, *lines]))


def worst(statuses: Iterable[Status]) -> Status:
    """Return the status that a person should see first."""
    return min(statuses, key=WORST_FIRST.index)


Kind = Literal["deploy", "smoke", "drift"]


class Report(Value):
    """What a run did or found on every host."""

    model_config = ConfigDict(populate_by_name=True)

    format: Literal["fleetwheel.report/2"] = Field(default="fleetwheel.report/2", alias="schema")
    kind: Kind = "deploy"
    deep: bool = False
    """Whether a drift check also looked at every file and ran the smoke test."""
    at: PastTime
    environments: tuple[EnvironmentName, ...] = ()
    """What the run was for; empty for all environments of each host."""
    inventory: str = "inventory.py"
    """What pyinfra was given."""
    deploys: tuple[str, ...] = ()
    """The files of deploys/ that ran; none for a command that only looks."""
    hosts: tuple[HostReport, ...]
    causes: tuple[SharedCause, ...] = ()
    """What is wrong, the worst first; ``causes.follow`` fills it."""

    @property
    def scope(self) -> str:
        """What people read of ``environments``; empty for all of them."""
        return scope_text(self.environments)

    def told(self, host: HostReport) -> tuple[Part, ...]:
        """The parts of a host as people are told of them.

        In a report of some environments, each stands by itself: the host has others.
        """
        return self.seen(host) if self.environments else host.told

    def seen(self, host: HostReport) -> tuple[Part, ...]:
        """The host itself and its environments, each with the classes that were looked for."""
        own, *environments = host.parts
        if self.environments:
            own = replace(own, classes=OF_HOST)
        return (own, *environments)


def scope_text(environments: Sequence[str]) -> str:
    """Return ``environment vision alone``; empty where all environments are meant."""
    if not environments:
        return ""
    return f"environment{'s' * (len(environments) > 1)} {', '.join(environments)} alone"


def report_of(
    hosts: Iterable[HostReport],
    kind: Kind = "deploy",
    *,
    deep: bool = False,
    environments: Iterable[str] = (),
) -> Report:
    """Return the report of these hosts, in the order of their names.

    ``environments`` are those that the run was for, where not for all.
    """
    named = [host.model_copy(update={"name": itself.inventory_name(host.name)}) for host in hosts]
    return Report(
        kind=kind,
        deep=deep,
        at=datetime.now(UTC),
        environments=tuple(sorted({*environments})),
        hosts=tuple(sorted(named, key=lambda host: host.name)),
    )


def report_json(report: Report) -> str:
    """Return a report as JSON in ASCII: what hosts say must not steer a terminal it is shown on."""
    return json.dumps(report.model_dump(mode="json", by_alias=True), indent=2)


def deploy_exit_status(report: Report, *, detailed: bool) -> int:
    """Return the exit status of a deploy; hosts that were not begun are not failures.

    A smoke test changes nothing that is in use.
    """
    statuses = {status for host in report.hosts for status in host.statuses}
    bad = statuses & {"failed", "refused", "unreachable"}
    changed = report.kind != "smoke" and statuses & {"changed", "would change"}
    return (NOT_WELL if bad else 0) + (CHANGED if changed and detailed else 0)


def drift_exit_status(report: Report) -> int:
    """Return 2 for drift, 4 for hosts that nobody could look at, 6 for both: Puppet's numbers."""
    states = {status for host in report.hosts for status in host.statuses}
    return 2 * ("drifted" in states) + 4 * bool(states & {"failed", "unreachable", "refused"})


class Kept(Value):
    """How many reports of each kind stay in reports/, and how long: what the inventory says."""

    count: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 200
    days: Annotated[int, Field(ge=1, le=36_500, strict=True)] = 90

    def __or__(self, other: "Kept") -> "Kept":
        """Return what keeps all that either keeps."""
        return Kept(count=max(self.count, other.count), days=max(self.days, other.days))


def save_report(directory: Path, report: Report, kept: Kept | None = None) -> Path:
    """Write a report in one step, and drop those of its kind that are too many or too old.

    Never this one. Clocks go wrong: others may bear dates to come.
    """
    kept = kept or Kept()
    path = directory / f"{report.at:%Y-%m-%dT%H-%M-%S.%fZ}.json"
    files.replace(path, report_json(report))
    others = [old for old in paths_of(directory, report.kind) if old != path]
    oldest = f"{report.at - timedelta(days=kept.days):%Y-%m-%dT%H-%M-%S.%fZ}.json"
    count = len(others) - (kept.count - 1)
    for old in [*others[: max(count, 0)], *(old for old in others if old.name < oldest)]:
        old.unlink(missing_ok=True)
    return path


def paths_of(directory: Path, kind: Kind) -> list[Path]:
    """Return the files of the reports of one kind, by name, and those that tell no kind."""
    return [path for path in sorted(directory.glob("*.json")) if _kind(path) in (kind, None)]


def _kind(path: Path) -> object:
    """Return the kind of a report by its first words: whole reports of large fleets are long."""
    try:
        with files.open_regular(path) as file:
            head = from_json(file.read(HEAD), allow_partial=True)
    except (OSError, ValueError):
        return None
    return head.get("kind") if isinstance(head, dict) else None


def print_table(report: Report, console: Console) -> None:
    """Print a row for each host and environment.

    Names of environments stand there where there is another than the default one, and where the
    run was for some of them.
    """
    headings = ("host", "environment", "result", "torch", "python", "GPUs, driver", "smoke", "why")
    others = any(each.name != DEFAULT for host in report.hosts for each in host.environments)
    named = others or bool(report.environments)
    shared = [cause for cause in report.causes if len(cause.names) > 1]
    below = _places(shared) - _places(cause for cause in report.causes if cause not in shared)
    told = [(host, _told_above(host, report.told(host), below)) for host in report.hosts]
    rows = [row for host, parts in told for row in _rows(host, parts, named)]
    if report.scope:
        console.print(f"{report.scope}\n", highlight=False)
    print_rows(headings, rows, console)
    print_causes(shared, console)


def _places(causes: Iterable[SharedCause]) -> set[tuple[str, str]]:
    return {(each.name, each.environment) for cause in causes for each in cause.hosts}


def _told_above(
    host: HostReport, told: Sequence[Part], below: set[tuple[str, str]]
) -> Sequence[Part]:
    """Return the parts of a host, without the reasons that stand below, once for several hosts."""
    alone = len(host.environments) == 1
    places = [{(host.name, part.environment), *([(host.name, "")] * alone)} for part in told]
    return [
        replace(part, why="") if place & below else part
        for part, place in zip(told, places, strict=True)
    ]


def _shown_parts(host: HostReport, told: Sequence[Part]) -> list[Part]:
    """Return the parts that have something to say."""
    first, *others = told
    first = replace(first, why="\n".join(filter(None, (first.why, host.trusted))))
    return [first, *others] if first.status or first.why else others


def _rows(host: HostReport, told: Sequence[Part], named: bool) -> Iterator[tuple[str | Text, ...]]:
    gpus = _gpus(host.profile)
    for part in _shown_parts(host, told):
        result = Text(part.status, style=COLOURS[part.status]) if part.status else "-"
        name = part.environment if named else ""
        chosen, smoke = _chosen(part.choice), _smoke(part.smoke)
        yield (host.name, name, result, *chosen, gpus, smoke, part.why)
        gpus = ""


def _chosen(choice: Choice | None) -> tuple[str, str]:
    if choice is None:
        return "-", "-"
    return f"{choice.torch} {choice.variant}", choice.python.version


def _gpus(profile: Profile | None) -> str:
    """Return ``2 x RTX 4090, 580.95.05``, or the state of the driver where it is not ok."""
    if profile is None:
        return "-"
    names = [gpu.name.removeprefix("NVIDIA ") for gpu in profile.gpus]
    counted = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    driver = profile.driver
    state = driver.version if driver.state is DriverState.OK else driver.state.value
    return ", ".join(part for part in (counted, state) if part)


def _smoke(smoke: dict[str, Any] | None) -> str:
    if smoke is None:
        return "-"
    return "passed" if smoke.get("passed") else "failed"

"""Reports of earlier runs: reading them again, and what differs between two of them."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fleetwheel.errors import DETAIL, LOG, FleetwheelError
from fleetwheel.host.profile import Profile
from fleetwheel.reporting.report import HostReport, Report, Status
from fleetwheel.terminal import printable

Kind = Literal["deploy", "smoke", "drift"]

TROUBLE: tuple[Status, ...] = ("failed", "refused", "unreachable", "drifted")
"""What a host can come to that a person has to look at."""
SHOWN = 8
"""Hosts that a line names."""
UNSEEN: tuple[Status, ...] = ("failed", "refused", "unreachable")
"""Of such a host nobody knows whether its earlier drift is still there."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one host."""

    host: str
    kind: str
    """The class of a drift, or ``host`` where the host itself failed or could not be reached."""
    what: str
    expected: str = ""
    found: str = ""
    deep: bool = False
    """Whether only a deep look finds it."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same finding in another report, whatever its values are by then."""
        return self.host, self.kind, "" if self.kind == "host" else self.what


@dataclass(frozen=True)
class Comparison:
    """What changed from one report to a later one."""

    old: datetime
    new: datetime
    appeared: tuple[Finding, ...]
    mended: tuple[Finding, ...]
    unchanged: tuple[Finding, ...]
    unknown: tuple[Finding, ...]
    """Found earlier, on hosts that the later report could not look at or leaves out."""
    in_one: tuple[str, ...] = ()
    """Hosts that only one of the reports is about, as with another ``--limit``."""

    @property
    def nothing(self) -> bool:
        """Whether neither report found anything."""
        return not (self.appeared or self.mended or self.unchanged or self.unknown)

    def document(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types."""
        return asdict(self) | {"old": self.old.isoformat(), "new": self.new.isoformat()}


def load_reports(directory: Path, kind: Kind, warn: Callable[[str], None]) -> list[Report]:
    """Return the reports of one kind, oldest first.

    One that cannot be read is left out, and ``warn`` hears of it.
    """
    reports = []
    for path in sorted(directory.glob("*.json")):
        try:
            reports.append(read_report(path))
        except FleetwheelError as error:
            warn(f"left out: {error}")
    wanted = (report for report in reports if report.kind == kind)
    return sorted(wanted, key=lambda report: report.at)


def last_profiles(directory: Path) -> dict[str, Profile]:
    """Return what each host was when a report of whichever kind last knew it."""
    found: dict[str, Profile] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            hosts = read_report(path).hosts
        except FleetwheelError:
            continue
        found |= {host.name: host.profile for host in hosts if host.profile}
    return found


def last_deep_report(directory: Path) -> Report | None:
    """Return the newest report of a deep drift check; None where there is none."""
    for path in sorted(directory.glob("*.json"), reverse=True):
        with suppress(FleetwheelError, OSError):
            if b'"deep": true' in path.read_bytes() and (report := read_report(path)).deep:
                return report
    return None


def read_report(path: Path) -> Report:
    """Return the report in a file; FleetwheelError where there is none."""
    LOG.log(DETAIL, "read %s", path)
    try:
        return Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise FleetwheelError(f"{path} is no report: {place}: {first['msg']}") from error
    except OSError as error:
        raise FleetwheelError(f"{path} cannot be read: {error.strerror}") from error


def findings(report: Report) -> list[Finding]:
    """Return everything that is wrong in a report, in the order of its hosts."""
    return [finding for host in report.hosts for finding in _findings(host)]


def _findings(host: HostReport) -> Iterable[Finding]:
    for drift in host.drift:
        yield Finding(host.name, drift.class_, drift.what, drift.expected, drift.found, drift.deep)
    if host.status in TROUBLE and not host.drift:
        yield Finding(host.name, "host", host.status, found=host.why.partition("\n")[0])


def compare(old: Report, new: Report) -> Comparison:
    """Return what appeared, what was mended and what stayed between two reports.

    A drift counts as mended only where the later report has looked: not on a host that it could
    not reach, nor by a quick look where a deep one had found it.
    """
    before = {finding.key: finding for finding in findings(old)}
    after = {finding.key: finding for finding in findings(new)}
    looked_at = {host.name for host in new.hosts if host.status not in UNSEEN}
    gone = [finding for key, finding in before.items() if key not in after]
    mended = [f for f in gone if f.host in looked_at and (new.deep or not f.deep)]
    return Comparison(
        old=old.at,
        new=new.at,
        appeared=tuple(f for key, f in after.items() if key not in before),
        mended=tuple(mended),
        unchanged=tuple(f for key, f in after.items() if key in before),
        unknown=tuple(f for f in gone if f not in mended),
        in_one=tuple(sorted({h.name for h in old.hosts} ^ {h.name for h in new.hosts})),
    )


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print what changed, one row for each finding; text from hosts is shown, never interpreted."""
    parts = (
        ("new", "yellow", comparison.appeared),
        ("mended", "green", comparison.mended),
        ("unchanged", "dim", comparison.unchanged),
        ("unknown", "red", comparison.unknown),
    )
    counts = ", ".join(f"{len(found)} {word}" for word, _, found in parts if found)
    span = f"{comparison.old:%Y-%m-%d %H:%M} to {comparison.new:%Y-%m-%d %H:%M} UTC"
    console.print(f"{span}: {counts or 'nothing was found, then or now'}", highlight=False)
    if names := [printable(name) for name in comparison.in_one]:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        only = f"in one of the reports only: {', '.join(names[:SHOWN])}{more}"
        console.print(escape(only), highlight=False, soft_wrap=True)
    if comparison.nothing:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "host", "class", "what", "expected", "found"):
        table.add_column(heading, overflow="fold")
    for word, colour, found in parts:
        for f in found:
            cells = (f.host, f.kind, f.what, f.expected, f.found)
            table.add_row(f"[{colour}]{word}[/]", *(escape(printable(cell)) for cell in cells))
    console.print(table)

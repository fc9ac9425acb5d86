"""Reports of earlier runs: reading them again, and what differs between two of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from fleetwheel import files
from fleetwheel.errors import DETAIL, LOG, FleetwheelError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import Profile
from fleetwheel.reporting import report_1
from fleetwheel.reporting.finding import Finding, Sight, findings
from fleetwheel.reporting.report import Kind, Report, paths_of, scope_text
from fleetwheel.reporting.table import print_rows
from fleetwheel.terminal import printable

SCHEMA: str = Report.model_fields["format"].default
LARGEST = 2**28
"""Bytes of a report; a host with eight GPUs and a full smoke test has some 50,000."""
ENOUGH = 30
"""Earlier reports that are read in any case, for the history on the page."""
SHOWN = 8
"""Hosts that a line names."""


@dataclass(frozen=True)
class Comparison:
    """What changed from one report to a later one."""

    old: datetime
    new: datetime
    appeared: tuple[Finding, ...]
    mended: tuple[Finding, ...]
    unchanged: tuple[Finding, ...]
    unknown: tuple[Finding, ...]
    """Found earlier, where the later report could not look, or what it leaves out."""
    in_one: tuple[str, ...] = ()
    """Hosts that only one of the reports is about, as with another ``--limit``."""
    environments: tuple[str, ...] = ()
    """What both reports are about; empty for all environments."""

    @property
    def nothing(self) -> bool:
        """Whether neither report found anything."""
        return not (self.appeared or self.mended or self.unchanged or self.unknown)

    @property
    def scope(self) -> str:
        """What people read of ``environments``; empty for all of them."""
        return scope_text(self.environments)

    def document(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types."""
        plain = asdict(self) | {"old": self.old.isoformat(), "new": self.new.isoformat()}
        for name in ("appeared", "mended", "unchanged", "unknown"):
            plain[name] = [found | {"cause": found["cause"].anchor} for found in plain[name]]
        return plain


def load_reports(directory: Path, kind: Kind, warn: Callable[[str], None]) -> list[Report]:
    """Return the reports of one kind, oldest first.

    One that cannot be read is left out, and ``warn`` hears of it.
    """
    read = _readable(paths_of(directory, kind), warn)
    return sorted((one for one in read if one.kind == kind), key=lambda report: report.at)


def load_earlier(directory: Path, report: Report, warn: Callable[[str], None]) -> list[Report]:
    """Return the reports of its kind before one, oldest first: all that ``follow`` needs.

    They go back until each host was looked at, in the same environments and in all of them.
    """
    scopes = {(), report.environments}
    missing = {(host.name, scope) for host in report.hosts for scope in scopes}
    found: list[Report] = []
    for earlier in _readable(reversed(paths_of(directory, report.kind)), warn):
        if earlier.kind == report.kind and earlier.at < report.at:
            found.append(earlier)
            missing -= {(host.name, earlier.environments) for host in earlier.hosts}
        if not missing and len(found) >= ENOUGH:
            break
    return sorted(found, key=lambda report: report.at)


def _readable(paths: Iterable[Path], warn: Callable[[str], None]) -> Iterator[Report]:
    for path in paths:
        try:
            yield read_report(path)
        except FleetwheelError as error:
            warn(f"left out: {error}")


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


def last_deep_reports(directory: Path) -> list[Report]:
    """Return the newest reports of deep drift checks, newest first.

    The last of them is about all environments; those before it are newer and about some.
    """
    found: list[Report] = []
    for path in sorted(directory.glob("*.json"), reverse=True):
        with suppress(FleetwheelError, OSError):
            content = files.read_bounded(path, LARGEST)
            if b'"deep": true' in content and (report := read_report(path)).deep:
                found.append(report)
                if not report.environments:
                    break
    return found


def read_report(path: Path) -> Report:
    """Return the report in a file, of whichever schema; FleetwheelError where there is none."""
    LOG.log(DETAIL, "read %s", path)
    try:
        return _parsed(from_json(files.read_bounded(path, LARGEST)))
    except ValidationError as error:
        first = error.errors()[0]
        why = first["msg"].removeprefix("Value error, ")
        place = ".".join(map(str, first["loc"])) or "document"
        raise FleetwheelError(f"{path} is no report: {place}: {why}") from error
    except ValueError as error:
        raise FleetwheelError(f"{path} is no report: {error}") from error
    except FleetwheelError as error:
        raise FleetwheelError(f"{path} {error.message}", hint=error.hint) from error
    except OSError as error:
        raise FleetwheelError(f"{path} cannot be read: {error.strerror}") from error


def _parsed(document: object) -> Report:
    """Return the report that a document holds; what a later version added is passed over."""
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema == report_1.SCHEMA:
        return report_1.parse_report_1(document)
    if isinstance(schema, str) and schema != SCHEMA and schema.startswith("fleetwheel.report/"):
        raise FleetwheelError(
            f"is written in the schema {schema[:40]}, this fleetwheel knows {SCHEMA}",
            hint="use a newer fleetwheel, as the one that wrote it",
        )
    return Report.model_validate(document, extra="ignore")


def compare(old: Report, new: Report) -> Comparison:
    """Return what appeared, what was mended and what stayed between two reports.

    A drift counts as mended only where the later report has looked: not on a host that it could
    not reach, nor in an environment that it leaves out, nor by a quick look where a deep one had
    found it. What is outside the environments that both are about is left out. Raises
    FleetwheelError where they have none in common.
    """
    environments = _common(old.environments, new.environments)
    before = {f.key: f for f in findings(old) if _inside(f, environments)}
    after = {f.key: f for f in findings(new) if _inside(f, environments)}
    seen = Sight(new).seen
    gone = [finding for key, finding in before.items() if key not in after]
    mended = [f for f in gone if f.place in seen and (new.deep or not f.deep)]
    return Comparison(
        old=old.at,
        new=new.at,
        appeared=tuple(f for key, f in after.items() if key not in before),
        mended=tuple(mended),
        unchanged=tuple(f for key, f in after.items() if key in before),
        unknown=tuple(f for f in gone if f not in mended),
        in_one=tuple(sorted({h.name for h in old.hosts} ^ {h.name for h in new.hosts})),
        environments=environments,
    )


def _common(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Return what two reports are about; either is empty for all environments."""
    if not old or not new:
        return (*old, *new)
    if common := tuple(name for name in old if name in new):
        return common
    raise FleetwheelError(
        "the reports have no environment in common:"
        f" the older is about {', '.join(old)}, the newer about {', '.join(new)}"
    )


def _inside(finding: Finding, environments: Sequence[str]) -> bool:
    return not (finding.environment and environments) or finding.environment in environments


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
    about = ", ".join(filter(None, (span, comparison.scope)))
    console.print(f"{about}: {counts or 'nothing was found, then or now'}", highlight=False)
    if names := [printable(name) for name in comparison.in_one]:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        only = f"in one of the reports only: {', '.join(names[:SHOWN])}{more}"
        console.print(escape(only), highlight=False, soft_wrap=True)
    if comparison.nothing:
        return
    everything = [(word, colour, f) for word, colour, found in parts for f in found]
    named = any(f.environment not in ("", DEFAULT) for _, _, f in everything)
    rows = [
        (
            Text(word, style=colour),
            *(f.host, f.environment if named else "", f.kind, f.what, f.expected, f.found),
        )
        for word, colour, f in everything
    ]
    print_rows(("", "host", "environment", "class", "what", "expected", "found"), rows, console)

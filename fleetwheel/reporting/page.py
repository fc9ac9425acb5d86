"""The report as one HTML page: the fleet at a glance, with nothing to fetch from anywhere."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fleetwheel.render import render as filled
from fleetwheel.reporting.cause_view import cause_view
from fleetwheel.reporting.causes import changes, comparable, follow, past_of
from fleetwheel.reporting.finding import TROUBLE, Finding
from fleetwheel.reporting.host_view import TONES, driver_of, host_view, machine_of
from fleetwheel.reporting.report import HostReport, Report, Status
from fleetwheel.terminal import printable

WELL: tuple[Status, ...] = ("changed", "unchanged", "clean")
VERDICTS = {
    "drift": ("as it should be", "as they should be"),
    "deploy": ("set up as asked", "set up as asked"),
    "smoke": ("proved by the smoke test", "proved by the smoke test"),
}
"""What one host is, and what several are, where all is well."""
DENSE = 120
"""Hosts from which on the grid shows shapes alone."""
OPEN = 3
"""Hosts in trouble up to which their details stand open at first."""
BARS = 8
"""Versions that a chart names; the rest are counted together."""
COLUMNS = 30
"""Earlier reports that the history shows."""
OF_THE_PAGE = ("_", "cause-")
"""What ids begin with that are not those of hosts."""
PLACE = "SCRIPT-HASH"


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart."""

    label: str
    count: int
    percent: float
    """Of the longest bar."""


@dataclass(frozen=True)
class Column:
    """One report in the chart of the history; heights are percent of the chart."""

    at: str
    counts: dict[str, int]
    """Hosts by tone, of those in trouble."""
    heights: dict[str, float]
    hosts: int


def render_page(report: Report, earlier: Sequence[Report] = ()) -> str:
    """Return the page of a report; ``earlier`` are those before it, the oldest first.

    Of the earlier ones those count that are about the same environments. All text from hosts is
    shown, never interpreted, and no script but the page's own can run.
    """
    report = report if report.causes else follow(report, earlier)
    earlier = comparable(earlier, report)
    hosts = sorted(report.hosts, key=lambda host: list(TONES).index(host.status))
    troubled = sum(host.status in TROUBLE for host in hosts)
    changed = changes(report, past_of(earlier))
    new = {finding.key for finding in changed.appeared} if changed else set()
    columns = _columns([*earlier, report]) if earlier else []
    anchors = anchors_of(host.name for host in hosts)
    views = [asdict(host_view(host, anchors[host.name], new, troubled <= OPEN)) for host in hosts]
    causes = [asdict(cause_view(cause, report.at, anchors)) for cause in report.causes]
    html = filled(
        "report.html.j2",
        kind=report.kind,
        at=report.at,
        headline=printable(_headline(report)),
        states=_states(hosts),
        causes=_shown(causes),
        hosts=_shown(views),
        troubled=troubled,
        groups=_shown(_groups(views, troubled)),
        classes=sorted({drift.class_ for host in hosts for drift in host.differences}),
        dense=len(hosts) >= DENSE,
        charts=_shown([(title, _bars(values)) for title, values in _charts(hosts)]),
        columns=columns,
        most=max((sum(column.counts.values()) for column in columns), default=0),
        changed=changed,
        mended=_shown([_said(finding) for finding in changed.mended]) if changed else [],
        script_hash=PLACE,
    )
    return html.replace(PLACE, _script_hash(html), 1)


def _headline(report: Report) -> str:
    """Return one sentence on the whole fleet, or on some environments of it."""
    return ": ".join(filter(None, (_verdict(report), report.scope)))


def _verdict(report: Report) -> str:
    total = len(report.hosts)
    well = sum(host.status in WELL for host in report.hosts)
    one, several = VERDICTS[report.kind]
    if total == 1:
        return f"{well} of 1 host is {one}"
    if total and well == total:
        return f"All {total} hosts are {several}"
    return f"{well} of {total} hosts are {several}" if total else "The report names no host"


def _script_hash(html: str) -> str:
    """Return the hash by which the page's policy knows its one script."""
    script = html.partition("<script>")[2].partition("</script>")[0]
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _shown(value: Any) -> Any:
    """Return plain values with every text made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_shown(key): _shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return _shown(asdict(value)) if isinstance(value, Bar) else value


def _states(hosts: Sequence[HostReport]) -> list[tuple[str, str, int]]:
    """Return name, tone and number of hosts of every state that occurs."""
    counts = Counter(host.status for host in hosts)
    return [(status, tone, counts[status]) for status, tone in TONES.items() if counts[status]]


def _groups(views: Sequence[dict[str, Any]], troubled: int) -> list[tuple[str, list[int], int]]:
    """Return each group with the places of its hosts in the list, by name, and how many are ill."""
    groups: dict[str, list[int]] = {}
    for place in sorted(range(len(views)), key=lambda place: views[place]["name"]):
        groups.setdefault(views[place]["group"], []).append(place)
    return [
        (name, places, sum(place < troubled for place in places))
        for name, places in sorted(groups.items())
    ]


def anchors_of(names: Iterable[str]) -> dict[str, str]:
    """Return the name in links of each host: its own, as far as an id can be that is free."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        anchor = "-".join(printable(name).split())
        if anchor.startswith(OF_THE_PAGE):
            anchor = f"host-{anchor}"
        while not anchor or anchor in used:
            anchor += "-"
        used.add(anchor)
        found[name] = anchor
    return found


def _said(finding: Finding) -> str:
    """Return ``ws-1, vision: numpy`` of what is mended."""
    place = ", ".join(filter(None, finding.place))
    return f"{place}: {finding.cause.title}"


def _charts(hosts: Sequence[HostReport]) -> list[tuple[str, list[str]]]:
    """Return the title and the values of all hosts, for every chart that has something to show."""
    profiles = [host.profile for host in hosts if host.profile]
    charts = [
        ("NVIDIA driver", [driver_of(profile) for profile in profiles if profile.gpus]),
        ("PyTorch", [torch for host in hosts for torch in _torches(host)]),
        ("GPUs of a host", [machine_of(profile) for profile in profiles]),
    ]
    known = [(title, [value for value in values if value]) for title, values in charts]
    return [(title, values) for title, values in known if values]


def _torches(host: HostReport) -> set[str]:
    """Return every torch of a host once, in however many environments it is."""
    choices = [each.choice for each in host.environments if each.choice]
    return {f"{choice.torch} {choice.variant}" for choice in choices}


def _bars(values: Sequence[str]) -> list[Bar]:
    """Return how many hosts have each value, the most frequent first."""
    ordered = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    named = ordered if len(ordered) <= BARS else ordered[: BARS - 1]
    rest = sum(count for _, count in ordered[len(named) :])
    rows = [*named, (f"{len(ordered) - len(named)} others", rest)] if rest else named
    longest = max(count for _, count in rows)
    return [Bar(label, count, 100 * count / longest) for label, count in rows]


def _columns(reports: Sequence[Report]) -> list[Column]:
    """Return the hosts in trouble of each report, for the stacked columns of the history."""
    last = reports[-COLUMNS:]
    counted = [
        Counter(TONES[host.status] for host in report.hosts if host.status in TROUBLE)
        for report in last
    ]
    most = max(1, *(counts.total() for counts in counted))
    tones = ("drift", "bad", "gone")
    return [
        Column(
            at=f"{report.at:%Y-%m-%d %H:%M}",
            counts={tone: counts[tone] for tone in tones},
            heights={tone: 100 * counts[tone] / most for tone in tones},
            hosts=len(report.hosts),
        )
        for report, counts in zip(last, counted, strict=True)
    ]

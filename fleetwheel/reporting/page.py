"""The report as one HTML page: the fleet at a glance, with nothing to fetch from anywhere."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fleetwheel.choice.choose import Choice
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import DriverState, Gpu, Profile
from fleetwheel.render import render as filled
from fleetwheel.reporting import history
from fleetwheel.reporting.report import EnvironmentReport, HostReport, Part, Report, Status
from fleetwheel.terminal import printable

TONES: dict[Status, str] = {
    "failed": "bad",
    "refused": "bad",
    "unreachable": "gone",
    "drifted": "drift",
    "on hold": "held",
    "not begun": "held",
    "would change": "moved",
    "changed": "moved",
    "unchanged": "good",
    "clean": "good",
}
"""Shape and colour of each state, the states that need a person first."""
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
PHRASES = 2
"""What the line of a closed host says at most; what else is wrong is counted."""
BARS = 8
"""Versions that a chart names; the rest are counted together."""
COLUMNS = 30
"""Earlier reports that the history shows."""
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


@dataclass(frozen=True)
class Details:
    """What stands below the line of a host, or of an environment, that is opened."""

    why: str
    drift: list[dict[str, Any]]
    facts: list[tuple[str, str]]
    reasons: list[str]
    tests: list[str]


@dataclass(frozen=True)
class Line:
    """A host or an environment as the page shows it: one line until it is opened."""

    name: str
    status: str
    tone: str
    headline: str
    runs: str
    """Which torch, or how many environments."""
    open: bool
    details: Details


@dataclass(frozen=True)
class View(Line):
    """One host as the page shows it."""

    group: str
    machine: str
    classes: list[str]
    environments: list[Line]
    """None where there is only one: its details stand among those of the host."""


def render_page(report: Report, earlier: Sequence[Report] = ()) -> str:
    """Return the page of a report; ``earlier`` are those before it, the oldest first.

    All text from hosts is shown, never interpreted, and no script but the page's own can run.
    """
    hosts = sorted(report.hosts, key=lambda host: list(TONES).index(host.status))
    troubled = sum(host.status in history.TROUBLE for host in hosts)
    comparison = history.compare(earlier[-1], report) if earlier else None
    new = {finding.key for finding in comparison.appeared} if comparison else set()
    columns = _columns([*earlier, report]) if earlier else []
    views = [asdict(_view(host, new, troubled <= OPEN)) for host in hosts]
    html = filled(
        "report.html.j2",
        kind=report.kind,
        at=report.at,
        headline=_headline(report),
        states=_states(hosts),
        hosts=_shown(views),
        troubled=troubled,
        groups=_shown(list(_groups(views).items())),
        classes=sorted({drift.class_ for host in hosts for drift in host.differences}),
        dense=len(hosts) >= DENSE,
        charts=_shown([(title, _bars(values)) for title, values in _charts(hosts)]),
        columns=columns,
        most=max((sum(column.counts.values()) for column in columns), default=0),
        comparison=comparison,
        script_hash=PLACE,
    )
    return html.replace(PLACE, _script_hash(html), 1)


def _headline(report: Report) -> str:
    """Return one sentence on the whole fleet."""
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


def _groups(views: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """Return the places of each group's hosts in the list, in the order of their names."""
    groups: dict[str, list[int]] = {}
    for place in sorted(range(len(views)), key=lambda place: views[place]["name"]):
        groups.setdefault(views[place]["group"], []).append(place)
    return dict(sorted(groups.items()))


def _view(host: HostReport, new: set[history.Key], unfold: bool) -> View:
    own, *_ = host.parts
    several = len(host.environments) > 1
    inside = [_details(host, part, new) for part in host.parts[1:]]
    details = _details(host, own, new)
    return View(
        name=host.name,
        group=host.group,
        status=host.status,
        tone=TONES[host.status],
        headline=_phrases(host),
        machine=_machine(host.profile),
        runs=_runs(host),
        open=unfold and host.status in history.TROUBLE,
        classes=sorted({drift.class_ for drift in host.differences}),
        details=details if several else _together([details, *inside]),
        environments=[
            _line(environment, found)
            for environment, found in zip(host.environments, inside, strict=True)
            if several
        ],
    )


def _line(environment: EnvironmentReport, details: Details) -> Line:
    return Line(
        name=environment.name,
        status=environment.status,
        tone=TONES[environment.status],
        headline=_phrase(environment),
        runs=_torch(environment.choice),
        open=environment.status in history.TROUBLE,
        details=details,
    )


def _details(host: HostReport, part: Part, new: set[history.Key]) -> Details:
    facts = _environment_facts(part) if part.environment else _host_facts(host)
    reasons = part.choice.reasons if part.choice else ()
    return Details(
        why=part.why,
        drift=[
            {
                **drift.model_dump(by_alias=True),
                "new": (host.name, part.environment, drift.class_, drift.what) in new,
            }
            for drift in part.drift
        ],
        facts=[(term, text) for term, text in facts if text],
        reasons=[line for line in reasons if line not in part.why],
        tests=_tests(part.smoke),
    )


def _together(parts: Sequence[Details]) -> Details:
    return Details(
        why="\n".join(part.why for part in parts if part.why),
        drift=[drift for part in parts for drift in part.drift],
        facts=[fact for part in parts for fact in part.facts],
        reasons=[line for part in parts for line in part.reasons],
        tests=[line for part in parts for line in part.tests],
    )


def _phrases(host: HostReport) -> str:
    """Return what is wrong with a host, and in which environments, in a few words."""
    troubled = [p for s in TONES if s in history.TROUBLE for p in host.parts if p.status == s]
    names: dict[str, list[str]] = {}
    for part in troubled or host.parts:
        if text := _phrase(part):
            names.setdefault(text, []).append(part.environment)
    said = [_placed(text, where, host) for text, where in names.items()]
    more = [f"{len(said) - PHRASES} more"] if len(said) > PHRASES else []
    return "; ".join([*said[:PHRASES], *more])


def _phrase(part: Part | EnvironmentReport) -> str:
    whats = dict.fromkeys(drift.what for drift in part.drift)
    return ", ".join(whats) or part.why.partition("\n")[0]


def _placed(text: str, names: Sequence[str], host: HostReport) -> str:
    if "" in names or len(names) == len(host.environments):
        return text
    where = f"{len(names)} environments" if len(names) > PHRASES else ", ".join(names)
    return f"{where}: {text}"


def _runs(host: HostReport) -> str:
    """Return the torch of the one environment, or how many there are."""
    if len(host.environments) > 1:
        return f"{len(host.environments)} environments"
    said = [(each.name, _torch(each.choice)) for each in host.environments]
    return "".join(text if name == DEFAULT else f"{name}: {text}" for name, text in said if text)


def _torch(choice: Choice | None) -> str:
    return f"torch {choice.torch} {choice.variant}" if choice else ""


def _machine(profile: Profile | None) -> str:
    """Return ``2 x GeForce RTX 4090``, ``no GPU``, or nothing of a host that said nothing."""
    if profile is None:
        return ""
    names = Counter(_model(gpu) for gpu in profile.gpus)
    return ", ".join(f"{count} × {name}" for name, count in names.items()) or "no GPU"  # noqa: RUF001


def _model(gpu: Gpu) -> str:
    return gpu.name.removeprefix("NVIDIA ")


def _driver(profile: Profile) -> str:
    driver = profile.driver
    return driver.version or "" if driver.state is DriverState.OK else driver.state.value


def _host_facts(host: HostReport) -> Iterable[tuple[str, str]]:
    """Return what a person asks first about a machine."""
    yield "Group", host.group
    if profile := host.profile:
        memory = f"{profile.memory_total_mib / 1024:.0f} GiB" if profile.memory_total_mib else ""
        yield "System", ", ".join(filter(None, (profile.distribution, profile.arch, memory)))
        yield "Driver", _driver(profile)
        yield "GPUs", "\n".join(_gpu(gpu) for gpu in profile.gpus)
        yield "Could not be seen", "\n".join(profile.problems)
    yield "Trust", host.trusted


def _environment_facts(part: Part) -> Iterable[tuple[str, str]]:
    """Return what stands in an environment."""
    if choice := part.choice:
        yield "Python", choice.python.version
        yield "Packages", ", ".join(f"{name} {v}" for name, v in choice.packages.items())
        yield "From", choice.source.redacted if choice.source else ""
    yield "Generation", part.generation or ""


def _gpu(gpu: Gpu) -> str:
    memory = f"{gpu.memory_total_mib / 1024:.0f} GiB" if gpu.memory_total_mib else ""
    parts = (f"{gpu.index}: {_model(gpu)}", memory, gpu.pci_bus_id, gpu.uuid)
    return ", ".join(part for part in parts if part)


def _tests(smoke: dict[str, Any] | None) -> list[str]:
    """Return what the smoke test said: its summary of each device, and its faults."""
    if smoke is None:
        return []
    devices = [item.get("summary") for item in _items(smoke, "devices")]
    faults = [f"{item.get('meaning')}: {item.get('repair')}" for item in _items(smoke, "faults")]
    verdict = "passed" if smoke.get("passed") else "failed"
    return [str(line) for line in (*devices, *faults) if line] or [verdict]


def _items(smoke: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = smoke.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _charts(hosts: Sequence[HostReport]) -> list[tuple[str, list[str]]]:
    """Return the title and the values of all hosts, for every chart that has something to show."""
    profiles = [host.profile for host in hosts if host.profile]
    charts = [
        ("NVIDIA driver", [_driver(profile) for profile in profiles if profile.gpus]),
        ("PyTorch", [torch for host in hosts for torch in _torches(host)]),
        ("GPUs of a host", [_machine(profile) for profile in profiles]),
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
        Counter(TONES[host.status] for host in report.hosts if host.status in history.TROUBLE)
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

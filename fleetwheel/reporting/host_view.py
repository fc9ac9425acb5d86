"""One host as the page shows it: a line until it is opened, and what stands below."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fleetwheel.choice.choose import Choice
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import DriverState, Gpu, Profile
from fleetwheel.reporting.finding import TROUBLE, Key
from fleetwheel.reporting.report import EnvironmentReport, HostReport, Part, Status

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
PHRASES = 2
"""What the line of a closed host says at most; what else is wrong is counted."""


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
class HostView(Line):
    """One host as the page shows it."""

    anchor: str
    """Its name in links."""
    group: str
    machine: str
    classes: list[str]
    environments: list[Line]
    """None where there is only one: its details stand among those of the host."""


def host_view(host: HostReport, anchor: str, new: set[Key], unfold: bool) -> HostView:
    """Return what the page shows of a host; ``new`` marks drift, ``unfold`` opens trouble."""
    own, *_ = host.parts
    several = len(host.environments) > 1
    inside = [_details(host, part, new) for part in host.parts[1:]]
    details = _details(host, own, new)
    return HostView(
        name=host.name,
        anchor=anchor,
        group=host.group,
        status=host.status,
        tone=TONES[host.status],
        headline=_phrases(host),
        machine=_machine(host),
        runs=_runs(host),
        open=unfold and host.status in TROUBLE,
        classes=sorted({drift.class_ for drift in host.differences}),
        details=details if several else _together([details, *inside]),
        environments=[
            _line(environment, found)
            for environment, found in zip(host.environments, inside, strict=True)
            if several
        ],
    )


def _machine(host: HostReport) -> str:
    """Return the GPUs of a host; of one that says nothing, those that it had."""
    if host.last_seen is None:
        return machine_of(host.profile)
    return f"{machine_of(host.last_seen.profile)} on {host.last_seen.at:%d %b %Y}"


def _line(environment: EnvironmentReport, details: Details) -> Line:
    return Line(
        name=environment.name,
        status=environment.status,
        tone=TONES[environment.status],
        headline=_phrase(environment),
        runs=_torch(environment.choice),
        open=environment.status in TROUBLE,
        details=details,
    )


def _details(host: HostReport, part: Part, new: set[Key]) -> Details:
    facts = _environment_facts(part) if part.environment else _host_facts(host)
    reasons = part.choice.reasons if part.choice else ()
    return Details(
        why="" if part.status == "drifted" and part.drift else part.why,  # the drift says it
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
    troubled = [p for s in TONES if s in TROUBLE for p in host.parts if p.status == s]
    names: dict[str, list[str]] = {}
    for part in troubled or host.parts:
        if text := _phrase(part):
            names.setdefault(text, []).append(part.environment)
    said = [_placed(text, where, host) for text, where in names.items()]
    more = [f"{len(said) - PHRASES} more"] if len(said) > PHRASES else []
    return "; ".join([*said[:PHRASES], *more])


def _phrase(part: Part | EnvironmentReport) -> str:
    whats = dict.fromkeys(drift.what for drift in part.drift)
    if not whats and part.cause:
        return part.cause.what.partition("\n")[0]
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


def _ran(environments: Sequence[EnvironmentReport]) -> list[str]:
    return [f"{each.name}: {_torch(each.choice)}" for each in environments if each.choice]


def _torch(choice: Choice | None) -> str:
    return f"torch {choice.torch} {choice.variant}" if choice else ""


def machine_of(profile: Profile | None) -> str:
    """Return ``2 x GeForce RTX 4090``, ``no GPU``, or nothing of a host that said nothing."""
    if profile is None:
        return ""
    names = Counter(_model(gpu) for gpu in profile.gpus)
    return ", ".join(f"{count} × {name}" for name, count in names.items()) or "no GPU"  # noqa: RUF001


def _model(gpu: Gpu) -> str:
    return gpu.name.removeprefix("NVIDIA ")


def driver_of(profile: Profile) -> str:
    """Return the driver's version, or its state where it does not work."""
    driver = profile.driver
    return driver.version or "" if driver.state is DriverState.OK else driver.state.value


def _host_facts(host: HostReport) -> Iterable[tuple[str, str]]:
    """Return what a person asks first about a machine."""
    yield "Group", host.group
    if profile := host.profile:
        memory = f"{profile.memory_total_mib / 1024:.0f} GiB" if profile.memory_total_mib else ""
        yield "System", ", ".join(filter(None, (profile.distribution, profile.arch, memory)))
        yield "Driver", driver_of(profile)
        yield "GPUs", "\n".join(_gpu(gpu) for gpu in profile.gpus)
        yield "Could not be seen", "\n".join(profile.problems)
    yield "Trust", host.trusted
    yield "Looked at", f"{host.at:%d %B %Y, %H:%M} UTC" if host.at else ""
    if last := host.last_seen:
        yield "Last seen", f"{last.at:%d %B %Y, %H:%M} UTC"
        yield "Driver then", driver_of(last.profile)
        yield "GPUs then", "\n".join(_gpu(gpu) for gpu in last.profile.gpus)
        yield "PyTorch then", "\n".join(_ran(last.environments))
    if host.last_success:
        yield "Last in order", f"{host.last_success:%d %B %Y, %H:%M} UTC"


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

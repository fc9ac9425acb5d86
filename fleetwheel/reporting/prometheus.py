"""A drift report for Prometheus, as a text file for node_exporter."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from fleetwheel.choice.outlook import outlook
from fleetwheel.choice.request import Request
from fleetwheel.host.profile import Profile
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.reporting.causes import follow
from fleetwheel.reporting.report import (
    HostReport,
    Part,
    Report,
    Status,
    drift_exit_status,
)
from fleetwheel.terminal import printable

LONGEST = 64
"""Characters of a label: what a host says of itself must not grow without bound."""
SEEN: tuple[Status, ...] = ("clean", "drifted", "on hold")
STATUSES: tuple[Status, ...] = (*SEEN, "refused", "failed", "unreachable")
"""All that a check can end with."""
INFO = ("environment", "driver", "torch", "variant")


def metrics(report: Report, earlier: Sequence[Report] = ()) -> str:
    """Return gauges for every host; ``earlier`` tell when each was last as it should be.

    Only reports of all environments tell that: a look at some of them leaves it as it was.
    What belongs to an environment names it in a label, which is empty for the host's own.
    """
    report = follow(report, earlier)
    registry = CollectorRegistry()
    drift = _gauge(registry, "drift", "Differences from what it should be", "environment", "class")
    up = _gauge(registry, "up", "Whether the host could be looked at, with all its environments")
    success = _gauge(registry, "last_success_timestamp_seconds", "When the host last had no drift")
    info = _gauge(registry, "info", "What stands on the host; always 1", *INFO)
    status = _gauge(
        registry,
        *("status", "1 for the status of a host, and for that of each environment; 0 for others"),
        *("group", "environment", "status"),
    )
    newest = _gauge(registry, "newest_torch_runs", "Whether the newest PyTorch runs on it", "torch")
    smoke = _gauge(registry, "smoke_passed", "Whether the last smoke test passed", "environment")
    checked = Gauge(
        "fleetwheel_check_timestamp_seconds", "When drift was looked for", registry=registry
    )
    checked.set(report.at.timestamp())
    ended = Gauge("fleetwheel_check_exit_code", "How the check ended: 0 is good", registry=registry)
    ended.set(drift_exit_status(report))
    for host in report.hosts:
        name = label(host.name)
        up.labels(name).set(host.status in SEEN)
        for environment, found in _statuses(host):
            for each in STATUSES:
                status.labels(name, label(host.group), environment, each).set(each == found)
        for part in report.seen(host):
            if part.status is None or part.status in SEEN:
                for class_ in part.classes:
                    count = sum(found.class_ == class_ for found in part.drift)
                    drift.labels(name, part.environment, class_).set(count)
        for part in _described(report, host):
            info.labels(name, *_labels(host, part)).set(1)
            if part.smoke:
                smoke.labels(name, part.environment).set(part.smoke.get("passed") is True)
        if host.profile and host.status in SEEN:
            release, runs = _newest(host.profile)
            newest.labels(name, release).set(runs)
        if host.last_success:
            success.labels(name).set(host.last_success.timestamp())
    return generate_latest(registry).decode()


def _statuses(host: HostReport) -> list[tuple[str, Status]]:
    """Return the worst status of a host, for no environment, and that of each of them."""
    return [("", host.status), *((each.name, each.status) for each in host.environments)]


def _newest(profile: Profile) -> tuple[str, bool]:
    """Return the newest PyTorch that is known here, and whether a host can run it."""
    found = outlook(profile, Request(), load_matrix())
    return found.newest, found.served


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"fleetwheel_host_{name}", text, ["host", *labels], registry=registry)


def _described(report: Report, host: HostReport) -> list[Part]:
    """Return the environments that could be looked at; the host itself where it has none."""
    own, *environments = host.parts
    alone = [] if report.environments else [own]
    return [part for part in environments or alone if part.status in SEEN]


def _labels(host: HostReport, part: Part) -> tuple[str, ...]:
    driver = host.profile.driver.version if host.profile else None
    torch, variant = (part.choice.torch, str(part.choice.variant)) if part.choice else ("", "")
    return part.environment, label(driver or ""), label(torch), label(variant)


def label(text: str) -> str:
    """Return a text as the value of a label."""
    return printable(text).replace("\n", "?")[:LONGEST]

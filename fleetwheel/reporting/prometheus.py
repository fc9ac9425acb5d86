"""A drift report for Prometheus, as a text file for node_exporter."""

from collections.abc import Mapping, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from fleetwheel.reporting.report import DriftClass, HostReport, Report
from fleetwheel.terminal import printable

LONGEST = 64
"""Characters of a label: what a host says of itself must not grow without bound."""


def metrics(report: Report, earlier: Sequence[Report] = ()) -> str:
    """Return gauges for every host; ``earlier`` tell when each was last as it should be."""
    registry = CollectorRegistry()
    drift = _gauge(registry, "drift", "Differences from what the host should be", "class")
    up = _gauge(registry, "up", "Whether the host could be looked at")
    success = _gauge(registry, "last_success_timestamp_seconds", "When the host last had no drift")
    info = _gauge(
        registry, "info", "What the host runs; always 1", "driver", "torch", "variant", "status"
    )
    checked = Gauge(
        "fleetwheel_check_timestamp_seconds", "When drift was looked for", registry=registry
    )
    checked.set(report.at.timestamp())
    last = _last_clean([*earlier, report])
    for host in report.hosts:
        name = label(host.name)
        seen = host.status in ("clean", "drifted", "on hold")
        up.labels(name).set(seen)
        if seen:
            info.labels(name, *_labels(host)).set(1)
            for class_ in get_args(DriftClass):
                count = sum(found.class_ == class_ for found in host.drift)
                drift.labels(name, class_).set(count)
        if host.name in last:
            success.labels(name).set(last[host.name])
    return generate_latest(registry).decode()


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"fleetwheel_host_{name}", text, ["host", *labels], registry=registry)


def _labels(host: HostReport) -> tuple[str, str, str, str]:
    driver = host.profile.driver.version if host.profile else None
    torch, variant = (host.choice.torch, str(host.choice.variant)) if host.choice else ("", "")
    return label(driver or ""), label(torch), label(variant), host.status


def label(text: str) -> str:
    """Return a text as the value of a label."""
    return printable(text).replace("\n", "?")[:LONGEST]


def _last_clean(reports: Sequence[Report]) -> Mapping[str, float]:
    """Return when each host was last clean, in seconds since 1970."""
    clean = [
        (host.name, r.at.timestamp()) for r in reports for host in r.hosts if host.status == "clean"
    ]
    return dict(clean)

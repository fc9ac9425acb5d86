"""Debian's Prometheus, node_exporter and Alertmanager out of their packages, not installed."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.rig import daemons

PACKAGES = ("prometheus", "prometheus-node-exporter", "prometheus-alertmanager")
SECONDS = 60
PROMETHEUS = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{node}"], labels: {{instance: watch}}}}]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:{alerts}"]}}]
"""
MOUNT = 'mount --bind "$0" /usr/share && exec "$@"'
"""Alertmanager has the place of its templates built in."""
ALERTMANAGER = """\
route: {receiver: nobody, group_by: [alertname], group_wait: 0s}
receivers: [{name: nobody}]
"""


def missing() -> str | None:
    """Return what keeps this machine from running Prometheus."""
    return daemons.missing("Debian's Alertmanager reads /usr/share, which only root can mount")


def unpacked(directory: Path) -> Path | None:
    """Return the directory of the programs; None where apt does not have the packages."""
    tree = daemons.unpacked(directory, PACKAGES)
    return tree and tree / "usr/bin"


class Watch:
    """A running Prometheus that reads the text files of a directory by node_exporter."""

    def __init__(self, textfiles: Path, prometheus: int, alertmanager: int) -> None:
        self.textfiles = textfiles
        self.prometheus = prometheus
        self.alertmanager = alertmanager

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return what Alertmanager has to tell, by the name of the alert."""
        found = _json(f"http://127.0.0.1:{self.alertmanager}/api/v2/alerts?active=true")
        now = time.time()
        return {a["labels"]["alertname"]: a for a in found if _timestamp(a["endsAt"]) > now}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus answers to a query, now."""
        word = urllib.parse.quote(expression)
        found = _json(f"http://127.0.0.1:{self.prometheus}/api/v1/query?query={word}")
        rows: list[dict[str, Any]] = found["data"]["result"]
        return rows

    def wait(self, is_so: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
        """Return the alerts once they are as wanted."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = self.alerts()
            if is_so(found):
                return found
            time.sleep(0.3)
        raise AssertionError(f"the alerts are {sorted(self.alerts())}")


@contextmanager
def prometheus(programs: Path, place: Path, rules: Path) -> Iterator[Watch]:
    """Run all three with these rules, until the block ends."""
    textfiles = place / "textfiles"
    textfiles.mkdir(parents=True)
    node, alerts, server = daemons.free_ports(3)
    (place / "prometheus.yml").write_text(
        PROMETHEUS.format(rules=rules.resolve(), node=node, alerts=alerts)
    )
    (place / "alertmanager.yml").write_text(ALERTMANAGER)
    listen = "--web.listen-address=127.0.0.1"
    collector = ["--collector.disable-defaults", "--collector.textfile"]
    commands: list[tuple[str, list[str]]] = [
        (
            "prometheus-node-exporter",
            [f"{listen}:{node}", *collector, f"--collector.textfile.directory={textfiles}"],
        ),
        (
            "prometheus-alertmanager",
            [
                f"{listen}:{alerts}",
                "--cluster.listen-address=",
                f"--config.file={place}/alertmanager.yml",
                f"--storage.path={place}/alerts",
            ],
        ),
        (
            "prometheus",
            [
                f"{listen}:{server}",
                f"--config.file={place}/prometheus.yml",
                f"--storage.tsdb.path={place}/data",
            ],
        ),
    ]
    share = programs.parent / "share"
    with ExitStack() as running:
        for name, options in commands:
            command = ["unshare", "--mount", "sh", "-c", MOUNT, share, programs / name, *options]
            running.enter_context(daemons.daemon(command, place / f"{name}.log"))
        for port in (alerts, server):
            _wait_until_ready(port)
        yield Watch(textfiles, server, alerts)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"nobody answers at port {port}")


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _timestamp(text: str) -> float:
    """Return the seconds since 1970 of a time as Alertmanager writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

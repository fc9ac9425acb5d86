"""The alert rules: each fires and resolves by what the product writes, in the real Prometheus."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fleetwheel.reporting.prometheus import metrics
from fleetwheel.reporting.report import Drift, EnvironmentReport, HostReport, Report
from tests.rig.prometheus import missing, prometheus, unpacked
from tests.samples import GPU_HOST

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
RULES = Path("monitoring/fleetwheel.rules.yaml")
DASHBOARD = Path("monitoring/grafana-dashboard.json")
BEGIN = datetime.fromtimestamp(0, UTC)
"""When promtool's clock begins."""
DRIFT = Drift.model_validate(
    {"class": "driver", "what": "version", "expected": "580", "found": "570", "repair": "deploy"}
)
OLD = GPU_HOST.model_copy(
    update={"driver": GPU_HOST.driver.model_copy(update={"version": "450.80.02", "cuda": "11.0"})}
)
PULL = 'fleetwheel_pull_exit_code{{host="gpu-01",stage="install"}} {}\n'
HOURS = 24 * 12
Phase = Callable[[int], str]
"""What the text file holds at an hour; empty where there is none."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = unpacked(tmp_path_factory.mktemp("prometheus") / "packages")
    if found is None:
        pytest.skip("apt does not have Prometheus")
    return found


def host(**said: Any) -> HostReport:
    return HostReport(
        name="gpu-01", group="lab", **{"status": "clean", "profile": GPU_HOST, **said}
    )


def after_test(passed: bool) -> HostReport:
    return host().with_environments(
        [EnvironmentReport(name="nlp", status="clean", generation="x-1", smoke={"passed": passed})]
    )


def check(hour: int, said: HostReport, last: int | None = None) -> str:
    """Return what a check writes at an hour, if the one of the hour ``last`` found nothing."""
    at = BEGIN + timedelta(hours=hour)
    report = Report(kind="drift", at=at, hosts=(said,))
    clean = BEGIN + timedelta(hours=hour if last is None else last)
    earlier = [] if last is None else [Report(kind="drift", at=clean, hosts=(host(),))]
    return metrics(report, earlier)


WELL: Phase = lambda hour: check(hour, host())  # noqa: E731
ALERTS: dict[str, tuple[Phase, dict[str, str]]] = {
    "FleetwheelDrift": (
        lambda hour: check(hour, host(status="drifted", drift=(DRIFT,)), 9),
        {"host": "gpu-01", "class": "driver", "severity": "warning"},
    ),
    "FleetwheelUnreachable": (
        lambda hour: check(hour, host(status="unreachable", profile=None), 9),
        {"host": "gpu-01", "group": "lab", "severity": "warning"},
    ),
    "FleetwheelCheckFailed": (
        lambda hour: check(hour, host(status="refused", profile=None), 9),
        {"host": "gpu-01", "group": "lab", "status": "refused", "severity": "warning"},
    ),
    "FleetwheelSmokeTestFailed": (
        lambda hour: check(hour, after_test(False), 9),
        {"host": "gpu-01", "environment": "nlp", "severity": "critical"},
    ),
    "FleetwheelNewestTorchLost": (
        lambda hour: check(hour, host(profile=OLD)),
        {"host": "gpu-01", "severity": "info"},
    ),
    "FleetwheelPullFailed": (
        lambda hour: check(hour, host()) + PULL.format(4),
        {"host": "gpu-01", "stage": "install", "severity": "warning"},
    ),
    "FleetwheelNoSuccess": (
        lambda hour: check(hour, host(status="unreachable", profile=None), 9),
        {"host": "gpu-01", "severity": "warning"},
    ),
    "FleetwheelCheckStale": (
        lambda hour: check(9, host()),
        {"instance": "watch", "severity": "warning"},
    ),
    "FleetwheelTextFileGone": (
        lambda hour: "",
        {"instance": "watch", "severity": "warning"},
    ),
}
"""Of each alert what is written while it should fire, and its labels."""
LATE = {"FleetwheelNoSuccess": 9 + 24 * 7, "FleetwheelCheckStale": 9 + 48}
"""Hours until which an alert waits."""


def test_each_rule_is_tried() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    assert {rule["alert"] for rule in group["rules"]} == {*ALERTS}


def series(phase: Phase) -> list[dict[str, str]]:
    """Return what promtool takes: well for ten hours, then a phase, then well for a day."""
    values: dict[str, list[str]] = defaultdict(lambda: ["_"] * HOURS)
    for hour in range(HOURS):
        ill = 10 <= hour < HOURS - 24
        for family in text_string_to_metric_families((phase if ill else WELL)(hour)):
            for sample in family.samples:
                labels = {**sample.labels, "instance": "watch"}
                named = ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
                values[f"{sample.name}{{{named}}}"][hour] = str(sample.value)
    return [{"series": name, "values": " ".join(found)} for name, found in values.items()]


@pytest.mark.parametrize("alert", [*ALERTS])
def test_an_alert_fires_and_resolves(programs: Path, tmp_path: Path, alert: str) -> None:
    phase, labels = ALERTS[alert]
    fires = LATE.get(alert, 10) + 2
    before, after = fires - 3, HOURS - 20
    wanted = {"alertname": alert, "alertstate": "firing", **labels}
    selected = ",".join(f"{key}={json.dumps(value)}" for key, value in wanted.items())
    document = {
        "rule_files": [str(RULES.resolve())],
        "evaluation_interval": "1h",
        "tests": [
            {
                "interval": "1h",
                "input_series": series(phase),
                "alert_rule_test": [
                    {"eval_time": f"{hour}h", "alertname": alert, "exp_alerts": expected}
                    for hour, expected in ((before, []), (after, []))
                ],
                "promql_expr_test": [
                    {
                        "expr": f"count(ALERTS{{{selected}}})",
                        "eval_time": f"{fires}h",
                        "exp_samples": [{"value": 1, "labels": "{}"}],
                    },
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(document))
    command = [programs / "promtool", "test", "rules", file]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_alertmanager_is_told_and_told_again_when_it_is_over(
    programs: Path, tmp_path: Path
) -> None:
    """All three daemons, and the file that `fleetwheel drift --prometheus` writes."""
    with prometheus(programs, tmp_path / "watch", RULES) as watch:
        file = watch.textfiles / "fleetwheel.prom"

        def write(said: HostReport) -> None:
            report = Report(kind="drift", at=datetime.now(UTC), hosts=(said,))
            (tmp_path / "new").write_text(metrics(report))
            (tmp_path / "new").replace(file)

        write(host(status="drifted", drift=(DRIFT,)))
        drifted = watch.wait(lambda alerts: "FleetwheelDrift" in alerts)["FleetwheelDrift"]
        assert drifted["labels"]["host"] == "gpu-01"
        assert drifted["annotations"]["summary"] == "gpu-01: 1 driver difference"
        assert "--limit 'gpu-01'" in drifted["annotations"]["description"]
        write(host(status="unreachable", profile=None))
        watch.wait(lambda alerts: [*alerts] == ["FleetwheelUnreachable"])
        write(host())
        watch.wait(lambda alerts: not alerts)
        found = {panel["title"]: watch.query(expression(panel)) for panel in panels()}
        assert {title: len(rows) for title, rows in found.items()} == {
            **dict.fromkeys(found, 0),
            "Hosts by status": 6,
            "Hosts by status over time": 6,
            "Since the last check": 1,
            "Differences over time": 4,
            "Environments by PyTorch": 1,
            "Hosts by driver": 1,
        }
        clean = [row for row in found["Hosts by status"] if row["metric"]["status"] == "clean"]
        assert clean[0]["value"][1] == "1"


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expression(panel: dict[str, Any]) -> str:
    """Return the query of a panel, for all groups."""
    (target,) = panel["targets"]
    return str(target["expr"]).replace("$group", ".*")


def test_the_dashboard_is_what_its_description_makes(tmp_path: Path) -> None:
    copy = tmp_path / "dashboard.py"
    copy.write_text(Path("monitoring/dashboard.py").read_text())
    subprocess.run([sys.executable, copy], check=True)
    assert (tmp_path / DASHBOARD.name).read_text() == DASHBOARD.read_text()
    placed = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y)
        for place in placed
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len({*cells}), "panels overlap"
    assert max(x for x, y in cells) < 24

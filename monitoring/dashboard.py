"""Write grafana-dashboard.json beside this file: python monitoring/dashboard.py."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

FILE = Path(__file__).with_name("grafana-dashboard.json")
WIDTH = 24
"""Columns of Grafana's grid."""


class Panel(NamedTuple):
    """One panel: what it shows, and how much of the grid it takes."""

    title: str
    kind: Literal["stat", "table", "timeseries"]
    query: str
    legend: str
    width: int
    height: int
    unit: str = "none"


PANELS = (
    Panel(
        "Hosts by status",
        "stat",
        'sum by (status) (fleetwheel_host_status{environment="",group=~"$group"})',
        "{{status}}",
        16,
        4,
    ),
    Panel(
        "Since the last check",
        "stat",
        "time() - max(fleetwheel_check_timestamp_seconds)",
        "",
        8,
        4,
        "s",
    ),
    Panel(
        "Differences",
        "table",
        "max by (host, environment, class) (fleetwheel_host_drift) > 0",
        "",
        12,
        9,
    ),
    Panel(
        "Without success for a day or more",
        "table",
        "time() - max by (host) (fleetwheel_host_last_success_timestamp_seconds) > 86400",
        "",
        12,
        9,
        "s",
    ),
    Panel(
        "Differences over time",
        "timeseries",
        "sum by (class) (fleetwheel_host_drift)",
        "{{class}}",
        12,
        8,
    ),
    Panel(
        "Hosts by status over time",
        "timeseries",
        'sum by (status) (fleetwheel_host_status{environment="",group=~"$group"})',
        "{{status}}",
        12,
        8,
    ),
    Panel(
        "Environments by PyTorch",
        "table",
        "count by (torch, variant) (fleetwheel_host_info)",
        "",
        8,
        8,
    ),
    Panel("Hosts by driver", "table", "count by (driver) (fleetwheel_host_info)", "", 8, 8),
    Panel(
        "Where the newest PyTorch does not run",
        "table",
        "min by (host, torch) (fleetwheel_host_newest_torch_runs) == 0",
        "",
        8,
        8,
    ),
)
GROUP = {
    "name": "group",
    "label": "Group",
    "type": "query",
    "query": "label_values(fleetwheel_host_status, group)",
    "datasource": {"type": "prometheus", "uid": "${source}"},
    "refresh": 2,
    "includeAll": True,
    "allValue": ".*",
    "multi": True,
    "current": {"text": "All", "value": "$__all"},
}
SOURCE = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it: its JSON model."""
    panels, left, top, tallest = [], 0, 0, 0
    for number, panel in enumerate(PANELS, start=1):
        if left + panel.width > WIDTH:
            left, top, tallest = 0, top + tallest, 0
        place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
        panels.append({"id": number, "gridPos": place, **_panel(panel)})
        left, tallest = left + panel.width, max(tallest, panel.height)
    return {
        "uid": "fleetwheel",
        "title": "fleetwheel",
        "tags": ["fleetwheel"],
        "schemaVersion": 39,
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "5m",
        "templating": {"list": [SOURCE, GROUP]},
        "panels": panels,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    table = panel.kind == "table"
    target = {
        "refId": "A",
        "expr": panel.query,
        "legendFormat": panel.legend or "__auto",
        "instant": panel.kind != "timeseries",
        "range": panel.kind == "timeseries",
        "format": "table" if table else "time_series",
    }
    hidden = {"id": "organize", "options": {"excludeByName": {"Time": True}}}
    return {
        "title": panel.title,
        "type": panel.kind,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [target],
        "transformations": [hidden] if table else [],
    }


def text() -> str:
    """Return the file as it is to be."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

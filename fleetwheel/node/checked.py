"""What a check of a host found, and how it is printed for people and for engines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from fleetwheel.node.compare import Difference

STATES = ("ok", "warning", "critical", "unknown")
"""By their exit code, which is that of a plugin for Nagios."""
NPD_CODES = {"ok": 0, "warning": 0, "critical": 1, "unknown": 2}
"""Those of a custom plugin for Kubernetes' node-problem-detector: healthy, a problem, unknown."""
NPD_LINE, SLURM_LINE = 80, 200
"""Characters of a message that node-problem-detector keeps, and those of a node's reason here."""


class Looked(NamedTuple):
    """What a check found in one environment."""

    name: str
    record: Mapping[str, Any]
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    smoke: Mapping[str, Any] | None = None
    """The document of the test, where it ran."""


class Checked(NamedTuple):
    """What a check found."""

    state: str
    """One of ``STATES``."""
    summary: str
    """One line for people."""
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    """What breaks nothing yet: a test from before a boot, a hold."""
    environments: tuple[Looked, ...] = ()
    gpus: int = 0
    seconds: float = 0.0


def difference_line(difference: Difference) -> str:
    return (
        f"{difference.class_}: {difference.what}: expected {difference.expected},"
        f" found {difference.found}"
    )


def as_text(found: Checked) -> str:
    lines = [f"{found.state}: {found.summary}"]
    for difference in found.differences:
        lines += [f"  {difference_line(difference)}", f"    repair: {difference.repair}"]
    lines += [f"  {note}" for note in found.notes]
    return "\n".join("".join(filter(str.isprintable, line)) for line in lines)


def as_nagios(found: Checked) -> str:
    """Return the line and the long output of a plugin; a bar would begin its figures."""
    figures = {
        "differences": len(found.differences),
        "gpus": found.gpus,
        "time": f"{found.seconds}s",
    }
    data = " ".join(f"{name}={value};;;0" for name, value in figures.items())
    first, *more = as_text(found).replace("|", "/").splitlines()
    head = first.partition(": ")[2]
    return "\n".join([f"FLEETWHEEL {found.state.upper()} - {head} | {data}", *more])


def as_slurm(found: Checked) -> str:
    """Return why the node should be drained, or why nobody knows; empty where all is well."""
    bad = found.state in ("critical", "unknown")
    return one_line(f"fleetwheel: {found.summary}", SLURM_LINE) if bad else ""


def as_npd(found: Checked) -> str:
    """Return a message for node-problem-detector, which cuts a longer one."""
    return one_line(found.summary, NPD_LINE)


def one_line(text: str, most: int) -> str:
    """Return a text in at most this many ASCII characters, without quotes."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in "\"'`" else "?" for c in text)
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def as_json(found: Checked) -> str:
    document = {
        "schema": "fleetwheel.check/2",
        "status": found.state,
        "why": found.summary,
        "environments": [
            {"name": each.name, "generation": each.record["generation"], "smoke": each.smoke}
            for each in found.environments
        ],
        "differences": [as_plain(difference) for difference in found.differences],
        "notes": list(found.notes),
        "gpus": found.gpus,
        "seconds": found.seconds,
    }
    return json.dumps(document)


def as_plain(difference: Difference) -> dict[str, str]:
    """Return a difference for people and programs on the host, to whom fleets mean nothing."""
    return dict(zip(("class", "what", "expected", "found", "repair"), difference))  # noqa: B905


FORMATS = {
    "text": as_text,
    "json": as_json,
    "nagios": as_nagios,
    "npd": as_npd,
    "slurm": as_slurm,
}

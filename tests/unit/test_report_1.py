"""Reports of the schema fleetwheel.report/1: read for ever, and what becomes of each part."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting.history import compare, read_report
from fleetwheel.reporting.report import HostReport, Report, save_report
from tests.samples import CPU_HOST, choice

FIXTURES = Path("tests/fixtures/report-1")
KNOWN = {
    "choice": choice().to_json(),
    "generation": "2.13.0+cpu-cp311-0-1",
    "smoke": {"passed": True},
}


def drift(class_: str, what: str = "") -> dict[str, Any]:
    said = {"what": what or class_, "expected": "1", "found": "2", "repair": "deploy"}
    return {"class": class_, **said}


def document(host: dict[str, Any], **fields: Any) -> dict[str, Any]:
    said = {"name": "a", "group": "lab", "seconds": 1.5, "profile": CPU_HOST.to_json(), **host}
    at = "2026-11-29T10:00:00Z"
    return {"schema": "fleetwheel.report/1", "kind": "drift", "at": at, "hosts": [said], **fields}


def read(directory: Path, document: object) -> Report:
    path = directory / "report.json"
    path.write_text(json.dumps(document))
    return read_report(path)


@pytest.mark.parametrize(
    ("host", "own", "environment"),
    [
        ({"status": "clean", **KNOWN}, "", ("clean", "", [])),
        ({"status": "changed", "why": "new", **KNOWN}, "", ("changed", "new", [])),
        ({"status": "failed", "why": "test", **KNOWN}, "", ("failed", "test", [])),
        (
            {"status": "on hold", "why": "back", "choice": KNOWN["choice"]},
            "",
            ("on hold", "back", []),
        ),
        ({"status": "unreachable", "why": "down", "profile": None}, "down", None),
        ({"status": "refused", "why": "no torch"}, "no torch", None),
        ({"status": "failed", "why": "full"}, "full", None),
        ({"status": "unchanged", "why": "the mirror runs"}, "the mirror runs", None),
        (
            {"status": "drifted", "why": "both", "drift": [drift("runtime"), drift("package")]},
            "",
            ("drifted", "both", ["runtime", "package"]),
        ),
        (
            {
                "status": "drifted",
                "why": "hot",
                "drift": [drift("runtime", "heat of GPU 1")],
                **KNOWN,
            },
            "hot: runtime",
            ("clean", "", []),
        ),
        (
            {"status": "drifted", "why": "gpu", "drift": [drift("hardware")], **KNOWN},
            "gpu: hardware",
            ("clean", "", []),
        ),
        (
            {
                "status": "drifted",
                "why": "x",
                "drift": [drift("driver"), drift("package")],
                **KNOWN,
            },
            ": driver",
            ("drifted", "x", ["package"]),
        ),
    ],
)
def test_what_becomes_of_a_host(
    tmp_path: Path, host: dict[str, Any], own: str, environment: tuple[str, str, list[str]] | None
) -> None:
    (found,) = read(tmp_path, document(host)).hosts
    assert (found.name, found.group, found.seconds) == ("a", "lab", 1.5)
    assert found.profile == (None if "profile" in host else CPU_HOST)
    assert found.status == host["status"]
    assert ": ".join([found.why, *(d.class_ for d in found.drift)]) == own
    inside = [(e.name, e.status, e.why, [d.class_ for d in e.drift]) for e in found.environments]
    assert inside == ([("default", *environment)] if environment else [])
    for each in found.environments:
        kept = each.to_json()
        assert {key: kept[key] for key in KNOWN} == {key: host.get(key) for key in KNOWN}


def test_kind_depth_and_trust_stay(tmp_path: Path) -> None:
    trust = {"users": ["spack"], "groups": []}
    host = {"status": "clean", "trust": trust, **KNOWN}
    found = read(tmp_path, document(host, kind="smoke", deep=True))
    assert (found.kind, found.deep, found.format) == ("smoke", True, "fleetwheel.report/2")
    assert found.hosts[0].trust.to_json() == trust
    assert found.causes == ()


def test_what_is_no_longer_known_is_passed_over(tmp_path: Path) -> None:
    old = document({"status": "clean", **KNOWN, "mood": "good"}, weather="fine")
    old["hosts"][0]["profile"]["colour"] = "red"
    assert read(tmp_path, old) == read(tmp_path, document({"status": "clean", **KNOWN}))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_real_reports(path: Path, tmp_path: Path) -> None:
    old, new = json.loads(path.read_text())["hosts"][0], read_report(path)
    (host,) = new.hosts
    assert (host.name, host.status) == (old["name"], old["status"])
    assert [d.what for d in host.differences] == [d["what"] for d in old["drift"]]
    assert [e.generation for e in host.environments] == list(filter(None, [old["generation"]]))
    assert "\n".join(part.why for part in host.parts if part.why) == old["why"]
    assert read_report(save_report(tmp_path, new)) == new


def test_the_next_report_finds_the_same(tmp_path: Path) -> None:
    found = [drift("package"), drift("hardware")]
    old = read(tmp_path, document({"status": "drifted", "drift": found, **KNOWN}))
    new = read_report(save_report(tmp_path, old))
    said = compare(old, new)
    assert len(said.unchanged) == 2
    assert not said.appeared + said.mended + said.unknown


@pytest.mark.parametrize("number", ["3", "9" * 99])
def test_a_newer_schema_is_refused_by_its_name(tmp_path: Path, number: str) -> None:
    with pytest.raises(FleetwheelError) as caught:
        read(tmp_path, {"schema": f"fleetwheel.report/{number}"})
    assert f"report.json is written in the schema fleetwheel.report/{number[:9]}" in str(
        caught.value
    )
    assert "use a newer fleetwheel" in caught.value.hint
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_what_a_later_version_of_report_2_adds_is_passed_over(tmp_path: Path) -> None:
    new = Report(at="2026-11-29T10:00:00Z", hosts=(HostReport(name="a", status="clean"),))  # type: ignore[arg-type]
    more = new.model_dump(mode="json", by_alias=True) | {"weather": "fine"}
    more["hosts"][0]["mood"] = "good"
    assert read(tmp_path, more) == new


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"status": "happy"}, "hosts.0.status"),
        ({}, "hosts.0.status"),
        ({"status": "clean", "choice": []}, "hosts.0.choice"),
    ],
)
def test_a_spoilt_one_is_no_report(tmp_path: Path, broken: dict[str, Any], words: str) -> None:
    with pytest.raises(FleetwheelError, match=f"is no report: {words}"):
        read(tmp_path, document(broken))

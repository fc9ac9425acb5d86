"""When a deploy compares hashes in what it would leave alone, and when sizes are enough."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.context import ctx_host

from fleetwheel.deploy.record import Record
from fleetwheel.drift import damaged
from fleetwheel.host.profile import Generation
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _damage, _drift_check, _probe
from fleetwheel.reporting.report import EnvironmentReport, HostReport, report_of, save_report
from tests.deploying import hosts
from tests.samples import CPU_HOST, PYTHON, host, lock_with, record_of, state_of

LOCK = lock_with({"torch": "2.13.0+cpu"})
ID = f"{LOCK.generation(PYTHON)}-1"
NAME = "@local"
BUILT = Generation(id=ID, python=PYTHON.path, packages=LOCK.packages)
RECORD = record_of(LOCK, ID, CPU_HOST)


@pytest.fixture(autouse=True)
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the host of the moment is asked to look at."""
    inputs: list[dict[str, Any]] = []

    def answer(*_: object, **input: Any) -> dict[str, Any]:
        inputs.append(input)
        return {"damaged": ["torch"]}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_probe, "generation", answer)
    _damage._last_deep_reports.cache_clear()
    with hosts(NAME) as state, ctx_host.use(state.inventory.get_host(NAME)):
        yield inputs
    _damage._last_deep_reports.cache_clear()


def look(record: Record | None) -> list[str]:
    there = host(CPU_HOST, current=ID, generations=(BUILT,))
    return _damage.look_at_files(ID, PYTHON, there, record, Settings()).damage


@pytest.mark.parametrize(
    ("record", "hashes"),
    [
        (RECORD, False),
        (None, False),
        (RECORD.model_copy(update={"failed": (ID,), "smoke": None}), True),
        (RECORD.model_copy(update={"smoke": None}), True),
        (RECORD.model_copy(update={"smoke": None, "tested": False}), False),
        (RECORD.model_copy(update={"failed": ("another-1",)}), False),
    ],
)
def test_hashes_are_compared_after_a_failed_test(
    asked: list[dict[str, Any]], record: Record | None, hashes: bool
) -> None:
    assert look(record) == ["torch"]
    assert asked == [{"id": ID, "hashes": hashes}]


@pytest.mark.parametrize(
    ("generation", "deep", "hashes"), [(ID, True, True), (ID, False, False), ("x-1", True, False)]
)
def test_and_after_a_deep_look_that_found_damage(
    asked: list[dict[str, Any]], generation: str, deep: bool, hashes: bool
) -> None:
    whole = EnvironmentReport(status="clean", generation="whole-1")
    ill = EnvironmentReport(
        name="vision",
        status="drifted",
        generation=generation,
        drift=tuple(damaged(["torch"], deep=True)),
    )
    found = HostReport(name=NAME, status="drifted", environments=(whole, ill))
    save_report(Path("reports"), report_of([found], kind="drift", deep=deep))
    save_report(Path("reports"), report_of([HostReport(name=NAME, status="unchanged")]))
    look(RECORD)
    assert asked[0]["hashes"] is hashes


@pytest.mark.parametrize(("environment", "hashes"), [("course", True), ("vision", False)])
def test_a_deep_look_at_another_environment_hides_no_damage(
    asked: list[dict[str, Any]], environment: str, hashes: bool
) -> None:
    drift = tuple(damaged(["torch"], deep=True))
    ill = EnvironmentReport(name="vision", status="drifted", generation=ID, drift=drift)
    well = EnvironmentReport(
        name=environment, status="clean", generation=ID if environment == "vision" else "other-1"
    )
    for found, names in ((ill, ()), (well, (environment,))):
        host = HostReport(name=NAME, status="drifted", environments=(found,))
        save_report(Path("reports"), report_of([host], "drift", deep=True, environments=names))
    look(RECORD)
    assert asked[0]["hashes"] is hashes


@pytest.mark.parametrize("python", ["3.11.7", None])
def test_a_quick_look_at_drift_finds_what_a_deploy_would_build_again(
    asked: list[dict[str, Any]], python: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = CPU_HOST if python else CPU_HOST.model_copy(update={"pythons": ()})
    there = host(profile, current=ID, generations=(BUILT,), record=state_of(RECORD).text())
    monkeypatch.setattr(_drift_check, "answered", lambda settings: there)
    monkeypatch.setattr(_drift_check, "fact", lambda *_, **__: LOCK.text)
    monkeypatch.setattr(_drift_check.locks, "load_lock", lambda *_: LOCK)
    found = _drift_check.look(Settings()).differences
    lost = [each for each in found if each.what == "files of torch"]
    assert [(each.class_, each.deep) for each in lost] == [("package", False)] * bool(python)
    known = [(each["id"], each["hashes"], each["environment"]) for each in asked]
    assert known == [(ID, False, "default")] * bool(python)


def test_an_environment_that_does_not_run_is_the_plans_matter(asked: list[dict[str, Any]]) -> None:
    there = host(CPU_HOST, current=ID)
    assert _damage.look_at_files(ID, PYTHON, there, RECORD, Settings()).damage == []
    assert asked == []

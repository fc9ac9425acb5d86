"""Whatever goes wrong in an operation fails its own host, and no other one."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.context import ctx_host

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _report, mirror, onboard, remove, schedule, smoke, torch
from fleetwheel.operations import _step as steps
from fleetwheel.reporting.report import HostReport
from tests.deploying import hosts

BOUNDARIES = {"alone", "with_answer", "look"}
PLANS: dict[str, tuple[Any, str, Callable[[Settings], Any]]] = {
    "mirror": (mirror, "_is_mirror", lambda s: mirror.caching_proxy._inner(s)),
    "schedule": (schedule, "_wanted", lambda s: schedule.regularly._inner(s, mode="check")),
    "deploy": (torch, "_environments", lambda s: torch.environment._inner(s)),
    "rollback": (torch, "_rollbacks", lambda s: torch.rollback._inner(s)),
    "smoke": (smoke, "_tests", lambda s: smoke.test._inner(s)),
    "remove": (remove, "_leftovers", lambda s: remove.leftovers._inner(s)),
    "onboard": (onboard, "_member", lambda s: onboard.member._inner(s)),
}
"""Of each operation that changes something: what of its planning breaks, and the operation."""
SETTINGS = Settings(schedule=Schedule(directory="/srv/fleet"))


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Yield each call in a file, with the last name of what is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func).rpartition(".")[2]


def test_every_operation_has_a_boundary() -> None:
    found = {}
    for path in Path("operations").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(
                "operation" in ast.unparse(decorator) for decorator in node.decorator_list
            ):
                called = {ast.unparse(c.func) for c in ast.walk(node) if isinstance(c, ast.Call)}
                found[f"{path.stem}.{node.name}"] = bool(called & BOUNDARIES)
    assert len(found) > len(PLANS)
    assert [name for name, has_one in found.items() if not has_one] == []


def test_one_place_makes_commands_that_may_raise_and_one_asks() -> None:
    """An exception in a bare FunctionCommand or host.get_fact ends the run for every host."""
    made = {"FunctionCommand": {"_step.py", "_report.py"}, "get_fact": {"_host_state.py"}}
    for name, places in made.items():
        found = {
            path.name
            for path in Path("operations").glob("*.py")
            if name in (called for _, called in calls(path))
        }
        assert found == places


@pytest.fixture
def at_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_report, "_hosts", {})
    monkeypatch.setattr(_report, "_environments", {})
    with hosts("@fake/a") as state, ctx_host.use(state.inventory.get_host("@fake/a")):
        yield


@pytest.mark.usefixtures("at_a_host")
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("error", [FleetwheelError("refused"), OSError("full"), KeyError("bug")])
def test_what_goes_wrong_in_planning_fails_the_host(
    name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, part, operation = PLANS[name]

    def breaks(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, part, breaks)
    monkeypatch.setattr("fleetwheel.operations._host_state.answered", lambda _: _sound())
    monkeypatch.setattr("fleetwheel.operations._host_state.refuse_distrusted", lambda _: None)
    commands = list(operation(SETTINGS))
    assert len(commands) == 1
    entry = _report._hosts["@fake/a"]
    assert entry.status == "failed"
    assert str(error.args[0]) in entry.why


def _sound() -> Any:
    return type("Facts", (), {"installation": None})()


@pytest.mark.usefixtures("at_a_host")
@pytest.mark.parametrize("error", [FleetwheelError("refused"), OSError("full"), KeyError("bug")])
def test_a_step_that_raises_fails_the_host(error: Exception) -> None:
    def breaks(*_: object) -> None:
        raise error

    from pyinfra import host, state

    begun = HostReport(name="@fake/a", status="would change")
    for about in (begun, None):
        command = steps.step(about, breaks)
        assert command.function(state, host, *command.args) is False
    assert _report._hosts["@fake/a"].status == "failed"

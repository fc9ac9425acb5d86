"""What a deploy does to its host, step by step: nothing is in use before its test has passed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Host, State
from pyinfra.context import ctx_host

from fleetwheel.delivery import uv_binary
from fleetwheel.delivery.distribution import Delivery, Parcel
from fleetwheel.deploy import record as records
from fleetwheel.deploy.plan import Plan
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Generation, HostState
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.operations import (
    _host_state,
    _probe,
    _push,
    _report,
    _steps,
    _waves,
    smoke,
    torch,
)
from fleetwheel.operations._deployment import Deployment, Transfer
from fleetwheel.operations._drift_check import look
from fleetwheel.reporting.report import EnvironmentReport, HostReport
from fleetwheel.smoke import result as verdicts
from fleetwheel.sources import store
from tests.deploying import (
    BROKEN,
    BUSY,
    FAILED,
    FAULT,
    PASSED,
    FakeProbe,
    add_generation,
    carried_out,
    deploy,
    hosts,
    left,
)
from tests.samples import CPU_HOST, PYTHON, REQUEST, host, lock_with, record_of, state_of

NAME = "@fake/far"
LOCK = lock_with({"torch": "2.13.0+cpu", "numpy": "2.4.0"})
OLD, NEW = "2.13.0+cpu-cp311-0-1", "2.13.0+cpu-cp311-0-2"
RECORD = record_of(LOCK, OLD)
STATE = state_of(RECORD)
FAILED_STATE = state_of(RECORD.model_copy(update={"failed": (NEW,)}))
BUILD = Plan(generation=NEW, build=True, smoke=True, activate=True, because="it is new")
WHEEL = "torch-2.13.0+cpu-py3-none-any.whl"
SENT = Parcel(url=f"https://example.org/{WHEEL}", sha256="0" * 64)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> FakeProbe:
    fake = FakeProbe()
    monkeypatch.setattr(_probe, "probe_document", fake.document)
    return fake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with an environment in use."""
    root = tmp_path / "root"
    add_generation(root, OLD)
    (root / "current").symlink_to(f"envs/{OLD}")
    (root / "state.json").write_text(STATE.text())
    return root


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """One host, a locks/ and a cache of its own; what is sent to it arrives."""
    cached = tmp_path / WHEEL
    cached.write_bytes(b"wheel")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_report, "_hosts", {})
    monkeypatch.setattr(_report, "_environments", {})
    monkeypatch.setattr(uv_binary, "uv_sha256", lambda path: "0" * 64)
    monkeypatch.setattr(store, "fetch", lambda url, hashes, sources: cached)
    monkeypatch.setattr(_push, "file", lambda *arguments: None)
    monkeypatch.setattr(_push, "send", lambda *arguments: None)
    monkeypatch.setattr(_waves, "wait", lambda settings: None)
    with hosts(NAME) as state:
        yield state


def a_deployment(root: Path, plan: Plan = BUILD, **changes: Any) -> Deployment:
    built = tuple(Generation(id=path.name) for path in (root / "envs").iterdir())
    facts = host(CPU_HOST, current=OLD, generations=built, root=root)
    settings = Settings(serial=(1,))
    made = Deployment(
        environment="default",
        settings=settings,
        facts=facts,
        state=STATE,
        request=REQUEST,
        lock=LOCK,
        python=PYTHON,
        plan=plan,
    )
    return replace(made, **changes)


TRANSFER = Transfer(
    summary="1 MB to fetch",
    uv=Path("uv"),
    needed_bytes=1,
    environment={"UV_INDEX": "https://user:secret@example.org"},
    delivery=Delivery(parcels=(SENT,)),
    places=("https://example.org",),
    sources=(),
)


def deployed(
    state: State, deployment: Deployment, transfer: Transfer | None, **options: Any
) -> bool:
    return carried_out(state, deploy, deployment, transfer, **options)


def report() -> EnvironmentReport:
    return _report._environments[NAME]["default"]


def environment_of(found: HostReport) -> EnvironmentReport:
    (only,) = found.environments
    assert found.status == only.status
    return only


def test_a_deploy_tests_and_then_activates(state: State, probe: FakeProbe, root: Path) -> None:
    probe.missing = [[WHEEL]]
    assert deployed(state, a_deployment(root), TRANSFER)
    assert probe.calls == ["reach", "build", "build", "smoke", "activate"]
    current, state_left = left(root)
    record = state_left.environments["default"]
    assert record.smoke and record.smoke.holds(NEW, CPU_HOST)
    assert (current, record.generation) == (NEW, NEW)
    assert [each.generation for each in record.earlier] == [OLD]
    assert (report().status, report().smoke) == ("changed", PASSED)
    assert locks.load_lock(_steps.LOCKS, LOCK.name) == LOCK


@pytest.mark.parametrize(
    ("reach", "others", "warning"),
    [
        ("private", "", f"only root can run it: {PYTHON.path} lies where other users cannot go"),
        ("everyone", "Permission denied", "another user cannot start it: Permission denied"),
    ],
)
def test_an_environment_for_root_alone_is_warned_of(
    state: State, probe: FakeProbe, root: Path, reach: str, others: str, warning: str
) -> None:
    probe.smoke = {**PASSED, "others": others}
    python = PYTHON.model_copy(update={"reach": reach})
    assert deployed(state, a_deployment(root, python=python), TRANSFER)
    assert (report().status, report().why.splitlines()[-1]) == ("changed", f"warning: {warning}")


@pytest.mark.parametrize("options", [{}, {"_continue_on_error": True}])
def test_what_fails_its_test_is_not_activated(
    state: State, probe: FakeProbe, root: Path, options: dict[str, Any]
) -> None:
    probe.smoke = FAILED
    assert not deployed(state, a_deployment(root), TRANSFER, **options)
    assert left(root) == (OLD, FAILED_STATE)
    assert (report().status, report().smoke) == ("failed", FAILED)
    assert f"hint: {FAULT['repair']}" in report().why
    assert f"{OLD} stays in use" in report().why


def test_a_test_without_an_answer_has_failed(state: State, probe: FakeProbe, root: Path) -> None:
    probe.errors["smoke"] = FleetwheelError("no answer within 135 s", hint="a slow disk")
    assert not deployed(state, a_deployment(root), TRANSFER)
    assert left(root) == (OLD, FAILED_STATE)
    assert "no answer within 135 s\n  hint: a slow disk" in report().why
    assert report().smoke == {"ok": False, "error": "no answer within 135 s", "hint": "a slow disk"}


def test_a_failed_test_is_told_also_where_no_record_can_be_written(
    state: State, probe: FakeProbe, root: Path
) -> None:
    probe.smoke, probe.errors["note_test"] = FAILED, FleetwheelError("the disk is full")
    assert not deployed(state, a_deployment(root), TRANSFER)
    assert left(root) == (OLD, STATE)
    assert FAULT["meaning"] in report().why


def test_a_plan_without_a_test_activates_alone(state: State, probe: FakeProbe, root: Path) -> None:
    add_generation(root, NEW)
    plan = BUILD.model_copy(update={"build": False, "smoke": False})
    assert deployed(state, a_deployment(root, plan), None)
    assert probe.calls == ["activate"]
    assert left(root)[0] == NEW


Break = Callable[[pytest.MonkeyPatch, FakeProbe, Exception], None]


def in_probe(action: str) -> Break:
    def arrange(monkeypatch: pytest.MonkeyPatch, probe: FakeProbe, error: Exception) -> None:
        probe.errors[action] = error

    return arrange


def at(target: object, name: str) -> Break:
    def arrange(monkeypatch: pytest.MonkeyPatch, probe: FakeProbe, error: Exception) -> None:
        def broken(*arguments: object, **options: object) -> None:
            raise error

        monkeypatch.setattr(target, name, broken)

    return arrange


STEPS: dict[str, Break] = {
    "save the lock": at(locks, "save_lock"),
    "wait for other waves": at(_waves, "wait"),
    "reach the sources": in_probe("reach"),
    "make the directory": at(Host, "run_shell_command"),
    "send uv": at(_push, "file"),
    "read the authorities": at(_steps, "certificate"),
    "build": in_probe("build 1"),
    "fetch wheels": at(store, "fetch"),
    "send wheels": at(_push, "send"),
    "build with the wheels": in_probe("build 2"),
    "say what is expected of the test": at(verdicts, "expectation"),
    "judge the test": at(verdicts, "passed"),
    "make the record": at(Deployment, "recorded"),
    "activate": in_probe("activate"),
}
ERRORS = [FleetwheelError("the connection was lost"), OSError("no space"), KeyError("a bug")]


CASES = [
    pytest.param(where, error, id=f"{where}: {type(error).__name__}")
    for where in STEPS
    for error in ERRORS
    if where != "make the directory" or isinstance(error, OSError)  # a connector raises no other
]


@pytest.mark.parametrize(("where", "error"), CASES)
def test_a_step_that_fails_leaves_the_host_as_it_was(
    state: State,
    probe: FakeProbe,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
) -> None:
    probe.missing = [[WHEEL]]
    STEPS[where](monkeypatch, probe, error)
    assert not deployed(state, a_deployment(root), TRANSFER)
    assert left(root) == (OLD, STATE)
    told = isinstance(error, FleetwheelError | OSError) and where != "make the directory"
    assert not told or (report().status == "failed" and str(error) in report().why)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_old_generation_is_cleaned_before_its_test(
    state: State, probe: FakeProbe, root: Path, error: Exception
) -> None:
    add_generation(root, NEW)
    probe.errors["drop_bytecode"] = error
    plan = BUILD.model_copy(update={"build": False})
    assert not deployed(state, a_deployment(root, plan), None)
    assert probe.calls == ["drop_bytecode"]
    assert left(root) == (OLD, STATE)


def test_wheels_that_never_arrive_are_named(state: State, probe: FakeProbe, root: Path) -> None:
    probe.missing = [[WHEEL], [WHEEL]]
    assert not deployed(state, a_deployment(root), TRANSFER)
    assert left(root) == (OLD, STATE)
    assert report().why == f"not whole on the host: {WHEEL}"


def test_an_activation_that_fails_keeps_what_the_test_said(
    state: State, probe: FakeProbe, root: Path
) -> None:
    probe.errors["activate"] = FleetwheelError("another run is at work", hint="wait")
    assert not deployed(state, a_deployment(root), TRANSFER)
    assert report().why == "another run is at work\n  hint: wait"
    assert report().smoke == probe.smoke


def test_a_lock_that_a_host_sent_back_is_not_kept(
    state: State, probe: FakeProbe, root: Path
) -> None:
    lock = locks.from_copy(LOCK.text, LOCK.name)
    assert deployed(state, a_deployment(root, lock=lock), TRANSFER)
    assert left(root)[0] == NEW
    assert not list(_steps.LOCKS.glob("*"))


@pytest.mark.parametrize("failing", [False, True])
def test_a_host_is_asked_again_after_a_change(
    state: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    facts = host(CPU_HOST, current=OLD, root=root)
    asked: list[Settings] = []

    def answer(settings: Settings) -> HostState:
        asked.append(settings)
        return facts

    monkeypatch.setattr(_host_state, "_answers", {})
    monkeypatch.setattr(_host_state, "ask_host", answer)
    with ctx_host.use(state.inventory.get_host(NAME)):
        assert _host_state.host_state(Settings()) is _host_state.host_state(Settings()) is facts
        assert len(asked) == 1
        if failing:
            probe.errors["build"] = FleetwheelError("the connection was lost")
        assert deployed(state, a_deployment(root), TRANSFER) is not failing
        _host_state.host_state(Settings())
    assert len(asked) == 2


@pytest.fixture
def in_use(state: State, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostState]:
    """The host of the moment, on which the lock stands as its record has it."""
    built = Generation(id=OLD, python=PYTHON.path, lock=LOCK.sha256, packages=LOCK.packages)
    facts = host(CPU_HOST, current=OLD, generations=(built,), record=STATE.text(), root=root)
    far = state.inventory.get_host(NAME)
    monkeypatch.setattr(_host_state, "_answers", {NAME: facts})
    monkeypatch.setattr(_host_state, "get_fact", lambda *_, **__: LOCK.text)
    with ctx_host.use(far):
        yield facts


def test_a_deep_look_changes_nothing(in_use: HostState, probe: FakeProbe, root: Path) -> None:
    found = environment_of(look(Settings(), deep=True))
    assert (found.status, found.drift, found.smoke) == ("clean", (), probe.smoke)
    assert probe.calls == ["verify", "smoke"]
    assert left(root) == (OLD, STATE)


def test_a_deep_look_has_a_row_for_each_fault(in_use: HostState, probe: FakeProbe) -> None:
    devices = [{**BROKEN, "device": f"cuda:{n}"} for n in (0, 1)]
    probe.smoke = {**FAILED, "devices": devices}
    found = environment_of(look(Settings(), deep=True))
    assert found.status == "drifted"
    assert [drift.repair for drift in found.drift] == [FAULT["repair"]] * 2
    assert [drift.found.split()[0] for drift in found.drift] == ["cuda:0", "cuda:1"]
    assert found.why.count(f"\n  hint: {FAULT['repair']}") == 2


def test_a_test_that_cannot_run_is_drift(in_use: HostState, probe: FakeProbe) -> None:
    probe.errors["smoke"] = FleetwheelError("no answer within 135 s", hint="a slow disk")
    (drift,) = environment_of(look(Settings(), deep=True)).drift
    assert (drift.class_, drift.found) == ("runtime", "no answer within 135 s")
    assert drift.repair == "a slow disk"


def test_files_that_cannot_be_checked_fail_the_look(in_use: HostState, probe: FakeProbe) -> None:
    probe.errors["verify"] = FleetwheelError("no answer within 135 s", hint="a slow disk")
    found = environment_of(look(Settings(), deep=True))
    assert (found.status, found.why) == ("failed", "no answer within 135 s\n  hint: a slow disk")


@pytest.mark.parametrize(
    ("document", "status", "kept", "words"),
    [
        (PASSED, "unchanged", True, "the host's record has the pass"),
        (FAILED, "failed", False, "the host's record has no pass now"),
        (BUSY, "failed", True, "the host's record is as it was"),
    ],
)
def test_a_smoke_test_by_itself(
    state: State,
    in_use: HostState,
    probe: FakeProbe,
    root: Path,
    document: dict[str, Any],
    status: str,
    kept: bool,
    words: str,
) -> None:
    probe.smoke = document
    carried_out(state, smoke.test, Settings())
    current, found = left(root)
    record = found.environments["default"]
    assert (current, record.generation, record.smoke is not None) == (OLD, OLD, kept)
    assert (report().status, report().smoke) == (status, document)
    assert words in report().why


def test_a_pass_that_cannot_be_kept_is_told(
    state: State, in_use: HostState, probe: FakeProbe, root: Path
) -> None:
    probe.errors["note_test"] = FleetwheelError("the disk is full")
    assert carried_out(state, smoke.test, Settings())
    assert left(root) == (OLD, STATE)
    assert "the host's record is as it was: the disk is full" in report().why


def test_credentials_are_in_no_log() -> None:
    assert "secret" not in repr(TRANSFER)


def ground(
    monkeypatch: pytest.MonkeyPatch, root: Path, record: records.Record, current: str
) -> None:
    """Have the host stand so, with two environments, OLD and NEW."""
    (root / "envs" / NEW).mkdir(exist_ok=True)
    (root / "envs" / NEW / "pyvenv.cfg").touch()
    (root / "current").unlink()
    (root / "current").symlink_to(f"envs/{current}")
    (root / "state.json").write_text(state_of(record).text())
    built = tuple(
        Generation(id=id, python=PYTHON.path, lock=LOCK.sha256, packages=LOCK.packages)
        for id in (OLD, NEW)
    )
    facts = host(
        CPU_HOST, current=current, generations=built, record=state_of(record).text(), root=root
    )
    monkeypatch.setattr(_host_state, "_answers", {NAME: facts})
    monkeypatch.setattr(_host_state, "get_fact", lambda *_, **__: LOCK.text)


def test_a_rollback_whose_record_was_not_written_is_made_good_by_the_next(
    state: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``current`` had moved to OLD; the record still said NEW, without a hold."""
    record = record_of(LOCK, NEW).model_copy(update={"earlier": (records.Earlier(generation=OLD),)})
    ground(monkeypatch, root, record, current=OLD)
    assert carried_out(state, torch.rollback, settings=Settings())
    kept = left(root)[1].environments["default"]
    assert kept.generation == OLD
    assert kept.hold and kept.hold.rolled_back_from == NEW


def test_a_host_on_hold_stays_where_its_record_holds_it(
    state: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = records.Hold(since=datetime(2026, 11, 1, tzinfo=UTC), rolled_back_from=NEW)
    record = record_of(LOCK, OLD).model_copy(update={"hold": hold})
    ground(monkeypatch, root, record, current=NEW)
    assert carried_out(state, torch.environment, settings=Settings())
    assert left(root)[0] == OLD
    assert left(root)[1].environments["default"].hold == hold


def test_a_root_that_others_can_change_is_refused_whatever_there_is_to_do(
    in_use: HostState, probe: FakeProbe
) -> None:
    """Before a deploy looks whether it has to build."""
    why = "group lab (50) can write to it"
    there = in_use.installation.model_copy(update={"distrusted": why})
    _host_state._answers[NAME] = in_use.model_copy(update={"installation": there})
    steps = _host_state.with_answer(Settings(), lambda *_: pytest.fail("it went on"))
    assert len([*steps]) == 1
    assert "failed" in _report.ended(NAME)
    assert why in look(Settings()).why
    assert probe.calls == []

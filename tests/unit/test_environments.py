"""Several environments of one host: each by itself, and what they share."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import State
from pyinfra.context import ctx_host

from fleetwheel import drift
from fleetwheel.choice.request import Request
from fleetwheel.delivery.distribution import Delivery
from fleetwheel.deploy import record as records
from fleetwheel.deploy.plan import Plan, passed_test, plan
from fleetwheel.deploy.record import Hold, Record, smoke_pass
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Generation, HostState
from fleetwheel.inventory.load import load_hosts
from fleetwheel.inventory.settings import Settings
from fleetwheel.node import activate as activating
from fleetwheel.node.compare import Difference
from fleetwheel.node.link import generation_of
from fleetwheel.node.root import Failure
from fleetwheel.operations import (
    _carrying_out,
    _host_state,
    _planning,
    _probe,
    _push,
    _report,
    smoke,
    torch,
)
from fleetwheel.operations._damage import Seen
from fleetwheel.operations._deployment import Transfer
from fleetwheel.operations._drift_check import look
from fleetwheel.operations._environments import asked_environments
from fleetwheel.reporting.report import EnvironmentReport, Status
from tests.deploying import FAILED, FakeProbe, add_generation, carried_out, hosts
from tests.samples import (
    CPU_HOST,
    GPU_HOST,
    PYTHON,
    RTX_4090,
    host,
    lock_with,
    record_of,
    state_of,
)

NAME = "@fake/far"
LOCK = lock_with({"torch": "2.13.0+cpu", "numpy": "2.4.0"})
ID = LOCK.generation(PYTHON)
OLD, NEW = f"{ID}-1", f"{ID}-2"
VISION = {"environments": {"vision": {}}}


# What the inventory says


def settings_of(tmp_path: Path, text: str, name: str) -> dict[str, Settings]:
    (tmp_path / "lab.yaml").write_text(text)
    (data,) = (each.data for each in load_hosts(tmp_path) if each.name == name)
    return Settings.from_data(data).by_environment()


INVENTORY = """
defaults:
  torch: ">=2.10"
  environments:
    vision: {packages: [torchvision, timm]}
    course: {python: "3.12", keep: 1}
groups:
  teaching:
    environments: {vision: null, course: {gpus: [0], uniform: true}}
    hosts: {ws-01: {torch: "2.14.1"}, ws-02: {environments: {vision: {smoke: none}}}}
hosts:
  ws-03: {environments: {course: {torch: "2.13.0"}, default: null}}
"""


def test_an_environment_inherits_what_it_does_not_say(tmp_path: Path) -> None:
    found = settings_of(tmp_path, INVENTORY, "ws-01")
    assert list(found) == ["default", "course"]
    course = found["course"]
    assert (course.torch, course.python, course.keep, course.gpus) == ("2.14.1", "3.12", 1, (0,))
    assert course.uniform == "teaching"
    assert (found["default"].keep, found["default"].uniform) == (3, False)


def test_layers_are_merged_key_by_key_and_null_takes_away(tmp_path: Path) -> None:
    vision = settings_of(tmp_path, INVENTORY, "ws-02")["vision"]
    assert (vision.packages, vision.smoke) == (("numpy",), "none"), "null dropped the packages"
    found = settings_of(tmp_path, INVENTORY, "ws-03")
    assert set(found) == {"vision", "course"}
    assert (found["course"].torch, found["course"].python) == ("2.13.0", "3.12")
    assert found["vision"].packages == ("torchvision", "timm")


@pytest.mark.parametrize(
    ("said", "there"), [("", True), ("{}", True), ("null", False), ("~", False)]
)
@pytest.mark.parametrize(
    "text",
    [
        "defaults: {ENTRY}\nhosts: {a: }",
        "hosts: {a: {ENTRY}}",
        "groups: {g: {ENTRY, hosts: {a: }}}",
        "groups: {g: {hosts: {a: {ENTRY}}}}",
    ],
)
def test_a_bare_name_is_an_environment_and_only_a_written_null_takes_it_away(
    tmp_path: Path, text: str, said: str, there: bool
) -> None:
    known = "groups: {known: {environments: {vision: {}}, hosts: {z: }}}"
    (tmp_path / "known.yaml").write_text(known)
    entry = f"environments: {{vision: {said}}}"
    assert ("vision" in settings_of(tmp_path, text.replace("ENTRY", entry), "a")) is there


def test_a_host_named_environments_is_a_host(tmp_path: Path) -> None:
    text = "hosts: {environments: {torch: , keep: 2}}"
    assert settings_of(tmp_path, text, "environments")["default"].torch is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Vision: {}", "not a name for an environment"),
        ("con: {}", "the name of a device on Windows"),
        ("a/b: {}", "not a name for an environment"),
        ("vision: {root: /opt/x}", "belongs to a host, not to an environment"),
        ("vision: {trch: '2.10'}", 'did you mean "torch"'),
        ("vision: {torch: 2.10}", "quote it"),
        ("vision: {hold: ''}", "must not be empty: write the reason"),
    ],
)
def test_what_an_environment_cannot_be_is_refused(tmp_path: Path, said: str, words: str) -> None:
    with pytest.raises(FleetwheelError, match=r"lab\.yaml:1: hosts\.a\.environments") as caught:
        settings_of(tmp_path, f"hosts: {{a: {{environments: {{{said}}}}}}}\n", "a")
    assert words in str(caught.value)


# What the host keeps


def known(root: Path, name: str) -> Any:
    """Return the record of an environment as a controller has read it."""
    path = root / "state.json"
    found = records.parse_state(path.read_text() if path.exists() else "").environments.get(name)
    return found.to_json() if found else None


def activate(root: Path, name: str, id: str, keep: int = 3) -> list[str]:
    record = record_of(LOCK, id).model_copy(update={"keep": keep}).to_json()
    done = activating.activate(str(root), id, name, record, [], known(root, name))
    removed: list[str] = done["removed"]
    return removed


def kept(root: Path) -> dict[str, str]:
    found = records.parse_state((root / "state.json").read_text())
    return {name: record.generation for name, record in found.environments.items()}


def test_environments_move_by_themselves(tmp_path: Path) -> None:
    for id in ("a-cp311-0123456789ab-1", "b-cp311-0123456789ab-1", "b-cp311-0123456789ab-2"):
        add_generation(tmp_path, id)
    activate(tmp_path, "default", "a-cp311-0123456789ab-1")
    activate(tmp_path, "vision", "b-cp311-0123456789ab-1")
    activate(tmp_path, "vision", "b-cp311-0123456789ab-2")
    links = {name: generation_of(tmp_path, name) for name in ("default", "vision")}
    assert (
        links
        == kept(tmp_path)
        == {"default": "a-cp311-0123456789ab-1", "vision": "b-cp311-0123456789ab-2"}
    )
    assert (tmp_path / "environments/default").resolve() == tmp_path / "envs/a-cp311-0123456789ab-1"
    assert (tmp_path / "environments/vision").readlink() == Path("../envs/b-cp311-0123456789ab-2")


def test_the_record_of_another_controller_stays(tmp_path: Path) -> None:
    """It may have a key that this version does not know."""
    add_generation(tmp_path, "a-cp311-0123456789ab-1")
    strange = {"generation": "z-1", "new_key": [1]}
    document = {"schema": "fleetwheel.state/2", "environments": {"theirs": strange}}
    (tmp_path / "state.json").write_text(json.dumps(document))
    activating.activate(
        str(tmp_path),
        "a-cp311-0123456789ab-1",
        "ours",
        record_of(LOCK, "a-cp311-0123456789ab-1").to_json(),
        [],
    )
    found = json.loads((tmp_path / "state.json").read_text())["environments"]
    assert found["theirs"] == strange
    assert found["ours"]["generation"] == "a-cp311-0123456789ab-1"


def test_each_environment_keeps_its_own_number_of_generations(tmp_path: Path) -> None:
    for id in (
        "a-cp311-0123456789ab-1",
        "b-cp311-0123456789ab-1",
        "b-cp311-0123456789ab-2",
        "b-cp311-0123456789ab-3",
    ):
        add_generation(tmp_path, id)
    activate(tmp_path, "default", "a-cp311-0123456789ab-1", keep=1)
    for id in ("b-cp311-0123456789ab-1", "b-cp311-0123456789ab-2"):
        activate(tmp_path, "vision", id, keep=1)
    assert {path.name for path in (tmp_path / "envs").iterdir()} >= {
        "a-cp311-0123456789ab-1",
        "b-cp311-0123456789ab-2",
    }
    assert activate(tmp_path, "vision", "b-cp311-0123456789ab-3", keep=1) == [
        "b-cp311-0123456789ab-2"
    ]
    assert {path.name for path in (tmp_path / "envs").iterdir()} == {
        "a-cp311-0123456789ab-1",
        "b-cp311-0123456789ab-3",
    }


def test_what_another_environment_keeps_for_a_look_stays(tmp_path: Path) -> None:
    for id in ("a-cp311-0123456789ab-1", "a-cp311-0123456789ab-2", "b-cp311-0123456789ab-1"):
        add_generation(tmp_path, id)
    os.utime(tmp_path / "envs/a-cp311-0123456789ab-2/pyvenv.cfg", (0, 0))
    failed = record_of(LOCK, "a-cp311-0123456789ab-1").model_copy(
        update={"failed": ("a-cp311-0123456789ab-2",), "keep": 1}
    )
    (tmp_path / "state.json").write_text(state_of(failed).text())
    assert activate(tmp_path, "vision", "b-cp311-0123456789ab-1", keep=1) == []
    assert activate(tmp_path, "default", "a-cp311-0123456789ab-1", keep=1) == [
        "a-cp311-0123456789ab-2"
    ]


def test_what_another_controller_has_just_built_stays(tmp_path: Path) -> None:
    for id in ("a-cp311-0123456789ab-1", "old-cp311-0123456789ab-1", "new-cp311-0123456789ab-1"):
        add_generation(tmp_path, id)
    os.utime(tmp_path / "envs/old-cp311-0123456789ab-1/pyvenv.cfg", (0, 0))
    assert activate(tmp_path, "default", "a-cp311-0123456789ab-1", keep=1) == [
        "old-cp311-0123456789ab-1"
    ]


def test_the_first_schema_becomes_the_second_at_a_change(tmp_path: Path) -> None:
    first = Path("tests/fixtures/state-1/state.json").read_text()
    (tmp_path / "state.json").write_text(first)
    add_generation(tmp_path, "b-cp311-0123456789ab-1")
    before = records.parse_state(first).environments["default"]
    activate(tmp_path, "vision", "b-cp311-0123456789ab-1")
    found = records.parse_state((tmp_path / "state.json").read_text())
    assert (found.environments["default"].generation, set(found.environments)) == (
        before.generation,
        {"default", "vision"},
    )
    assert found.environments["default"].choice == before.choice


def note(root: Path, name: str, generation: str, smoke: Any, looked_at: bool = False) -> bool:
    noted: bool = activating.note_test(str(root), name, generation, smoke, looked_at)["noted"]
    return noted


def test_a_test_that_ends_after_a_rollback_leaves_its_hold_alone(tmp_path: Path) -> None:
    hold = Hold(since=record_of(LOCK, OLD).deployed_at, rolled_back_from=NEW)
    held = state_of(record_of(LOCK, OLD).model_copy(update={"hold": hold}))
    (tmp_path / "state.json").write_text(held.text())
    passed = smoke_pass(NEW, CPU_HOST, {"passed": True}).to_json()
    assert not note(tmp_path, "default", NEW, passed)
    assert records.parse_state((tmp_path / "state.json").read_text()) == held


def test_a_deploy_that_a_rollback_overtook_is_refused(tmp_path: Path) -> None:
    for id in (OLD, NEW):
        add_generation(tmp_path, id)
    activate(tmp_path, "default", OLD)
    before = known(tmp_path, "default")
    later = record_of(LOCK, OLD).to_json()
    activating.activate(str(tmp_path), OLD, "default", later, [], before)
    with pytest.raises(Failure, match="another run has changed the environment"):
        activating.activate(str(tmp_path), NEW, "default", later, [], before)
    assert generation_of(tmp_path, "default") == OLD


def test_after_a_failed_test_no_environment_has_a_pass_of_the_generation(tmp_path: Path) -> None:
    both = state_of(record_of(LOCK, OLD), course=record_of(LOCK, OLD), other=record_of(LOCK, NEW))
    (tmp_path / "state.json").write_text(both.text())
    assert note(tmp_path, "course", OLD, None, looked_at=True)
    found = records.parse_state((tmp_path / "state.json").read_text()).environments
    assert [found[name].smoke for name in ("default", "course")] == [None, None]
    assert found["other"].smoke is not None
    assert (found["course"].failed, found["default"].failed) == ((OLD,), ())


# What a smoke test stands for


TWO = GPU_HOST.model_copy(
    update={"gpus": (RTX_4090, RTX_4090.model_copy(update={"index": 1, "uuid": "GPU-2"}))}
)


@pytest.mark.parametrize(
    ("tested", "gpus", "holds"),
    [
        (("GPU-1",), (0,), True),
        (("GPU-1",), (1,), False),
        (("GPU-1",), None, False),
        (("GPU-1", "GPU-2"), None, True),
        (None, (1,), True),
        (None, None, True),
    ],
)
def test_a_pass_is_of_the_gpus_that_were_tested(
    tested: tuple[str, ...] | None, gpus: tuple[int, ...] | None, holds: bool
) -> None:
    passed = smoke_pass(OLD, TWO, {"passed": True}, tested)
    state = state_of(record_of(LOCK, OLD, TWO).model_copy(update={"smoke": passed}))
    found = passed_test(state, "default", OLD, TWO, Request(gpus=gpus))
    assert (found is not None) is holds


def test_the_test_of_another_environment_is_written_down() -> None:
    """Otherwise drift would say for ever that no pass counts, and a deploy that one does."""
    built = Generation(id=OLD, python=PYTHON.path, packages=LOCK.packages)
    there = host(current=OLD, generations=(built,))
    untested = record_of(LOCK, OLD).model_copy(update={"smoke": None})
    tested = record_of(LOCK, OLD)

    def planned(default: Record) -> Plan:
        state = state_of(default, course=tested)
        given = Request()
        return plan(LOCK, PYTHON, there, state, environment="default", request=given, smoke="auto")

    assert (planned(untested).smoke, planned(untested).activate) == (False, True)
    assert planned(untested.model_copy(update={"smoke": tested.smoke})).nothing


def test_an_environment_may_take_a_generation_that_another_one_has_tested() -> None:
    built = Generation(id=OLD, python=PYTHON.path, packages=LOCK.packages)
    there = host(current=OLD, generations=(built,))
    state = state_of(record_of(LOCK, OLD))
    steps = plan(LOCK, PYTHON, there, state, environment="vision", request=Request(), smoke="auto")
    assert (steps.build, steps.smoke, steps.activate) == (False, False, True)


def test_a_pass_of_the_first_schema_is_of_the_gpus_that_were_asked_for() -> None:
    record = record_of(LOCK, OLD, TWO).to_json()
    record |= {
        "schema": "fleetwheel.state/1",
        "request": {"gpus": [1]},
        "previous": "a",
        "older": ["b"],
    }
    record.pop("earlier"), record.pop("keep"), record["smoke"].pop("tested")
    (found,) = records.parse_state(json.dumps(record)).environments.values()
    assert found.smoke and found.smoke.tested == ("GPU-2",)
    assert [each.generation for each in found.earlier] == ["a", "b"]


# What a deploy does


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> FakeProbe:
    fake = FakeProbe()
    monkeypatch.setattr(_probe, "probe_document", fake.document)
    return fake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one generation that two environments use."""
    root = tmp_path / "root"
    add_generation(root, OLD)
    return root


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    monkeypatch.chdir(tmp_path)
    for name in ("_hosts", "_environments"):
        monkeypatch.setattr(_report, name, {})
    monkeypatch.setattr(_push, "file", lambda *arguments: None)
    monkeypatch.setattr(_planning, "_decider", Always())
    monkeypatch.setattr(_host_state, "get_fact", lambda *_, **__: LOCK.text)
    with hosts(NAME, **VISION) as state:
        yield state


class Always:
    """Decides for the same lock each time, but for a Python that it does not know."""

    def decide(self, profile: object, request: Request, *_: object, **__: object) -> Any:
        if request.python == "3.13":
            raise FleetwheelError("no source answers")
        return LOCK


def stand(
    monkeypatch: pytest.MonkeyPatch, root: Path, records: dict[str, Record], **links: str
) -> HostState:
    """Have the host say that OLD is built, with these records and links."""
    built = Generation(id=OLD, python=PYTHON.path, lock=LOCK.sha256, packages=LOCK.packages)
    text = state_of(**records).text() if records else ""
    if text:
        (root / "state.json").write_text(text)
    facts = host(CPU_HOST, generations=(built,), record=text, root=root)
    current, others = links.pop("default", None), links
    there = facts.installation.model_copy(update={"current": current, "environments": others})
    facts = facts.model_copy(update={"installation": there})
    monkeypatch.setattr(_host_state, "_answers", {NAME: facts})
    return facts


def reported() -> dict[str, EnvironmentReport]:
    return _report._environments[NAME]


def test_both_environments_are_made(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {})
    assert carried_out(far, torch.environment, settings=Settings.model_validate(VISION))
    assert kept(root) == {"default": OLD, "vision": OLD}
    assert {name: each.status for name, each in reported().items()} == {
        "default": "changed",
        "vision": "changed",
    }


def test_what_fails_in_one_environment_leaves_the_next_alone(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {})
    probe.errors["smoke 1"] = FleetwheelError("no answer")
    assert not carried_out(far, torch.environment, settings=Settings.model_validate(VISION))
    assert kept(root) == {"vision": OLD}
    assert (reported()["default"].status, reported()["vision"].status) == ("failed", "changed")
    assert "failed" in _report.ended(NAME)


@pytest.mark.parametrize("error", [FleetwheelError("refused"), OSError("full"), KeyError("bug")])
def test_nor_does_what_fails_in_planning(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stand(monkeypatch, root, {})

    def look(generation: str, *asked: Any) -> Seen:
        if asked[3].keep == 3:
            raise error
        return Seen()

    monkeypatch.setattr(_planning, "look_at_files", look)
    settings = Settings.model_validate({"environments": {"vision": {"keep": 2}}})
    assert not carried_out(far, torch.environment, settings=settings)
    assert kept(root) == {"vision": OLD}
    assert str(error.args[0]) in reported()["default"].why


def test_one_that_cannot_be_decided_leaves_the_others_alone(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {})
    said = {"environments": {"vision": {}, "course": {"python": "3.13"}}}
    assert not carried_out(far, torch.environment, settings=Settings.model_validate(said))
    assert kept(root) == {"default": OLD, "vision": OLD}
    assert (reported()["course"].status, reported()["course"].why) == (
        "failed",
        "no source answers",
    )


def test_a_run_may_be_for_one_environment(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {})
    settings = Settings.from_data({**VISION, "environment": "vision"})
    assert carried_out(far, torch.environment, settings=settings)
    assert kept(root) == {"vision": OLD}


def test_a_name_that_no_host_has_is_refused(far: State) -> None:
    with ctx_host.use(far.inventory.get_host(NAME)):
        settings = Settings.from_data({"environment": "vision,visoin"})
        with pytest.raises(FleetwheelError, match="no host of the inventory has an"):
            asked_environments(settings)
        elsewhere = Settings.from_data({"environment": "vision"})
        assert asked_environments(elsewhere) == {}, "another host has it"


def test_a_host_has_ended_after_its_last_environment(far: State) -> None:
    _report.note_profile(NAME, CPU_HOST)
    _report.record_environment(NAME, EnvironmentReport(name="default", status="failed"))
    _report.record_environment(NAME, EnvironmentReport(name="vision", status="would change"))
    assert _report.ended(NAME) == set()
    _report.record_environment(NAME, EnvironmentReport(name="vision", status="changed"))
    assert "failed" in _report.ended(NAME)


def test_a_host_has_not_ended_while_it_is_planned(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With -y pyinfra prepares nothing: hosts of later waves see only what has been recorded."""
    stand(monkeypatch, root, {})
    seen: list[set[Status]] = []

    def look(*_: object) -> Seen:
        seen.append(_report.ended(NAME))
        return Seen()

    monkeypatch.setattr(_planning, "look_at_files", look)
    assert carried_out(far, torch.environment, settings=Settings.model_validate(VISION))
    assert seen and not any(seen)


def test_what_people_do_not_find_is_put_right_without_a_build(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {"default": record_of(LOCK, OLD)}, default=OLD)
    gone = Difference("runtime", "kernelspec /k.json", "as deployed", "not there", "deploy")
    seen = Seen(differences=(gone,), obstacles=("no module file: /m is somebody else's",))
    monkeypatch.setattr(_planning, "look_at_files", lambda *_: seen)
    assert carried_out(far, torch.environment, settings=Settings())
    assert (reported()["default"].status, probe.calls) == ("changed", ["activate"])
    first, *others = reported()["default"].why.splitlines()
    assert first == (
        "it is in use and right; kernelspec /k.json: expected as deployed, found not there"
    )
    assert others.count("no module file: /m is somebody else's") == 1


def test_what_stays_unfound_is_said_and_changes_nothing(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {"default": record_of(LOCK, OLD)}, default=OLD)
    seen = Seen(obstacles=("no module file: /m is somebody else's",))
    monkeypatch.setattr(_planning, "look_at_files", lambda *_: seen)
    assert carried_out(far, torch.environment, settings=Settings())
    assert (reported()["default"].status, probe.calls) == ("unchanged", [])
    assert "no module file: /m is somebody else's" in reported()["default"].why


def test_another_group_of_readers_builds_a_generation_of_its_own(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = stand(monkeypatch, root, {"default": record_of(LOCK, OLD)}, default=OLD)
    steps = plan(
        LOCK,
        PYTHON,
        there,
        state_of(record_of(LOCK, OLD)),
        environment="default",
        request=Request(),
        smoke="auto",
        group="vision",
    )
    assert steps.build and steps.generation.rpartition("-")[0] != OLD.rpartition("-")[0]
    named = drift.environment_differences(
        "default",
        record_of(LOCK, OLD),
        LOCK,
        there,
        Settings(group="vision"),
        _planning.MATRIX,
    )
    asked = [each for each in named if each.what == "request for group"]
    assert [(each.expected, each.found) for each in asked] == [("vision", "none")]


def test_an_environment_that_the_inventory_holds_stays_as_it_is(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"environments": {"vision": {"hold": "the exam", "torch": "2.14.1"}}}
    stand(
        monkeypatch,
        root,
        {"default": record_of(LOCK, OLD), "vision": record_of(LOCK, OLD)},
        default=OLD,
        vision=OLD,
    )
    settings = Settings.model_validate(held)
    assert carried_out(far, torch.environment, settings=settings)
    assert (reported()["default"].status, reported()["vision"].status) == ("unchanged", "on hold")
    assert "the exam" in reported()["vision"].why
    with ctx_host.use(far.inventory.get_host(NAME)):
        found = {each.name: each.status for each in look(settings).environments}
    assert found == {"default": "clean", "vision": "on hold"}


# Rolling back, and looking


def rolled(*names: str, **said: Any) -> Settings:
    return Settings.from_data({**VISION, **said, **({"environment": names} if names else {})})


def test_a_rollback_asks_which_of_several_environments_is_meant(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {"default": record_of(LOCK, OLD)}, default=OLD)
    assert not carried_out(far, torch.rollback, settings=rolled())
    why = _report._hosts[NAME].why
    assert "2 environments: default, vision" in why
    assert "--data environment=NAME" in why


def test_a_rollback_moves_its_environment_alone(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = (records.Earlier(generation=OLD),)
    vision = record_of(LOCK, NEW).model_copy(update={"earlier": earlier})
    add_generation(root, NEW)
    stand(
        monkeypatch,
        root,
        {"default": record_of(LOCK, OLD), "vision": vision},
        default=OLD,
        vision=NEW,
    )
    assert carried_out(far, torch.rollback, settings=rolled("vision"))
    found = records.parse_state((root / "state.json").read_text()).environments
    assert (found["vision"].generation, found["default"].generation) == (OLD, OLD)
    assert found["vision"].hold and found["default"].hold is None


def test_an_environment_that_left_the_inventory_is_drift(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(
        monkeypatch,
        root,
        {"default": record_of(LOCK, OLD), "gone": record_of(LOCK, OLD)},
        default=OLD,
        gone=OLD,
    )
    with ctx_host.use(far.inventory.get_host(NAME)):
        found = look(Settings())
    assert {each.name: each.status for each in found.environments} == {
        "default": "clean",
        "gone": "drifted",
    }
    assert found.status == "drifted"
    (drift,) = found.environments[1].drift
    assert (drift.expected, "deploys/remove.py" in drift.repair) == (
        "none (not in the inventory)",
        True,
    )


def test_driver_and_gpus_are_those_of_the_latest_record(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver was replaced between two deploys."""
    before = record_of(LOCK, OLD)
    driver = before.driver.model_copy(update={"version": "570.1"})
    early = before.model_copy(update={"driver": driver})
    stand(
        monkeypatch,
        root,
        {"vision": early, "default": record_of(LOCK, OLD)},
        default=OLD,
        vision=OLD,
    )
    with ctx_host.use(far.inventory.get_host(NAME)):
        assert look(Settings.model_validate(VISION)).drift == ()


def test_an_environment_that_is_held_by_a_rollback_is_told_so(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold(since=record_of(LOCK, OLD).deployed_at, rolled_back_from=NEW)
    vision = record_of(LOCK, OLD).model_copy(update={"hold": hold})
    stand(
        monkeypatch,
        root,
        {"default": record_of(LOCK, OLD), "vision": vision},
        default=OLD,
        vision=OLD,
    )
    with ctx_host.use(far.inventory.get_host(NAME)):
        found = look(Settings.model_validate(VISION))
    assert [each.status for each in found.environments] == ["clean", "on hold"]
    assert found.status == "on hold"


def test_a_failed_test_belongs_to_its_environment(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(
        monkeypatch,
        root,
        {"default": record_of(LOCK, OLD), "vision": record_of(LOCK, OLD)},
        default=OLD,
        vision=OLD,
    )
    probe.smoke = FAILED
    settings = Settings.model_validate({**VISION, "smoke": "always", "environment": ["vision"]})
    assert not carried_out(far, torch.environment, settings=settings)
    found = records.parse_state((root / "state.json").read_text()).environments
    assert (found["vision"].smoke, found["vision"].failed) == (None, (OLD,))
    assert (found["default"].smoke, found["default"].failed) == (None, ()), "it uses the same"


def test_an_environment_is_not_tested_where_the_one_that_builds_for_it_has_failed(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = stand(monkeypatch, root, {})
    bare = facts.installation.model_copy(update={"generations": ()})
    monkeypatch.setattr(
        _host_state,
        "_answers",
        {NAME: facts.model_copy(update={"installation": bare})},
    )
    transfer = Transfer(
        summary="",
        uv=None,
        needed_bytes=0,
        environment={},
        delivery=Delivery(),
        places=(),
        sources=(),
    )
    monkeypatch.setattr(_carrying_out, "prepare_transfer", lambda deployment: transfer)
    probe.errors["build"] = FleetwheelError("the network is gone", hint="look at it")
    assert not carried_out(far, torch.environment, settings=Settings.model_validate(VISION))
    assert reported()["vision"].why == (
        "default, for which it was to be built, failed: the network is gone"
    )
    assert "smoke" not in probe.calls


def test_hosts_without_the_environment_of_a_run_stay_as_they_are(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(monkeypatch, root, {})
    settings = Settings.from_data({"environment": "vision"})
    assert carried_out(far, torch.environment, settings=settings)
    assert _report._hosts[NAME].why == "the inventory has no such environment for this host"
    assert probe.calls == []


def test_one_test_serves_environments_that_share_a_generation(
    far: State, probe: FakeProbe, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"default": record_of(LOCK, OLD), "vision": record_of(LOCK, OLD)}
    stand(monkeypatch, root, both, default=OLD, vision=OLD)
    assert carried_out(far, smoke.test, settings=Settings.model_validate(VISION))
    assert [call for call in probe.calls if call == "smoke"] == ["smoke"]
    assert {name: each.status for name, each in reported().items()} == {
        "default": "unchanged",
        "vision": "unchanged",
    }


def test_a_host_on_which_something_would_change_is_not_said_to_stay(far: State) -> None:
    """Though another environment of it is refused, which is the host's worst."""
    refused = EnvironmentReport(name="vision", status="refused", why="no such torch")
    for other, stays in (("would change", False), ("unchanged", True)):
        _report.note_profile(NAME, CPU_HOST)
        _report.record_environment(NAME, EnvironmentReport(status=other))
        _report.record_environment(NAME, refused)
        assert (NAME in _report._told_apart(_report.finished("deploy"))) is stays

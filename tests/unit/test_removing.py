"""What deploys/remove.py does to its host: the decisions, and the steps on a root of its own."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import State
from pyinfra.api.operation import add_op

from fleetwheel.deploy.record import Earlier, Hold, Record
from fleetwheel.deploy.removal import Leaving, leaving, remover, what_of_root
from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.traces import HostTraces, Traces
from fleetwheel.host.profile import Installation, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _host_state, _probe, _report, mirror, remove
from fleetwheel.reporting.report import EnvironmentReport, HostReport
from tests.deploying import FakeProbe, add_generation, carried_out, hosts
from tests.samples import CPU_HOST, host, lock_with, record_of, state_of

NAME = "@fake/far"
LOCK = lock_with({"torch": "2.13.0+cpu"})
HOLD = Hold(since=datetime(2026, 11, 1, tzinfo=UTC), rolled_back_from="b-cp311-0123456789ab-2")
RECORDS = {
    name: record_of(LOCK, f"{name}-cp311-0123456789ab-1")
    for name in ("default", "vision", "course")
}


# What is decided


def there(current: str | None = "default-cp311-0123456789ab-1", **links: str) -> Installation:
    return Installation(root="/opt/fleetwheel", current=current, environments=links)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({}, ["vision", "course", "linked"]),
        ({"environments": {"vision": {}}}, ["course", "linked"]),
        ({"environments": {"vision": None}, "environment": "vision"}, ["vision"]),
        ({"environment": "other"}, []),
        ({"environments": {"default": None}}, ["default", "vision", "course", "linked"]),
        ({"environments": {name: {} for name in ("vision", "course", "linked")}}, []),
    ],
)
def test_what_the_inventory_has_not_goes(said: dict[str, Any], names: list[str]) -> None:
    installation = there(vision="vision-cp311-0123456789ab-1", linked="linked-1")
    assert leaving(Settings.from_data(said), installation, state_of(**RECORDS)) == names


def test_a_current_without_a_record_is_the_default() -> None:
    settings = Settings.from_data({"environments": {"default": None}})
    assert leaving(settings, there(), state_of()) == ["default"]
    assert leaving(settings, there(None), state_of()) == []


@pytest.mark.parametrize("name", ["default", "vision"])
def test_what_the_inventory_has_is_refused_by_name(name: str) -> None:
    settings = Settings.from_data({"environments": {"vision": {}}, "environment": name})
    with pytest.raises(FleetwheelError, match=f"{name} is in the inventory") as caught:
        leaving(settings, there(), state_of(**RECORDS))
    assert f"environments: {{{name}: null}}" in caught.value.hint


def test_what_removes_stands_outside_of_the_root_if_it_can() -> None:
    inside = Python(path=r"C:\F\pythons\cp\python.exe", version="3.13.1")
    outside = Python(path=r"C:\Python311\python.exe", version="3.11.7")
    profile = CPU_HOST.model_copy(update={"pythons": (inside, outside)})
    assert remover(profile, "C:/f") == outside
    assert remover(profile.model_copy(update={"pythons": (inside,)}), "C:/f") == inside
    with pytest.raises(FleetwheelError, match="no Python"):
        remover(profile.model_copy(update={"pythons": ()}), "C:/f")


def test_people_read_what_goes() -> None:
    two = Leaving("vision", ["a-1", "a-2"], 3_300_000_000)
    assert two.told() == (
        "not in the inventory: would remove its link, its record and 2 generations"
        " (a-1, a-2); frees 3.3 GB"
    )
    assert "removed its link, its record and 1 generation (a-1); freed 0 MB" in (
        Leaving("vision", ["a-1"], 0).told(done=True)
    )
    assert "would remove its link and its record; frees" in Leaving("vision", [], 0).told()
    assert Leaving("default", [], 0).told().startswith("default is not in the inventory: ")
    used = Leaving("vision", ["a-1"], 0, ["envs/mine"], "a-1 by process 7 (x\ny)").told()
    assert used.splitlines()[1:] == [
        "envs/mine stays: it is not fleetwheel's",
        "what runs there will fail: a-1 by process 7 (x y)",
    ]


def test_people_read_what_goes_of_a_root() -> None:
    names = ["a", "b\n\x1b[31m", "3 more"]
    assert what_of_root("/opt/f", ["default"], names, linked="/data/f") == (
        "1 environment (default) and all of fleetwheel's under /opt/f",
        "\na, b ?[31m and 3 more stay: they are not fleetwheel's"
        "\n/opt/f stays: it is a link to /data/f, which stays too",
    )


# What is done


@contextmanager
def lease(generation: Path) -> Iterator[None]:
    handle = os.open(generation / "pyvenv.cfg", os.O_RDONLY)
    fcntl.fcntl(handle, 37, struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    try:
        yield
    finally:
        os.close(handle)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with three environments, each with a generation of its own."""
    monkeypatch.setattr(_probe, "probe_document", FakeProbe().document)
    root = tmp_path / "root"
    for record in RECORDS.values():
        add_generation(root, record.generation)
    (root / "current").symlink_to("envs/default-cp311-0123456789ab-1")
    (root / "environments").mkdir()
    for name in ("vision", "course"):
        (root / "environments" / name).symlink_to(f"../envs/{name}-cp311-0123456789ab-1")
    return root


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    monkeypatch.chdir(tmp_path)
    for name in ("_hosts", "_environments"):
        monkeypatch.setattr(_report, name, {})
    with hosts(NAME, ssh_hostname="192.0.2.1") as state:
        yield state


def stand(
    monkeypatch: pytest.MonkeyPatch, root: Path, found: dict[str, Record], traces: Traces
) -> None:
    """Have the host say what is under its root, and what is beside it."""
    text = state_of(**found).text()
    (root / "state.json").write_text(text)
    facts = host(CPU_HOST, record=text, root=root)
    links = {name: f"{name}-cp311-0123456789ab-1" for name in found if name != "default"}
    more = {"current": "default-cp311-0123456789ab-1", "environments": links, "exists": True}
    installation = facts.installation.model_copy(update=more)
    answers = {NAME: facts.model_copy(update={"installation": installation})}
    monkeypatch.setattr(_host_state, "_answers", answers)
    monkeypatch.setattr(remove, "fact", lambda kind, **_: traces)


def removed(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch, *, dry: bool = False, **given: Any
) -> bool:
    """Remove what is left over, given what the inventory and the command line say."""
    options = {key: given.pop(key) for key in ("what", "in_use") if key in given}
    found = given.pop("found", RECORDS)
    stand(monkeypatch, root, found, given.pop("traces", Traces()))
    settings = Settings.from_data(given)
    if dry:
        add_op(far, remove.leftovers, settings=settings, **options)
        return True
    return carried_out(far, remove.leftovers, settings=settings, **options)


def reported() -> dict[str, EnvironmentReport]:
    return _report._environments.get(NAME, {})


def of_host() -> HostReport:
    return _report._hosts[NAME]


VISION = {"environments": {"vision": {}}}


def test_only_what_the_inventory_has_not_goes(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert removed(far, root, monkeypatch, **VISION)
    assert {path.name for path in (root / "envs").iterdir()} == {
        "default-cp311-0123456789ab-1",
        "vision-cp311-0123456789ab-1",
    }
    assert not (root / "environments/course").is_symlink()
    found = reported()["course"]
    assert (list(reported()), found.status) == (["course"], "changed")
    assert "not in the inventory: removed its link" in found.why


def test_a_dry_run_says_the_same_and_does_nothing(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert removed(far, root, monkeypatch, dry=True, **VISION)
    found = reported()["course"]
    assert found.status == "would change"
    assert "1 generation (course-cp311-0123456789ab-1); frees 0 MB" in found.why
    assert (root / "environments/course").is_symlink()
    assert (root / "envs/course-cp311-0123456789ab-1").is_dir()
    assert not (root / ".lock").exists()


def test_a_second_run_has_nothing_to_do(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"environments": {"vision": {}, "course": {}}}
    assert removed(far, root, monkeypatch, **both)
    assert (of_host().status, of_host().why) == ("unchanged", "nothing to remove")
    assert reported() == {}


def test_one_in_use_stays_and_the_other_goes(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease(root / "envs/vision-cp311-0123456789ab-1"):
        assert not removed(far, root, monkeypatch)
    assert (reported()["vision"].status, reported()["course"].status) == ("refused", "changed")
    assert f"vision-cp311-0123456789ab-1 by process {os.getpid()}" in reported()["vision"].why
    assert "--data in_use=true" in reported()["vision"].why
    assert reported()["vision"].choice == RECORDS["vision"].choice
    assert (root / "environments/vision").resolve() == root / "envs/vision-cp311-0123456789ab-1"
    assert not (root / "envs/course-cp311-0123456789ab-1").exists()


def test_one_in_use_goes_where_that_is_meant(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease(root / "envs/vision-cp311-0123456789ab-1"):
        assert removed(far, root, monkeypatch, in_use=True)
    assert (
        f"will fail: vision-cp311-0123456789ab-1 by process {os.getpid()}"
        in reported()["vision"].why
    )
    assert [path.name for path in (root / "envs").iterdir()] == ["default-cp311-0123456789ab-1"]


def test_a_dry_run_counts_on_what_goes_though_it_is_in_use(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_generation(root, "shared-cp311-0123456789ab-1")
    earlier = {"earlier": (Earlier(generation="shared-cp311-0123456789ab-1"),)}
    found = {name: record.model_copy(update=earlier) for name, record in RECORDS.items()}
    kept = {"environments": {"default": None, "course": {}}}
    del found["course"]
    with lease(root / "envs/default-cp311-0123456789ab-1"):
        assert removed(far, root, monkeypatch, dry=True, in_use=True, found=found, **kept)
    assert (
        "2 generations (vision-cp311-0123456789ab-1, shared-cp311-0123456789ab-1"
        in reported()["vision"].why
    )


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ({}, "refused", "rolled back on 2026-11-01; --data lift_hold=true ends the hold"),
        ({"lift_hold": True}, "changed", "not in the inventory"),
        (
            {"lift_hold": True, "hold": "the exam"},
            "refused",
            "the inventory holds it (hold: the exam)",
        ),
    ],
)
def test_what_is_held_is_refused(
    far: State,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any],
    status: str,
    why: str,
) -> None:
    held = {**RECORDS, "course": RECORDS["course"].model_copy(update={"hold": HOLD})}
    done = removed(far, root, monkeypatch, found=held, **VISION, **said)
    assert done is (status == "changed")
    assert (reported()["course"].status, why in reported()["course"].why) == (status, True)
    assert (root / "envs/course-cp311-0123456789ab-1").exists() is not done


def test_all_of_fleetwheel_goes(far: State, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert removed(far, root, monkeypatch, what="everything")
    assert not root.exists()
    assert of_host().status == "changed"
    assert "3 environments (default, vision, course)" in of_host().why


def test_a_dry_run_of_that_removes_nothing(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "notes.txt").touch()
    assert removed(far, root, monkeypatch, dry=True, what="everything")
    assert of_host().status == "would change"
    assert "notes.txt stays: it is not fleetwheel's" in of_host().why
    assert (root / "envs/default-cp311-0123456789ab-1").is_dir()


@pytest.mark.parametrize(
    ("given", "status", "why"),
    [
        ({"what": "all"}, "failed", "is none of environments, schedule, mirror, everything"),
        ({"what": "everything", "environment": "vision"}, "failed", "contradict each other"),
        ({"what": "everything", "hold": "exam"}, "refused", "the inventory holds it (hold: exam)"),
        ({"environment": "default"}, "refused", "default is in the inventory"),
    ],
)
def test_what_cannot_be_meant_or_done_ends_the_host(
    far: State,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    status: str,
    why: str,
) -> None:
    assert not removed(far, root, monkeypatch, **given)
    assert of_host().status == status
    assert why in of_host().why
    assert len(list((root / "envs").iterdir())) == 3


def test_nothing_goes_from_a_host_that_has_something_in_use(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease(root / "envs/vision-cp311-0123456789ab-1"):
        assert not removed(far, root, monkeypatch, what="everything")
    assert (
        "all of it stays, because it is in use: vision-cp311-0123456789ab-1 by process"
        in of_host().why
    )
    assert len(list((root / "envs").iterdir())) == 3


@pytest.mark.parametrize("what", ["mirror", "everything"])
def test_a_mirror_that_the_inventory_names_stays(
    far: State, root: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    traces = Traces(paths={f"{root}/mirror": 4096})
    assert not removed(far, root, monkeypatch, what=what, mirror="192.0.2.1:8080", traces=traces)
    assert of_host().status == "refused"
    assert "the inventory names this host as the mirror: 192.0.2.1:8080" in of_host().why


# What is beside the root


def test_a_host_says_what_deploys_left(tmp_path: Path) -> None:
    (tmp_path / "mirror dir").mkdir()
    (tmp_path / "mirror dir/wheel").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("nowhere")
    paths = [f"{tmp_path}/{name}" for name in ("mirror dir", "link", "absent")]
    command = HostTraces().command(paths=paths, user="no-such-user")
    said = subprocess.check_output(["sh", "-c", command.get_raw_value()], text=True)
    found = HostTraces().process(said.splitlines())
    assert set(found.paths) == set(paths[:2])
    assert found.paths[paths[0]] >= 100_000
    assert (found.user, found.root) == (False, os.geteuid() == 0)


def test_an_answer_that_is_none_has_nothing() -> None:
    strange = ["9" * 5000 + " /x", "12 relative", "x /y", "", "7 /z", " /empty"]
    assert HostTraces().process(strange).paths == {"/z": 7168, "/empty": 0}


def shell(program: str, *values: str) -> int:
    return subprocess.run(["sh", "-c", program, *values], check=False).returncode


def test_the_mirrors_own_files_go_and_others_stay(tmp_path: Path) -> None:
    for name in ("cache/x", "run/nginx.pid", "nginx.conf", "ca.pem", "theirs"):
        (tmp_path / "mirror" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / name).write_text("0")
    assert shell(mirror.REMOVE, f"{tmp_path}/mirror") == 0
    assert [path.name for path in (tmp_path / "mirror").iterdir()] == ["theirs"]
    (tmp_path / "mirror/theirs").unlink()
    assert shell(mirror.REMOVE, f"{tmp_path}/mirror") == 0
    assert not (tmp_path / "mirror").exists()


def test_only_an_nginx_is_ended(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / "run/nginx.pid").write_text(f"{other.pid}\n")
        assert shell(mirror.STOP, str(tmp_path)) == 0
        assert other.poll() is None
        other.kill()
    assert shell(mirror.STOP, f"{tmp_path}/absent") == 0

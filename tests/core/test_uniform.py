"""Uniform groups: all CUDA hosts of a group get one release, whatever each could run alone."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import Target, read_target
from fleetwheel.deploy.decider import Decider, Member, pinned
from fleetwheel.deploy.record import Record
from fleetwheel.host.profile import Driver, DriverState, Gpu, Installation, Profile, Python
from fleetwheel.inventory.load import load_hosts
from fleetwheel.inventory.recorded import HostSnapshot, save_snapshots
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import save_lock
from fleetwheel.lock.locking import lock_of
from fleetwheel.matrix.matrix import load_matrix
from tests.project import copy_of_checkout, run_pyinfra
from tests.samples import lock_with
from tests.small_wheels import make_wheel

PYTHON = Python(path="/usr/bin/python3.11", version="3.11.2")
INVENTORY = """\
from pathlib import Path as _Path

from fleetwheel.inventory.recorded import load_snapshots as _load, replay as _replay

hosts = [(f"@fake/{host.name}", _replay(host)) for host in _load(_Path("records"))]
hosts.append(("@fake/mute", {"uniform": "lab", "fake_delay": 0}))
"""


def profile(*capabilities: str) -> Profile:
    driver = Driver(state=DriverState.OK, version="580.95.05") if capabilities else Driver()
    gpus = [Gpu(index=i, name=f"GPU {i}", compute_capability=c) for i, c in enumerate(capabilities)]
    return Profile(
        os="linux",
        arch="x86_64",
        glibc="2.36",
        pythons=(PYTHON,),
        driver=driver,
        gpus=tuple(gpus),
    )


def recorded(name: str, *capabilities: str, uniform: bool | str = "lab") -> HostSnapshot:
    installation = Installation(root="/opt/fleetwheel", writable=True, free_bytes=10**12)
    return HostSnapshot(
        name=name,
        settings=Settings(uniform=uniform),
        profile=profile(*capabilities),
        installation=installation,
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheels")
    for torch in ("2.13.0+cu126", "2.14.1+cu126", "2.15.0+cu132", "2.15.0+cpu"):
        make_wheel(directory, "torch", torch, tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(directory, "numpy", "2.4.0")
    return directory


@pytest.fixture(scope="module")
def plan(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return what a dry run over recorded hosts says."""

    def run(*hosts: HostSnapshot, options: tuple[str, ...] = ()) -> str:
        project = copy_of_checkout(tmp_path_factory.mktemp("planned"))
        (project / "inventory.py").write_text(INVENTORY)
        save_snapshots(project / "records", hosts)
        done = run_pyinfra(
            project,
            "inventory.py",
            "deploys/torch.py",
            "--dry",
            *options,
            env={
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(wheels),
                "FLEETWHEEL_PYTORCH_INDEX": "http://127.0.0.1:9",
            },
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def row(said: str, host: str) -> str:
    return next(line for line in said.splitlines() if line.startswith(f"@fake/{host} "))


def test_the_cuda_hosts_of_a_group_get_one_release(plan: Callable[..., str]) -> None:
    hosts = [
        recorded("old", "6.1"),
        recorded("new", "8.9"),
        recorded("cpu"),
        recorded("alone", "8.9", uniform=False),
    ]
    said = plan(*hosts)
    assert "torch 2.14.1+cu126" in row(said, "old")
    assert "torch 2.14.1+cu126" in row(said, "new")
    assert "torch 2.15.0+cpu" in row(said, "cpu")
    assert "torch 2.15.0+cu132" in row(said, "alone")
    assert said.count("@fake/mute cannot be asked") == 1


def test_a_limit_does_not_make_the_group_smaller(plan: Callable[..., str]) -> None:
    said = plan(recorded("old", "6.1"), recorded("new", "8.9"), options=("--limit", "@fake/new"))
    assert "torch 2.14.1+cu126" in row(said, "new")
    assert not [line for line in said.splitlines() if line.startswith("@fake/old ")]


def test_a_group_without_a_common_release_is_refused(plan: Callable[..., str]) -> None:
    modern = recorded("new", "8.9")
    modern = modern.model_copy(update={"settings": Settings(uniform="lab", torch=">=2.15")})
    said = plan(recorded("old", "6.1"), modern)
    for host in ("old", "new"):
        assert " refused " in row(said, host)
    _, _, cause = said.partition("2 hosts: no release of torch runs on every CUDA host")
    assert "@fake/new, @fake/old" in cause.splitlines()[0] + cause.splitlines()[1]
    assert "out of it: @fake/new, @fake/old" in said


def record(torch: str, request: Request) -> Record:
    choice = Choice(torch=torch, variant="cu126", packages={"torch": torch}, python=PYTHON)
    return Record(
        generation="g",
        request=request,
        lock="pylock.x.toml",
        choice=choice,
        driver=Driver(),
        gpus=(),
        deployed_at=datetime.now(UTC),
    )


@pytest.fixture
def decider(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Decider:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", "http://127.0.0.1:9")
    return Decider(tmp_path, load_matrix(), lambda text: None)


@pytest.mark.parametrize(
    ("held", "joining", "relock", "expected"),
    [
        (None, "8.9", False, "2.15.0"),
        ("2.13.0", "8.9", False, "2.13.0"),
        ("2.13.0", "6.1", False, "2.13.0"),
        ("2.13.0", "8.9", True, "2.15.0"),
        ("2.15.0", "6.1", False, "2.14.1"),
    ],
)
def test_a_group_keeps_its_release_while_all_can_run_it(
    decider: Decider, held: str | None, joining: str, relock: bool, expected: str
) -> None:
    asked = Request()
    member = Member(profile("8.9"), asked, record(held, pinned(asked, held)) if held else None)
    group = [member, Member(profile(joining), asked, None)]
    assert decider.common(group, relock=relock) == expected


def kept(decider: Decider, torch: str) -> str:
    """Give the controller a lock for this release of a uniform group; return its name."""
    asked = pinned(Request(), torch)
    target = read_target(profile("8.9"), asked)
    assert isinstance(target, Target)
    text = lock_with({"torch": "2.13.0+cpu", "numpy": "2.4.0"}).text.partition("[tool.")[0]
    lock = lock_of(text.replace("2.13.0+cpu", torch), record(torch, asked).choice, target, asked)
    save_lock(decider.directory, lock)
    return lock.name


def claiming(torch: str, lock: str = "pylock.x.toml", capability: str = "8.9") -> Member:
    claim = record(torch, pinned(Request(), torch)).model_copy(update={"lock": lock})
    return Member(profile(capability), Request(), claim)


def test_one_host_moves_no_group(decider: Decider) -> None:
    """Whatever release it claims, and whichever lock it names for that."""
    lone = claiming("2.14.1")
    assert decider.common([lone, *[Member(profile("8.9"), Request(), None)] * 2]) == "2.15.0"
    assert decider.common([claiming("2.13.0"), claiming("2.13.0"), lone]) == "2.13.0"
    ours = kept(decider, "2.13.0")
    group = [claiming("2.13.0", ours), claiming("2.13.0", ours)]
    for lock in ("pylock.x.toml", "pylock.gone.toml", ours):
        assert decider.common([*group, claiming("2.14.1", lock)]) == "2.13.0"


def test_a_roll_out_goes_on_that_stopped_half_way(decider: Decider) -> None:
    """The newest release counts that the controller has locked for one of them."""
    old, new = (kept(decider, torch) for torch in ("2.13.0", "2.14.1"))
    group = [claiming("2.13.0", old), claiming("2.13.0", old), claiming("2.14.1", new)]
    assert decider.common(group) == "2.14.1"


def test_a_release_that_was_held_by_another_request_does_not_count(decider: Decider) -> None:
    member = Member(profile("8.9"), Request(), record("2.13.0", Request(torch="2.13")))
    assert decider.common([member]) == "2.15.0"


def test_in_yaml_a_group_is_named_by_itself(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(
        "groups:\n  lab:\n    uniform: true\n    hosts:\n      a:\n      b: {uniform: false}\n"
        "hosts:\n  c: {uniform: lab}\n"
    )
    said = {host.name: host.data.get("uniform") for host in load_hosts(tmp_path)}
    assert said == {"a": "lab", "b": False, "c": "lab"}


def test_a_host_that_holds_its_group_back_is_named(plan: Callable[..., str]) -> None:
    """A host may claim an old GPU: what it costs the others, a person has to see."""
    said = plan(recorded("a", "8.9"), recorded("b", "8.9"), recorded("old", "6.1"))
    for name in ("a", "b"):
        line = next(line for line in said.splitlines() if line.startswith(f"@fake/{name} "))
        assert "2.14.1" in line
    assert "without @fake/old the uniform group would get a newer release" in said


def test_a_group_of_equals_has_no_odd_host(plan: Callable[..., str]) -> None:
    assert "would get a newer release" not in plan(recorded("a", "8.9"), recorded("b", "8.9"))

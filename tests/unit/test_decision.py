"""Which lock a host gets: its own while that runs, one for all equal hosts, or a new one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.deploy.decider import Decider, python_for
from fleetwheel.deploy.record import Record
from fleetwheel.host.profile import Profile, Python
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.sources import web
from tests.samples import CPU_HOST, GPU_HOST, PYTHON, REQUEST
from tests.small_wheels import make_wheel


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_pip: None) -> Iterator[Path]:
    """The only source: a directory that a test fills."""
    directory = tmp_path / "wheels"
    make_wheel(directory, "numpy", "2.4.0")
    torch(directory, "2.12.1+cpu")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", "http://127.0.0.1:9")
    web.forget_pages()
    yield directory
    web.forget_pages()


def torch(directory: Path, version: str) -> None:
    make_wheel(directory, "torch", version, tag="cp311-cp311-manylinux_2_28_x86_64")


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def decider(tmp_path: Path, warnings: list[str]) -> Decider:
    return Decider(tmp_path / "locks", load_matrix(), warnings.append)


def later(decider: Decider, wheels: Path) -> Decider:
    """Return the decider of a later run, when a newer torch is out."""
    torch(wheels, "2.13.0+cpu")
    web.forget_pages()
    return Decider(decider.directory, decider.matrix, decider.warn)


def lock_of(
    decider: Decider,
    profile: Profile = CPU_HOST,
    request: Request = REQUEST,
    record: Record | None = None,
    copy: str | None = None,
    relock: bool = False,
) -> Lock:
    lock = decider.decide(profile, request, record, lambda: copy, relock=relock)
    assert isinstance(lock, Lock), lock
    return lock


def record_of(lock: Lock) -> Record:
    return Record(
        generation="x-1",
        request=REQUEST,
        lock=lock.name,
        choice=lock.choice,
        driver=CPU_HOST.driver,
        gpus=(),
        deployed_at=datetime.now(UTC),
    )


def test_equal_hosts_share_one_lock(decider: Decider, wheels: Path) -> None:
    first = lock_of(decider)
    assert lock_of(decider, CPU_HOST.model_copy(update={"boot_id": "another"})) is first


def test_a_host_keeps_its_lock_when_a_newer_torch_is_out(decider: Decider, wheels: Path) -> None:
    lock = lock_of(decider)
    record = record_of(lock)
    kept = lock_of(later(decider, wheels), record=record, copy=lock.text)
    assert kept.choice.torch == "2.12.1"
    assert kept.name == lock.name


def test_a_copy_from_a_host_is_for_that_host_alone(decider: Decider, wheels: Path) -> None:
    """A hostile host could send a lock of its own making, under another target's name."""
    lock = lock_of(decider)
    kept = lock_of(later(decider, wheels), record=record_of(lock), copy=lock.text)
    assert kept.from_host
    assert not lock.from_host
    assert lock_of(later(decider, wheels)).choice.torch == "2.13.0"


def test_a_host_without_a_record_gets_the_newest(decider: Decider, wheels: Path) -> None:
    lock_of(decider)
    assert lock_of(later(decider, wheels)).choice.torch == "2.13.0"


@pytest.mark.parametrize("change", ["request", "relock", "interpreter", "gpu"])
def test_what_makes_a_new_lock(decider: Decider, wheels: Path, change: str) -> None:
    lock = lock_of(decider)
    record = record_of(lock)
    new = later(decider, wheels)
    request, profile = REQUEST, CPU_HOST
    if change == "request":
        request = Request(packages=())
    if change == "interpreter":
        newer = PYTHON.model_copy(update={"path": "/usr/bin/python3.12", "version": "3.12.1"})
        profile = CPU_HOST.model_copy(update={"pythons": (newer,)})
        make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp312-cp312-manylinux_2_28_x86_64")
    if change == "gpu":
        profile = GPU_HOST
        torch(wheels, "2.14.1+cu130")
    made = lock_of(new, profile, request, record, lock.text, relock=change == "relock")
    assert made.choice.torch == ("2.14.1" if change == "gpu" else "2.13.0")


def test_a_refusal_and_a_silent_source_are_told_once(
    decider: Decider, wheels: Path, warnings: list[str]
) -> None:
    for host in (GPU_HOST, GPU_HOST, CPU_HOST):
        decider.decide(host, REQUEST, None, lambda: None)
    assert isinstance(decider.decide(GPU_HOST, REQUEST, None, lambda: None), Refusal)
    assert len(warnings) == 1
    assert "127.0.0.1:9" in warnings[0]


def test_the_same_interpreter_before_another_of_its_version(decider: Decider, wheels: Path) -> None:
    lock = lock_of(decider)
    other = PYTHON.model_copy(update={"path": "/opt/python3.11"})
    both = CPU_HOST.model_copy(update={"pythons": (other, PYTHON)})
    used = record_of(lock)
    used = used.model_copy(update={"choice": lock.choice.model_copy(update={"python": PYTHON})})
    assert python_for(lock, both, used) == PYTHON
    assert python_for(lock, CPU_HOST.model_copy(update={"pythons": (other,)})) == other
    assert python_for(lock, CPU_HOST.model_copy(update={"pythons": ()})) is None


PRIVATE = PYTHON.model_copy(update={"path": "/root/.pyenv/bin/python3.11", "reach": "private"})
OURS = PYTHON.model_copy(update={"path": "/opt/x/pythons/p/bin/python3.11", "reach": "root"})
NEWER = PRIVATE.model_copy(update={"version": "3.12.1", "path": "/root/.pyenv/bin/python3.12"})


@pytest.mark.parametrize(
    ("pythons", "expected"),
    [
        ((NEWER, PRIVATE, OURS, PYTHON), PYTHON),
        ((NEWER, PRIVATE, OURS), OURS),
        ((PRIVATE,), PRIVATE),
    ],
)
def test_what_root_deploys_runs_for_everyone_if_it_can(
    decider: Decider, wheels: Path, pythons: tuple[Python, ...], expected: Python
) -> None:
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp312-cp312-manylinux_2_28_x86_64")
    profile = CPU_HOST.model_copy(update={"pythons": pythons})
    assert python_for(lock_of(decider, profile), profile) == expected


def test_only_a_private_interpreter_fits_what_is_asked(decider: Decider, wheels: Path) -> None:
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp312-cp312-manylinux_2_28_x86_64")
    profile = CPU_HOST.model_copy(update={"pythons": (NEWER, PYTHON)})
    lock = lock_of(decider, profile, Request(torch="==2.13.0"))
    assert python_for(lock, profile) == NEWER


def test_another_interpreter_alone_keeps_the_lock(decider: Decider, wheels: Path) -> None:
    """The host was deployed with root's own; now there is one for all, and a newer torch too."""
    private = CPU_HOST.model_copy(update={"pythons": (PRIVATE,)})
    before = lock_of(decider, private)
    record = record_of(before)
    both = CPU_HOST.model_copy(update={"pythons": (PRIVATE, PYTHON)})
    kept = lock_of(later(decider, wheels), both, record=record, copy=before.text)
    assert kept.text == before.text
    assert python_for(kept, both, record) == PYTHON
    assert kept.generation(PYTHON) != kept.generation(PRIVATE)

"""From a target to a lock: what else is asked for has its say in which torch is taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import Target, read_target
from fleetwheel.deploy.decider import Decider
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Profile, Python
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.sources import web
from fleetwheel.sources.configured import pip_settings
from tests.samples import CPU_HOST, GPU_HOST, PYTHON, record_of
from tests.small_wheels import make_wheel

TAG = "cp311-cp311-manylinux_2_28_x86_64"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_pip: None) -> Iterator[Path]:
    """The only source: a directory with torch 2.11 to 2.13 and numpy."""
    directory = tmp_path / "wheels"
    for release in ("2.11.0", "2.12.1", "2.13.0"):
        make_wheel(directory, "torch", f"{release}+cpu", tag=TAG)
    make_wheel(directory, "numpy", "1.26.4")
    make_wheel(directory, "numpy", "2.4.0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", "http://127.0.0.1:9")
    web.forget_pages()
    yield directory
    web.forget_pages()


def answer(
    wheels: Path, request: Request, profile: Profile = CPU_HOST, **more: bool
) -> Lock | Refusal:
    web.forget_pages()
    pip_settings.cache_clear()
    decider = Decider(wheels.parent / "locks", load_matrix(), lambda text: None)
    return decider.decide(profile, request, None, lambda: None, **more)


def made(wheels: Path, *packages: str, torch: str | None = None) -> Lock:
    lock = answer(wheels, Request(torch=torch, packages=packages))
    assert isinstance(lock, Lock), lock
    return lock


def test_the_newest_torch_that_the_packages_allow(wheels: Path) -> None:
    """As vllm: an ancient release asks nothing of torch, the newest one asks for one release."""
    make_wheel(wheels, "serving", "0.2.2")
    make_wheel(wheels, "serving", "0.33.0", requires=("torch==2.12.1",))
    lock = made(wheels, "serving")
    assert (lock.choice.torch, lock.packages["serving"]) == ("2.12.1", "0.33.0")
    assert any("serving 0.33.0 takes" in reason for reason in lock.choice.reasons)
    assert lock.choice.rejected[0].torch == "2.13.0"


def test_a_package_that_a_pin_holds_back_is_named(wheels: Path) -> None:
    make_wheel(wheels, "serving", "0.2.2")
    make_wheel(wheels, "serving", "0.33.0", requires=("torch==2.12.1",))
    lock = made(wheels, "serving", torch="2.13.0")
    assert (lock.choice.torch, lock.packages["serving"]) == ("2.13.0", "0.2.2")
    assert "serving 0.2.2 is what goes with torch 2.13.0; its newest release is 0.33.0" in (
        lock.choice.reasons
    )


def test_the_next_release_is_tried_when_the_newest_cannot_be_locked(wheels: Path) -> None:
    make_wheel(wheels, "torch", "2.14.1+cpu", tag=TAG, requires=("cuda-toolkit==13.0.2",))
    make_wheel(wheels, "cuda-toolkit", "13.5.0")
    lock = made(wheels, "numpy")
    assert lock.choice.torch == "2.13.0"
    assert "2.14.1+cpu cannot be locked: " in lock.choice.reasons[0]
    assert "cuda-toolkit" in lock.choice.reasons[0]


def test_packages_that_no_torch_goes_with_are_told_in_uvs_words(wheels: Path) -> None:
    make_wheel(wheels, "odd", "1.0", requires=("torch==1.0",))
    with pytest.raises(FleetwheelError, match=r"odd.*torch==1\.0"):
        answer(wheels, Request(packages=("odd",)))


def test_a_package_that_no_source_has_is_named(wheels: Path) -> None:
    found = answer(wheels, Request(packages=("nosuchpkg", "numpy")))
    assert isinstance(found, Refusal)
    (reason,) = found.reasons
    assert reason.startswith("no source that answers has a wheel of nosuchpkg; asked: ")
    assert found.unlocks[0].startswith("correct the name nosuchpkg")


def test_partners_that_others_bring_come_from_the_source_of_torch(wheels: Path) -> None:
    make_wheel(wheels, "torchvision", "0.28.0+cpu", tag=TAG, requires=("torch==2.13.0",))
    make_wheel(wheels, "torchvision", "0.99.0")
    make_wheel(wheels, "timm", "1.0", requires=("torchvision<0.99",))
    lock = made(wheels, "timm")
    assert lock.choice.packages == {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}


def test_numpy_1_beside_a_torch_that_was_built_for_it(wheels: Path) -> None:
    make_wheel(wheels, "torch", "2.2.2+cpu", tag=TAG)
    old = made(wheels, "numpy", torch="2.2.2")
    assert old.packages["numpy"] == "1.26.4"
    assert "numpy<2: torch before 2.3 is built for numpy 1" in old.choice.reasons
    assert made(wheels, "numpy").packages["numpy"] == "2.4.0"


def test_what_pip_is_told_to_keep_to(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = wheels.parent / "rules.txt"
    rules.write_text("torch<2.13  # not yet\nnumpy<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(rules))
    lock = made(wheels, "numpy")
    assert (lock.choice.torch, lock.packages["numpy"]) == ("2.12.1", "1.26.4")
    assert f"torch<2.13 is a constraint of {rules}" in lock.choice.reasons
    target = lock.origin.target
    assert target is not None
    assert target.constraints == ("numpy<2", "torch<2.13")
    found = answer(wheels, Request(torch="2.13.0"))
    assert isinstance(found, Refusal)
    assert "lifting pip's constraint torch<2.13 unlocks 2.13.0+cpu" in found.unlocks


def free(version: str) -> Profile:
    pythons = (Python(path="/usr/bin/python3.14t", version=version, free_threaded=True),)
    return CPU_HOST.model_copy(update={"pythons": pythons})


def test_every_wheel_fits_an_interpreter_without_a_gil(wheels: Path) -> None:
    """uv resolves for 3.14 and takes cp314; those of 3.14t are put in their place, or refused."""
    for abi in ("cp314", "cp314t"):
        make_wheel(wheels, "torch", "2.13.0+cpu", tag=f"cp314-{abi}-manylinux_2_28_x86_64")
        make_wheel(wheels, "fast", "1.0", tag=f"cp314-{abi}-manylinux_2_28_x86_64")
    make_wheel(wheels, "slow", "1.0", tag="cp314-cp314-manylinux_2_28_x86_64")
    request = Request(python="3.14t", packages=("fast", "numpy"))
    lock = answer(wheels, request, free("3.14.0"))
    assert isinstance(lock, Lock)
    assert {name: url.rpartition("/")[2] for name, url in lock.urls.items()} == {
        "torch": "torch-2.13.0%2Bcpu-cp314-cp314t-manylinux_2_28_x86_64.whl",
        "fast": "fast-1.0-cp314-cp314t-manylinux_2_28_x86_64.whl",
        "numpy": "numpy-2.4.0-py3-none-any.whl",
    }
    with pytest.raises(FleetwheelError, match=r"slow 1\.0 has no wheel for Python 3\.14t"):
        answer(wheels, Request(python="3.14t", packages=("slow",)), free("3.14.0"))


def test_a_lock_that_excludes_a_patch_release_refuses_that_host_alone(wheels: Path) -> None:
    make_wheel(wheels, "picky", "1.0", requires_python="!=3.11.7")
    request = Request(packages=("picky",))
    found = answer(wheels, request)
    assert isinstance(found, Refusal)
    assert found.reasons == ("the host has Python 3.11.7; picky 1.0 is for Python !=3.11.7",)
    other = PYTHON.model_copy(update={"version": "3.11.9"})
    lock = answer(wheels, request, CPU_HOST.model_copy(update={"pythons": (other,)}))
    assert isinstance(lock, Lock)


# One host's trouble is no other host's


NO_DRIVER = CPU_HOST.model_copy(update={"driver": Driver(state=DriverState.NO_DRIVER)})


def test_a_host_with_a_broken_driver_gets_no_cpu_lock_of_another(wheels: Path) -> None:
    """At first with the lock in locks/, then within one run."""
    from fleetwheel.lock import lock as locks

    lock = made(wheels, "numpy")
    locks.save_lock(wheels.parent / "locks", lock)
    found = answer(wheels, Request(), NO_DRIVER)
    assert isinstance(found, Refusal)
    assert "driver no-driver" in found.reasons[0]


def test_a_blocked_host_blocks_no_other_in_the_same_run(wheels: Path) -> None:
    decider = Decider(wheels.parent / "locks", load_matrix(), lambda text: None)
    blocked = decider.decide(NO_DRIVER, Request(), None, lambda: None)
    assert isinstance(blocked, Refusal)
    assert isinstance(decider.decide(CPU_HOST, Request(), None, lambda: None), Lock)


def test_a_driver_below_the_floor_of_its_branch_gets_its_own_answer(wheels: Path) -> None:
    make_wheel(wheels, "torch", "2.13.0+cu130", tag=TAG)
    make_wheel(wheels, "torch", "2.12.1+cu126", tag=TAG)
    decider = Decider(wheels.parent / "locks", load_matrix(), lambda text: None)

    def variant(driver: str) -> str:
        update = {"driver": GPU_HOST.driver.model_copy(update={"version": driver})}
        lock = decider.decide(GPU_HOST.model_copy(update=update), Request(), None, lambda: None)
        assert isinstance(lock, Lock), lock
        return str(lock.choice.variant)

    assert [variant(v) for v in ("580.95.05", "580.65.05", "580.105.08")] == [
        "cu130",
        "cu126",
        "cu130",
    ]


def test_cuda_wheels_for_a_host_without_a_gpu_only_where_nothing_is_tested(wheels: Path) -> None:
    make_wheel(wheels, "torch", "2.13.0+cu130", tag=TAG)
    request = Request(accelerator="cu130")
    refused = answer(wheels, request)
    assert isinstance(refused, Refusal)
    assert "smoke: none" in refused.unlocks[0]
    lock = answer(wheels, request, tested=False)
    assert isinstance(lock, Lock)
    assert str(lock.choice.variant) == "cu130"


def test_sources_of_the_inventory_are_part_of_the_target() -> None:
    one, other = (
        read_target(CPU_HOST, Request(), sources=(place,)) for place in ("/srv/a", "/srv/b")
    )
    assert isinstance(one, Target) and isinstance(other, Target)
    assert one != other


def test_a_package_for_another_system_is_not_looked_for(wheels: Path) -> None:
    lock = made(wheels, "numpy", 'pywin32; sys_platform == "win32"')
    assert "pywin32" not in lock.packages


def test_a_constraint_may_name_the_build(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = wheels.parent / "rules.txt"
    rules.write_text("torch==2.12.1+cpu\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(rules))
    assert made(wheels, "numpy").choice.packages == {"torch": "2.12.1+cpu"}


def test_a_constraint_binds_torch_to_no_address(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = wheels.parent / "rules.txt"
    rules.write_text("torch @ https://example.org/torch-2.13.0-py3-none-any.whl\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(rules))
    with pytest.raises(FleetwheelError, match=r"rules\.txt, line 1: torch is bound to an address"):
        answer(wheels, Request())


def test_a_constraint_may_bind_a_name_to_one_wheel(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv, which reads no source itself, is not asked to fetch it."""
    own = make_wheel(wheels.parent / "own", "numpy", "2.1.0")
    rules = wheels.parent / "rules.txt"
    rules.write_text(f"numpy @ {own.as_uri()}\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(rules))
    lock = made(wheels, "numpy")
    assert (lock.packages["numpy"], lock.urls["numpy"]) == ("2.1.0", own.as_uri())


def test_a_host_that_keeps_its_lock_needs_no_constraints(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = made(wheels, "numpy")
    chosen = lock.choice.model_copy(update={"python": PYTHON})
    kept = record_of(lock, "x-1").model_copy(update={"choice": chosen})
    monkeypatch.setenv("PIP_CONSTRAINT", "/nonexistent.txt")
    pip_settings.cache_clear()
    decider = Decider(wheels.parent / "locks", load_matrix(), lambda text: None)
    request = Request(packages=("numpy",))
    again = decider.decide(CPU_HOST, request, kept, lambda: lock.text)
    assert isinstance(again, Lock)
    assert again.packages == lock.packages


def test_packages_that_do_not_go_with_every_build(wheels: Path) -> None:
    """torchcodec says nothing of torch in its metadata; 0.14 and newer link CUDA 13 on Linux."""
    for version in ("0.10.0", "0.13.0", "0.17.0"):
        make_wheel(wheels, "torchcodec", version)
    assert made(wheels, "torchcodec").packages["torchcodec"] == "0.13.0"

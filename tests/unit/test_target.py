"""The target: it holds all that a choice may see, and nothing else."""

import inspect
import pkgutil
from importlib import import_module
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fleetwheel.choice
from fleetwheel.choice.answer import exact
from fleetwheel.choice.candidates import Stock
from fleetwheel.choice.choose import choose
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import Blocker, Target, read_target
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Gpu, Profile, Python
from fleetwheel.lock.lock import name_of
from fleetwheel.matrix.matrix import load_matrix

MATRIX = load_matrix()

CODES = ["3.7", "5.2", "6.1", "7.0", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "11.0", "12.0"]
VERSIONS = [
    "470.256.02",
    "535.183.01",
    "550.54.15",
    "570.86.16",
    "580.65.05",
    "580.95.05",
    "595.78",
]
pythons = st.lists(
    st.sampled_from(["3.8", "3.11", "3.12", "3.14", "3.14t"]), min_size=1, max_size=3, unique=True
)
requests = st.builds(
    Request,
    torch=st.sampled_from([None, None, "2.14", "==2.14.*", "2.14.1", ">=2.8,<2.13"]),
    accelerator=st.sampled_from(["auto", "auto", "cuda", "cu126", "cpu"]),
    packages=st.sampled_from(
        [(), ("numpy",), ("numpy", "scipy"), ("scipy", "NumPy"), ("torchvision",), ("torchaudio",)]
    ),
    python=st.sampled_from([None, None, "3.12"]),
    gpus=st.sampled_from([None, None, (0,), (1,)]),
)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    codes = draw(st.lists(st.sampled_from(CODES), max_size=2))
    state = draw(
        st.sampled_from(
            [DriverState.OK] * 5 + [DriverState.NO_DRIVER, DriverState.HUNG]
            if codes
            else [DriverState.NO_GPU] * 4 + [DriverState.NO_DRIVER]
        )
    )
    return Profile(
        os=draw(st.sampled_from(["linux", "linux", "windows"])),
        arch=draw(st.sampled_from(["x86_64", "x86_64", "aarch64"])),
        glibc=draw(st.sampled_from(["2.27", "2.35"])),
        wsl=draw(st.booleans()),
        pythons=tuple(
            Python(path=f"/{m}", version=f"{m.rstrip('t')}.1", free_threaded=m.endswith("t"))
            for m in draw(pythons)
        ),
        driver=Driver(
            state=state,
            version=draw(st.sampled_from(VERSIONS)) if codes else None,
            cuda=draw(st.sampled_from([None, "12.6", "13.0", "13.2"])),
            detail=draw(st.sampled_from(["", "said something"])),
        ),
        gpus=tuple(
            Gpu(index=index, name=f"GPU {code}", compute_capability=code)
            for index, code in enumerate(codes)
        ),
        problems=draw(st.sampled_from([(), ("one thing",)])),
    )


def test_nothing_of_the_choice_takes_a_profile_but_the_reading_of_one() -> None:
    """So that what decides cannot be left out of the target: there is no other way in."""
    takers = set()
    for module in pkgutil.iter_modules(fleetwheel.choice.__path__):
        found = import_module(f"fleetwheel.choice.{module.name}")
        for name, function in inspect.getmembers(found, inspect.isfunction):
            if function.__module__ == found.__name__:
                hints = set(map(str, get_type_hints(function).values()))
                if any("fleetwheel.host.profile.Profile" in hint for hint in hints):
                    takers.add((module.name, name))
    assert {module for module, _ in takers} == {"target", "answer", "outlook"}
    assert not takers & {("choose", name) for name in ("choose", "runs", "uniform", "explain")}


@given(profiles(), requests, st.data())
def test_what_is_not_in_the_target_changes_no_answer(
    profile: Profile, request_: Request, data: st.DataObject
) -> None:
    """Another host with an equal target gets an equal choice, reasons included."""
    target = read_target(profile, request_)
    other = profile.model_copy(
        update={
            "boot_id": "another",
            "problems": ("something else",),
            "distribution": "Another 1",
            "driver": profile.driver.model_copy(update={"detail": "other words", "nvml": "1"}),
            "gpus": tuple(
                gpu.model_copy(update={"uuid": f"GPU-{gpu.index}", "name": "Another"})
                for gpu in profile.gpus
            ),
        }
    )
    again = read_target(other, request_)
    if isinstance(target, Target):
        assert again == target
        assert choose(again, MATRIX, None) == choose(target, MATRIX, None)


FIELDS = ("os", "arch", "glibc", "wsl", "pythons", "driver", "gpus", "problems")


@given(profiles(), profiles(), requests, requests, st.sets(st.sampled_from([*FIELDS, "request"])))
def test_hosts_that_differ_in_what_decides_have_different_targets(
    one: Profile, another: Profile, first: Request, third: Request, changed: set[str]
) -> None:
    """A host, and the same host with some of what it is taken from another one."""
    taken = {field: getattr(another, field) for field in changed - {"request"}}
    other, second = one.model_copy(update=taken), third if "request" in changed else first
    targets = read_target(one, first), read_target(other, second)
    if not all(isinstance(target, Target) for target in targets):
        return
    mine, theirs = targets
    assert isinstance(mine, Target) and isinstance(theirs, Target)
    same = choose(mine, MATRIX, None) == choose(theirs, MATRIX, None)
    assert same or mine != theirs
    assert (mine == theirs) == (name_of(mine) == name_of(theirs))


def machine(*codes: str, driver: str = "580.95.05", **more: Any) -> Profile:
    return Profile.model_validate(
        {
            "os": "linux",
            "arch": "x86_64",
            "glibc": "2.35",
            "pythons": [{"path": "/usr/bin/python3", "version": "3.12.3"}],
            "driver": {"state": "ok" if codes else "no-gpu", "version": driver if codes else None},
            "gpus": [
                {"index": index, "name": f"GPU {code}", "compute_capability": code}
                for index, code in enumerate(codes)
            ],
            **more,
        }
    )


def target_of(profile: Profile, request_: Request = Request(), **more: Any) -> Target:  # noqa: B008
    found = read_target(profile, request_, **more)
    assert isinstance(found, Target), found
    return found


def test_a_selection_of_swapped_cards_is_not_one_target() -> None:
    """``gpus: [0]`` means a GTX 1080 here and an RTX 5090 there."""
    asked = Request(gpus=(0,))
    assert target_of(machine("6.1", "12.0"), asked) != target_of(machine("12.0", "6.1"), asked)
    assert target_of(machine("6.1", "12.0")) == target_of(machine("12.0", "6.1"))


def test_wsl_is_another_target_than_bare_linux() -> None:
    assert target_of(machine("8.6", wsl=True)) != target_of(machine("8.6"))


def test_an_update_within_a_branch_is_the_same_target() -> None:
    old, new = (target_of(machine("8.9", driver=v)) for v in ("580.95.05", "580.105.08"))
    assert old == new
    assert target_of(machine("8.9", driver="590.48.01")) != new


def test_different_sources_are_different_targets() -> None:
    """Their passwords are not."""
    mine, theirs = (
        target_of(machine(), sources=(f"https://{lab}.example.org/simple",)) for lab in ("a", "b")
    )
    assert mine != theirs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Request(torch="2.14.1"), Request(torch="==2.14.1")),
        (Request(torch="2.14"), Request(torch="2.14.*")),
        (Request(packages=("numpy", "scipy")), Request(packages=("SciPy", "numpy"))),
        (Request(packages=("torchvision", "numpy")), Request(packages=("numpy", "torchvision"))),
        (Request(accelerator="auto"), Request(accelerator="cpu")),
        (Request(python=None), Request(python="3.12")),
        (Request(torch="2.14.1"), Request(torch="2.14.1+cpu")),
    ],
)
def test_spellings_of_one_request_have_one_target(one: Request, other: Request) -> None:
    assert target_of(machine(), one) == target_of(machine(), other)


@pytest.mark.parametrize("state", ["no-driver", "hung", "no-devices", "gpu-lost"])
def test_a_gpu_that_does_not_work_blocks_its_host(state: str) -> None:
    """It is no target, so neither a lock nor a refusal of it can reach another host."""
    blocked = read_target(
        machine(driver="1").model_copy(
            update={"driver": Driver(state=DriverState(state), detail="its own words")}
        ),
        Request(),
    )
    assert isinstance(blocked, Blocker)
    assert state in blocked.reason and "its own words" in blocked.reason


def test_what_changes_a_copy_changes_what_was_computed_of_it() -> None:
    target = target_of(machine(), Request(torch="2.6"))
    assert str(target.torch_specifier) == "==2.6.*"
    assert str(target.model_copy(update={"torch": "==2.7.*"}).torch_specifier) == "==2.7.*"


@pytest.mark.parametrize(
    ("constraint", "os", "kept"),
    [
        ("torch<=2.12", "linux", True),
        ('torch<=2.12; sys_platform == "win32"', "linux", False),
        ('torch<=2.12; sys_platform == "win32"', "windows", True),
        ('torch<=2.12; python_version < "3.12"', "linux", False),
        ('torch<=2.12; platform_machine == "AMD64"', "windows", True),
        ("torchvision<0.20", "linux", False),
    ],
)
def test_constraints_bind_torch_where_they_are_meant(constraint: str, os: str, kept: bool) -> None:
    target = target_of(machine(os=os), constraints=(constraint,))
    assert ("<=2.12" in str(target.torch_specifier)) is kept


def test_the_exact_driver_decides_only_where_the_choice_says_so() -> None:
    host = machine("8.9", driver="580.65.05")
    assert exact(target_of(host), host).driver != target_of(host).driver


def test_a_target_survives_its_lock() -> None:
    for profile in (machine(), machine("6.1", "12.0"), machine("8.7", arch="aarch64")):
        target = target_of(profile, Request(accelerator="auto", packages=("torchvision", "scipy")))
        document = target.model_dump(mode="json", by_alias=True)
        assert Target.model_validate(document) == target


def test_a_request_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(FleetwheelError, match=r"^torch: '2\.x' is no version: write"):
        read_target(machine(), Request(torch="2.x"))


def test_stock_is_no_part_of_it() -> None:
    """What sources hold decides too; it is the other argument, never in the name of a lock."""
    stock: Stock = {}
    assert choose(target_of(machine()), MATRIX, stock) != choose(target_of(machine()), MATRIX, None)

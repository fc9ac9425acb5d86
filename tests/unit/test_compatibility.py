"""The rule: every branch, with cases from torch's own table and NVIDIA's compatibility guide."""

from dataclasses import replace

import pytest
from packaging.version import Version

from fleetwheel.choice.compatibility import (
    at_least,
    build_problem,
    dotted,
    driver_problem,
    gpu_problem,
    runs_code,
    supports_fully,
)
from fleetwheel.choice.request import Request
from fleetwheel.choice.tags import platforms, wheel_tags
from fleetwheel.choice.target import Blocker, Target, TargetDriver, read_target
from fleetwheel.host.profile import Driver as InstalledDriver
from fleetwheel.host.profile import DriverState, Gpu, Profile, Python
from fleetwheel.matrix.matrix import Build, Capability, Cuda, load_matrix, numbers
from fleetwheel.matrix.variant import Variant

MATRIX = load_matrix()
LINUX = ("linux", "x86_64")


@pytest.mark.parametrize(
    ("code", "gpu", "cuda", "runs"),
    [
        ("8.6", "8.9", "12.6", True),  # Ada
        ("8.0", "8.6", "12.6", True),
        ("6.0", "6.1", "12.6", True),  # Pascal
        ("12.0", "12.1", "13.0", True),  # GB10
        ("10.0", "10.3", "13.0", True),  # B300
        ("9.0", "9.0", "12.6", True),
        ("8.6", "8.0", "12.6", False),  # a minor above the GPU's
        ("10.0", "12.0", "13.0", False),  # another major
        ("12.0", "10.0", "13.0", False),
        ("7.0", "7.5", "12.6", True),  # Volta's code on Turing
        ("5.0", "5.3", "12.6", False),  # integrated GPUs run nothing but their own code
        ("6.0", "6.2", "12.6", False),
        ("5.0", "5.3", "13.2", False),
        ("7.0", "7.2", "13.0", False),
        ("7.0", "7.2", "13.2", True),  # unified from 13.2 on
        ("8.0", "8.7", "13.0", False),
        ("8.6", "8.7", "13.0", False),
        ("8.6", "8.7", "13.2", True),
        ("8.7", "8.7", "12.6", True),
        ("8.7", "8.9", "13.2", False),  # and their code runs on nothing else
        ("5.3", "5.3", "12.6", True),
        ("10.1", "11.0", "13.0", True),  # Thor under both its names
        ("11.0", "10.1", "13.0", True),
        ("10.0", "10.1", "12.9", False),
        ("11.0", "11.1", "13.2", False),
    ],
)
def test_machine_code(code: str, gpu: str, cuda: str, runs: bool) -> None:
    one, other = (tuple(map(int, text.split("."))) for text in (code, gpu))
    assert runs_code((one[0], one[1]), (other[0], other[1]), numbers(cuda)) is runs


@pytest.mark.parametrize(
    ("driver", "floor", "enough"),
    [
        ("580.65.06", "580.65.06", True),
        ("580.65.05", "580.65.06", False),
        ("570.124.06", "570.26", True),
        ("570.26", "570.124.06", False),
        ("580", "580.65.06", True),  # a bare branch meets the floors of its branch
        ("579", "580.65.06", False),
        ("528.33", "528.33", True),
        ("591.86", "580", True),
    ],
)
def test_drivers_are_compared_by_number(driver: str, floor: str, enough: bool) -> None:
    assert at_least(numbers(driver), numbers(floor)) is enough


def driver(version: str = "580.95.05", system: str = "linux", **more: object) -> TargetDriver:
    return TargetDriver.model_validate({"system": system, "version": version, **more})


def host(
    *devices: Capability, version: str = "580.95.05", glibc: str | None = "2.35", os: str = "linux"
) -> Target:
    there = {"glibc": glibc} if glibc else {}
    shown = {"driver": driver(version, os), "devices": devices, "runtime": "cuda"}
    needed = shown if devices else {"runtime": "cpu"}
    values = {"os": os, "arch": "x86_64", "pythons": ("3.12",), **there, **needed}
    return Target.model_validate(values)


def build(version: str, variant: str, platform: tuple[str, str] = LINUX) -> Build:
    found = MATRIX.build(Version(version), Variant.parse(variant), platform)
    assert found is not None
    return found


def cuda(variant: str) -> Cuda:
    return MATRIX.cuda[Variant.parse(variant)]


def problem(version: str, variant: str, device: Capability, by: TargetDriver) -> str | None:
    return gpu_problem(build(version, variant), device, by, cuda(variant), MATRIX)


def test_a_driver_below_the_floor_of_the_major() -> None:
    found = problem("2.15.0", "cu132", (9, 0), driver("550.54.15"))
    assert found == "needs driver 580.65.06 or newer"


def test_no_machine_code_and_no_ptx() -> None:
    assert problem("2.14.1", "cu126", (12, 0), driver()) == "has no code for Blackwell (12.0)"


def test_ptx_is_compiled_by_a_driver_as_new_as_the_toolkit() -> None:
    """cu129 has machine code for 12.0 and its PTX; here as if 12.0's were missing."""
    cu129 = replace(build("2.9.1", "cu129"), sm=((9, 0),))
    assert cu129.ptx == (12, 0)
    old = gpu_problem(cu129, (12, 1), driver("570.86.16"), cuda("cu129"), MATRIX)
    assert old == "has only PTX for Blackwell (12.1), which needs driver 575.51.03 or newer"
    assert gpu_problem(cu129, (12, 1), driver("575.51.03"), cuda("cu129"), MATRIX) is None


def test_ptx_is_no_help_to_an_older_gpu() -> None:
    assert problem("2.9.1", "cu130", (7, 0), driver()) == "has no code for Volta (7.0)"


@pytest.mark.parametrize("release", ["2.0.1", "2.3.1", "2.6.0", "2.7.1"])
@pytest.mark.parametrize("device", [(10, 0), (12, 0), (12, 1), (11, 0)])
def test_ptx_is_no_help_to_a_gpu_that_the_toolkit_does_not_know(
    release: str, device: Capability
) -> None:
    """Windows builds of cu118 have PTX for 3.7; CUDA 11.8 and its libraries end with Hopper."""
    old = build(release, "cu118", ("windows", "x86_64"))
    assert old.ptx == (3, 7)
    found = gpu_problem(old, device, driver("581.15", "windows"), cuda("cu118"), MATRIX)
    assert found is not None
    assert found.startswith("has no code for")


def test_code_without_cudnn_is_not_enough() -> None:
    """nvidia-cudnn-cu11 9.1.0.70 of 2.4 to 2.7 has none for Kepler, 8.7.0.84 before it has."""
    kepler = driver("470.256.02")
    assert problem("2.3.1", "cu118", (3, 7), kepler) is None
    for release in ("2.4.1", "2.5.1", "2.6.0", "2.7.1"):
        found = problem(release, "cu118", (3, 7), kepler)
        assert found == "has code for Kepler (3.7), but its cuDNN has none"


def test_a_driver_supports_all_of_a_cuda_version_or_only_its_major() -> None:
    assert supports_fully(driver("560.28.03"), cuda("cu126"))
    assert not supports_fully(driver("550.54.15"), cuda("cu126"))
    assert supports_fully(driver("595.10", "windows"), cuda("cu132"))


@pytest.mark.parametrize(
    ("version", "ceiling", "variant", "runs"),
    [
        ("580.00", "13.0", "cu130", True),  # JetPack 7.0: below 580.65.06, and yet CUDA 13.0
        ("580.00", "13.0", "cu132", False),
        ("595.78", "13.2", "cu132", True),
        ("540.4.0", "12.6", "cu130", False),
        ("580.00", "", "cu130", True),  # only the branch is known
        ("580.00", "", "cu132", False),
    ],
)
def test_tegra_drivers_are_judged_by_their_cuda(
    version: str, ceiling: str, variant: str, runs: bool
) -> None:
    more = {"ceiling": ceiling} if ceiling else {}
    thor = driver(version, tegra=True, **more)
    found = gpu_problem(
        build("2.14.1", variant, ("linux", "aarch64")), (11, 0), thor, cuda(variant), MATRIX
    )
    assert (found is None) is runs
    assert runs or found == f"needs a JetPack with CUDA {variant[2:4]}.{variant[4]}"


def test_branches_begin_and_end() -> None:
    assert driver_problem(host((6, 1)), MATRIX) is None
    ended = driver_problem(host((6, 1), version="590.44.01"), MATRIX)
    assert ended == "driver 590.44.01 no longer supports Pascal (6.1): Pascal ended with branch 580"
    assert driver_problem(host((6, 1), version="582.28", os="windows"), MATRIX) is None
    unborn = driver_problem(host((12, 0), version="550.54.15"), MATRIX)
    begins = "Blackwell begins with branch 570"
    assert unborn == f"driver 550.54.15 does not know Blackwell (12.0): {begins}"
    assert driver_problem(host((10, 1), version="550.54.15"), MATRIX), "10.1 is Thor"
    assert driver_problem(host((14, 0), version="550.54.15"), MATRIX) is None


def test_glibc() -> None:
    cpu = build("2.15.0", "cpu")
    assert build_problem(cpu, host(glibc="2.28"), MATRIX) is None
    assert build_problem(cpu, host(glibc="2.27"), MATRIX) == "needs glibc 2.28, the host has 2.27"
    assert build_problem(cpu, host(glibc=None), MATRIX) == "needs glibc, which the host has not"


def test_a_host_needs_all_of_its_gpus_served() -> None:
    both = host((6, 1), (12, 0))
    assert "6.1" in str(build_problem(build("2.15.0", "cu132"), both, MATRIX))
    assert "12.0" in str(build_problem(build("2.14.1", "cu126"), both, MATRIX))


@pytest.mark.parametrize(
    ("name", "told", "expected"),
    [
        ("NVIDIA L4", "8.9", (8, 9)),
        ("NVIDIA L4", None, (8, 9)),
        ("NVIDIA L4", "[N/A]", (8, 9)),
        ("NVIDIA XYZ", "9.0", (9, 0)),
        ("NVIDIA XYZ", None, None),
    ],
)
def test_the_driver_is_asked_before_the_name(
    name: str, told: str | None, expected: Capability | None
) -> None:
    profile = Profile(
        os="linux",
        arch="x86_64",
        pythons=(Python(path="/usr/bin/python3", version="3.12.1"),),
        driver=InstalledDriver(state=DriverState.OK, version="580.95.05"),
        gpus=(Gpu(index=0, name=name, compute_capability=told),),
    )
    target = read_target(profile, Request())
    assert isinstance(target, Blocker) if expected is None else target.devices == (expected,)


def test_driver_versions_are_shown_as_nvidia_writes_them() -> None:
    for text in ("580.65.06", "520.06", "580", "450.80.02", "570.124.06"):
        assert dotted(numbers(text)) == text


def test_tags_are_those_of_the_target() -> None:
    old = platforms(LINUX, (2, 17))
    assert {"manylinux2014_x86_64", "manylinux1_x86_64", "linux_x86_64"} <= old
    assert "manylinux_2_28_x86_64" not in old
    assert "manylinux_2_28_x86_64" in platforms(LINUX, (2, 28))
    assert platforms(LINUX, None) == {"linux_x86_64"}
    assert platforms(("windows", "x86_64"), None) == {"win_amd64"}
    assert platforms(("windows", "aarch64"), None) == {"win_arm64"}
    assert "macosx_14_0_arm64" in platforms(("macos", "aarch64"), None)
    plain = {str(tag) for tag in wheel_tags("3.14", LINUX, (2, 28))}
    free = {str(tag) for tag in wheel_tags("3.14t", LINUX, (2, 28))}
    assert "cp314-cp314-manylinux_2_28_x86_64" in plain
    assert "cp314-cp314t-manylinux_2_28_x86_64" in free
    assert "cp314-cp314-manylinux_2_28_x86_64" not in free
    assert "cp310-abi3-manylinux_2_28_x86_64" in plain
    assert {"py3-none-manylinux_2_28_x86_64", "py3-none-any"} <= plain & free

"""The rule: every branch, with cases from torch's own table and NVIDIA's compatibility guide."""

import pytest
from packaging.version import Version

from fleetwheel.choosing.compatibility import (
    Device,
    Host,
    at_least,
    device_of,
    dotted,
    driver_problem,
    gpu_problem,
    host_of,
    host_problem,
    runs_code,
    supports_fully,
)
from fleetwheel.choosing.tags import platforms, wheel_tags
from fleetwheel.matrix import Build, load_matrix, numbers
from fleetwheel.profile import Driver, Gpu, Profile

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


def host(driver: str = "580.95.05", *, system: str = "linux", glibc: str | None = "2.35") -> Host:
    return Host(
        platform=(system, "x86_64"),
        glibc=numbers(glibc) if glibc else None,
        driver=numbers(driver),
        system="windows" if system == "windows" else "linux",
        driver_name=driver,
        devices=(),
    )


def device(major: int, minor: int) -> Device:
    return Device(f"GPU ({major}.{minor})", (major, minor))


def build(version: str, variant: str) -> Build:
    found = MATRIX.build(Version(version), variant, LINUX)
    assert found is not None
    return found


def test_a_driver_below_the_floor_of_the_major() -> None:
    problem = gpu_problem(
        build("2.15.0", "cu132"), device(9, 0), host("550.54.15"), MATRIX.cuda["cu132"]
    )
    assert problem == "needs driver 580.65.06 or newer"


def test_no_machine_code_and_no_ptx() -> None:
    problem = gpu_problem(build("2.14.1", "cu126"), device(12, 0), host(), MATRIX.cuda["cu126"])
    assert problem == "has no code for GPU (12.0)"


def test_ptx_is_compiled_by_a_driver_as_new_as_the_toolkit() -> None:
    """12.2 is made up: cu130 of 2.9 has machine code for 12.0, so 13.0 needs its PTX."""
    cuda, old = MATRIX.cuda["cu130"], build("2.9.1", "cu130")
    assert old.ptx == (12, 0)
    assert gpu_problem(old, device(13, 0), host("580.95.05"), cuda) is None
    cu129 = build("2.9.1", "cu129")
    problem = gpu_problem(cu129, device(13, 0), host("570.86.16"), MATRIX.cuda["cu129"])
    assert problem == "has only PTX for GPU (13.0), which needs driver 575.51.03 or newer"
    assert gpu_problem(cu129, device(13, 0), host("575.51.03"), MATRIX.cuda["cu129"]) is None


def test_ptx_is_no_help_to_an_older_gpu() -> None:
    problem = gpu_problem(build("2.9.1", "cu130"), device(7, 0), host(), MATRIX.cuda["cu130"])
    assert problem == "has no code for GPU (7.0)"


def test_a_driver_supports_all_of_a_cuda_version_or_only_its_major() -> None:
    assert supports_fully(host("560.28.03"), MATRIX.cuda["cu126"])
    assert not supports_fully(host("550.54.15"), MATRIX.cuda["cu126"])
    assert supports_fully(host("595.10", system="windows"), MATRIX.cuda["cu132"])


def test_branches_begin_and_end() -> None:
    assert driver_problem(device(6, 1), host("580.95.05"), MATRIX) is None
    ended = driver_problem(device(6, 1), host("590.44.01"), MATRIX)
    assert ended == "driver 590.44.01 no longer supports GPU (6.1): Pascal ended with branch 580"
    assert driver_problem(device(6, 1), host("582.28", system="windows"), MATRIX) is None
    unborn = driver_problem(device(12, 0), host("550.54.15"), MATRIX)
    assert unborn == "driver 550.54.15 does not know GPU (12.0): Blackwell begins with branch 570"
    assert driver_problem(device(10, 1), host("550.54.15"), MATRIX), "10.1 is Thor"
    assert driver_problem(device(14, 0), host("550.54.15"), MATRIX) is None


def test_glibc() -> None:
    cpu = build("2.15.0", "cpu")
    assert host_problem(cpu, host(glibc="2.28"), MATRIX) is None
    assert host_problem(cpu, host(glibc="2.27"), MATRIX) == "needs glibc 2.28, the host has 2.27"
    assert host_problem(cpu, host(glibc=None), MATRIX) == "needs glibc, which the host has not"


def test_a_host_needs_all_of_its_gpus_served() -> None:
    profile = Profile(os="linux", arch="x86_64", glibc="2.35", driver=Driver(version="580.95.05"))
    both = host_of(profile, (device(12, 0), device(6, 1), device(12, 0)))
    assert [known.capability for known in both.devices] == [(6, 1), (12, 0)]
    assert "6.1" in str(host_problem(build("2.15.0", "cu132"), both, MATRIX))
    assert "12.0" in str(host_problem(build("2.14.1", "cu126"), both, MATRIX))


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
    name: str, told: str | None, expected: tuple[int, int] | None
) -> None:
    found = device_of(Gpu(index=0, name=name, compute_capability=told))
    assert (found and found.capability) == expected


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

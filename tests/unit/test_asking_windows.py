"""What Windows hosts answer: the parsers on recorded answers, and the batch file's text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.collectors import batch, gpu, host, platform, sections
from fleetwheel.collectors._windows import short_batch
from fleetwheel.collectors.places import Places
from fleetwheel.connection.batch import batch_file
from fleetwheel.host.profile import DriverState, HostState

FIXTURES = Path("tests/fixtures/windows")
GPU = "gpu smi C:\\Windows\\System32\\nvidia-smi.exe"
FIELDS = "gpu fields index,uuid,pci.bus_id,name,compute_cap,memory.total,driver_version,"


def state(name: str, *more: str) -> HostState:
    lines = (FIXTURES / name).read_text(encoding="utf-8").splitlines()
    found = sections([*lines, *more], *host.SECTIONS)
    return host.parse_host(*(found[section] for section in host.SECTIONS))


def test_a_workstation() -> None:
    found = state("workstation.txt", "gpu ended 0")
    profile, there = found.profile, found.installation
    assert (profile.os, profile.arch, profile.glibc) == ("windows", "x86_64", None)
    assert profile.distribution == "Windows 11 Pro 23H2 (22631.4301)"
    assert (profile.boot_id, profile.secure_boot) == ("0x6f-4E1C2D3B5A60DC01", True)
    assert profile.reboot_pending
    assert [python.path for python in profile.pythons] == [r"C:\Program Files\Python312\python.exe"]
    assert profile.problems == (r"C:\Python27\python.exe does not run (exit code 1)",)
    assert there.root == "C:/ProgramData/fleetwheel"
    assert (there.free_bytes, there.uv) == (82593148928, "0.13.9")
    assert there.current == "2.13.0+cpu-cp312-aa-1"
    [generation] = there.generations
    assert generation.packages == {"torch": "2.13.0+cpu"}
    assert generation.python == r"C:\Program Files\Python312\python.exe"


def test_a_driver_that_is_installed_and_does_not_run() -> None:
    profile = state("workstation.txt", "gpu ended 0").profile
    assert profile.driver.state is DriverState.NOT_LOADED
    assert profile.installed_driver.devices == ("4&1fc990d7&0&0008 0x2684",)
    assert profile.installed_driver.library == "591.86"


@pytest.mark.parametrize(("model", "expected"), [("WDDM", "WDDM"), ("TCC", "TCC"), ("[N/A]", None)])
def test_the_driver_model(model: str, expected: str | None) -> None:
    row = "0, GPU-1, 00000000:01:00.0, NVIDIA GeForce RTX 4090, 8.9, 24564, 591.86, " + model
    answer = (GPU, f"{FIELDS}driver_model.current", "gpu exit 0", f"gpu query {row}", "gpu ended 0")
    profile = state("workstation.txt", *answer).profile
    assert profile.driver.state is DriverState.OK
    assert [gpu.driver_model for gpu in profile.gpus] == [expected]


def test_an_nvidia_smi_that_hangs() -> None:
    profile = state("workstation.txt", GPU, "gpu exit 124", "gpu ended 0").profile
    assert profile.driver.state is DriverState.HUNG


def test_a_gpu_without_a_driver() -> None:
    lines = [r"gpu pci_key HKEY_X\PCI\VEN_10DE&DEV_2684&SUBSYS_0\4&1", "gpu pci_key  PCI\\CC_0300"]
    nvidia = gpu.parse_gpus(sections([*lines, "gpu ended 0"], "gpu")["gpu"])
    assert nvidia.driver.state is DriverState.NO_DRIVER


PNPUTIL = r"""
Microsoft PnP Utility

Instance ID:                PCI\VEN_8086&DEV_3E92&SUBSYS_872F1043&REV_00\3&11583659&0&10
Device Description:         Intel(R) UHD Graphics 630
Status:                     Started

Instanz-ID:                 PCI\VEN_10DE&DEV_2684&SUBSYS_0&REV_A1\4&1fc990d7&0&0008
"""
"""What `pnputil /enum-devices /connected` prints, by its documentation; the last in German."""


@pytest.mark.parametrize(
    ("answers", "devices"),
    [
        ((), ("4&1fc990d7&0&0008 0x2684", "4&removed&0 0x1b80")),
        (("connected_known yes",), ()),
        (("connected_known yes", PNPUTIL), ("4&1fc990d7&0&0008 0x2684",)),
    ],
)
def test_a_gpu_that_was_taken_out_is_none(
    answers: tuple[str, ...], devices: tuple[str, ...]
) -> None:
    """The registry keeps its key; a host with nothing else had been refused: no driver."""
    lines = [
        r"gpu pci_key HKEY_X\PCI\VEN_10DE&DEV_2684&SUBSYS_0&REV_A1\4&1fc990d7&0&0008",
        "gpu pci_key  PCI\\CC_0300",
        r"gpu pci_key HKEY_X\PCI\VEN_10DE&DEV_1B80&SUBSYS_0&REV_A1\4&removed&0",
        "gpu pci_key  PCI\\CC_0300",
    ]
    for answer in answers:
        found = [line for line in answer.splitlines() if "VEN_10DE" in line]
        lines += [f"gpu connected {line}" for line in found] or [f"gpu {answer}"]
    nvidia = gpu.parse_gpus(sections([*lines, "gpu ended 0"], "gpu")["gpu"])
    assert nvidia.installed_driver.devices == devices
    state = DriverState.NO_DRIVER if devices else DriverState.NO_GPU
    assert nvidia.driver.state is state


@pytest.mark.parametrize(
    ("code", "words"),
    [("-1073741515", "a DLL that it needs is missing"), ("-1073741819", "an access violation")],
)
def test_an_nvidia_smi_that_crashes_has_not_hung(code: str, words: str) -> None:
    driver = state("workstation.txt", GPU, f"gpu exit {code}", "gpu ended 0").profile.driver
    assert driver.state is DriverState.UNPARSABLE
    assert words in driver.detail


def test_arm_and_short_paths() -> None:
    lines = ["platform uname Windows ARM64", "platform ended 0"]
    found = platform.parse_platform(sections(lines, "platform")["platform"])
    assert (found.arch, found.distribution, found.boot_id) == ("aarch64", "Windows", None)
    assert found.problems == (platform.SHORT_PATHS,)


RUNTIME = "    Version    REG_SZ    v14.38.33135.00"


@pytest.mark.parametrize(
    ("lines", "runtimes"),
    [
        ((f"visual_cpp_x64 {RUNTIME}",), {"x86_64": "14.38.33135"}),
        ((f"visual_cpp_arm64 {RUNTIME}",), {"aarch64": "14.38.33135"}),
        ((f"visual_cpp_x64 {RUNTIME}", "visual_cpp_absent yes"), {}),
        (("visual_cpp_x64     Version    REG_SZ    vXIV",), None),
        ((), None),
    ],
)
def test_the_runtime_of_visual_cpp(lines: tuple[str, ...], runtimes: dict[str, str] | None) -> None:
    """The key of a redistributable that was taken off may stay; its DLL does not."""
    said = ["platform uname Windows AMD64", *(f"platform {line}" for line in lines)]
    found = sections([*said, "platform ended 0"], "platform")["platform"]
    assert platform.parse_platform(found).visual_cpp == runtimes


X64 = ("3.12.10 cpython 64 - 1 C:\\Python312\\python.exe", "win-amd64 C:\\Python312\\python.exe")
ARM64 = ("3.11.9 cpython 64 - 1 C:\\arm\\python.exe", "win-arm64 C:\\arm\\python.exe")


@pytest.mark.parametrize(
    ("machine", "pythons", "arch", "minors"),
    [
        ("ARM64", [X64], "x86_64", ["3.12"]),
        ("ARM64", [X64, ARM64], "aarch64", ["3.11"]),
        ("ARM64", [ARM64], "aarch64", ["3.11"]),
        ("ARM64", [], "aarch64", []),
        ("AMD64", [X64], "x86_64", ["3.12"]),
        ("AMD64", [(X64[0], "linux-x86_64 /x")], "x86_64", ["3.12"]),
    ],
)
def test_wheels_are_for_what_the_interpreter_is(
    machine: str, pythons: list[tuple[str, str]], arch: str, minors: list[str]
) -> None:
    """ARM64 Windows emulates x64, and a Python for x64 loads no wheel for ARM64."""
    lines = [f"platform uname Windows {machine}"]
    for python, says in pythons:
        lines += [f"pythons python {python}", f"pythons machine {says}"]
    found = sections([*lines, *(f"{name} ended 0" for name in host.SECTIONS)], *host.SECTIONS)
    profile = host.parse_host(*(found[name] for name in host.SECTIONS)).profile
    assert (profile.arch, [python.minor for python in profile.pythons]) == (arch, minors)
    left = [line for line in profile.problems if line.startswith("C:\\Python312")]
    assert left == [
        r"C:\Python312\python.exe is for x86_64, and is not used beside one for aarch64"
    ] * (len(pythons) - 1 == len(minors))


@given(st.lists(st.text(max_size=60)))
def test_no_answer_of_a_registry_is_an_exception(values: list[str]) -> None:
    lines = [f"{section} {key} {value}" for section, key in KEYS for value in values]
    lines += [
        f"{section} registry     {name}    REG_DWORD    {value}"
        for section, name in (("platform", "UBR"), ("platform", "CurrentBuild"), ("gpu", VERSION))
        for value in values
    ]
    ends = [f"{name} ended 0" for name in host.SECTIONS]
    found = sections(["platform uname Windows AMD64", *lines, *ends], *host.SECTIONS)
    assert host.parse_host(*(found[name] for name in host.SECTIONS)).profile.os == "windows"


VERSION = "DriverVersion"
KEYS = (
    ("platform", "registry"),
    ("environments", "dir"),
    ("environments", "current"),
    ("gpu", "registry"),
    ("gpu", "pci_key"),
)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\x1a"), max_size=40))
def test_a_root_cannot_leave_its_quotes(root: str) -> None:
    text = batch(*host.SECTIONS, places=Places(distrusted=""), root=root)
    [line] = [line for line in text.split("\n") if line.startswith("set asked_root=")]
    assert '"' not in line
    batch_file(text.split("\n"))


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\x1a"), max_size=40),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\x1a"), max_size=40),
)
def test_what_was_found_cannot_become_a_command(python: str, why: str) -> None:
    """What others named so is echoed and set, with all that cmd reads in it escaped."""
    places = Places(distrusted=why, pythons=(python,), skipped_pythons=(why,))
    lines = batch("pythons", places=places).split("\n")
    told = [line for line in lines if line.startswith(("echo pythons skipped", "set trusted"))]
    for line in told:
        assert not re.search(r"(?<!\^)(?:\^\^)*[&|<>]", line.replace("%%", ""))
    batch_file(lines)


def test_nothing_of_a_root_that_others_can_change_is_run() -> None:
    places = Places(distrusted="C:\\x belongs to Users")
    assert short_batch("0" * 16, places, root="C:\\x") == "echo node absent"
    assert "set distrusted=yes" in batch("environments", places=places)

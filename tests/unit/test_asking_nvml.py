"""NVML beside nvidia-smi: the real pynvml, run by the command itself, against a fake library."""

import base64
import io
import os
import re
import time
import zipfile
from pathlib import Path

import pytest

from fleetwheel.choice.request import Request
from fleetwheel.choice.target import read_target
from fleetwheel.collectors._nvml_probe import nvml_probe
from fleetwheel.host.profile import DriverState, Profile
from tests import node_program
from tests.machine import HEALTHY, Machine

MISMATCH = "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"
HANGS = HEALTHY.replace("temperature * 41", "temperature * hang")
SLEEPS = "exec sleep 300"
NO_PYTHON = 'case $* in *bin/python*) exit 127 ;; esac; exec /usr/bin/timeout "$@"'
TWO = ["GPU-aaaa", "GPU-bbbb"]


@pytest.fixture
def machine(machine: Machine, nvml_library: Path) -> Machine:
    """A host with two GPUs on its bus and the driver's library."""
    machine.pci("0000:01:00.0", "0x10de", "0x030000")
    machine.pci("0000:41:00.0", "0x10de", "0x030000")
    machine.environment = {
        "LD_LIBRARY_PATH": str(nvml_library),
        "FAKE_NVML": str(machine.write("script", HEALTHY)),
    }
    machine.node = node_program.compiled()
    return machine


def uuids(profile: Profile) -> list[str | None]:
    return [gpu.uuid for gpu in profile.gpus]


@pytest.mark.parametrize(
    ("shell", "nvidia_smi"), [("sh", True), ("sh", False), ("bash", False), ("busybox sh", True)]
)
def test_nvml_tells_more_than_nvidia_smi(machine: Machine, shell: str, nvidia_smi: bool) -> None:
    machine.shell, machine.node = shell.split(), None
    if not nvidia_smi:
        (machine.home / "bin/nvidia-smi").unlink()
    profile = machine.state("gpu").profile
    assert profile.driver.to_json() == {
        "state": "ok",
        "version": "580.95.05",
        "cuda": "13.0",
        "nvml": "13.580.95.05",
        "detail": "",
    }
    assert uuids(profile) == TWO
    gpu = profile.gpus[1]
    assert (gpu.memory_total_mib, gpu.temperature_c, gpu.power_limit_w) == (24564, 41, 450.0)
    assert (gpu.pcie_width, gpu.pcie_width_max, gpu.persistence) == (8, 16, True)
    assert gpu.throttle_reasons == ("power-cap", "thermal")
    assert (gpu.ecc, gpu.unavailable["ecc"]) == (None, "Not Supported")


def test_what_nvml_does_not_tell_comes_from_nvidia_smi(machine: Machine) -> None:
    machine.write("script", HEALTHY.replace("cuda * 13000\n", "").replace("driver *", "d *"))
    driver = machine.state("gpu").profile.driver
    assert (driver.version, driver.cuda) == ("580.95.05", "13.0")


def test_one_lost_gpu_does_not_hide_the_other(machine: Machine) -> None:
    machine.program("bin/nvidia-smi", "echo 'GPU is lost'; exit 15")
    machine.write("script", f"handle 0 error 15\n{HEALTHY}")
    profile = machine.state("gpu").profile
    assert (profile.driver.state, profile.driver.detail) == ("gpu-lost", "GPU 0: GPU is lost")
    assert uuids(profile) == ["GPU-bbbb"]


def test_mig_instances_belong_to_their_gpu(machine: Machine) -> None:
    mig = "mig 0 1\nmig-count 0 7\nhandle 101 ok\nhandle 100 error 6\nuuid 101 MIG-cccc\n"
    machine.write("script", mig + HEALTHY)
    gpu, other = machine.state("gpu").profile.gpus
    assert gpu.mig_instances
    assert [(part.index, part.uuid) for part in gpu.mig_instances] == [(1, "MIG-cccc")]
    assert (gpu.mig, other.mig, other.mig_instances) == (True, None, None)


@pytest.mark.parametrize(
    ("script", "nvidia_smi", "state"),
    [
        ("init * error 18\n", MISMATCH, DriverState.VERSION_MISMATCH),
        ("init * error 999\n", MISMATCH, DriverState.VERSION_MISMATCH),
        ("init * error 999\n", "exit 0", DriverState.UNPARSABLE),
        ("init * hang\n", MISMATCH, DriverState.VERSION_MISMATCH),
        ("init * ok\ncount * 0\n", "exit 6", DriverState.NO_DEVICES),
        ("init * ok\ncount * error 15\n", "exit 0", DriverState.GPU_LOST),
    ],
)
def test_of_two_answers_the_one_that_knows_counts(
    machine: Machine, script: str, nvidia_smi: str, state: DriverState
) -> None:
    machine.write("script", script)
    machine.program("bin/nvidia-smi", nvidia_smi)
    profile = machine.state("gpu", gpu_seconds=1 if "hang" in script else 20).profile
    assert profile.driver.state is state
    assert profile.gpus == ()


@pytest.mark.parametrize(
    ("script", "nvidia_smi", "state", "detail", "found"),
    [
        (HANGS, None, "ok", "NVML did not answer in time", ["GPU-1"]),
        (HEALTHY, SLEEPS, "ok", "nvidia-smi did not end in time", TWO),
        (HANGS, SLEEPS, "hung", "NVML did not answer in time", []),
    ],
)
def test_what_hangs_costs_seconds_and_only_its_own_answer(
    machine: Machine, script: str, nvidia_smi: str | None, state: str, detail: str, found: list[str]
) -> None:
    machine.write("script", script)
    if nvidia_smi:
        machine.program("bin/nvidia-smi", nvidia_smi)
    profile = machine.state("gpu", gpu_seconds=2).profile
    assert (profile.driver.state, profile.driver.detail) == (state, detail)
    assert uuids(profile) == found


def test_without_python_nvidia_smi_stands_alone(machine: Machine) -> None:
    machine.program("bin/timeout", NO_PYTHON)
    profile = machine.state("gpu", "pythons").profile
    assert profile.pythons == ()
    assert (profile.driver.state, profile.driver.nvml) == (DriverState.OK, None)
    assert uuids(profile) == ["GPU-1"]


def test_without_either_the_driver_is_not_loaded(machine: Machine) -> None:
    machine.program("bin/timeout", NO_PYTHON)
    (machine.home / "bin/nvidia-smi").unlink()
    machine.write("tree/sys/module/nouveau/refcnt", "0\n")
    library = machine.write("tree/opt/libnvidia-ml.so.580.95.05", "")
    machine.environment["LD_LIBRARY_PATH"] = str(machine.tree / "lib")
    (machine.tree / "lib").mkdir()
    (machine.tree / "lib/libnvidia-ml.so.1").symlink_to(library)
    driver = machine.state("gpu").profile.driver
    assert driver.state is DriverState.NOT_LOADED
    assert driver.detail.endswith("0000:41:00.0 0x2684; nouveau is loaded")


def test_a_python_that_cannot_run_the_probe_is_passed_over(machine: Machine) -> None:
    machine.program("bin/python3", "exit 1")
    assert uuids(machine.state("gpu").profile) == TWO


def test_a_library_that_cannot_be_loaded_leaves_nvidia_smi_s_answer(machine: Machine) -> None:
    machine.write("broken/libnvidia-ml.so.1", "")
    machine.environment["LD_LIBRARY_PATH"] = str(machine.home / "broken")
    profile = machine.state("gpu").profile
    assert (profile.driver.state, uuids(profile)) == (DriverState.OK, ["GPU-1"])


def test_the_library_is_found_by_the_linker_s_cache(machine: Machine, nvml_library: Path) -> None:
    del machine.environment["LD_LIBRARY_PATH"]
    line = f"\tlibnvidia-ml.so.1 (libc6,x86-64) => {nvml_library}/libnvidia-ml.so.1"
    other = f"\tlibnvidia-ml.so.1 (libc6) => {machine.write('i386/libnvidia-ml.so.1', '')}"
    machine.program("tree/sbin/ldconfig", f"echo '{other}'; echo '{line}'")
    assert uuids(machine.state("gpu").profile) == TWO


def test_a_host_without_any_sign_of_a_gpu_is_not_asked(machine: Machine) -> None:
    (machine.home / "bin/nvidia-smi").unlink()
    for file in machine.tree.glob("sys/bus/pci/devices/*/vendor"):
        file.write_text("0x1002\n")
    assert "nvml" not in machine.answer()
    assert machine.state("gpu").profile.driver.state is DriverState.NO_GPU


@pytest.mark.parametrize("sign", ["dev/dxg", "dev/nvidiactl", "etc/nv_tegra_release"])
def test_a_gpu_that_is_on_no_bus(machine: Machine, sign: str) -> None:
    """WSL, a container without the bus, and a Jetson."""
    (machine.home / "bin/nvidia-smi").unlink()
    for file in machine.tree.glob("sys/bus/pci/devices/*/vendor"):
        file.unlink()
    machine.write(f"tree/{sign}", "")
    assert uuids(machine.state("gpu").profile) == TWO


def test_a_hostile_name_cannot_steer_anything(machine: Machine) -> None:
    name = '"; $(reboot)\x1b[2J<script> ü'
    machine.write("script", HEALTHY.replace("NVIDIA GeForce RTX 4090", name))
    answer = machine.answer()
    assert set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", answer)) == set()
    assert machine.state("gpu").profile.gpus[0].name == '"; $(reboot)[2J<script> ü'


def test_a_python_that_comes_later_changes_no_target(machine: Machine) -> None:
    """A bare host is first asked by nvidia-smi, and by NVML once it has a Python."""
    row = "GPU-aaaa, 00000000:01:00.0, NVIDIA GeForce RTX 4090, 8.9, 24564, 580.95.05"
    machine.program("bin/nvidia-smi", f"echo '0, {row}'")
    machine.write("script", HEALTHY.replace("count * 2", "count * 1"))
    now = machine.state().profile
    machine.write("broken/libnvidia-ml.so.1", "")
    machine.environment["LD_LIBRARY_PATH"] = str(machine.home / "broken")
    before = machine.state().profile
    assert (before.gpus[0].temperature_c, now.gpus[0].temperature_c) == (None, 41)
    assert before.gpus[0].baseline == now.gpus[0].baseline
    assert read_target(before, Request()) == read_target(now, Request())


def test_the_module_s_version_without_its_folder_in_sys(machine: Machine) -> None:
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (x)"
    machine.write("tree/proc/driver/nvidia/version", f"{line}\nGCC version:  gcc 12.2.0\n")
    assert machine.state("gpu").profile.installed_driver.module == "580.95.05"


def test_packages_of_rpm(machine: Machine) -> None:
    machine.program("bin/rpm", "echo 'ii kmod-nvidia-open-dkms 580.95.05-1.el9'")
    packages = machine.state("gpu").profile.installed_driver.packages
    assert "kmod-nvidia-open-dkms 580.95.05-1.el9" in packages


def test_a_jetson_without_nvidia_smi_is_no_cpu_host(machine: Machine) -> None:
    machine.environment = {}
    (machine.home / "bin/nvidia-smi").unlink()
    for file in machine.tree.glob("sys/bus/pci/devices/*/vendor"):
        file.unlink()
    machine.write("tree/etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 33958178\n")
    driver = machine.state("platform", "gpu").profile.driver
    assert driver.state is DriverState.NO_DRIVER
    assert "35.4.1" in driver.detail


def test_the_probe_s_text_is_always_the_same() -> None:
    text = nvml_probe()
    nvml_probe.cache_clear()
    assert nvml_probe() == text
    assert re.fullmatch(r"[A-Za-z0-9+/=]{1,76800}", text)
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(text)))
    assert archive.namelist() == ["__main__.py", "pynvml.py"]
    assert archive.read("__main__.py").decode() == Path("fleetwheel/node/nvml.py").read_text()


def test_no_process_is_left(machine: Machine) -> None:
    machine.write("script", HANGS)
    machine.state("gpu", gpu_seconds=1)
    deadline = time.perf_counter() + 3
    while _asking(machine) and time.perf_counter() < deadline:
        time.sleep(0.1)
    assert _asking(machine) == []


def _asking(machine: Machine) -> list[int]:
    """Processes that were started for this host: they have its home in their environment."""
    mark = f"HOME={machine.home}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                found.append(int(process.name))
        except OSError:
            continue
    return found

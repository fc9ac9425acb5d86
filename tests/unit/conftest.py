"""What several unit tests need: a machine to ask, a scripted driver library."""

import subprocess
from pathlib import Path

import pytest

from tests.machine import WORKING, Machine

FAKE = Path("tests/fixtures/nvml/fake_nvml.c")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.write("tree/etc/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    machine.write("tree/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n")
    machine.write("tree/proc/sys/kernel/random/boot_id", "boot-1\n")
    machine.program("bin/nvidia-smi", WORKING)
    return machine


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the fake library, compiled once."""
    directory = tmp_path_factory.mktemp("nvml")
    output = directory / "libnvidia-ml.so.1"
    compiled = subprocess.run(["cc", "-shared", "-fPIC", "-o", output, FAKE], check=False)
    if compiled.returncode != 0:
        pytest.skip("no C compiler")
    return directory

"""What several unit tests need: a machine to ask, a scripted driver library, a quick pip."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.sources import configured
from tests.machine import WORKING, Machine

FAKE = Path("tests/fixtures/nvml/fake_nvml.c")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.write("tree/etc/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    machine.write("tree/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n")
    machine.write("tree/proc/sys/kernel/random/boot_id", "boot-1\n")
    machine.program("bin/nvidia-smi", WORKING)
    machine.program("bin/dpkg-query", "exit 1")
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


def listed_variables() -> str:
    """Return what ``pip config list`` prints where variables alone configure pip."""
    given = {key.lower(): value for key, value in os.environ.items() if key.startswith("PIP_")}
    names = {key: key.removeprefix("pip_").replace("_", "-") for key in sorted(given)}
    return "".join(f":env:.{name}={given[key]!r}\n" for key, name in names.items())


@pytest.fixture
def quick_pip(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spare the third of a second that pip takes; test_sources.py asks the real one."""
    monkeypatch.setattr(configured, "pip_config_list", listed_variables)
    configured.pip_settings.cache_clear()
    yield
    configured.pip_settings.cache_clear()

"""The GPU probe with the real pynvml, against a libnvidia-ml.so.1 whose answers a test scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAKE = Path("tests/fixtures/nvml/fake_nvml.c")
PROBE = Path("fleetwheel/probes/gpu.py").resolve()
HEALTHY = """\
init * ok
driver * 580.95.05
nvml * 13.580.95.05
cuda * 13000
count * 2
uuid 0 GPU-aaaa
uuid 1 GPU-bbbb
name * NVIDIA GeForce RTX 4090
pci 0 00000000:01:00.0
pci 1 00000000:41:00.0
capability * 8.9
memory * 25757220864 25000000000 757220864
persistence * 1
compute-mode * 0
temperature * 41
throttle * 0x24
power-limit * 450000
pcie-generation * 4
pcie-width 1 8
pcie-width-max * 16
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the fake library, compiled once."""
    directory = tmp_path_factory.mktemp("nvml")
    output = directory / "libnvidia-ml.so.1"
    compiled = subprocess.run(["cc", "-shared", "-fPIC", "-o", output, FAKE], check=False)
    if compiled.returncode != 0:
        pytest.skip("no C compiler")
    return directory


@pytest.fixture
def probe(library: Path, tmp_path: Path) -> Any:
    def run(script: str, timeout: float = 20) -> dict[str, Any]:
        (tmp_path / "script").write_text(script)
        env = {
            **os.environ,
            "LD_LIBRARY_PATH": str(library),
            "FAKE_NVML": str(tmp_path / "script"),
        }
        output = subprocess.check_output([sys.executable, PROBE], env=env, timeout=timeout)
        document = json.loads(output)
        assert isinstance(document, dict)
        return document

    return run


def test_a_healthy_host(probe: Any) -> None:
    document = probe(HEALTHY)
    assert document["driver"] == {
        "version": "580.95.05",
        "cuda": "13.0",
        "nvml": "13.580.95.05",
        "state": "ok",
        "detail": "",
    }
    first, second = document["gpus"]
    assert (first["uuid"], second["uuid"]) == ("GPU-aaaa", "GPU-bbbb")
    assert first["compute_capability"] == "8.9"
    assert first["memory_total_mib"] == 24564
    assert first["throttle_reasons"] == ["power-cap", "thermal"]
    assert first["power_limit_w"] == 450
    assert (second["pcie_width"], second["pcie_width_max"]) == (8, 16)


def test_what_a_gpu_lacks_is_null_with_the_reason(probe: Any) -> None:
    gpu = probe(HEALTHY)["gpus"][0]
    assert gpu["ecc"] is None
    assert gpu["unavailable"]["ecc"] == "Not Supported"
    assert "uuid" not in gpu["unavailable"]


def test_a_function_that_the_driver_does_not_have(probe: Any) -> None:
    """An old libnvidia-ml lacks whole functions, such as those for the NVLink fabric."""
    assert probe(HEALTHY)["gpus"][0]["unavailable"]["fabric_pending"] == "Function Not Found"


@pytest.mark.parametrize("lost", [0, 1])
def test_one_lost_gpu_does_not_hide_the_other(probe: Any, lost: int) -> None:
    document = probe(f"handle {lost} error 15\n{HEALTHY}")
    assert document["driver"]["state"] == "gpu-lost"
    assert document["driver"]["detail"] == f"GPU {lost}: GPU is lost"
    assert document["gpus"][lost] == {"index": lost, "lost": "GPU is lost"}
    assert document["gpus"][1 - lost]["name"] == "NVIDIA GeForce RTX 4090"


def test_mig_instances_stand_behind_their_gpu(probe: Any) -> None:
    script = HEALTHY.replace("count * 2", "count * 1") + (
        "mig 0 1\nmig-count 0 7\nhandle 101 ok\nhandle 102 error 6\nuuid 101 MIG-cccc\n"
    )
    gpu, instance = probe(script)["gpus"]
    assert gpu["mig"] is True
    assert (instance["index"], instance["mig_instance"], instance["uuid"]) == (0, 1, "MIG-cccc")
    assert instance["compute_capability"] == "8.9"
    assert instance["pci_bus_id"] == "00000000:01:00.0"


@pytest.mark.parametrize(
    ("code", "state"),
    [(9, "not-loaded"), (18, "version-mismatch"), (4, "no-permission"), (17, "blocked")],
)
def test_a_driver_that_does_not_work_has_a_name(probe: Any, code: int, state: str) -> None:
    document = probe(f"init * error {code}\n")
    assert document["driver"]["state"] == state
    assert document["driver"]["detail"]
    assert document["gpus"] == []


def test_no_devices(probe: Any) -> None:
    assert probe("init * ok\ncount * 0\n")["driver"]["state"] == "no-devices"


def test_no_library() -> None:
    env = {**os.environ, "LD_LIBRARY_PATH": ""}
    document = json.loads(subprocess.check_output([sys.executable, PROBE], env=env))
    if document["driver"]["state"] == "ok":
        pytest.skip("this machine has an NVIDIA driver")
    assert document["driver"]["state"] == "no-driver"


def test_a_hostile_name_is_data(probe: Any) -> None:
    script = HEALTHY.replace("NVIDIA GeForce RTX 4090", '"; $(reboot)\x1b[2J<script>')
    assert probe(script)["gpus"][0]["name"] == '"; $(reboot)\x1b[2J<script>'


def test_a_call_that_never_returns_is_left_to_the_caller(probe: Any) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        probe(HEALTHY.replace("temperature * 41", "temperature * hang"), timeout=2)

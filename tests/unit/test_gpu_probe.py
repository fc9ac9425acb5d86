"""The GPU probe with the real pynvml, against a libnvidia-ml.so.1 whose answers a test scripts."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.collectors import pythons, script, sections
from fleetwheel.collectors._nvml_probe import nvml_probe
from tests.machine import HEALTHY

PROBE = Path("fleetwheel/node/nvml.py").resolve()


@pytest.fixture
def probe(nvml_library: Path, tmp_path: Path) -> Any:
    def run(script: str, timeout: float = 20) -> dict[str, Any]:
        (tmp_path / "script").write_text(script)
        env = {
            **os.environ,
            "LD_LIBRARY_PATH": str(nvml_library),
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


def test_the_oldest_python_here_can_run_it(nvml_library: Path, tmp_path: Path) -> None:
    """The probe says that 3.8 will do, which a newer Python's syntax check cannot tell."""
    question = ["sh", "-c", script("pythons"), "sh", "", "", ""]
    lines = subprocess.check_output(question, text=True).split("\n")
    oldest = pythons.parse_pythons(sections(lines, "pythons")["pythons"]).pythons[-1].path
    (tmp_path / "script").write_text(HEALTHY)
    (tmp_path / "probe.zip").write_bytes(base64.b64decode(nvml_probe()))
    env = {"LD_LIBRARY_PATH": str(nvml_library), "FAKE_NVML": str(tmp_path / "script")}
    output = subprocess.check_output([oldest, "-E", "-s", "-S", tmp_path / "probe.zip"], env=env)
    assert json.loads(output)["driver"]["state"] == "ok"


def test_what_a_gpu_lacks_is_null_with_the_reason(probe: Any) -> None:
    gpu = probe(HEALTHY)["gpus"][0]
    assert gpu["ecc"] is None
    assert gpu["unavailable"]["ecc"] == "Not Supported"
    assert "uuid" not in gpu["unavailable"]


def test_a_function_that_the_driver_does_not_have(probe: Any) -> None:
    """An old libnvidia-ml lacks whole functions; the fake one lacks the second of this pair."""
    gpu = probe(f"processes * error 13\n{HEALTHY}")["gpus"][0]
    assert gpu["unavailable"]["processes"] == "Function Not Found"


def test_lists_of_a_gpu(probe: Any) -> None:
    script = "processes 0 4321 4322\nprocesses 1 \nretired-single * 3\nretired-double * 2\n"
    first, second = probe(script + HEALTHY)["gpus"]
    assert (first["processes"], second["processes"]) == ([4321, 4322], [])
    assert first["retired_pages"] == 5


def test_memory_that_wears_out(probe: Any) -> None:
    gpu = probe(f"ecc * 1\necc-uncorrected * 7\nremapped * 3 1 0 1\n{HEALTHY}")["gpus"][0]
    assert (gpu["ecc"], gpu["ecc_uncorrected"], gpu["ecc_corrected"]) == (True, 7, None)
    assert (gpu["remapped_correctable"], gpu["remapped_uncorrectable"]) == (3, 1)
    assert (gpu["remapping_pending"], gpu["remapping_failed"]) == (False, True)


@pytest.mark.parametrize(
    ("fabric", "state"), [(0, "ok"), (1, "fabric-not-ready"), (2, "fabric-not-ready"), (3, "ok")]
)
def test_the_fabric_between_the_gpus(probe: Any, fabric: int, state: str) -> None:
    document = probe(f"fabric 1 {fabric}\n{HEALTHY}")
    assert document["driver"]["state"] == state
    assert document["gpus"][1]["fabric_pending"] is (state != "ok")


@pytest.mark.parametrize("lost", [0, 1])
def test_one_lost_gpu_does_not_hide_the_other(probe: Any, lost: int) -> None:
    document = probe(f"handle {lost} error 15\n{HEALTHY}")
    assert document["driver"]["state"] == "gpu-lost"
    assert document["driver"]["detail"] == f"GPU {lost}: GPU is lost"
    assert document["gpus"][lost] == {"index": lost, "lost": "GPU is lost"}
    assert document["gpus"][1 - lost]["name"] == "NVIDIA GeForce RTX 4090"


def test_a_gpu_that_may_not_be_opened_is_left_out(probe: Any) -> None:
    """In a container the device cgroup admits some of the host's GPUs; the others are sound."""
    document = probe(f"handle 0 error 4\n{HEALTHY}")
    assert document["driver"]["state"] == "ok"
    assert [gpu["index"] for gpu in document["gpus"]] == [1]
    document = probe(f"handle 0 error 4\nhandle 1 error 4\n{HEALTHY}")
    assert (document["driver"]["state"], document["gpus"]) == ("no-permission", [])
    assert "none of the driver's 2 GPUs" in document["driver"]["detail"]


def test_mig_instances_are_parts_of_their_gpu(probe: Any) -> None:
    script = HEALTHY.replace("count * 2", "count * 1") + (
        "mig 0 1\nmig-count 0 7\nhandle 101 ok\nhandle 102 error 6\nuuid 101 MIG-cccc\n"
    )
    (gpu,) = probe(script)["gpus"]
    assert gpu["mig"] is True
    (instance,) = gpu["mig_instances"]
    assert (instance["index"], instance["uuid"]) == (1, "MIG-cccc")
    assert instance["memory_total_mib"] == 24564


def test_a_gpu_that_is_lost_while_it_is_asked(probe: Any) -> None:
    script = f"name 1 error 15\nuuid 1 error 15\n{HEALTHY}"
    document = probe(script)
    assert document["driver"]["state"] == "gpu-lost"
    assert document["gpus"][1] == {"index": 1, "lost": "GPU is lost"}


def test_an_unknown_value_costs_its_field_alone(probe: Any) -> None:
    gpu = probe(f"compute-mode * 77\n{HEALTHY}")["gpus"][0]
    assert gpu["compute_mode"] is None
    assert gpu["unavailable"]["compute_mode"] == "77"
    assert gpu["persistence"] is True


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (9, "not-loaded"),
        (18, "version-mismatch"),
        (4, "no-permission"),
        (17, "blocked"),
        (8, "gpu-lost"),
        (11, "gpu-lost"),
        (16, "gpu-lost"),
        (28, "no-devices"),
    ],
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

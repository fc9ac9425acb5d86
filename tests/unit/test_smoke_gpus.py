"""The smoke test and the driver: which devices there are, who holds them, and whether all agree."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from fleetwheel.node.smoke import device as smoke_device
from fleetwheel.node.smoke import driver as smoke_driver
from fleetwheel.smoke import result as smoke
from tests import node_program
from tests.machine import HEALTHY
from tests.smoke_script import a_gpu, driver, driver_program, expected, in_process, scripted

Answer = dict[str, Any]


def of_host(place: Path, answer: Answer, behaviour: str = "pass", **changes: Any) -> Answer:
    """Return the document of a host with four GPUs of which the driver says this."""
    program = driver_program(place, answer)
    count = changes.pop("count", 4)
    given = expected(scripted(behaviour, count), driver_program=program, nvml=True, **changes)
    document = in_process(given)
    smoke.result_of(document)
    return document


FOUR = [a_gpu(index) for index in range(4)]


def test_each_child_sees_its_gpu_alone(tmp_path: Path) -> None:
    behaviour = "tell(error=f'{device} {seen}')"
    document = of_host(tmp_path, driver(*FOUR), behaviour)
    assert [gpu["status"] for gpu in document["devices"]] == ["passed"] * 3 + ["failed"]
    assert document["devices"][3]["device"] == "cuda:3"
    assert document["devices"][3]["fault"]["error"] == "cuda:0 GPU-3"
    assert document["devices"][3]["memory_total_mib"] == 81559
    assert document["faults"] == []


def test_a_gpu_has_the_number_that_torch_gives_it(tmp_path: Path) -> None:
    """NVML counts by slot, torch puts the fastest GPU first."""
    slots = [a_gpu(3 - index, uuid=f"GPU-{index}") for index in range(4)]
    document = of_host(tmp_path, driver(*slots), "tell(error=str(seen))")
    assert document["devices"][3]["device"] == "cuda:3"
    assert document["devices"][3]["fault"]["error"] == "GPU-3"


@pytest.mark.parametrize(
    ("answer", "name", "words"),
    [
        (driver(*FOUR[:3]), "disagreement", "NVML shows 3 GPUs, torch 4"),
        (driver(*FOUR[:3], a_gpu(7)), "disagreement", "NVML does not know GPU-3"),
        (driver(*FOUR, lost=["GPU 4 is lost: GPU is lost"]), "gpu-lost", "GPU 4 is lost"),
    ],
)
def test_torch_and_nvml_must_list_the_same(
    tmp_path: Path, answer: Answer, name: str, words: str
) -> None:
    document = of_host(tmp_path, answer)
    assert not document["passed"]
    assert document["faults"][0]["name"] == name
    assert words in document["faults"][0]["error"]


def test_without_nvml_torch_is_believed(tmp_path: Path) -> None:
    document = of_host(tmp_path, driver(detail="Driver Not Loaded"), "tell(error=str(seen))")
    assert document["devices"][3]["fault"]["error"] == "None"
    assert "Driver Not Loaded" in document["warnings"][-1]


def test_an_nvml_that_crashes_is_a_warning(tmp_path: Path) -> None:
    program = "import os; os.abort()"
    document = in_process(expected(scripted(), driver_program=program, nvml=True))
    assert document["passed"]
    assert "NVML did not answer" in document["warnings"][0]
    assert "ended by SIGABRT" in document["warnings"][0]


def test_hidden_gpus_are_not_of_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    document = of_host(tmp_path, driver(*FOUR), count=2)
    assert document["passed"]
    assert [gpu["device"] for gpu in document["devices"]] == ["cuda:0", "cuda:1"]
    assert "CUDA_VISIBLE_DEVICES is set" in document["warnings"][0]


def test_only_the_gpus_that_must_be_served(tmp_path: Path) -> None:
    document = of_host(tmp_path, driver(*FOUR), "os.abort()", gpus=["GPU-1", "GPU-2"])
    assert document["passed"]
    assert [gpu["uuid"] for gpu in document["devices"]] == ["GPU-1", "GPU-2"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (driver(*FOUR[:3], lost=["GPU 3 is lost: GPU is lost"]), "GPU 3 is lost"),
        (driver(*FOUR[:3]), "NVML shows 3 GPUs, torch 4"),
        (driver(*FOUR[:3], a_gpu(7)), "NVML does not know GPU-3"),
    ],
)
def test_what_is_wrong_with_other_gpus_is_a_warning(
    tmp_path: Path, answer: Answer, words: str
) -> None:
    document = of_host(tmp_path, answer, gpus=["GPU-1", "GPU-2"])
    assert document["passed"]
    assert [words in warning for warning in document["warnings"]] == [True]


@pytest.mark.parametrize("wanted", [["GPU-1", "GPU-8", "GPU-9"], ["GPU-8", "GPU-9"]])
def test_a_gpu_to_test_that_is_not_there_is_a_fault(tmp_path: Path, wanted: list[str]) -> None:
    answer = driver(*FOUR[:3], lost=["GPU 3 is lost: GPU is lost"])
    document = of_host(tmp_path, answer, gpus=wanted)
    assert not document["passed"]
    assert [fault["name"] for fault in document["faults"]] == ["gpu-missing", "gpu-lost"]
    assert document["faults"][0]["error"] == "GPUs to test not found: GPU-8, GPU-9"


JETSON = a_gpu(0, uuid="1234-5", gpu="1234-5", memory_total_mib=None, memory_free_mib=None)


def test_a_jetson_is_tested_without_a_uuid_that_cuda_knows(tmp_path: Path) -> None:
    """NVML gives it one without GPU-, which CUDA_VISIBLE_DEVICES does not take."""
    program = scripted("pass", 1).replace("GPU-{i}", "GPU-9").replace('"cuda:3"', '"cuda:0"')
    text = driver_program(tmp_path, driver(JETSON))
    given = expected(
        program.replace("    pass\ncheck", "    tell(error=f'{seen} {task}')\ncheck"),
        driver_program=text,
        nvml=True,
        gpus=["1234-5"],
    )
    document = in_process(given)
    assert document["faults"] == []
    assert [gpu["device"] for gpu in document["devices"]] == ["cuda:0"]
    assert document["devices"][0]["fault"]["error"].startswith("None {'seed'")
    assert "'pci_bus_id': '00000000:40:00.0'" in document["devices"][0]["fault"]["error"]


def test_mig_instances_are_devices(tmp_path: Path) -> None:
    """CUDA shows torch one instance at most, so there is no list to compare."""
    parts = [
        a_gpu(0, device=f"cuda:0/mig:{number}", uuid=f"MIG-{number}", mig=True)
        for number in range(3)
    ]
    document = of_host(tmp_path, driver(*parts, a_gpu(3)), "tell(error='odd')", count=1)
    assert document["faults"] == []
    assert [gpu["status"] for gpu in document["devices"]] == ["passed"] * 3 + ["failed"]
    assert document["devices"][1]["device"] == "cuda:0/mig:1"
    assert document["devices"][1]["summary"].startswith("cuda:0/mig:1 GPU: passed")


NO_MEMORY = "tell(error='CUDA out of memory: only 3 MiB are free'); os._exit(0)"
NO_ROOM = "tell(error='CUDA out of memory. Tried to allocate 2.00 GiB.'); os._exit(0)"
NO_CUBLAS = "tell(error='CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling'); os._exit(0)"
NO_ENTRY = "tell(error='all CUDA-capable devices are busy or unavailable\\nmore'); os._exit(0)"


@pytest.mark.parametrize(
    ("behaviour", "changes", "status", "words"),
    [
        (NO_MEMORY, {"held_by": "process 4711"}, "skipped", "are free (held by process 4711)"),
        (NO_MEMORY, {}, "skipped", "only 3 MiB are free"),
        (NO_ROOM, {}, "failed", "Tried to allocate 2.00 GiB."),
        (NO_ROOM, {"held_by": "process 7"}, "failed", "2.00 GiB. (held by process 7)"),
        (
            NO_ROOM,
            {"held_by": "process 7", "memory_free_mib": None},
            "skipped",
            "2.00 GiB. (held by process 7)",
        ),
        (NO_ROOM, {"memory_free_mib": None}, "failed", "2.00 GiB."),
        (NO_CUBLAS, {"held_by": "process 7"}, "failed", "ALLOC_FAILED"),
        (NO_ENTRY, {"held_by": "process 7"}, "failed", "unavailable (held by process 7)"),
        (NO_ENTRY, {"held_by": "process 7", "compute_mode": None}, "skipped", "unavailable"),
        (NO_ENTRY, {"compute_mode": "exclusive-process"}, "failed", "unavailable"),
        (
            NO_ENTRY,
            {"held_by": "process 7", "compute_mode": "prohibited"},
            "failed",
            "unavailable (compute mode prohibited, held by process 7)",
        ),
        (NO_ROOM, {"memory_free_mib": 700}, "skipped", "Tried to allocate 2.00 GiB."),
        (NO_ROOM, {"memory_free_mib": 700, "memory_total_mib": 1024}, "failed", "2.00 GiB."),
        (NO_CUBLAS, {}, "failed", "CUBLAS_STATUS_ALLOC_FAILED"),
        (NO_CUBLAS, {"memory_free_mib": 700}, "skipped", "CUBLAS_STATUS_ALLOC_FAILED"),
        (
            NO_ENTRY,
            {"held_by": "processes 7, 8", "compute_mode": "exclusive-process"},
            "skipped",
            "unavailable (compute mode exclusive-process, held by processes 7, 8)\nmore",
        ),
        (
            NO_ENTRY,
            {"compute_mode": "prohibited"},
            "failed",
            "unavailable (compute mode prohibited)",
        ),
        (NO_ENTRY, {}, "failed", "unavailable\nmore"),
        ("tell(error='odd')", {"held_by": "process 4711"}, "failed", "odd"),
    ],
)
def test_who_holds_a_gpu_is_named(
    tmp_path: Path, behaviour: str, changes: Answer, status: str, words: str
) -> None:
    answer = driver(*FOUR[:3], a_gpu(3, **changes))
    (held,) = of_host(tmp_path, answer, behaviour, gpus=["GPU-3"])["devices"]
    assert held["status"] == status
    assert words in held["fault"]["error"]


@pytest.mark.parametrize(
    ("behaviour", "later", "words"),
    [
        (NO_ROOM, {"memory_free_mib": 700, "held_by": "process 9"}, "(held by process 9)"),
        (NO_CUBLAS, {"memory_free_mib": 700}, "ALLOC_FAILED"),
        (
            NO_ENTRY,
            {"compute_mode": "exclusive-process", "held_by": "process 9"},
            "held by process 9",
        ),
    ],
)
def test_who_came_after_the_first_look_is_named(
    tmp_path: Path, behaviour: str, later: Answer, words: str
) -> None:
    after = driver(*FOUR[:3], a_gpu(3, **later))
    program = driver_program(tmp_path, driver(*FOUR), after)
    given = expected(scripted(behaviour), driver_program=program, nvml=True, gpus=["GPU-3"])
    (held,) = in_process(given)["devices"]
    assert held["status"] == "skipped"
    assert words in held["fault"]["error"]


def test_an_nvml_that_does_not_answer_again_excuses_nothing(tmp_path: Path) -> None:
    program = driver_program(tmp_path, driver(*FOUR), {})
    document = in_process(expected(scripted(NO_ROOM), driver_program=program, nvml=True))
    assert document["devices"][3]["status"] == "failed"


SEEN = {"name": "NVIDIA H100", "uuid": "GPU-1", "memory_total_mib": 80995}
H100 = a_gpu(1, name="NVIDIA H100")
INSTANCE = {**H100, "uuid": "MIG-5"}


@pytest.mark.parametrize(
    ("seen", "entry", "words"),
    [
        ({}, H100, None),
        ({"uuid": None}, H100, None),
        ({"uuid": "GPU-2"}, H100, "GPU-1 is GPU-2 for torch"),
        ({"uuid": "GPU-5"}, INSTANCE, None),
        ({"uuid": "MIG-5"}, INSTANCE, None),
        ({"uuid": "GPU-1"}, INSTANCE, None),
        ({"uuid": "MIG-6"}, INSTANCE, "MIG-5 is MIG-6 for torch"),
        ({"memory_total_mib": 40000}, H100, "81559 MiB of memory, 40000 for torch"),
        ({"memory_total_mib": 40000}, {**H100, "memory_total_mib": None}, None),
        ({"uuid": "GPU-2"}, {**H100, "uuid": "54bb5b2d", "gpu": "54bb5b2d"}, None),
        ({"uuid": "GPU-2"}, {**H100, "uuid": None, "gpu": None}, None),
        ({"uuid": "GPU-ABC"}, {**H100, "uuid": "GPU-abc"}, None),
    ],
)
def test_a_child_compares_its_gpu_with_nvml(seen: Answer, entry: Answer, words: str | None) -> None:
    said: list[Answer] = []
    tell: Any = lambda **event: said.append(event)  # noqa: E731
    if words:
        with pytest.raises(RuntimeError, match=words):
            smoke_device.compare({**SEEN, **seen}, entry, tell)
    else:
        smoke_device.compare({**SEEN, **seen}, entry, tell)
    assert said == []


@pytest.mark.parametrize(("name", "warned"), [("H100", False), ("NVIDIA H200", True)])
def test_another_name_is_a_warning(name: str, warned: bool) -> None:
    said: list[Answer] = []
    tell: Any = lambda **event: said.append(event)  # noqa: E731
    smoke_device.compare({**SEEN, "name": name}, H100, tell)
    assert bool(said) is warned


def test_warnings_of_children_are_kept(tmp_path: Path) -> None:
    document = of_host(tmp_path, driver(*FOUR), "tell(warning='cuda:3: odd name')")
    assert document["passed"]
    assert document["warnings"] == ["cuda:3: odd name"]


GIB = 1 << 30


def a_torch(capability: tuple[int, int], free: int, total: int, integrated: int) -> Any:
    cuda = SimpleNamespace(
        set_device=lambda device: None,
        get_device_capability=lambda device: capability,
        get_device_properties=lambda device: SimpleNamespace(is_integrated=integrated),
        get_arch_list=lambda: ["sm_80", "sm_90"],
        mem_get_info=lambda device: (free, total),
    )
    linear = SimpleNamespace(matmul=SimpleNamespace(), preferred_linalg_library=lambda name: None)
    backends = SimpleNamespace(cuda=linear, cudnn=SimpleNamespace())
    return SimpleNamespace(cuda=cuda, backends=backends)


@pytest.mark.parametrize(
    ("capability", "free", "total", "integrated", "words"),
    [
        ((9, 0), 2 * GIB, 80 * GIB, 0, None),
        ((9, 0), GIB // 2, 80 * GIB, 0, "CUDA out of memory: only 512 MiB are free"),
        ((7, 5), 2 * GIB, 80 * GIB, 0, "no kernel image is available"),
        ((9, 0), GIB // 2, GIB, 0, None),
        ((9, 0), GIB // 8, GIB, 0, "only 128 MiB are free"),
        ((9, 0), GIB // 8, 120 * GIB, 1, None),
    ],
)
def test_a_gpu_that_is_full_or_has_no_code_is_not_touched(
    capability: tuple[int, int], free: int, total: int, integrated: int, words: str | None
) -> None:
    """A vGPU of 1 GiB needs less; the kernel's cache fills the memory of a Jetson or GB10."""
    torch = a_torch(capability, free, total, integrated)
    if words is None:
        smoke_device.open_gpu(torch, "cuda:0")
        return
    with pytest.raises(RuntimeError, match=words):
        smoke_device.open_gpu(torch, "cuda:0")


@pytest.fixture
def ask_driver(nvml_library: Path, tmp_path: Path) -> Any:
    """Run smoke/driver.py with the real pynvml against a library with scripted answers."""

    def run(script: str) -> Answer:
        (tmp_path / "script").write_text(script)
        scripted = {
            "LD_LIBRARY_PATH": str(nvml_library),
            "FAKE_NVML": str(tmp_path / "script"),
        }
        program = node_program.unpacked(tmp_path)
        done = node_program.run(sys.executable, program, "driver", {}, env=os.environ | scripted)
        assert done.returncode == 0, done.stderr
        answer: Answer = json.loads(done.stdout)
        return answer

    return run


def test_what_nvml_says_of_two_gpus(ask_driver: Any) -> None:
    script = "processes 1 4711 12\necc-corrected 1 3\nremapped 1 1 0 0 1\n" + HEALTHY
    first, second = ask_driver(script)["devices"]
    assert first == {
        "device": "cuda:0",
        "name": "NVIDIA GeForce RTX 4090",
        "uuid": "GPU-aaaa",
        "capability": "8.9",
        "memory_total_mib": 24564,
        "gpu": "GPU-aaaa",
        "mig": False,
        "held_by": "",
        "compute_mode": "default",
        "memory_free_mib": 23841,
        "pci_bus_id": "00000000:01:00.0",
        "driver_model": None,
        "counters": {},
    }
    assert second["held_by"] == "processes 4711, 12"
    assert second["counters"] == {
        "ecc_corrected": 3,
        "remapped_correctable": 1,
        "remapped_uncorrectable": 0,
        "remapping_failed": True,
    }
    assert set(first) == set(a_gpu(0))


def test_what_nvml_says_of_mig(ask_driver: Any) -> None:
    script = (
        "mig 0 1\nmig-count 0 7\nhandle 100 ok\nhandle 102 ok\nuuid 100 MIG-x\nuuid 102 MIG-y\n"
        "name 100 NVIDIA H100 MIG 1g.10gb\nhandle 101 error 6\nprocesses 0 9\nprocesses 102 9\n"
    )
    one, two, other = ask_driver(script + HEALTHY)["devices"]
    assert (one["device"], one["uuid"], one["gpu"]) == ("cuda:0/mig:0", "MIG-x", "GPU-aaaa")
    assert (two["device"], two["mig"], two["capability"]) == ("cuda:0/mig:2", True, "8.9")
    assert one["name"] == "NVIDIA H100 MIG 1g.10gb"
    assert (one["held_by"], two["held_by"]) == ("", "process 9")
    assert (other["uuid"], other["mig"]) == ("GPU-bbbb", False)


def test_what_nvml_says_of_a_lost_gpu_and_of_none(ask_driver: Any) -> None:
    answer = ask_driver("handle 1 error 15\n" + HEALTHY)
    assert answer["lost"] == ["GPU 1 is lost: GPU is lost"]
    assert [gpu["uuid"] for gpu in answer["devices"]] == ["GPU-aaaa"]
    answer = ask_driver("init * error 9\n")
    assert (answer["devices"], answer["detail"]) == ([], "Driver Not Loaded")


def test_windows_with_a_window_is_not_held() -> None:
    assert smoke_driver.held_by([4, 5], "WDDM") == ""
    assert smoke_driver.held_by([4, 5], None) == "processes 4, 5"


def test_the_server_of_mps_holds_nothing() -> None:
    """Its name is what Linux keeps of nvidia-cuda-mps-server."""
    idle = (
        "import sys, time; open('/proc/self/comm', 'w').write(sys.argv[1]);"
        " print(1, flush=True); time.sleep(60)"
    )
    for name, held in (("nvidia-cuda-mps-server", False), ("python", True)):
        with subprocess.Popen(
            [sys.executable, "-c", idle, name], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            process.stdout.readline()
            found = smoke_driver.held_by([process.pid], None)
            process.kill()
        assert found == (f"process {process.pid}" if held else "")


def test_xids_are_read_from_the_kernels_log(tmp_path: Path) -> None:
    line = "3,1200,8812345,-;NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus."
    log = tmp_path / "kmsg"
    log.write_text(f"6,1,2,-;usb 1-1: new device\n{line}\n{'x' * 9000}\n")
    assert smoke_driver.xids(str(log)) == [line]
    assert smoke_driver.xids(str(tmp_path / "absent")) is None


def test_a_kernels_log_that_fails_when_it_is_read_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = MagicMock()
    broken.__enter__().read.side_effect = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(smoke_driver.os, "fdopen", lambda handle, *more, **options: broken)
    assert smoke_driver.xids(os.devnull) is None

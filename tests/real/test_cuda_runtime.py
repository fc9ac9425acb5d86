"""Every fault that comes before cuBLAS, in the words of real CUDA torch: see tests/rig/cuda."""

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fleetwheel.node import faults
from fleetwheel.smoke import result as smoke
from tests import node_program
from tests.real.conftest import CudaDeployment
from tests.rig.cuda import Rig, Warm, uuid

pytestmark = [pytest.mark.real, pytest.mark.slow]
WORDS = faults.words("2.14.1+cu130", "580.65.06")
ONLY = """
CUDA_CHECKS = tuple(check for check in CUDA_CHECKS if check[0] in {names!r})
"""
"""Kernels do nothing on the rig: copies alone are right there."""
TOGETHER = """
BLOCK_WORDS, TIMED_S = 1 << 16, 0.01
whole = checks
def checks(bench, full, driver, tell):
    return [] if full["part"] == "device" else whole(bench, full, driver, tell)
"""


@pytest.fixture(scope="session")
def rig(cuda_deployment: CudaDeployment, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return Rig.compile(tmp_path_factory.mktemp("cuda"), cuda_deployment.python)


@pytest.fixture(scope="module")
def warm(rig: Rig) -> Iterator[Warm]:
    with rig.warm() as process:
        yield process


def expected(*names: str, **changes: Any) -> dict[str, Any]:
    """Return the input of a test with these checks alone, or with all, as ``only``."""
    known = {"variant": "cu130", "cuda": "13.0", "accelerator": "cuda", "device_deadline_s": 60}
    return {**known, "words": WORDS, "only": names, **changes}


def program_for(given: dict[str, Any], place: Path) -> tuple[Path, dict[str, Any]]:
    """Return a directory with the program that runs the checks of an input, and the input."""
    asked = dict(given)
    names = asked.pop("only")
    changes = {"smoke/full.py": node_program.source("smoke/full.py") + TOGETHER}
    if names:
        text = node_program.source("smoke/device.py")
        changes["smoke/device.py"] = text + ONLY.format(names=names)
    return node_program.unpacked(place, changes), asked


def smoke_of(
    rig: Rig, warm: Warm, given: dict[str, Any], cuda: str = "", nvml: str = "", count: int = 1
) -> smoke.SmokeResult:
    with TemporaryDirectory() as place:
        program, asked = program_for(given, Path(place))
        document = warm.run(program, asked, rig.scripts(cuda, nvml, count))
    return smoke.result_of(document)


AT_THE_START = {
    "no-driver": "driver * 0\ncudaGetDeviceCount * 35",
    "stub-library": "cudaGetDeviceCount * 34",
    "driver-too-old": "cudaGetDeviceCount * 35",
    "driver-mismatch": "cudaGetDeviceCount * 803",
    "driver-incomplete": "cudaGetDeviceCount * 221",
    "forward-compatibility": "cudaGetDeviceCount * 804",
    "fabric-not-ready": "cudaGetDeviceCount * 802",
    "mps": "cudaGetDeviceCount * 807",
    "driver-start": "cudaGetDeviceCount * 3",
    "unknown-cuda-error": "cudaGetDeviceCount * 999",
    "system-call": "cudaGetDeviceCount * 304",
    "vgpu-license": "cudaGetDeviceCount * 102",
    "no-devices": "count * 0",
}
"""Faults of the host, which torch meets when it looks for GPUs."""
ON_A_GPU = {
    "not-permitted": "cudaMalloc * 801",
    "device-busy": "cudaSetDevice * 46",
    "no-kernel-image": "cudaLaunchKernel * 209",
    "nvlink": "cudaLaunchKernel * 220",
    "contained-error": "cudaLaunchKernel * 226",
    "memory-errors": "cudaMemcpyAsync * 214",
    "watchdog": "cudaLaunchKernel * 702",
    "kernel-fault": "cudaLaunchKernel * 719",
    "out-of-memory": "cudaMalloc * 2",
    "wrong-values": "",
    "hang": "cudaLaunchKernel * hang",
    "killed": "cudaLaunchKernel * signal 9",
    "illegal-instruction": "cudaLaunchKernel * signal 4",
    "crash": "cudaLaunchKernel * signal 11",
    "no-result": "cudaLaunchKernel * exit 3",
}
ELSEWHERE = {
    "in-use": "test_who_uses_a_gpu_is_left_alone",
    "memory-held": "test_a_gpu_without_free_memory_is_left_alone",
    "gpu-lost": "test_torch_and_nvml_disagree",
    "gpu-missing": "test_smoke_gpus.py: only the list of wanted GPUs decides",
    "disagreement": "test_torch_and_nvml_disagree",
    "library-start": "test_libraries_that_find_no_driver",
    "library-failed": "test_libraries_that_find_no_driver",
    "foreign-library": "test_a_library_from_elsewhere",
    "peer-copy": "test_copies_between_gpus",
    "too-many-peers": "test_copies_between_gpus",
    "all-reduce": "test_smoke_real.py: a wrong sum on the CPU",
    "nccl": "words of issues alone: on the rig it names a cause that has a row of its own",
    "numpy": "test_smoke_real.py: a torch that found no numpy when it was imported",
    "wrong-variant": "test_smoke_real.py: torch for CPU where CUDA is locked",
    "wrong-version": "test_smoke_real.py: another version than the locked one",
    "no-torch": "test_smoke_probe.py: the tests' own Python",
    "bad-input": "test_smoke_probe.py: torch is not asked",
    "library-unsupported": "words of issues alone: the libraries need a GPU to say this",
    "disk-full": "words of the operating system alone: it would take a full disk",
    "nvrtc": "test_smoke_probe.py: a compiler that fails; test_nvrtc.py has the real one",
    "missing-library": "words of issues alone: it would take a damaged environment",
    **dict.fromkeys(
        ("application-control", "virus-scanner", "page-file", "wrong-architecture", "visual-c++"),
        "words of Windows alone: test_smoke.py has them, as documented",
    ),
    "xid": "test_smoke_full.py: the kernel's log cannot be scripted",
    "package-import": "test_smoke_imports.py and core's test_team_deploy.py: real imports",
    "too-slow": "test_smoke_full.py: nothing is measured where kernels do nothing",
}
"""Where the other rows are proven, or why they cannot be."""


def test_every_row_has_its_place() -> None:
    rows = [row.name for row in faults.FAULTS]
    assert sorted([*AT_THE_START, *ON_A_GPU, *ELSEWHERE]) == sorted(rows)


@pytest.mark.parametrize("name", AT_THE_START)
def test_faults_of_the_host(rig: Rig, warm: Warm, name: str) -> None:
    result = smoke_of(rig, warm, expected(nvml=False), AT_THE_START[name])
    assert ([fault.name for fault in result.faults], result.devices) == ([name], ())


@pytest.mark.parametrize("name", ON_A_GPU)
def test_faults_of_one_gpu_of_three(rig: Rig, warm: Warm, name: str) -> None:
    """The other two pass what can be right on the rig."""
    given = expected("copies", "elementwise", device_deadline_s=2 if name == "hang" else 60)
    result = smoke_of(rig, warm, given, ON_A_GPU[name].replace(" * ", " 1 "), count=3)
    assert result.faults == ()
    first, second, third = result.devices
    assert second.fault and (second.fault.name, second.status) == (name, "failed"), second
    assert [check.name for check in first.checks if check.passed] == ["copies exact"]
    assert {first.fault and first.fault.name, third.fault and third.fault.name} == {"wrong-values"}


@pytest.mark.parametrize(
    "row", [row for row in faults.FAULTS if row.codes], ids=lambda row: row.name
)
def test_a_number_and_its_words_get_the_same_name(rig: Rig, row: faults.Fault) -> None:
    """Torch before 2.8 gives the words alone; they are those of the real runtime."""
    (library,) = rig.python.parent.parent.glob("lib/python3*/*/nvidia/cu13/lib/libcudart.so.13")
    runtime = ctypes.CDLL(str(library))
    runtime.cudaGetErrorString.restype = ctypes.c_char_p
    for code in row.codes:
        words = runtime.cudaGetErrorString(code).decode()
        fault = faults.named(f"RuntimeError: CUDA error: {words}", WORDS)
        assert fault["name"] == row.name, (code, words)


def test_four_gpus_pass_where_nothing_is_computed(rig: Rig, warm: Warm) -> None:
    result = smoke_of(rig, warm, expected("copies"), count=4)
    assert result.passed, str(result)
    assert [gpu.uuid for gpu in result.devices] == [uuid(index) for index in range(4)]
    assert [gpu.device for gpu in result.devices] == [f"cuda:{index}" for index in range(4)]


def test_a_run_of_its_own_gives_the_same_words(rig: Rig, tmp_path: Path) -> None:
    """Not forked, as on a host: what the warm process saves is the import alone."""
    scripts = rig.scripts("cudaLaunchKernel 1 719", "", 2)
    program, asked = program_for(expected("copies", "elementwise"), tmp_path)
    env = {**rig.preloaded(), **scripts, "CUDA_LAUNCH_BLOCKING": "1"}
    done = node_program.run(rig.python, program, "smoke", asked, timeout=120, env=env)
    assert done.returncode == 2, done.stderr
    names = [gpu.fault and gpu.fault.name for gpu in smoke.parse_smoke(done.stdout).devices]
    assert names == ["wrong-values", "kernel-fault"]


@pytest.mark.parametrize(
    ("cuda", "nvml", "name", "words"),
    [
        ("count * 1", "", "disagreement", "NVML shows 2 GPUs, torch 1"),
        ("", f"uuid 1 {uuid(9)}", "disagreement", f"NVML does not know {uuid(1)}"),
        ("", "handle 1 error 15", "gpu-lost", "GPU 1 is lost: GPU is lost"),
        ("", "handle 1 error 16", "gpu-lost", "GPU 1 is lost: GPU requires restart"),
    ],
)
def test_torch_and_nvml_disagree(
    rig: Rig, warm: Warm, cuda: str, nvml: str, name: str, words: str
) -> None:
    result = smoke_of(rig, warm, expected("copies"), cuda, nvml, count=2)
    assert result.faults[0].name == name
    assert words in result.faults[0].error


@pytest.mark.parametrize(
    ("cuda", "nvml", "status", "name"),
    [
        ("memory 0 24564 300", "", "skipped", "memory-held"),
        ("memory 0 24564 300", "processes 0 7", "skipped", "memory-held"),
        ("memory 0 1024 700", "memory 0 1073741824 1 1", "passed", None),
        ("integrated 0 1\nmemory 0 24564 300", "", "passed", None),
        ("cudaMalloc 0 2", "processes 0 7", "failed", "out-of-memory"),
        ("cudaMalloc 0 2", "memory 0 25757220864 300000000 1", "skipped", "out-of-memory"),
        ("cudaMalloc 0 2", "", "failed", "out-of-memory"),
        ("cudaSetDevice 0 46", "compute-mode 0 3\nprocesses 0 7", "skipped", "device-busy"),
        ("cudaSetDevice 0 46", "compute-mode 0 2", "failed", "device-busy"),
    ],
)
def test_a_gpu_without_free_memory_is_left_alone(
    rig: Rig, warm: Warm, cuda: str, nvml: str, status: str, name: str | None
) -> None:
    result = smoke_of(rig, warm, expected("copies"), cuda, nvml, count=2)
    first, other = result.devices
    assert (first.status, first.fault and first.fault.name) == (status, name), first
    assert other.status == "passed"


def test_who_uses_a_gpu_is_left_alone(rig: Rig, warm: Warm) -> None:
    result = smoke_of(rig, warm, expected("copies", level="full"), nvml="processes 0 7")
    (gpu,) = result.devices
    assert gpu.fault and (gpu.status, gpu.fault.name) == ("skipped", "in-use")


@pytest.mark.parametrize(
    ("check", "name", "words"),
    [
        ("matmul", "library-start", "CUBLAS_STATUS_NOT_INITIALIZED"),
        ("solve", "library-start", "CUSOLVER_STATUS_NOT_INITIALIZED"),
        ("convolution", "library-start", "CUDNN_STATUS_NOT_INITIALIZED"),
        ("fft", "library-failed", "CUFFT_INTERNAL_ERROR"),
    ],
)
def test_libraries_that_find_no_driver(
    rig: Rig, warm: Warm, check: str, name: str, words: str
) -> None:
    result = smoke_of(rig, warm, expected(check))
    fault = result.devices[0].fault
    assert fault and fault.name == name and words in fault.error, fault


def test_a_library_from_elsewhere(rig: Rig, tmp_path: Path) -> None:
    """An empty libcublasLt before that of the wheels, as a CUDA of another version is."""
    (tmp_path / "a.c").write_text("int nothing;\n")
    library = tmp_path / "libcublasLt.so.13"
    name = f"-Wl,-soname,{library.name}"
    command = ["cc", "-shared", "-fPIC", name, "-o", library, tmp_path / "a.c"]
    subprocess.run(command, check=True, capture_output=True)
    program, asked = program_for(expected("copies", nvml=False), tmp_path)
    env = {"LD_PRELOAD": str(library)}
    done = node_program.run(rig.python, program, "smoke", asked, timeout=120, env=env)
    result = smoke.parse_smoke(done.stdout)
    assert [fault.name for fault in result.faults] == ["foreign-library"], str(result)


@pytest.mark.parametrize(
    ("cuda", "name", "words"),
    [
        ("cudaMemcpyAsync * hang after 4", "peer-copy", "no answer within"),
        ("cudaMemcpyAsync * signal 11 after 4", "peer-copy", "ended by SIGSEGV, during copy"),
        ("cudaMemcpyAsync * 700 after 4", "kernel-fault", "illegal memory access"),
        ("peers * 8", "peer-copy", "copy cuda:1 to cuda:2 exact: relative error"),
        ("peers * 0", "too-many-peers", "peer mapping resources exhausted"),
    ],
)
def test_copies_between_gpus(rig: Rig, warm: Warm, cuda: str, name: str, words: str) -> None:
    """Torch copies by cudaMemcpyAsync: three times alone, and from the fifth time on to a peer."""
    given = expected("copies", level="full", device_deadline_s=16 if "hang" in cuda else 60)
    result = smoke_of(rig, warm, given, cuda, count=3)
    assert [gpu.status for gpu in result.devices] == ["passed"] * 3
    copies = [part for part in result.together if part.name == "copies"]
    assert copies[0].device == "cuda:1 and cuda:2"
    fault = copies[0].fault
    assert fault and fault.name == name and words in fault.error, copies[0]


def test_twelve_gpus_never_exhaust_the_peers_of_one(rig: Rig, warm: Warm) -> None:
    """In one process the ninth mapping would be error 711."""
    given = expected("copies", level="full", device_deadline_s=400)
    result = smoke_of(rig, warm, given, "peers * 8", count=12)
    pairs = [part for part in result.together if part.name == "copies"]
    assert len(pairs) == 66
    assert {part.fault and part.fault.name for part in pairs} == {"peer-copy"}
    assert result.warnings == ()


def test_what_stops_nccl_counts_before_nccl(rig: Rig, warm: Warm) -> None:
    """It has a runtime of its own inside, which finds no driver behind the rig, and says so."""
    result = smoke_of(rig, warm, expected("copies", level="full"), "peers * 8", count=2)
    found = [part.fault for part in result.together if "all-reduce" in part.name]
    assert [fault and fault.name for fault in found] == ["driver-too-old"] * 2, result.together
    assert found[0] and "NCCL error in" in found[0].error

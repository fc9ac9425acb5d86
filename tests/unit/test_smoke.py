"""The smoke test on the controller: expectation, verdict, and every fault by its real words."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Gpu
from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.matrix.variant import Variant
from fleetwheel.node import faults
from fleetwheel.node.smoke import children, devices, verdict
from fleetwheel.node.smoke import run as probe
from fleetwheel.smoke import result as smoke
from tests.samples import GPU_HOST, REQUEST, choice, target_of

UNEXPECTED = (
    "UserWarning: CUDA initialization: Unexpected error from cudaGetDeviceCount(). Did you run some"
    " cuda functions before calling NumCudaDevices() that might have already set an error? "
)
WORDS = faults.words("2.14.1+cu130", "580.65.06")
EXPECTED = {**probe.DEFAULTS, "words": WORDS}


def lock_of_torch(version: str, variant: str, os: str = "linux") -> Lock:
    chosen = choice(torch=version).model_copy(update={"variant": Variant.parse(variant)})
    text = (
        'lock-version = "1.0"\ncreated-by = "tests"\n'
        f'[[packages]]\nname = "torch"\nversion = "{version}"\n'
        f'wheels = [{{ url = "https://example.org/torch-{version}-py3-none-any.whl",'
        f' hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
    )
    host = GPU_HOST.model_copy(update={"os": os})
    return locking.lock_of(text, chosen, target_of(host), REQUEST)


def a_document(**changes: Any) -> dict[str, Any]:
    """Return a document that passed, with these changes to it."""
    document = {"schema": "fleetwheel.smoke/1", "passed": True, "devices": [a_device()]}
    return {**document, **changes}


def a_device(**changes: Any) -> dict[str, Any]:
    check = {"name": "matmul float32", "passed": True, "error": 1e-7, "bound": 2e-5, "ms": 3.1}
    told = {"checks": [check], "planned": ["matmul float32"], "import_s": 1.0}
    return {**judged("cuda:0", **told), **changes}


def judged(name: str, **told: Any) -> dict[str, Any]:
    """Return the probe's verdict on an H100 that told this."""
    said = {"checks": [], "measured": [], "seed": 1, "seconds": 2.0, "error": "", **told}
    shown = {"device": name, "name": "NVIDIA H100"}
    return verdict.verdict(devices.Device(shown, name, {}, {}), said, EXPECTED)


@pytest.mark.parametrize(
    ("version", "variant", "cuda", "accelerator"),
    [
        ("2.13.0+cpu", "cpu", None, "cpu"),
        ("2.14.1", "cu130", "13.0", "cuda"),
        ("2.4.1+cu118", "cu118", "11.8", "cuda"),
    ],
)
def test_the_lock_says_what_is_expected(
    version: str, variant: str, cuda: str | None, accelerator: str
) -> None:
    asked = smoke.expectation(lock_of_torch(version, variant), load_matrix())
    assert asked["packages"] == {"torch": version}
    assert (asked["variant"], asked["cuda"], asked["accelerator"]) == (variant, cuda, accelerator)
    assert set(asked) == set(probe.DEFAULTS) - {"sustained_s", "nvml"}
    probe.require_known({**probe.DEFAULTS, **asked})
    json.dumps(asked)


@pytest.mark.parametrize(
    ("os", "variant", "driver"),
    [
        ("linux", "cu130", "580.65.06"),
        ("linux", "cu126", "525.60.13"),
        ("linux", "cu118", "450.80.02"),
        ("windows", "cu126", "528.33"),
        ("linux", "cu140", "for its CUDA version"),
    ],
)
def test_faults_name_the_driver_that_the_variant_needs(os: str, variant: str, driver: str) -> None:
    asked = smoke.expectation(lock_of_torch("2.14.1", variant, os), load_matrix())
    fault = faults.named("Found no NVIDIA driver on your system.", asked["words"])
    assert fault["meaning"] == f"torch 2.14.1+{variant} finds no NVIDIA driver on this host"
    assert f"install NVIDIA driver {driver} or newer" in fault["repair"]


REAL_WORDS = [
    (
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA"
        " GPU and installed a driver from http://www.nvidia.com/Download/index.aspx",
        "no-driver",
    ),
    ("ImportError: libcuda.so.1: cannot open shared object file: No such file", "no-driver"),
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12080). Please"
        " update your GPU driver by downloading and installing a new version",
        "driver-too-old",
    ),
    ("CUDA driver version is insufficient for CUDA runtime version", "driver-too-old"),
    ("the provided PTX was compiled with an unsupported toolchain.", "driver-too-old"),
    (
        UNEXPECTED + "Error 803: system has unsupported display driver / cuda driver combination",
        "driver-mismatch",
    ),
    (
        UNEXPECTED + "Error 804: forward compatibility was attempted on non supported HW",
        "forward-compatibility",
    ),
    (UNEXPECTED + "Error 802: system not yet initialized", "fabric-not-ready"),
    ("RuntimeError: CUDA error: system not yet initialized", "fabric-not-ready"),
    ("RuntimeError: No CUDA GPUs are available", "no-devices"),
    ("CUDA error: no CUDA-capable device is detected", "no-devices"),
    ("CUDA error: all CUDA-capable devices are busy or unavailable", "device-busy"),
    ("RuntimeError: the GPU is in use by process 4711: the full level needs it all", "in-use"),
    ("GPU 1 is lost: GPU is lost", "gpu-lost"),
    ("NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.", "gpu-lost"),
    ("NVML does not answer any more after the test: no answer within 120 s", "gpu-lost"),
    ("NVML and torch disagree: NVML shows 8 GPUs, torch 7", "disagreement"),
    (
        "NVML's count ecc_uncorrected rose from 0 to 2 during the test",
        "memory-errors",
    ),
    (
        "3,1200,8812345,-;NVRM: Xid (PCI:0000:41:00): 48, pid=7, An uncorrectable double bit error",
        "xid",
    ),
    ("memory bandwidth: 0.31 of what the clocks promise is less than 0.6", "too-slow"),
    (
        "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:94, unhandled system error",
        "nccl",
    ),
    (
        "AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or unavailable\n"
        "CUDA kernel errors might be asynchronously reported at some other API call",
        "device-busy",
    ),
    (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "no-kernel-image",
    ),
    (
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total"
        " capacity of 15.48 GiB of which 4.10 GiB is free.",
        "out-of-memory",
    ),
    ("RuntimeError: CUDA error: out of memory", "out-of-memory"),
    ("RuntimeError: CUDA driver error: out of memory", "out-of-memory"),
    (UNEXPECTED + "Error 2: out of memory", "out-of-memory"),
    ("AssertionError: Torch not compiled with CUDA enabled", "wrong-variant"),
    ("torch 2.13.0+cpu is built for the CPU, but cu130 was expected", "wrong-variant"),
    ("torch 2.13.0 differs from the lock's 2.14.1", "wrong-version"),
    (
        "ImportError: libnvrtc.so.13: cannot open shared object file: No such file or directory",
        "missing-library",
    ),
    (
        'OSError: [WinError 126] The specified module could not be found. Error loading "c10.dll"'
        " or one of its dependencies.",
        "visual-c++",
    ),
    ("OSError: [WinError 1114] Eine DLL-Initialisierungsroutine ist fehlgeschlagen", "visual-c++"),
    ("OSError: [WinError 193] %1 is not a valid Win32 application", "wrong-architecture"),
    ("OSError: [WinError 1455] The paging file is too small for this operation", "page-file"),
    (
        "OSError: [WinError 4551] An Application Control policy has blocked this",
        "application-control",
    ),
    ("OSError: [WinError 225] the file contains a virus", "virus-scanner"),
    ("ImportError: /lib/libc.so.6: version `GLIBC_2.28' not found", "missing-library"),
    ("ImportError: /opt/a.so: undefined symbol: _ZN3c105ErrorC2E", "missing-library"),
    ("ImportError: libtorch_cuda.so: undefined symbol: ncclCommShrink", "foreign-library"),
    ("Could not load library libcudnn_ops.so.9", "missing-library"),
    ("ModuleNotFoundError: No module named 'torch'", "no-torch"),
    ("matmul float16: relative error 0.91 is above 0.004", "wrong-values"),
    ("fft float32: relative error NaN is above 2e-05", "wrong-values"),
    ("no answer within 120 s, during convolution float32", "hang"),
    ("no answer within 120 s, and SIGKILL does not end it, during solve float64", "hang"),
    ("ended by SIGKILL, during import torch", "killed"),
    ("ended by SIGILL, during matmul bfloat16", "illegal-instruction"),
    ("ended with exit code 0xc000001d, during import torch", "illegal-instruction"),
    ("ended by SIGSEGV, during sparse matmul float32", "crash"),
    ("ended by signal 36, during import torch", "crash"),
    ("ended with exit code 0xc0000005, during import torch", "crash"),
    ("ended without a result after fft float32", "no-result"),
    ("ended with exit code 1, during its start", "no-result"),
    ("ValueError: the input has unknown keys: colour", "bad-input"),
    ("RuntimeError: something nobody has seen", "unnamed"),
    # What torch 2.14.1 says of a runtime with scripted answers (tests/rig/cuda).
    (
        "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment,"
        " e.g. changing env variable CUDA_VISIBLE_DEVICES after program start. Setting the"
        " available devices to be zero.",
        "unknown-cuda-error",
    ),
    (
        "RuntimeError: CUDA driver initialization failed, you might not have a CUDA gpu.",
        "driver-start",
    ),
    (UNEXPECTED + "Error 34: CUDA driver is a stub library", "stub-library"),
    (UNEXPECTED + "Error 304: OS call failed or operation not supported on this OS", "system-call"),
    (
        "AcceleratorError: Error 700: CUDA error: an illegal memory access was encountered,"
        " during elementwise float32\nSearch for `cudaErrorIllegalAddress' in",
        "kernel-fault",
    ),
    ("AcceleratorError: Error 711: CUDA error: peer mapping resources exhausted", "too-many-peers"),
    ("RuntimeError: Error 209: cuModuleLoadData failed", "no-kernel-image"),
    ("RuntimeError: Error 222: cuModuleLoadData failed", "driver-too-old"),
    # pytorch/pytorch issues 57773 and 103832, pull request 80877; GaussianEditor issue 46.
    (
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx( handle,"
        " opa, opb, m, n, k, &falpha, a, CUDA_R_16BF, lda, b, CUDA_R_16BF, ldb, &fbeta, c, …)`",
        "library-unsupported",
    ),
    (
        "OSError: /venv/lib/python3.10/site-packages/torch/lib/../../nvidia/cublas/lib/libcublas.so"
        ".11: undefined symbol: cublasLtGetStatusString, version libcublasLt.so.11",
        "foreign-library",
    ),
    (
        "OSError: /venv/libcublas.so.11: symbol cublasLtGetStatusString version libcublasLt.so.11"
        " not defined in file libcublasLt.so.11 with link time reference",
        "foreign-library",
    ),
    (
        "RuntimeError: cuDNN version incompatibility: PyTorch was compiled  against (8, 7, 0) but"
        " found runtime version (8, 2, 4). PyTorch already comes bundled with cuDNN.",
        "foreign-library",
    ),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", "foreign-library"),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED", "foreign-library"),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_VERSION_MISMATCH", "foreign-library"),
    (
        "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "library-start",
    ),
    (
        "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "library-start",
    ),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "library-failed"),
    ("RuntimeError: NVRTC error 2: nvrtcCreateProgram failed, during runtime", "nvrtc"),
    ("RuntimeError: NVRTC error 5 for sm_90: nvrtc: error: invalid value", "nvrtc"),
    ("RuntimeError: NVRTC error 7 for sm_90: failed to open libnvrtc-builtins.so.13.0", "nvrtc"),
    ("OSError: libnvrtc-builtins.so.13.0: cannot open shared object file", "nvrtc"),
    ("OSError: [Errno 28] No space left on device: '/tmp/x'", "disk-full"),
    ("OSError: [Errno 122] Disk quota exceeded", "disk-full"),
    ("all-reduce float32: relative error 0.5 is above 2e-05", "all-reduce"),
    ("no answer within 120 s, during all-reduce float32", "all-reduce"),
    (
        "no answer within 120 s, and SIGKILL does not end it, during all-reduce float32",
        "all-reduce",
    ),
    ("DistBackendError: NCCL error in: x.cpp:94, during all-reduce float32", "nccl"),
    ("GPUs to test not found: GPU-1, GPU-2", "gpu-missing"),
    ("NVML does not show GPU-1 any more after the test", "gpu-lost"),
    (
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling"
        " `cublasCreate(handle)`",
        "library-start",
    ),
    (
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "library-start",
    ),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "library-start"),
    ("RuntimeError: cuFFT error: CUFFT_ALLOC_FAILED", "library-start"),
    ("RuntimeError: cuFFT error: CUFFT_INTERNAL_ERROR", "library-failed"),
    (
        "RuntimeError: cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling"
        " `cusolverDnCreate(handle)`",
        "library-failed",
    ),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH", "library-unsupported"),
    ("RuntimeError: NCCL Error 2: unhandled system error", "nccl"),
    ("RuntimeError: Numpy is not available, during numpy exchange exact", "numpy"),
    ("ImportError: libcudart.so.12: cannot open, during import vllm of vllm", "package-import"),
    ("ended by SIGSEGV, during import cv2 of opencv-python", "package-import"),
    ("ended without a result after import timm of timm", "package-import"),
    ("RuntimeError: CUDA out of memory: only 3 MiB are free, during opening", "memory-held"),
    (
        "copy cuda:0 to cuda:1 exact: relative error 0.99 is above 0.0",
        "peer-copy",
    ),
    ("no answer within 57 s, during copy cuda:1 to cuda:0 exact", "peer-copy"),
    ("ended by SIGSEGV, during copy cuda:1 to cuda:0 exact", "peer-copy"),
    # By number alone: no text of these is in the issues that were searched.
    ("AcceleratorError: Error 102: CUDA error", "vgpu-license"),
    ("AcceleratorError: Error 214: CUDA error", "memory-errors"),
    ("AcceleratorError: Error 220: CUDA error", "nvlink"),
    ("AcceleratorError: Error 221: CUDA error", "driver-incomplete"),
    ("AcceleratorError: Error 226: CUDA error", "contained-error"),
    *((f"AcceleratorError: Error {code}: CUDA error", "driver-start") for code in (127, 201)),
    ("AcceleratorError: Error 500: CUDA error", "no-kernel-image"),
    *((f"AcceleratorError: Error {code}: CUDA error", "kernel-fault") for code in (701, 709, 721)),
    ("AcceleratorError: Error 702: CUDA error", "watchdog"),
    ("AcceleratorError: Error 801: CUDA error", "not-permitted"),
    ("AcceleratorError: Error 807: CUDA error", "mps"),
]


@pytest.mark.parametrize(("text", "name"), REAL_WORDS)
def test_errors_get_their_name(text: str, name: str) -> None:
    fault = faults.named(text, WORDS)
    assert fault["name"] == name
    assert fault["error"] == text
    assert fault["meaning"]
    assert fault["repair"]
    assert "{" not in fault["meaning"] + fault["repair"]


def test_every_row_is_tried_and_compiles() -> None:
    assert {row.name for row in faults.FAULTS} == {name for _, name in REAL_WORDS} - {"unnamed"}
    assert len({row.name for row in faults.FAULTS}) == len(faults.FAULTS)
    for row in faults.FAULTS:
        re.compile(row.pattern)


def test_the_number_counts_before_the_words() -> None:
    """Torch may wrap an error of the driver into words of its own."""
    said = "AcceleratorError: Error 214: CUDA error: unspecified launch failure, during copy cuda:0"
    assert faults.named(said, WORDS)["name"] == "memory-errors"
    assert (
        faults.named("RuntimeError: Error 1: cuModuleLoadData failed", WORDS)["name"] == "unnamed"
    )


def test_a_number_belongs_to_one_row() -> None:
    codes = [code for row in faults.FAULTS for code in row.codes]
    assert len(codes) == len(set(codes))


def test_by_hand_the_rows_name_no_release() -> None:
    fault = faults.named("Found no NVIDIA driver", faults.words())
    assert fault["meaning"] == "torch finds no NVIDIA driver on this host"


def test_the_json_decides() -> None:
    text = "a banner\n" + json.dumps(a_document()) + "\n"
    result = smoke.parse_smoke(text)
    assert result.passed
    assert str(result) == "cuda:0 NVIDIA H100: passed, 1 checks in 2.0 s"


A_FAULT = {"name": "hang", "meaning": "", "repair": "", "error": ""}
BROKEN = [
    a_document(devices=[]),
    a_document(devices=[a_device(checks=[])]),
    a_document(devices=[a_device(fault=A_FAULT)]),
    a_document(devices=[a_device(status="failed")]),
    a_document(devices=[a_device(status="skipped")]),
    a_document(devices=[a_device(checks=[{**a_device()["checks"][0], "passed": False}])]),
    a_document(faults=[A_FAULT]),
    a_document(schema="fleetwheel.smoke/2"),
    a_document(passed=False),
    a_document(level="thorough"),
    a_document(together=[a_device(status="failed", fault=A_FAULT)]),
    {"passed": True},
    {"ok": False, "error": "no answer within 135 s", "hint": "a slow disk"},
    {},
]


@pytest.mark.parametrize("document", BROKEN)
def test_a_document_that_shows_no_pass_is_none(document: dict[str, Any]) -> None:
    assert not smoke.passed(document)
    with pytest.raises(FleetwheelError):
        smoke.parse_smoke(json.dumps(document))
    assert smoke.explain_smoke(document)


def test_the_controllers_own_words_are_kept() -> None:
    said = smoke.explain_smoke(
        {"ok": False, "error": "no answer within 135 s", "hint": "a slow disk"}
    )
    assert said == "no answer within 135 s\n  hint: a slow disk"


def test_what_a_gpu_is_too_old_for_is_neither_passed_nor_a_fault() -> None:
    lacking = {"name": "matmul bfloat16", "passed": False, "unsupported": True}
    check = {**a_device()["checks"][0], **lacking, "error": None}
    told = {"checks": [*a_device()["checks"], check]}
    device = judged("cuda:0", **told, planned=["matmul float32", "matmul bfloat16"])
    assert (device["status"], device["fault"]) == ("passed", None)
    assert device["summary"].endswith("not supported by this GPU: matmul bfloat16")
    assert smoke.passed(a_document(devices=[device]))
    nothing_else = judged("cuda:0", checks=[check], planned=["matmul bfloat16"])
    assert not smoke.passed(a_document(devices=[nothing_else]))


def test_a_failed_device_is_explained_with_its_repair() -> None:
    broken = judged("cuda:1", error="ended by SIGSEGV, during fft\nline")
    document = a_document(passed=False, devices=[a_device(), broken])
    assert smoke.explain_smoke(document) == (
        "cuda:1 NVIDIA H100: the test crashed (ended by SIGSEGV, during fft)\n"
        "  hint: read the traceback; suspect the driver, then the memory"
    )


def test_each_fault_keeps_what_mends_it() -> None:
    broken = [judged(f"cuda:{n}", error="ended by SIGSEGV, during fft") for n in (1, 2)]
    first, second = smoke.faults_of(a_document(passed=False, devices=broken))
    assert first.message == "cuda:1 NVIDIA H100: the test crashed (ended by SIGSEGV, during fft)"
    assert second.message.startswith("cuda:2 NVIDIA H100: ")
    assert first.hint == second.hint == "read the traceback; suspect the driver, then the memory"


def test_a_test_without_an_answer_is_a_fault() -> None:
    lost = FleetwheelError("no answer within 135 s", hint="a slow disk")
    document = smoke.unanswered(lost)
    (found,) = smoke.faults_of(document)
    assert not smoke.passed(document)
    assert (found.message, found.hint) == (lost.message, lost.hint)


@pytest.mark.parametrize("document", BROKEN)
def test_what_shows_no_pass_has_a_fault(document: dict[str, Any]) -> None:
    assert all(fault.message for fault in smoke.faults_of(document))
    assert smoke.faults_of(document)


def test_of_many_pairs_that_failed_alike_one_is_shown() -> None:
    said = "copy cuda:0 to cuda:1 exact: relative error 0.9 is above 0.0"
    pairs = [{**judged("cuda:0", error=said), "name": "copies"} for _ in range(120)]
    explained = smoke.explain_smoke(a_document(passed=False, level="full", together=pairs))
    assert explained.startswith("cuda:0 copies (and 119 more): copies between two GPUs go wrong")
    assert explained.count("\n") == 1


def test_what_failed_together_is_explained() -> None:
    part = judged("cuda:1", error="DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:94")
    said = smoke.explain_smoke(a_document(passed=False, level="full", together=[part]))
    assert said.startswith("cuda:1 NVIDIA H100: the GPUs cannot work together through NCCL")


@pytest.mark.parametrize(("level", "timeout_s"), [("quick", 300), ("full", 1200), ("full", 20)])
def test_a_run_ends_in_its_time(level: smoke.Level, timeout_s: int) -> None:
    deadline = smoke.device_deadline(timeout_s, level)
    assert deadline >= 1
    if timeout_s > 20:
        assert (deadline + 2 * children.GRACE) * smoke.STAGES[level] <= timeout_s
    assert smoke.time_limit(300, level) in (300, 1200)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, None),
        ((1,), ["GPU-b"]),
        (("GPU-a", 1), ["GPU-a", "GPU-b"]),
        ((7,), None),
    ],
)
def test_a_gpu_that_need_not_be_served_is_not_tested(
    wanted: tuple[int | str, ...] | None, found: list[str] | None
) -> None:
    cards = [Gpu(index=i, uuid=f"GPU-{uuid}", name="NVIDIA L4") for i, uuid in enumerate("ab")]
    host = GPU_HOST.model_copy(update={"gpus": tuple(cards)})
    assert smoke.uuids(host, REQUEST.model_copy(update={"gpus": wanted})) == found


@pytest.mark.parametrize(
    ("document", "busy"),
    [
        (a_document(passed=False, devices=[a_device(status="skipped", fault=A_FAULT)]), True),
        (a_document(devices=[a_device(), a_device(status="skipped", fault=A_FAULT)]), False),
        (a_document(passed=False, faults=[A_FAULT], devices=[a_device(status="skipped")]), False),
        (a_document(passed=False, faults=[A_FAULT], devices=[]), False),
        ({"ok": False, "error": "no answer within 135 s"}, False),
    ],
)
def test_a_host_that_is_only_busy_keeps_its_pass(document: dict[str, Any], busy: bool) -> None:
    assert smoke.busy(document) is busy


@given(st.text())
def test_no_text_gives_a_traceback(text: str) -> None:
    with pytest.raises(FleetwheelError):
        smoke.parse_smoke(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema", "passed", "devices", "faults", "error", "checks"]), inner
            )
        ),
    )
)
def test_no_json_gives_a_traceback_or_a_pass(document: Any) -> None:
    with pytest.raises(FleetwheelError):
        smoke.parse_smoke(json.dumps(document))

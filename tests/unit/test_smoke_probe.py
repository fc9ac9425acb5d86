"""The smoke test's protocol: scripted children and fake torches, no torch and no GPU."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fleetwheel.choice import compatibility
from fleetwheel.node import faults
from fleetwheel.node.smoke import architectures, bench, children, device, nvrtc, others
from fleetwheel.node.smoke import run as probe
from fleetwheel.smoke import result as smoke
from tests import node_program
from tests.smoke_script import expected, in_process, run, scripted, split


def test_all_devices_pass() -> None:
    document, code = run(node_program.bare_python(), expected(scripted("pass", 8)))
    result = smoke.parse_smoke(json.dumps(document))
    assert (code, result.passed, len(result.devices)) == (0, True, 8)
    assert result.torch == "2.14.1+cu130"
    assert result.devices[7].summary.startswith("cuda:7 GPU: passed, 1 checks in ")


@pytest.mark.parametrize(
    ("behaviour", "name", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crash", "ended by SIGSEGV, during matmul"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed", "ended by SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 2)", "crash", "ended by signal 36"),
        ("os._exit(0)", "no-result", "ended without a result after matmul"),
        ("sys.exit('some words')", "no-result", "exit code 1, during matmul\nsome words"),
        ("os.write(1, b'\\xff{garbage'); os._exit(0)", "no-result", "ended without a result"),
        ('os.write(1, b\'{"check": {"na\'); os._exit(0)', "no-result", "ended without a result"),
        ("print(7, flush=True); os._exit(0)", "no-result", "ended without a result"),
        ("check(0.5, False); os._exit(0)", "wrong-values", "error 0.5 is above 0.1"),
        ("check(None, False); os._exit(0)", "wrong-values", "error NaN is above 0.1"),
        (
            "check(0.5, False); tell(error='AcceleratorError: Error 719: odd'); os._exit(0)",
            "wrong-values",
            "error 0.5 is above 0.1\nAcceleratorError: Error 719: odd",
        ),
        ("tell(planned=['matmul', 'fft'])", "no-result", "ended without a result"),
        ("tell(planned=[]); os._exit(0)", "no-result", "ended without a result"),
        ("tell(error='RuntimeError: odd'); os._exit(0)", "unnamed", "RuntimeError: odd"),
        (
            "faulthandler.dump_traceback_later(0.2, exit=True); time.sleep(60)",
            "hang",
            "no answer within 0.1 s, during matmul\nTimeout",
        ),
    ],
)
def test_one_device_fails_alone(
    behaviour: str, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "GRACE", 20)
    deadline = 0.1 if name == "hang" else 20
    document = in_process(expected(scripted(behaviour), device_deadline_s=deadline))
    states = [device["status"] for device in document["devices"]]
    assert states == ["passed", "passed", "passed", "failed"]
    assert document["devices"][3]["fault"]["name"] == name
    assert words in document["devices"][3]["fault"]["error"]
    assert not smoke.passed(document)
    assert "cuda:3 GPU: " in smoke.explain_smoke(document)


def test_one_of_eight_devices_crashes() -> None:
    document, code = run(node_program.bare_python(), expected(scripted("os.abort()", 8)))
    assert (code, document["passed"]) == (2, False)
    states = [device["status"] for device in document["devices"]]
    assert states == ["passed"] * 3 + ["failed"] + ["passed"] * 4


BUSY = "tell(error='CUDA out of memory: only 3 MiB are free'); os._exit(0)"


def test_devices_that_pass_do_not_excuse_the_environment() -> None:
    document, code = run(
        node_program.bare_python(), expected(scripted("pass"), packages={"absent": "1"})
    )
    assert {device["status"] for device in document["devices"]} == {"passed"}
    assert (code, document["passed"], names(document)) == (2, False, ["wrong-version"])


def test_a_busy_gpu_is_skipped() -> None:
    document, code = run(node_program.bare_python(), expected(scripted(BUSY)))
    assert (code, document["passed"]) == (0, True)
    assert document["devices"][3]["status"] == "skipped"
    assert "other processes hold the GPU's memory" in smoke.explain_smoke(document)


def test_nothing_but_busy_gpus_is_exit_3_and_no_pass() -> None:
    program = scripted(BUSY, 1).replace('"cuda:3"', '"cuda:0"')
    document, code = run(node_program.bare_python(), expected(program))
    assert (code, document["passed"]) == (3, False)
    assert document["devices"][0]["fault"]["name"] == "memory-held"


def test_a_child_that_outstays_its_deadline_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "GRACE", 0.3)
    program = "import time\ntime.sleep(60)"
    document = in_process(expected(program, accelerator="cpu", device_deadline_s=0.3))
    assert document["seconds"] < 60
    assert document["devices"][0]["fault"]["name"] == "hang"
    assert "during its start" in document["devices"][0]["summary"]


def test_a_child_that_cannot_be_killed_is_given_up(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    text = node_program.source("smoke/children.py").replace("GRACE = 5", "GRACE = 0.3")
    changes = {"smoke/children.py": text.replace("self.process.kill()", "pass")}
    given = expected(program, accelerator="cpu", device_deadline_s=0.3)
    document, code = run(node_program.bare_python(), given, changes)
    until(lambda: note.exists() and note.read_text() != "")
    os.kill(int(note.read_text()), signal.SIGKILL)
    assert code == 2
    assert "SIGKILL does not end it" in document["devices"][0]["summary"]


def test_children_do_not_outlive_an_interrupted_test(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = f"import os,time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    changes, given = split(expected(program, accelerator="cpu"))
    with subprocess.Popen(
        [sys.executable, "-I", node_program.unpacked(tmp_path, changes), "smoke"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=listen_to_interrupts,
    ) as parent:
        assert parent.stdin
        parent.stdin.write(json.dumps(given).encode())
        parent.stdin.close()
        until(lambda: note.exists() and note.read_text() != "")
        parent.send_signal(signal.SIGINT)
        parent.wait(30)
    status = Path(f"/proc/{note.read_text()}/status")
    until(lambda: not status.exists() or "State:\tZ" in status.read_text())


def listen_to_interrupts() -> None:
    """Undo what a shell hands to a suite that it runs in the background: SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


FAKE_TORCH = """
import sys, types
from types import SimpleNamespace
__version__ = "2.14.1+cu130"
version = SimpleNamespace(cuda="13.0")
print('{"devices": [{"device": "cuda:0", "name": "printed by torch"}]}', flush=True)
def init(): raise RuntimeError(TEXT)
cuda = SimpleNamespace(get_arch_list=lambda: ["sm_75", "sm_90"], init=init)
"""


@pytest.fixture(scope="module")
def fake_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of its own, whose ``torch`` each test writes."""
    path = tmp_path_factory.mktemp("environment")
    venv.create(path, symlinks=True)
    return path / "bin" / "python"


def with_torch(python: Path, text: str, version: str = "2.14.1") -> str:
    """Write the fake torch of an environment, and say which version is installed."""
    site = next(python.parent.parent.glob("lib/python3*/site-packages"))
    for old in site.glob("torch*"):
        shutil.rmtree(old)
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(text)
    info = site / f"torch-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    return str(python)


def on_fake(python: str, **changes: Any) -> tuple[dict[str, Any], int]:
    """Run the real device program against the fake torch, as a CUDA deploy would."""
    return run(python, expected(**changes))


def names(document: dict[str, Any]) -> list[str]:
    return [fault["name"] for fault in document["faults"]]


def test_no_driver_is_named_with_the_driver_to_install(fake_python: Path) -> None:
    text = FAKE_TORCH.replace("TEXT", '"Found no NVIDIA driver on your system. Please check"')
    document, code = on_fake(with_torch(fake_python, text))
    assert (code, names(document), document["devices"]) == (2, ["no-driver"], [])
    said = smoke.explain_smoke(document)
    assert "torch 2.14.1+cu130 finds no NVIDIA driver on this host" in said
    assert "install NVIDIA driver 580.65.06 or newer" in said


@pytest.mark.parametrize(
    ("locked", "installed", "fine"),
    [
        ("2.14.1", "2.14.1", True),
        ("2.14.1", "2.14.1+cu130", True),
        ("2.14.1+cu130", "2.14.1+cu130", True),
        ("2.14.1+cu130", "2.14.1", False),
        ("2.14.1+cpu", "2.14.1+cpu", False),
        ("2.14.0", "2.14.1", False),
        ("2.14.0", "2.14.0", False),
    ],
)
def test_torch_must_be_the_locked_one(
    fake_python: Path, locked: str, installed: str, fine: bool
) -> None:
    """Both in its metadata and when it is imported, which here is 2.14.1+cu130."""
    python = with_torch(fake_python, FAKE_TORCH.replace("TEXT", '"odd"'), installed)
    document, _ = on_fake(python, packages={"torch": locked})
    assert ("wrong-version" not in names(document)) is fine


def test_a_missing_package_is_named(fake_python: Path) -> None:
    python = with_torch(fake_python, FAKE_TORCH)
    document, _ = on_fake(python, packages={"torch": "2.14.1", "numpy": "2.4.6"})
    assert "numpy (missing) differs from the lock's 2.4.6" in document["faults"][0]["error"]


@pytest.mark.parametrize(
    ("cuda", "variant", "asked", "words"),
    [
        ("None", "cu130", "13.0", "is built for the CPU, but cu130 was expected"),
        ("'12.6'", "cu130", "13.0", "is built for CUDA 12.6, but cu130 was expected"),
        ("'13.0'", "cpu", None, "is built for CUDA 13.0, but cpu was expected"),
    ],
)
def test_the_variant_must_be_the_locked_one(
    fake_python: Path, cuda: str, variant: str, asked: str | None, words: str
) -> None:
    text = FAKE_TORCH.replace('cuda="13.0"', f"cuda={cuda}")
    text = text.replace("TEXT", '"Torch not compiled with CUDA enabled"')
    document, code = on_fake(with_torch(fake_python, text), variant=variant, cuda=asked)
    assert code == 2
    assert names(document)[0] == "wrong-variant"
    assert words in document["faults"][0]["error"]


def test_other_architectures_than_the_matrix_are_a_warning(fake_python: Path) -> None:
    python = with_torch(fake_python, FAKE_TORCH.replace("TEXT", '"odd"'))
    document, _ = on_fake(python, arch_list=["sm_75", "sm_80"])
    assert document["warnings"] == [
        "matrix row wrong: torch is built for sm_75 sm_90, not sm_75 sm_80"
    ]
    document, _ = on_fake(python, arch_list=["sm_90", "sm_75"])
    assert document["warnings"] == []


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("import time; time.sleep(60)", "hang", "no answer within 1 s, during import torch"),
        ("import os; os.abort()", "crash", "ended by SIGABRT, during import torch"),
        ("import os; os.kill(os.getpid(), 4)", "illegal-instruction", "SIGILL"),
        (
            "raise ImportError('libcudart.so.13: cannot open shared object file')",
            "missing-library",
            "ImportError: libcudart.so.13",
        ),
        ("import sys; sys.exit(0)", "no-result", "ended without a result after import torch"),
        ("print('{}'); version = 1", "unnamed", "AttributeError"),
    ],
)
def test_a_torch_that_cannot_be_imported(
    fake_python: Path, text: str, name: str, words: str
) -> None:
    python = with_torch(fake_python, text)
    document, code = on_fake(python, accelerator="cpu", device_deadline_s=1)
    assert (code, document["devices"][0]["status"]) == (2, "failed")
    assert document["seconds"] < 60
    fault = document["devices"][0]["fault"]
    assert (fault["name"], words in fault["error"]) == (name, True), fault


def test_no_torch_at_all() -> None:
    document, code = on_fake(sys.executable, accelerator="cpu", packages={"torch": "2.14.1"})
    assert code == 2
    assert names(document) == ["wrong-version"]
    assert document["devices"][0]["fault"]["name"] == "no-torch"


@pytest.mark.parametrize("changes", [{"level": "thorough"}, {"accelerator": "rocm"}, {"colour": 1}])
def test_input_that_it_does_not_know_is_refused(changes: dict[str, Any]) -> None:
    document, code = run(node_program.bare_python(), expected("", **changes))
    assert (code, names(document)) == (3, ["bad-input"])
    assert not smoke.parse_smoke(json.dumps(document)).passed


def test_by_hand_it_takes_a_file(fake_python: Path, tmp_path: Path) -> None:
    python = with_torch(fake_python, FAKE_TORCH.replace("TEXT", '"Error 802: system not yet"'))
    given = tmp_path / "input.json"
    given.write_text(json.dumps({"packages": {"torch": "2.13.0"}}))
    command = [python, node_program.unpacked(tmp_path), "test", "--json-input", str(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    errors = [fault["error"] for fault in json.loads(done.stdout)["faults"]]
    assert "torch 2.14.1 differs from the lock's 2.13.0" in errors[0]
    assert "2.14.1 differs" in done.stderr


def test_by_hand_a_fault_has_its_name(fake_python: Path, tmp_path: Path) -> None:
    python = with_torch(fake_python, FAKE_TORCH.replace("TEXT", '"CUDA unknown error - this may"'))
    command = [python, node_program.unpacked(tmp_path), "test"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    document = json.loads(done.stdout)
    assert (done.returncode, names(document)) == (2, ["unknown-cuda-error"])
    assert "nvidia_uvm" in done.stderr


@pytest.mark.parametrize("text", ["{", "[1]", "3", None])
def test_a_file_that_holds_no_input_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "input.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as raised:
        probe.read_input(file)
    assert raised.value.code == 3


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((8, 9), ["sm_80", "sm_86"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80"], False),
        ((12, 1), ["sm_100", "sm_120"], True),
        ((12, 0), ["sm_90", "sm_100"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((7, 5), ["compute_80"], False),
        ((9, 0), ["sm_90a"], True),
        ((7, 0), [], True),
    ],
)
def test_code_runs_on_the_same_major_or_from_ptx(
    capability: tuple[int, int], built: list[str], runs: bool
) -> None:
    assert architectures.runs_on(capability, built) is runs


class Compiler:
    """NVRTC as far as it tells which architectures it knows."""

    def __init__(self, *known: int) -> None:
        self.known = known

    def nvrtcGetNumSupportedArchs(self, count: Any) -> int:  # noqa: N802 - NVRTC's name
        count._obj.value = len(self.known)
        return 0

    def nvrtcGetSupportedArchs(self, room: Any) -> int:  # noqa: N802
        room[:] = self.known
        return 0


NVRTC_12_8 = (50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90, 100, 101, 120)
"""What `nvcc --list-gpu-arch` of CUDA 12.8 has: neither 10.3 (B300) nor 12.1 (GB10)."""


@pytest.mark.parametrize(
    ("capability", "found"),
    [
        ((10, 3), "sm_100"),
        ((12, 1), "sm_120"),
        ((8, 9), "sm_89"),
        ((8, 7), "sm_87"),
        ((11, 0), "sm_101"),
    ],
)
def test_a_compiler_is_asked_for_what_it_knows(capability: tuple[int, int], found: str) -> None:
    assert nvrtc.architecture(Compiler(*NVRTC_12_8), capability) == found


def test_nvrtc_counts_its_results_otherwise_than_cuda() -> None:
    """Its 2 is an internal error; CUDA's 2 is want of memory."""
    broken: Any = SimpleNamespace(nvrtcGetNumSupportedArchs=lambda count: 2)
    with pytest.raises(RuntimeError) as raised:
        nvrtc.architecture(broken, (9, 0))
    said = device.exception_words(raised.value, "runtime compilation float32")
    assert faults.named(said, faults.words())["name"] == "nvrtc"


def test_code_for_a_jetson_runs_nowhere_else() -> None:
    """CUDA 11.7 knows Orin (8.7), but not the RTX 4090 (8.9)."""
    assert nvrtc.architecture(Compiler(80, 86, 87), (8, 9)) == "sm_86"


@pytest.mark.parametrize("capability", [(4, 9), (13, 0)])
def test_a_compiler_that_is_too_old_for_a_gpu(capability: tuple[int, int]) -> None:
    with pytest.raises(RuntimeError, match="no kernel image is available: NVRTC knows no"):
        nvrtc.architecture(Compiler(*NVRTC_12_8), capability)


@pytest.mark.parametrize(
    ("cuda", "pair"),
    [
        ("13.0", ("nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cu13/lib/libnvrtc-builtins.so.13.0")),
        (
            "12.8",
            (
                "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
                "nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.8",
            ),
        ),
        (
            "11.8",
            ("torch/lib/libnvrtc-672ee683.so.11.2", "torch/lib/libnvrtc-builtins-2dc4bf68.so.11.8"),
        ),
        ("12.4", ("torch/lib/libnvrtc.so.12", "torch/lib/libnvrtc-builtins.so.12.4")),
        ("13.2", ("torch/lib/nvrtc64_130_0.dll", "torch/lib/nvrtc-builtins64_132.dll")),
    ],
)
def test_nvrtc_is_that_of_torchs_cuda(tmp_path: Path, cuda: str, pair: tuple[str, str]) -> None:
    """Beside one of the other major version, of alternatives and of static libraries."""
    other = "12" if cuda.startswith("13") else "13"
    beside = [
        f"nvidia/a{other}/lib/libnvrtc.so.{other}",
        f"nvidia/a{other}/lib/libnvrtc-builtins.so.{other}.0",
        "nvidia/cu13/lib/libnvrtc.alt.so.13",
        "nvidia/cu13/lib/libnvrtc-builtins.alt.so.13.0",
        "torch/lib/nvrtc-builtins64_132.alt.dll",
        "torch/lib/nvrtc64_130_0.alt.dll",
    ]
    for name in [*beside, *pair]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert nvrtc.find_nvrtc(tmp_path, cuda) == (tmp_path / pair[0], tmp_path / pair[1])


def test_without_nvrtc_the_test_says_which(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Could not load library libnvrtc of CUDA 13\.0"):
        nvrtc.find_nvrtc(tmp_path, "13.0")


REFUSED = "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`"


@pytest.mark.parametrize(
    ("capability", "kind", "words", "lacking"),
    [
        ((6, 0), "bfloat16", REFUSED, True),
        ((7, 5), "bfloat16", "CUDA error: CUBLAS_STATUS_ARCH_MISMATCH when calling", True),
        ((6, 0), "float16", REFUSED, False),
        ((6, 0), "bfloat16", "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", False),
        ((8, 0), "bfloat16", REFUSED, False),
        (None, "bfloat16", REFUSED, False),
    ],
)
def test_a_type_that_an_old_gpu_lacks(
    capability: tuple[int, int] | None, kind: str, words: str, lacking: bool
) -> None:
    def refused(bench: Any, kind: str) -> list[Any]:
        raise RuntimeError(words)

    old: Any = SimpleNamespace(capability=capability)
    if lacking:
        check = bench.run_check(old, "matmul", kind, refused)
        assert (check["passed"], check["unsupported"], check["error"]) == (False, True, None)
    else:
        with pytest.raises(RuntimeError, match="CUBLAS"):
            bench.run_check(old, "matmul", kind, refused)


def test_an_exception_keeps_its_number_and_its_place() -> None:
    error: Any = RuntimeError("CUDA error: unspecified launch failure\nmore")
    error.error_code = 719
    said = device.exception_words(error, "fft float32")
    assert said == (
        "RuntimeError: Error 719: CUDA error: unspecified launch failure, during fft float32\nmore"
    )
    assert (
        device.exception_words(ValueError("odd"), "its start")
        == "ValueError: odd, during its start"
    )


def test_a_child_gets_a_known_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changing = [
        "NVIDIA_TF32_OVERRIDE",
        "PYTORCH_NO_CUDA_MEMORY_CACHING",
        "PYTORCH_CUDA_ALLOC_CONF",
        "CUDA_LAUNCH_BLOCKING",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "NCCL_P2P_DISABLE",
        "CUBLAS_WORKSPACE_CONFIG",
    ]
    leading = ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MPS_PIPE_DIRECTORY", "LD_PRELOAD"]
    for name in [*changing, *leading]:
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(children, "cores", lambda: 16)
    program = "import json,os\nprint(json.dumps({'error': json.dumps(dict(os.environ))}))"
    changes, _ = split(expected(program))
    monkeypatch.setattr(children, "PROGRAM", node_program.unpacked(tmp_path, changes))
    told = children.ask([children.Job("device", {}, {"MORE": "1"})] * 3, 20)
    seen = json.loads(told[2]["error"])
    assert {name for name in changing if name in seen} == set()
    assert {name for name in leading if name in seen} == set(leading)
    assert (seen["OMP_NUM_THREADS"], seen["MORE"]) == ("5", "1")


@pytest.mark.parametrize("cuda", [(12, 8), (13, 2)])
def test_the_rule_is_that_of_the_choice(cuda: tuple[int, int]) -> None:
    """A build that the choice finds good is never refused for want of code."""
    all_of_them = [(major, minor) for major in range(5, 13) for minor in range(10)]
    for code in all_of_them:
        for gpu in all_of_them:
            known = architectures.code_runs(code, gpu)
            if gpu in compatibility.UNIFIED:
                assert known >= compatibility.runs_code(code, gpu, cuda)
            else:
                assert known == compatibility.runs_code(code, gpu, cuda)


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A root directory that every user can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize(
    ("closed", "mode", "words"),
    [
        ("", 0o755, ""),
        ("envs/x-1/bin", 0o700, "Permission denied"),
        ("envs/x-1/bin/python", 0o700, "Permission denied"),
        ("envs/x-1/lib", 0o700, "cannot read it"),
    ],
)
def test_root_starts_it_as_another_user(
    open_root: Path, monkeypatch: pytest.MonkeyPatch, closed: str, mode: int, words: str
) -> None:
    """Without root's rights: with them, a program below a closed directory still starts."""
    program = open_root / "envs/x-1/bin/python"
    library = open_root / "envs/x-1/lib/torch"
    for path in (program, library):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\ntest -r {library} || {{ echo cannot read it >&2; exit 1; }}\n")
        path.chmod(0o755)
    (open_root / closed).chmod(mode)
    monkeypatch.setattr(sys, "executable", str(program))
    assert others.is_for_all(program.parent.parent)
    assert words in (said := others.AnotherUser().cannot(10)) and bool(words) is bool(said)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("owner", "asked", "words"),
    [(1, 1, ""), (1, None, "Permission denied"), (0, 0, "Permission denied")],
)
def test_what_a_group_reads_is_tried_as_one_of_the_group(
    open_root: Path, monkeypatch: pytest.MonkeyPatch, owner: int, asked: int | None, words: str
) -> None:
    """Not as one of root's own group: who closes an environment by mistake leaves it with that."""
    program = open_root / "envs/x-1/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    os.chown(program.parents[1], -1, owner)
    program.parents[1].chmod(0o750)
    monkeypatch.setattr(sys, "executable", str(program))
    assert words in (said := others.AnotherUser(asked).cannot(10)) and bool(words) is bool(said)


def test_what_is_not_there_for_all_is_tried_as_nobody_else(open_root: Path) -> None:
    generation = open_root / "root/envs/x-1"
    generation.mkdir(parents=True)
    assert others.is_for_all(generation) is (os.geteuid() == 0)
    (open_root / "root").chmod(0o700)
    assert not others.is_for_all(generation)
    assert not others.is_for_all(open_root)

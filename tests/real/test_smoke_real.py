"""The smoke test with real torch: healthy values pass, and a single wrong one does not."""

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fleetwheel.node import faults
from fleetwheel.node.smoke.checks import CHECKS
from fleetwheel.smoke import result as smoke
from tests import node_program

pytestmark = pytest.mark.real

QUICK = (
    ("torch.mm", "*= -1", "matmul float64"),
    ("torch.mm", "*= float('nan')", "matmul float64"),
    ("torch.mm", "*= float('inf')", "matmul float64"),
    ("torch.sin", "+= 0.001", "elementwise float32"),
    ("torch.nn.functional.conv2d", "*= 1.01", "convolution float32"),
    ("torch.tanh", "+= 0.1", "training step float32"),
    ("torch.linalg.solve", "*= 1.001", "solve float64"),
    ("torch.fft.fft", "*= -1", "fft float32"),
    ("torch.sparse.mm", "+= 1", "sparse matmul float32"),
    ("torch.rand", "*= float('nan')", "random numbers statistics"),
)
"""Call, what is done to one element of each of its results, and the check that fails first."""
FULL = (
    ("torch.bitwise_xor", "calls == 3", "^= 1 << 30", "memory exact"),
    ("torch.Tensor.copy_", "True", "+= 1", "copy bandwidth exact"),
    ("torch.mm", "calls == 9", "+= 1", "sustained matmul float32"),
    ("torch.mm", "calls == 9", "*= float('nan')", "sustained matmul float32"),
    (
        "torch.mm",
        "result.dtype == torch.bfloat16 and calls % 7 == 0",
        "*= 1.008",
        "sustained matmul bfloat16",
    ),
)
"""The same at the full level, where one result of many is wrong."""
DAMAGED = """
import torch

def failing(checks, call, when, damage):
    space = {"torch": torch, "calls": 0}
    exec(BREAK.format(call=call, when=when, damage=damage), space)
    try:
        results = [run_check(Bench(torch, "cpu", 1), *check) for check in checks]
    finally:
        exec(f"{call} = original", space)
    return [result["name"] for result in results if not result["passed"]]

BREAK = '''
original = {call}
def broken(*arguments, **options):
    global calls
    result = original(*arguments, **options)
    calls += 1
    if {when}:
        options.get("out", result).data.flatten()[7] {damage}
    return result
{call} = broken
'''
settings = {"part": "device", "sustained_s": 0.1}
full = checks(None, settings, {}, lambda **event: None)
found = [failing(CHECKS, call, "True", damage) for call, damage, check in input["quick"]]
found += [failing(full, call, when, damage) for call, when, damage, check in input["full"]]
print(json.dumps([failing([*CHECKS, *full], "torch.mm", "False", ""), *found]))
"""


ONE = {"float64": 1e-9, "float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}
"""How far one element is off, to itself and to 1, by its type: some times its bound in BOUNDS."""
MUTANTS = [
    *(
        (operator, dtype, damage, check)
        for operator, dtype, check in (
            ("sin.out", "float32", "elementwise float32"),
            ("exp.out", "float32", "elementwise float32"),
            ("sum.IntList_out", "float32", "reduction float32"),
            ("amax.default", "float32", "reduction float32"),
            *(("mm.out", dtype, f"matmul {dtype}") for dtype in ONE),
            ("convolution.default", "float32", "convolution float32"),
            ("convolution_backward.default", "float32", "convolution float32"),
            ("mm.default", "float32", "training step float32"),
            ("tanh_backward.default", "float32", "training step float32"),
            ("_linalg_solve_ex.result", "float64", "solve float64"),
            ("_fft_r2c.default", "complex64", "fft float32"),
            ("_sparse_addmm.default", "float32", "sparse matmul float32"),
        )
        for damage in ("one element", "doubled", "zeroed", "NaN")
    ),
    *(
        (operator, dtype, damage, check)
        for operator, dtype, check in (
            ("tanh.default", "float32", "training step float32"),
            ("rand.default", "float32", "random numbers statistics"),
            ("randn.default", "float32", "random numbers statistics"),
            ("sort.default", "float32", "random numbers statistics"),
        )
        for damage in ("doubled", "zeroed", "NaN")
    ),
    ("tanh.default", "float32", "1.001 times", "training step float32"),
    ("tanh.default", "float64", "1.001 times", None),
    ("mm.out", "complex64", "doubled", None),
]
"""Operator below Python and autograd, type, what is done to its results, and the check that fails.

What is done is done wherever the operator runs: a reference that used it would go along.
"""
DISPATCHED = """
import torch
from torch.utils._python_dispatch import TorchDispatchMode

class Mutant(TorchDispatchMode):
    def __init__(self, operator, dtype, damage):
        super().__init__()
        self.operator, self.damage = operator, damage
        self.dtype = getattr(torch, dtype)

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if str(function) == "aten." + self.operator:
            for tensor in result if isinstance(result, (tuple, list)) else [result]:
                if tensor is not None and tensor.dtype == self.dtype:
                    self.spoil(torch.view_as_real(tensor) if tensor.is_complex() else tensor)
        return result

    def spoil(self, tensor):
        place = (0,) * (tensor.dim() - 1) + (-1,)
        if self.damage == "one element":
            off = input["one"][str(tensor.dtype).split(".")[1]]
            tensor[place] += off * (1 + tensor[place].abs())
        elif self.damage == "NaN":
            tensor[place] = float("nan")
        else:
            tensor *= {"doubled": 2, "zeroed": 0, "1.001 times": 1.001}[self.damage]

def failing(operator, dtype, damage, name):
    checks = [check for check in CHECKS if name in (None, f"{check[0]} {check[1]}")]
    with Mutant(operator, dtype, damage):
        results = [run_check(Bench(torch, "cpu", 1), *check) for check in checks]
    return [result["name"] for result in results if not result["passed"]]

print(json.dumps([failing(*mutant) for mutant in input["mutants"]]))
"""


def expected(**changes: Any) -> dict[str, Any]:
    return {
        "packages": {"torch": "2.13.0+cpu"},
        "variant": "cpu",
        "accelerator": "cpu",
        "words": faults.words("2.13.0+cpu"),
        **changes,
    }


def device_program_after(damage: str) -> dict[str, str]:
    """Return the device program with something done to torch before it starts."""
    future = "from __future__ import annotations\n"
    text = node_program.source("smoke/device.py")
    return {"smoke/device.py": text.replace(future, future + damage)}


def run(
    python: Path, given: dict[str, Any], changes: dict[str, str] | None = None
) -> tuple[smoke.SmokeResult, int]:
    with TemporaryDirectory() as place:
        program = node_program.unpacked(Path(place), changes)
        done = node_program.run(python, program, "smoke", given, timeout=300)
    return smoke.parse_smoke(done.stdout), done.returncode


def test_real_torch_passes(torch_cpu_python: Path) -> None:
    result, code = run(torch_cpu_python, expected())
    assert code == 0, str(result)
    assert result.passed
    assert (result.torch, result.cuda) == ("2.13.0+cpu", None)
    told = [check.name for check in result.devices[0].checks]
    assert told == [f"{name} {kind}" for name, kind, _ in CHECKS]
    for check in result.devices[0].checks:
        if "statistics" not in check.name:
            assert check.error is not None
            assert check.error < check.bound / 3, check


@pytest.fixture(scope="module")
def damaged(torch_cpu_python: Path) -> list[list[str]]:
    """The checks that fail: for no damage, and for each row of QUICK and FULL."""
    given = {"quick": QUICK, "full": FULL}
    (found,) = device_program(torch_cpu_python, DAMAGED, given)
    return found  # type: ignore[no-any-return]


IMPORTED = """
import json, sys
sys.path.insert(0, sys.argv[1])
import fleetwheel.node.smoke.device as device_module
from fleetwheel.node.smoke.bench import Bench, run_check
from fleetwheel.node.smoke.checks import CHECKS
from fleetwheel.node.smoke.device import device
from fleetwheel.node.smoke.full import checks
input = json.load(sys.stdin)
"""


def device_program(python: Path, more: str, given: dict[str, Any]) -> list[Any]:
    """Import the device program and run some more; return the JSON of each line."""
    with TemporaryDirectory() as place:
        done = subprocess.run(
            [python, "-I", "-c", IMPORTED + more, node_program.unpacked(Path(place))],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_undamaged_checks_pass(damaged: list[list[str]]) -> None:
    assert damaged[0] == []


@pytest.mark.parametrize(("place", "check"), list(enumerate(row[-1] for row in (*QUICK, *FULL))))
def test_one_wrong_element_is_caught(damaged: list[list[str]], place: int, check: str) -> None:
    assert damaged[1 + place][0] == check


@pytest.fixture(scope="module")
def caught(torch_cpu_python: Path) -> list[list[str]]:
    """The checks that fail for each mutant."""
    given = {"mutants": MUTANTS, "one": ONE}
    (found,) = device_program(torch_cpu_python, DISPATCHED, given)
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("place", range(len(MUTANTS)), ids=lambda n: " ".join(map(str, MUTANTS[n])))
def test_a_wrong_operator_is_caught(caught: list[list[str]], place: int) -> None:
    name = MUTANTS[place][-1]
    assert caught[place] == ([name] if name else [])


def test_wrong_values_are_named(torch_cpu_python: Path) -> None:
    damage = "import torch\ntorch.tanh = torch.sin\n"
    result, code = run(torch_cpu_python, expected(), device_program_after(damage))
    assert code == 2
    fault = result.devices[0].fault
    assert fault
    assert (fault.name, "training step float32" in fault.error) == ("wrong-values", True)


def test_an_operation_that_does_nothing_is_caught(torch_cpu_python: Path) -> None:
    """Its output keeps the NaN that it was filled with."""
    program = device_program_after("import torch\ntorch.mm = lambda a, b, out: out\n")
    result, _ = run(torch_cpu_python, expected(), program)
    failed = [check for check in result.devices[0].checks if not check.passed]
    assert [check.name.split()[0] for check in failed] == ["matmul"] * 4
    assert {check.error for check in failed} == {None}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"packages": {"torch": "2.12.0+cpu"}}, "wrong-version"),
        ({"packages": {"torch": "2.13.0+cu130"}}, "wrong-version"),
        ({"variant": "cu130", "cuda": "13.0"}, "wrong-variant"),
        ({"variant": "cu130", "cuda": "13.0", "accelerator": "cuda"}, "wrong-variant"),
    ],
)
def test_another_torch_than_the_locked_one_fails(
    torch_cpu_python: Path, changes: dict[str, Any], name: str
) -> None:
    result, code = run(torch_cpu_python, expected(**changes))
    assert (code, [fault.name for fault in result.faults]) == (2, [name])


def test_cuda_wheels_fail_where_cpu_wheels_are_locked(torch_cpu_python: Path) -> None:
    program = device_program_after("import torch\ntorch.version.cuda = '13.0'\n")
    result, code = run(torch_cpu_python, expected(), program)
    assert (code, [fault.name for fault in result.faults]) == (2, ["wrong-variant"])
    assert "is built for CUDA 13.0, but cpu was expected" in result.faults[0].error


def full(**changes: Any) -> dict[str, Any]:
    return expected(level="full", sustained_s=0.2, **changes)


def full_program_after(damage: str) -> dict[str, str]:
    future = "from __future__ import annotations\n"
    text = node_program.source("smoke/full.py")
    return {"smoke/full.py": text.replace(future, future + damage)}


def test_the_full_level_passes(torch_cpu_python: Path) -> None:
    result, code = run(torch_cpu_python, full())
    assert code == 0, str(result)
    assert (result.passed, result.level) == (True, "full")
    (device,) = result.devices
    assert [check.name for check in device.checks][-4:] == [
        "memory exact",
        "copy bandwidth exact",
        "sustained matmul float32",
        "sustained matmul bfloat16",
    ]
    assert [m.name for m in device.measured] == [
        "memory bandwidth",
        "matmul float32",
        "matmul bfloat16",
    ]
    assert all(m.value > 0 and m.fraction is None for m in device.measured)
    assert [part.checks[0].name for part in result.together] == ["all-reduce float32"] * 2


def test_a_wrong_sum_is_caught(torch_cpu_python: Path) -> None:
    damage = "import torch\ntorch.distributed.all_reduce = lambda tensor: None\n"
    result, code = run(torch_cpu_python, full(), full_program_after(damage))
    assert (code, result.devices[0].status) == (2, "passed")
    assert [part.status for part in result.together] == ["failed", "failed"]
    assert "all-reduce float32: relative error" in str(result)
    assert {part.fault and part.fault.name for part in result.together} == {"all-reduce"}


DEVICE_ALONE = """
task = {{
    "device": "cpu",
    "seed": 1,
    "deadline_s": 60,
    "driver": {driver},
    "full": {{"sustained_s": 0.1, **{part}}},
}}
import torch
torch.cuda.synchronize = lambda place: None
device(task)
"""


def events(python: Path, driver: str, part: str, damage: str = "") -> list[dict[str, Any]]:
    """Run the device program with a task of its own, and return what it tells."""
    more = damage + DEVICE_ALONE.format(driver=driver, part=part)
    return device_program(python, more, {})


def test_a_gpu_with_a_job_is_left_after_the_quick_checks(torch_cpu_python: Path) -> None:
    told = events(torch_cpu_python, "{'held_by': 'process 7', 'mig': True}", "{'part': 'device'}")
    assert told[-1]["error"].startswith("RuntimeError: the GPU is in use by process 7")
    done = [event["check"]["name"] for event in told if "check" in event]
    assert len(done) == len(CHECKS)


def test_copies_between_two_places(torch_cpu_python: Path) -> None:
    """The CPU by two names stands for two GPUs; then with copies that do nothing."""
    part = "{'part': 'peers', 'places': ['cpu', 'cpu:0'], 'labels': ['cuda:4', 'cuda:7']}"
    told = events(torch_cpu_python, "None", part)
    checks = [event["check"] for event in told if "check" in event]
    assert [check["name"] for check in checks] == [
        "copy cuda:4 to cuda:7 exact",
        "copy cuda:7 to cuda:4 exact",
    ]
    measured = [event["measurement"]["name"] for event in told if "measurement" in event]
    assert measured == ["cuda:4 to cuda:7", "cuda:7 to cuda:4"]
    assert all(check["passed"] for check in checks)
    damage = "import torch\ntorch.Tensor.copy_ = lambda a, b: a\n"
    told = events(torch_cpu_python, "None", part, damage)
    assert [event["check"]["passed"] for event in told if "check" in event] == [False, False]


AS_A_GPU = """
import torch
from types import SimpleNamespace

H100 = SimpleNamespace(name="NVIDIA H100", uuid="1", major=9, minor=0, total_memory=79 << 30)
for name, answer in {
    "get_device_properties": H100,
    "set_device": None,
    "get_device_capability": (9, 0),
    "get_arch_list": ["sm_90"],
    "mem_get_info": (70 << 30, 79 << 30),
    "empty_cache": None,
    "memory_reserved": 1 << 30,
    "set_per_process_memory_fraction": None,
}.items():
    setattr(torch.cuda, name, lambda *arguments, answer=answer: answer)
torch.backends.cuda.preferred_linalg_library = lambda name: None
torch.backends.cudnn.version = lambda: CUDNN
make = torch.empty

def empty(*arguments, **options):
    if options.get("dtype") == torch.uint8 and FULL:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
    return make(*arguments, **options)

torch.empty = empty
device_module.CUDA_CHECKS = [
    check for check in device_module.CUDA_CHECKS if check[0] != "runtime compilation"
]
device_module.Bench = type("Bench", (Bench,), {"__init__": lambda self, torch, device, seed:
    super(device_module.Bench, self).__init__(torch, "cpu:0", seed)})
driver = {"device": "cuda:0", "name": "NVIDIA H100", "uuid": "GPU-1", "gpu": "GPU-1",
    "memory_total_mib": 81559}
device({"device": "cuda:0", "seed": 1, "deadline_s": 60, "driver": driver})
"""


@pytest.mark.parametrize(
    ("cudnn", "full", "words"),
    [
        ("91002", "True", None),
        ("None", "True", "RuntimeError: Could not load library libcudnn"),
        ("91002", "False", "RuntimeError: an allocation beyond the process's limit did not fail"),
    ],
)
def test_the_way_of_a_gpu(torch_cpu_python: Path, cudnn: str, full: str, words: str | None) -> None:
    """A CPU that says it is an H100 goes through all but compiling; see also test_nvrtc.py."""
    program = AS_A_GPU.replace("CUDNN", cudnn).replace("FULL", full)
    told = device_program(torch_cpu_python, program, {})
    errors = [event["error"] for event in told if "error" in event]
    assert [error.split(":")[0] for error in errors] == (["RuntimeError"] if words else [])
    if words:
        assert errors[0].startswith(words)
    else:
        planned = next(event["planned"] for event in told if "planned" in event)
        assert [event["check"]["name"] for event in told if "check" in event] == planned
        assert all(event["check"]["passed"] for event in told if "check" in event)


def test_numpy_is_exchanged_where_it_is_locked(torch_cpu_python: Path) -> None:
    locked = {"torch": "2.13.0+cpu", "numpy": version_of(torch_cpu_python, "numpy")}
    result, code = run(torch_cpu_python, expected(packages=locked))
    assert code == 0, str(result)
    assert result.devices[0].checks[-1].name == "numpy exchange exact"


BLIND = "import sys\nsys.modules['numpy'] = None\nimport torch\ndel sys.modules['numpy']\n"


def test_a_torch_that_cannot_exchange_numpy_fails(torch_cpu_python: Path) -> None:
    """One that found no numpy at its import says what a torch before 2.3 says beside numpy 2."""
    locked = {"torch": "2.13.0+cpu", "numpy": version_of(torch_cpu_python, "numpy")}
    program = device_program_after(BLIND)
    result, code = run(torch_cpu_python, expected(packages=locked), program)
    fault = result.devices[0].fault
    assert fault
    assert (code, fault.name) == (2, "numpy")
    assert fault.error.startswith("RuntimeError: Numpy is not available, during numpy exchange")
    assert "numpy<2" in fault.repair


def version_of(python: Path, name: str) -> str:
    program = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.check_output([python, "-c", program], text=True).strip()


def test_by_hand_without_any_input(torch_cpu_python: Path, tmp_path: Path) -> None:
    command = [torch_cpu_python, node_program.unpacked(tmp_path), "test"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"]
    assert "passed, 12 checks in" in done.stderr

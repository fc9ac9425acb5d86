"""The smoke test with real torch: healthy values pass, and a single wrong one does not."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleetwheel import faults, remote, smoke
from fleetwheel.probes import smoke_device

pytestmark = pytest.mark.real

BREAK = """
import torch
original = {call}
def broken(*arguments, **options):
    result = original(*arguments, **options)
    options.get("out", result).data.flatten()[7] {damage}
    return result
{call} = broken
"""


def expected(**changes: Any) -> dict[str, Any]:
    return {
        "packages": {"torch": "2.13.0+cpu"},
        "variant": "cpu",
        "accelerator": "cpu",
        "faults": faults.table("2.13.0+cpu", None),
        "program": remote.source("smoke_device"),
        **changes,
    }


def device_program_after(damage: str) -> str:
    """Return the device program with something done to torch before it starts."""
    future = "from __future__ import annotations\n"
    return remote.source("smoke_device").replace(future, future + damage)


def run(python: Path, given: dict[str, Any]) -> tuple[smoke.SmokeResult, int]:
    done = subprocess.run(
        [python, "-I", "-c", remote.BOOTSTRAP],
        input=remote.document("smoke", given),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return smoke.parse(done.stdout), done.returncode


def test_real_torch_passes(torch_cpu_python: Path) -> None:
    result, code = run(torch_cpu_python, expected())
    assert code == 0, str(result)
    assert result.passed
    assert (result.torch, result.cuda) == ("2.13.0+cpu", None)
    told = [check.name for check in result.devices[0].checks]
    assert told == [f"{name} {kind}" for name, kind, _ in smoke_device.CHECKS]
    for check in result.devices[0].checks:
        if "statistics" not in check.name:
            assert check.error is not None
            assert check.error < check.bound / 3, check


@pytest.mark.parametrize(
    ("call", "damage", "check"),
    [
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
    ],
)
def test_one_wrong_element_is_caught(
    torch_cpu_python: Path, call: str, damage: str, check: str
) -> None:
    broken = device_program_after(BREAK.format(call=call, damage=damage))
    result, code = run(torch_cpu_python, expected(program=broken))
    assert code == 2
    failed = [check.name for check in result.devices[0].checks if not check.passed]
    assert failed[0] == check
    fault = result.devices[0].fault
    assert fault
    assert (fault.name, check in fault.error) == ("wrong-values", True)


def test_an_operation_that_does_nothing_is_caught(torch_cpu_python: Path) -> None:
    """Its output keeps the NaN that it was filled with."""
    program = device_program_after("import torch\ntorch.mm = lambda a, b, out: out\n")
    result, _ = run(torch_cpu_python, expected(program=program))
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
    result, code = run(torch_cpu_python, expected(program=program))
    assert (code, [fault.name for fault in result.faults]) == (2, ["wrong-variant"])
    assert "is built for CUDA 13.0, but cpu was expected" in result.faults[0].error


def test_by_hand_without_any_input(torch_cpu_python: Path) -> None:
    probe = Path(smoke_device.__file__).with_name("smoke.py")
    done = subprocess.run([torch_cpu_python, probe], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"]
    assert "passed, 12 checks in" in done.stderr

"""What the smoke test lets pass and what it does not, without torch: numbers stand for tensors."""

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from fleetwheel.node.smoke import bench as benches
from fleetwheel.node.smoke import device


class Numbers:
    """As much of a tensor as comparing needs; one dimension."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = list(values)
        self.shape = (len(self.values),)

    def detach(self) -> "Numbers":
        return self

    cpu = double = detach

    def abs(self) -> "Numbers":
        return Numbers(map(abs, self.values))

    def square(self) -> "Numbers":
        return Numbers(value**2 for value in self.values)

    def mean(self) -> "Numbers":
        return Numbers([sum(self.values) / len(self.values)])

    def sqrt(self) -> "Numbers":
        return Numbers(map(math.sqrt, self.values))

    def max(self) -> "Numbers":
        return Numbers([math.nan if any(map(math.isnan, self.values)) else max(self.values)])

    def _with(self, other: "Numbers") -> list[tuple[float, float]]:
        wide = other.values * (len(self.values) if len(other.values) == 1 else 1)
        return list(zip(self.values, wide, strict=True))

    def __add__(self, other: "Numbers") -> "Numbers":
        return Numbers(a + b for a, b in self._with(other))

    def __sub__(self, other: "Numbers") -> "Numbers":
        return Numbers(a - b for a, b in self._with(other))

    def __truediv__(self, other: "Numbers") -> "Numbers":
        return Numbers(a / b for a, b in self._with(other))

    def __float__(self) -> float:
        (value,) = self.values
        return value


def full(shape: tuple[int], value: float, **where: object) -> Numbers:
    return Numbers([value] * shape[0])


@pytest.fixture
def bench() -> benches.Bench:
    """A bench on a GPU that computes as the check says."""
    torch = MagicMock(full=full)
    torch.cuda.get_device_properties.return_value = SimpleNamespace(major=8, minor=9)
    return benches.Bench(torch, "cuda:0", seed=1)


def checked(bench: benches.Bench, kind: str, got: Numbers, expected: Numbers) -> Any:
    return benches.run_check(bench, "matmul", kind, lambda bench, kind: [(got, expected)])


@pytest.mark.parametrize(
    ("kind", "rounding", "wrong"),
    [
        ("float64", 1e-13, 1e-10),
        ("float32", 1e-6, 5e-4),  # a float32 product in TF32, which rounds to 11 bits
        ("convolution", 4e-5, 5e-4),
        ("bfloat16", 4e-3, 1e-1),
        ("float16", 1e-3, 2e-2),
        ("statistics", 5e-3, 1e-1),
        ("exact", 0.0, 1e-12),
    ],
)
def test_rounding_passes_and_wrong_values_do_not(
    bench: benches.Bench, kind: str, rounding: float, wrong: float
) -> None:
    expected = Numbers([1.0, -1.0, 1.0])
    for error, passes in ((rounding, True), (wrong, False)):
        # The error is relative to the element and the typical size, which is 1 here as well.
        got = Numbers([1.0 + 2 * error, -1.0, 1.0])
        assert checked(bench, kind, got, expected)["passed"] is passes, error


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float16"])
def test_an_element_that_no_kernel_wrote_cannot_pass(bench: benches.Bench, kind: str) -> None:
    """Nearly zero is the right value there, so that zero would pass for it."""
    got = bench.poisoned(4, dtype=kind)
    got.values[:3] = [1.0, 1.0, 1.0]
    check = checked(bench, kind, got, Numbers([1.0, 1.0, 1.0, 1e-13]))
    assert (check["passed"], check["error"]) == (False, None)


DRIVER = {
    "device": "cuda:0",
    "name": "NVIDIA GeForce RTX 4090",
    "uuid": "GPU-1",
    "gpu": "GPU-1",
    "memory_total_mib": 24564,
}


@pytest.mark.parametrize("percent", [95, 99, 101])
def test_what_the_driver_keeps_of_its_memory_is_no_disagreement(percent: int) -> None:
    device.compare(seen_by_torch(percent), DRIVER, MagicMock())


@pytest.mark.parametrize("percent", [50, 75, 85, 115, 150])
def test_another_amount_of_memory_is_another_gpu(percent: int) -> None:
    with pytest.raises(RuntimeError, match="NVML and torch disagree: 24564 MiB"):
        device.compare(seen_by_torch(percent), DRIVER, MagicMock())


def test_little_memory_may_differ_by_what_the_driver_keeps() -> None:
    small = {**DRIVER, "memory_total_mib": 2048}
    device.compare({**seen_by_torch(100), "memory_total_mib": 1600}, small, MagicMock())
    with pytest.raises(RuntimeError, match="2048 MiB"):
        device.compare({**seen_by_torch(100), "memory_total_mib": 1400}, small, MagicMock())


def seen_by_torch(percent: int) -> dict[str, Any]:
    """Return what torch says of a GPU with this much of the memory that NVML counts."""
    mib = DRIVER["memory_total_mib"] * percent // 100  # type: ignore[operator]
    return {"name": DRIVER["name"], "uuid": DRIVER["uuid"], "memory_total_mib": mib}


def test_float32_is_not_computed_in_tf32() -> None:
    torch = MagicMock()
    torch.cuda.get_device_capability.return_value = (8, 9)
    torch.cuda.get_arch_list.return_value = ["sm_80", "sm_90"]
    torch.cuda.get_device_properties.return_value = SimpleNamespace(is_integrated=0)
    torch.cuda.mem_get_info.return_value = (20 << 30, 24 << 30)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device.open_gpu(torch, "cuda:0")
    assert torch.backends.cuda.matmul.allow_tf32 is False
    assert torch.backends.cudnn.allow_tf32 is False

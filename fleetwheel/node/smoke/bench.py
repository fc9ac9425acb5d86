"""A device to compute on, how its values are compared, and which GPUs run which code."""

from __future__ import annotations

import math
import time
from typing import Any

BFLOAT16 = (8, 0)
"""The first compute capability that has it; below, cuBLAS multiplies some shapes and not others."""
UNSUPPORTED = ("CUBLAS_STATUS_NOT_SUPPORTED", "CUBLAS_STATUS_ARCH_MISMATCH")
BOUNDS = {
    "float64": 1e-11,
    "float32": 2e-5,
    "convolution": 1e-4,
    "bfloat16": 2e-2,
    "float16": 4e-3,
    "statistics": 2e-2,
    "exact": 0.0,
}
"""Largest relative error that passes: 6 times and more what rounding and summing cost on a CPU."""


class Bench:
    """A device to compute on, and fresh random inputs."""

    def __init__(self, torch: Any, device: str, seed: int) -> None:
        self.torch = torch
        self.device = device
        self.capability: tuple[int, int] | None = None
        self.shares_memory = False
        """Whether the GPU's memory is the host's, as on a Jetson and on GB10."""
        if device.startswith("cuda"):
            seen = torch.cuda.get_device_properties(device)
            self.capability = (seen.major, seen.minor)
            self.shares_memory = is_integrated(seen)
        self.source = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)

    def random(self, *shape: int, dtype: str = "float32") -> Any:
        """Return normal numbers, each exact in ``dtype``, as float64 on the CPU."""
        made = self.torch.randn(*shape, generator=self.source, dtype=self.torch.float64)
        return made.to(getattr(self.torch, dtype)).double()

    def put(self, values: Any, dtype: str = "float32") -> Any:
        return values.to(getattr(self.torch, dtype)).to(self.device)

    def poisoned(self, *shape: int, dtype: str = "float32") -> Any:
        """Return room for a result, full of NaN: a kernel that never ran cannot pass."""
        kind = getattr(self.torch, dtype)
        return self.torch.full(shape, math.nan, dtype=kind, device=self.device)

    def product(self, a: Any, b: Any) -> Any:
        """Multiply matrices without a matrix product: element by element, summed by row."""
        return self.torch.stack([(row[:, None] * b).sum(0) for row in a])

    def tensor(self, values: Any) -> Any:
        return self.torch.tensor(values, dtype=self.torch.float64)


def is_integrated(properties: Any) -> bool:
    """Whether a GPU has no memory of its own; torch has told that since before 2.0."""
    return bool(getattr(properties, "is_integrated", 0))


def run_check(bench: Bench, name: str, kind: str, function: Any) -> dict[str, Any]:
    """Return how one check went: passed, not passed, or not supported by the GPU."""
    started = time.perf_counter()
    errors = errors_of(bench, kind, function)
    outside = [pair for pair in errors or [] if not pair[0] <= pair[1]]
    worst, bound = (outside or [max(errors or [(math.nan, BOUNDS[kind])])])[0]
    return {
        "name": f"{name} {kind}",
        "passed": bool(errors) and not outside,
        "unsupported": errors is None,
        "error": float(f"{worst:.2e}") if math.isfinite(worst) else None,
        "bound": bound,
        "ms": round((time.perf_counter() - started) * 1000, 1),
    }


def errors_of(bench: Bench, kind: str, function: Any) -> list[tuple[float, float]] | None:
    """Return the error and the bound of each result; None for a type that the GPU does not have.

    A check returns pairs of result and reference, each maybe with a kind of its own.
    """
    try:
        return [
            (relative_error(bench.torch, got, reference), BOUNDS[own[0] if own else kind])
            for got, reference, *own in function(bench, kind)
        ]
    except RuntimeError as error:
        if lacks(bench, kind, str(error)):
            return None
        raise


def relative_error(torch: Any, got: Any, reference: Any) -> float:
    """Return the largest error, relative to the element and the typical size; NaN stays NaN."""
    if got.shape != reference.shape:
        raise RuntimeError(f"a result of shape {tuple(got.shape)}, not {tuple(reference.shape)}")
    reference = reference.detach()
    scale = reference.abs() + reference.square().mean().sqrt()
    return float(((got.detach().cpu().double() - reference).abs() / scale).max())


def lacks(bench: Bench, kind: str, words: str) -> bool:
    """Whether a GPU is too old for a type that its hardware lacks, and its library says so."""
    old = bench.capability is not None and bench.capability < BFLOAT16
    return old and kind == "bfloat16" and any(status in words for status in UNSUPPORTED)

"""The quick checks: each operation against a reference that is computed in another way.

A reference is computed in float64 on the CPU, always by another way than the operation under test.
"""

from __future__ import annotations

import ctypes
import importlib
import math
from pathlib import Path
from typing import Any

from fleetwheel.node.smoke.bench import Bench
from fleetwheel.node.smoke.nvrtc import architecture, compile_cubin, launch, load_nvrtc


def elementwise(bench: Bench, dtype: str) -> list[Any]:
    x = bench.random(4096, dtype=dtype)
    sine, exponential = bench.poisoned(4096, dtype=dtype), bench.poisoned(4096, dtype=dtype)
    bench.torch.sin(bench.put(x, dtype), out=sine)
    bench.torch.exp(bench.put(x, dtype), out=exponential)
    expected = [[f(value) for value in x.tolist()] for f in (math.sin, math.exp)]
    return [(sine, bench.tensor(expected[0])), (exponential, bench.tensor(expected[1]))]


def reduction(bench: Bench, dtype: str) -> list[Any]:
    x = bench.random(64, 1000, dtype=dtype).abs()
    sums, largest = bench.poisoned(64, dtype=dtype), bench.put(x, dtype).amax(dim=1)
    bench.torch.sum(bench.put(x, dtype), dim=1, out=sums)
    rows = x.tolist()
    return [
        (sums, bench.tensor([math.fsum(row) for row in rows])),
        (largest, bench.tensor([max(row) for row in rows])),
    ]


def matmul(bench: Bench, dtype: str) -> list[Any]:
    a, b = bench.random(192, 256, dtype=dtype), bench.random(256, 160, dtype=dtype)
    got = bench.poisoned(192, 160, dtype=dtype)
    bench.torch.mm(bench.put(a, dtype), bench.put(b, dtype), out=got)
    return [(got, bench.product(a, b))]


def convolution(bench: Bench, dtype: str) -> list[Any]:
    """Forward and both gradients; the reference adds shifted copies of the image.

    Winograd's algorithms, which cuDNN may choose, round more than a sum of products does.
    """
    x, weight = bench.random(2, 8, 20, 20), bench.random(16, 8, 3, 3)
    gradient = bench.random(2, 16, 18, 18)
    if bench.device != "cpu" and not bench.torch.backends.cudnn.version():
        raise RuntimeError("Could not load library libcudnn: torch would go on without it")
    x_here, weight_here = (bench.put(t, dtype).requires_grad_() for t in (x, weight))
    got = bench.torch.nn.functional.conv2d(x_here, weight_here)
    got.backward(bench.put(gradient, dtype))
    x.requires_grad_()
    weight.requires_grad_()
    expected = sum(
        (x[:, None, :, dy : dy + 18, dx : dx + 18] * weight[None, :, :, dy, dx, None, None]).sum(2)
        for dy in range(3)
        for dx in range(3)
    )
    expected.backward(gradient)
    pairs = [(got, expected), (x_here.grad, x.grad), (weight_here.grad, weight.grad)]
    return [(*pair, "convolution") for pair in pairs]


def training_step(bench: Bench, dtype: str) -> list[Any]:
    """One gradient step of a two-layer network, against the derivatives worked out by hand."""
    x, target = bench.random(32, 12), bench.random(32, 4)
    first, second = bench.random(12, 24) / 4, bench.random(24, 4) / 4
    weights = [bench.put(t, dtype).requires_grad_() for t in (first, second)]
    output = bench.torch.tanh(bench.put(x, dtype) @ weights[0]) @ weights[1]
    ((output - bench.put(target, dtype)) ** 2).sum().backward()
    stepped = [w.detach() - 0.01 * w.grad for w in weights]
    sums = bench.product(x, first).tolist()
    hidden = bench.tensor([[math.tanh(value) for value in row] for row in sums])
    slope = 2 * (bench.product(hidden, second) - target)
    inner = bench.product(slope, second.T) * (1 - hidden**2)
    return [
        (stepped[0], first - 0.01 * bench.product(x.T, inner)),
        (stepped[1], second - 0.01 * bench.product(hidden.T, slope)),
    ]


def solve(bench: Bench, dtype: str) -> list[Any]:
    """The right-hand side is made from the solution, so nothing else has to solve it."""
    a = bench.random(64, 64, dtype=dtype) + 32 * bench.torch.eye(64, dtype=bench.torch.float64)
    x = bench.random(64, 8, dtype=dtype)
    got = bench.poisoned(64, 8, dtype=dtype)
    b = bench.put(bench.product(a, x), dtype)
    bench.torch.linalg.solve(bench.put(a, dtype), b, out=got)
    return [(got, x)]


def fft(bench: Bench, dtype: str) -> list[Any]:
    """Against the sums of sines and cosines that define the transform."""
    x = bench.random(8, 240, dtype=dtype)
    got = bench.torch.fft.fft(bench.put(x, dtype))
    n = bench.torch.arange(240, dtype=bench.torch.float64)
    angle = -2 * math.pi * (n[:, None] * n % 240) / 240
    parts = bench.product(x, angle.cos()), bench.product(x, angle.sin())
    return [(got.real, parts[0]), (got.imag, parts[1])]


def sparse(bench: Bench, dtype: str) -> list[Any]:
    a, b = bench.random(96, 128, dtype=dtype), bench.random(128, 16, dtype=dtype)
    a[bench.random(96, 128).abs() < 1] = 0
    got = bench.torch.sparse.mm(bench.put(a, dtype).to_sparse(), bench.put(b, dtype))
    return [(got, bench.product(a, b))]


def random_numbers(bench: Bench, dtype: str) -> list[Any]:
    """Sorted, uniform numbers lie along a ruler, and normal ones do so through their integral."""
    count = 1 << 16
    uniform = bench.torch.rand(count, device=bench.device)
    normal = bench.torch.randn(count, device=bench.device)
    ruler = (bench.torch.arange(count, dtype=bench.torch.float64) + 0.5) / count
    evened = 0.5 + 0.5 * bench.torch.erf(normal.double() / math.sqrt(2))
    return [(uniform.sort().values, ruler), (evened.sort().values, ruler)]


def copies(bench: Bench, dtype: str) -> list[Any]:
    """To the device, within it, and back: every bit."""
    sent = bench.random(1 << 20)
    return [(bench.put(sent, "float64").clone().cpu(), sent)]


def numpy_exchange(bench: Bench, dtype: str) -> list[Any]:
    """Out of an array of numpy and into one, without a copy: a torch for numpy 1 cannot do it."""
    numpy = importlib.import_module("numpy")
    array = numpy.arange(1000, dtype=numpy.float64)
    tensor = bench.torch.from_numpy(array)
    array[7] = -1.0
    back = bench.torch.tensor(tensor.numpy().tolist(), dtype=bench.torch.float64)
    expected = bench.tensor([-1.0 if n == 7 else float(n) for n in range(1000)])
    return [(tensor, expected), (back, expected)]


def out_of_memory(bench: Bench, dtype: str) -> list[Any]:
    """A limit on this process alone is hit, caught and recovered from; the GPU is never filled."""
    cuda, index = bench.torch.cuda, int(bench.device.split(":")[1])
    total = cuda.mem_get_info(index)[1]
    cuda.empty_cache()
    cuda.set_per_process_memory_fraction((cuda.memory_reserved(index) + (64 << 20)) / total, index)
    try:
        bench.torch.empty(256 << 20, dtype=bench.torch.uint8, device=bench.device)
    except cuda.OutOfMemoryError:
        pass
    else:
        raise RuntimeError("an allocation beyond the process's limit did not fail")
    finally:
        cuda.set_per_process_memory_fraction(1.0, index)
    return copies(bench, dtype)


KERNEL = b"""
extern "C" __global__ void triple_plus_one(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 3.0f * x[i] + 1.0f;
}
"""


def runtime_compilation(bench: Bench, dtype: str) -> list[Any]:
    """Compile CUDA C++ for this GPU, load it, launch it."""
    count = 10_000
    x = bench.random(count, dtype=dtype)
    x_here, got = bench.put(x, dtype), bench.poisoned(count, dtype=dtype)
    site = Path(bench.torch.__file__).parent.parent
    nvrtc = load_nvrtc(site, bench.torch.version.cuda)
    cubin = compile_cubin(nvrtc, KERNEL, architecture(nvrtc, bench.capability or (0, 0)))
    stream = bench.torch.cuda.current_stream(bench.device).cuda_stream
    arguments = (
        ctypes.c_void_p(x_here.data_ptr()),
        ctypes.c_void_p(got.data_ptr()),
        ctypes.c_int(count),
    )
    launch(cubin, b"triple_plus_one", -(-count // 256), stream, arguments)
    bench.torch.cuda.synchronize(bench.device)
    return [(got, bench.tensor([3 * value + 1 for value in x.tolist()]))]


NUMPY_CHECK = ("numpy exchange", "exact", numpy_exchange)
CHECKS = (
    ("elementwise", "float32", elementwise),
    ("reduction", "float32", reduction),
    ("matmul", "float64", matmul),
    ("matmul", "float32", matmul),
    ("matmul", "bfloat16", matmul),
    ("matmul", "float16", matmul),
    ("convolution", "float32", convolution),
    ("training step", "float32", training_step),
    ("solve", "float64", solve),
    ("fft", "float32", fft),
    ("sparse matmul", "float32", sparse),
    ("random numbers", "statistics", random_numbers),
)
CUDA_CHECKS = (
    ("copies", "exact", copies),
    *CHECKS,
    ("runtime compilation", "float32", runtime_compilation),
    ("out of memory", "exact", out_of_memory),
)

"""Compute on one device and tell how far off its values are: the child of smoke.py.

Its ``input`` is a dictionary with ``device`` ("cpu", "cuda:0", or None to look for GPUs), ``seed``,
``deadline_s``, and maybe ``driver``, what NVML says of the GPU (smoke_driver.py), and ``full``, the
program and input of the full level (smoke_full.py). It tells what it does as it goes, a JSON object
per line for ``Child`` in smoke.py, because it may crash or hang at any step. Python 3.8 or newer.

A reference is computed in float64 on the CPU, always by another way than the operation under test.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import math
import os
import time
import types
from pathlib import Path
from typing import Any

FREE_BYTES = 1 << 30
"""A GPU with less free memory than this is left to whoever uses it."""
MEMORY_TOLERANCE = 0.1
"""NVML counts what the driver keeps for itself, torch does not: 1 to 5 percent."""

BOUNDS = {
    "float64": 1e-11,
    "float32": 2e-5,
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
    """Forward and both gradients; the reference adds shifted copies of the image."""
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
    return [(got, expected), (x_here.grad, x.grad), (weight_here.grad, weight.grad)]


def training_step(bench: Bench, dtype: str) -> list[Any]:
    """One gradient step of a two-layer network, against the derivatives worked out by hand."""
    x, target = bench.random(32, 12), bench.random(32, 4)
    first, second = bench.random(12, 24) / 4, bench.random(24, 4) / 4
    weights = [bench.put(t, dtype).requires_grad_() for t in (first, second)]
    output = bench.torch.tanh(bench.put(x, dtype) @ weights[0]) @ weights[1]
    ((output - bench.put(target, dtype)) ** 2).sum().backward()
    stepped = [w.detach() - 0.01 * w.grad for w in weights]
    hidden = bench.product(x, first).tanh()
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
    capability = bench.torch.cuda.get_device_capability(bench.device)
    site = Path(bench.torch.__file__).parent.parent
    cubin = compile_cubin(KERNEL, "sm_{}{}".format(*capability), site)
    stream = bench.torch.cuda.current_stream(bench.device).cuda_stream
    arguments = (
        ctypes.c_void_p(x_here.data_ptr()),
        ctypes.c_void_p(got.data_ptr()),
        ctypes.c_int(count),
    )
    launch(cubin, b"triple_plus_one", -(-count // 256), stream, arguments)
    bench.torch.cuda.synchronize(bench.device)
    return [(got, bench.tensor([3 * value + 1 for value in x.tolist()]))]


def compile_cubin(source: bytes, architecture: str, site: Path) -> bytes:
    """Compile CUDA C++ with the NVRTC of the environment to code for one architecture, not PTX."""
    nvrtc, program = load_nvrtc(site), ctypes.c_void_p()
    option = ctypes.c_char_p(("--gpu-architecture=" + architecture).encode())
    size = ctypes.c_size_t()
    created = nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"smoke.cu", 0, None, None)
    succeed("nvrtcCreateProgram", created)
    failed = nvrtc.nvrtcCompileProgram(program, 1, ctypes.byref(option))
    if failed:
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(f"NVRTC error {failed} for {architecture}: {log.value.decode()}")
    succeed("nvrtcGetCUBINSize", nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
    cubin = ctypes.create_string_buffer(size.value)
    succeed("nvrtcGetCUBIN", nvrtc.nvrtcGetCUBIN(program, cubin))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw


def load_nvrtc(site: Path) -> Any:
    """Load NVRTC from the wheels; its builtins first, because it looks for them by bare name."""
    if os.name == "nt":
        patterns = ["torch/lib/nvrtc-builtins64_*.dll", "torch/lib/nvrtc64_*_0.dll"]
    else:
        patterns = ["nvidia/*/lib/libnvrtc-builtins.so.*", "nvidia/*/lib/libnvrtc.so.*"]
    found = [sorted(site.glob(pattern)) for pattern in patterns]
    if not all(found):
        raise RuntimeError(f"Could not load library libnvrtc: it is not under {site}")
    return [ctypes.CDLL(str(paths[0]), mode=ctypes.RTLD_GLOBAL) for paths in found][-1]


def launch(cubin: bytes, name: bytes, blocks: int, stream: int, arguments: tuple[Any, ...]) -> None:
    """Run a compiled kernel in torch's context, in blocks of 256 threads."""
    driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    succeed("cuModuleLoadData", driver.cuModuleLoadData(ctypes.byref(module), cubin))
    succeed("cuModuleGetFunction", driver.cuModuleGetFunction(ctypes.byref(function), module, name))
    pointers = (ctypes.c_void_p * len(arguments))(
        *(ctypes.cast(ctypes.pointer(a), ctypes.c_void_p) for a in arguments)
    )
    where = ctypes.c_void_p(stream)
    started = driver.cuLaunchKernel(function, blocks, 1, 1, 256, 1, 1, 0, where, pointers, None)
    succeed("cuLaunchKernel", started)


def succeed(call: str, status: int) -> None:
    if status:
        raise RuntimeError(f"{call} failed with error {status}")


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


def relative_error(torch: Any, got: Any, reference: Any) -> float:
    """Return the largest error, relative to the element and the typical size; NaN stays NaN."""
    if got.shape != reference.shape:
        raise RuntimeError(f"a result of shape {tuple(got.shape)}, not {tuple(reference.shape)}")
    reference = reference.detach()
    scale = reference.abs() + reference.square().mean().sqrt()
    return float(((got.detach().cpu().double() - reference).abs() / scale).max())


def run_check(bench: Bench, name: str, kind: str, function: Any) -> dict[str, Any]:
    started = time.perf_counter()
    pairs = function(bench, kind)
    errors = [relative_error(bench.torch, got, reference) for got, reference in pairs]
    outside = [error for error in errors if not error <= BOUNDS[kind]]
    error = (outside or [max(errors)])[0]
    return {
        "name": f"{name} {kind}",
        "passed": not outside,
        "error": float(f"{error:.2e}") if math.isfinite(error) else None,
        "bound": BOUNDS[kind],
        "ms": round((time.perf_counter() - started) * 1000, 1),
    }


class Teller:
    """Tells the parent on what was standard output; what libraries print goes to the errors."""

    def __init__(self) -> None:
        self.output = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def __call__(self, **event: Any) -> None:
        self.output.write(json.dumps(event) + "\n")
        self.output.flush()


def main(task: dict[str, Any]) -> None:
    """Do one task and leave at once: taking CUDA down again is not what is tested."""
    tell = Teller()
    faulthandler.enable()
    faulthandler.dump_traceback_later(task["deadline_s"], exit=True)
    try:
        tell(start="import torch")
        started = time.perf_counter()
        torch = importlib.import_module("torch")
        tell(import_s=round(time.perf_counter() - started, 2))
        tell(torch={"version": str(torch.__version__), "cuda": torch.version.cuda})
        if task["device"] is None:
            look(torch, tell)
        else:
            examine(torch, task, tell)
    except Exception as error:
        tell(error=f"{type(error).__name__}: {error}")
    os._exit(0)


def look(torch: Any, tell: Teller) -> None:
    tell(start="looking for GPUs")
    tell(arch_list=torch.cuda.get_arch_list())
    torch.cuda.init()
    tell(devices=[describe(torch, index) for index in range(torch.cuda.device_count())])


def describe(torch: Any, index: int) -> dict[str, Any]:
    seen = torch.cuda.get_device_properties(index)
    return {
        "device": f"cuda:{index}",
        "name": seen.name,
        "uuid": f"GPU-{seen.uuid}" if hasattr(seen, "uuid") else None,
        "capability": f"{seen.major}.{seen.minor}",
        "memory_total_mib": seen.total_memory >> 20,
    }


def examine(torch: Any, task: dict[str, Any], tell: Teller) -> None:
    """Run every check on one device; the first exception ends it, wrong values do not."""
    device, driver, full = task["device"], task.get("driver"), task.get("full")
    if device != "cpu":
        tell(start="opening the device")
        seen = describe(torch, torch.device(device).index)
        if driver:
            compare(seen, driver, tell)
        open_gpu(torch, device)
    bench = Bench(torch, device, task["seed"])
    quick = list(CHECKS if device == "cpu" else CUDA_CHECKS)
    if full and full["part"] != "device":
        quick = []
    more = load(full["program"]).checks(bench, full, driver or {}, tell) if full else []
    tell(planned=[f"{name} {kind}" for name, kind, _ in [*quick, *more]])
    run_checks(bench, quick, tell)
    if full and driver and driver["held_by"]:
        raise RuntimeError(f"the GPU is in use by {driver['held_by']}: the full level needs it all")
    run_checks(bench, more, tell)


def run_checks(bench: Bench, checks: list[Any], tell: Teller) -> None:
    for name, kind, function in checks:
        tell(start=f"{name} {kind}")
        tell(check=run_check(bench, name, kind, function))


def load(program: str) -> Any:
    """Return the text of another probe as a module."""
    module = types.ModuleType("probe")
    exec(compile(program, "probe", "exec"), module.__dict__)  # noqa: S102 - our own, from the parent
    return module


def compare(seen: dict[str, Any], driver: dict[str, Any], tell: Teller) -> None:
    """Raise where torch sees another GPU than NVML; torch may call a MIG instance by its GPU."""
    if seen["name"].replace("NVIDIA ", "") != driver["name"].replace("NVIDIA ", ""):
        tell(warning=f"{driver['device']}: NVML calls it {driver['name']}, torch {seen['name']}")
    known = [bare(uuid) for uuid in (driver["uuid"], driver["gpu"])]
    if seen["uuid"] and bare(seen["uuid"]) not in known:
        raise RuntimeError(f"NVML and torch disagree: {driver['uuid']} is {seen['uuid']} for torch")
    there, mine = driver["memory_total_mib"], seen["memory_total_mib"]
    if there and abs(there - mine) > MEMORY_TOLERANCE * there:
        raise RuntimeError(f"NVML and torch disagree: {there} MiB of memory, {mine} for torch")


def bare(uuid: str) -> str:
    """Return a UUID without its kind, ``GPU-`` or ``MIG-``."""
    return uuid.split("-", 1)[1]


def open_gpu(torch: Any, device: str) -> None:
    """Make a context on a GPU that has code to run and memory to spare."""
    torch.cuda.set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.preferred_linalg_library("cusolver")
    capability, built = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
    if not runs_on(capability, built):
        number = ".".join(map(str, capability))
        raise RuntimeError(
            f"no kernel image is available for capability {number} among {' '.join(built)}"
        )
    free = torch.cuda.mem_get_info(device)[0]
    if free < FREE_BYTES:
        raise RuntimeError(f"CUDA out of memory: only {free >> 20} MiB are free")


def runs_on(capability: tuple[int, int], built: list[str]) -> bool:
    """Whether code for these architectures runs: same major and no newer, or PTX no newer."""
    for entry in built:
        kind, number = entry.rstrip("af").split("_")
        code = divmod(int(number), 10)
        if code <= capability and (kind == "compute" or code[0] == capability[0]):
            return True
    return not built


if __name__ == "__main__":
    main(globals()["input"])

"""Compute on one device and tell how far off its values are: the child of smoke.py.

Its ``input`` is a dictionary with ``device`` ("cpu", "cuda:0", or None to look for GPUs), ``seed``,
``deadline_s``, and maybe ``driver``, what NVML says of the GPU (smoke_driver.py), ``numpy``, if
numpy is locked, and ``full``, the program and input of the full level (smoke_full.py). It tells
what it does as it goes, a JSON object per line for ``Child`` in smoke.py, because it may crash or
hang at any step. Python 3.8 or newer.

A reference is computed in float64 on the CPU, always by another way than the operation under test.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import math
import os
import re
import time
import types
from pathlib import Path
from typing import Any

FREE_BYTES = 1 << 30
"""A GPU with less free memory than this, and than a quarter, is left to whoever uses it."""
BFLOAT16 = (8, 0)
"""The first compute capability that has it; below, cuBLAS multiplies some shapes and not others."""
RENAMED = {(10, 1): (11, 0)}
"""Thor was 10.1 before CUDA 13."""
INTEGRATED = ((5, 3), (6, 2), (7, 2), (8, 7), (11, 0))
"""Jetson and Thor: their code runs on nothing else."""
UNIFIED = ((7, 2), (8, 7))
"""Those that run the code of their larger siblings from CUDA 13.2 on."""
UNSUPPORTED = ("CUBLAS_STATUS_NOT_SUPPORTED", "CUBLAS_STATUS_ARCH_MISMATCH")
MEMORY_TOLERANCE = 0.1
MEMORY_TOLERANCE_MIB = 512
"""NVML counts what the driver keeps for itself, torch does not: 1 to 5 percent, more of little."""

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


def architecture(nvrtc: Any, capability: tuple[int, int]) -> str:
    """Return the newest architecture that a compiler knows and whose code runs on a GPU.

    CUDA 12.8 knows neither 10.3 nor 12.1, and its code for 10.0 and 12.0 runs there.
    """
    count = ctypes.c_int()
    compiled("nvrtcGetNumSupportedArchs", nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    known = (ctypes.c_int * count.value)()
    compiled("nvrtcGetSupportedArchs", nvrtc.nvrtcGetSupportedArchs(known))
    fitting = [number for number in known if code_runs(divmod(number, 10), capability)]
    if not fitting:
        raise RuntimeError(
            "no kernel image is available: NVRTC knows no architecture for capability"
            f" {capability[0]}.{capability[1]}, only {', '.join(map(str, known))}"
        )
    return f"sm_{max(fitting)}"


def compile_cubin(nvrtc: Any, source: bytes, architecture: str) -> bytes:
    """Compile CUDA C++ to code for one architecture, not PTX."""
    program = ctypes.c_void_p()
    option = ctypes.c_char_p(("--gpu-architecture=" + architecture).encode())
    size = ctypes.c_size_t()
    created = nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"smoke.cu", 0, None, None)
    compiled("nvrtcCreateProgram", created)
    failed = nvrtc.nvrtcCompileProgram(program, 1, ctypes.byref(option))
    if failed:
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(f"NVRTC error {failed} for {architecture}: {log.value.decode()}")
    compiled("nvrtcGetCUBINSize", nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
    cubin = ctypes.create_string_buffer(size.value)
    compiled("nvrtcGetCUBIN", nvrtc.nvrtcGetCUBIN(program, cubin))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw


def load_nvrtc(site: Path, cuda: str) -> Any:
    """Load NVRTC of torch's CUDA; its builtins first, because it looks for them by bare name."""
    compiler, builtins = find_nvrtc(site, cuda)
    ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(compiler), mode=ctypes.RTLD_GLOBAL)


def find_nvrtc(site: Path, cuda: str) -> tuple[Path, Path]:
    """Return NVRTC and its builtins, of the wheels' libraries the pair of torch's own CUDA.

    Wheels of NVIDIA have them under ``nvidia/``; torch for Windows and some for aarch64 in
    ``torch/lib``, there with a digest in the name.
    """
    major = cuda.split(".")[0]
    names = (
        rf"libnvrtc(-[0-9a-f]+)?\.so\.{major}(\.\d+)*|nvrtc64_{major}\d_0\.dll",
        rf"libnvrtc-builtins(-[0-9a-f]+)?\.so\.{major}(\.\d+)*|nvrtc-builtins64_{major}\d\.dll",
    )
    for folder in sorted(
        [*site.glob("nvidia/*/lib"), *site.glob("nvidia/*/bin"), site / "torch/lib"]
    ):
        files = sorted(folder.glob("*nvrtc*"))
        found = [next((f for f in files if re.fullmatch(name, f.name)), None) for name in names]
        if found[0] and found[1]:
            return found[0], found[1]
    raise RuntimeError(f"Could not load library libnvrtc of CUDA {cuda}: it is not under {site}")


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


def compiled(call: str, status: int) -> None:
    """Raise for a result of NVRTC, whose numbers are others than those of CUDA."""
    if status:
        raise RuntimeError(f"NVRTC error {status}: {call} failed")


def succeed(call: str, status: int) -> None:
    if status:
        raise RuntimeError(f"Error {status}: {call} failed")


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


def relative_error(torch: Any, got: Any, reference: Any) -> float:
    """Return the largest error, relative to the element and the typical size; NaN stays NaN."""
    if got.shape != reference.shape:
        raise RuntimeError(f"a result of shape {tuple(got.shape)}, not {tuple(reference.shape)}")
    reference = reference.detach()
    scale = reference.abs() + reference.square().mean().sqrt()
    return float(((got.detach().cpu().double() - reference).abs() / scale).max())


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


def lacks(bench: Bench, kind: str, words: str) -> bool:
    """Whether a GPU is too old for a type that its hardware lacks, and its library says so."""
    old = bench.capability is not None and bench.capability < BFLOAT16
    return old and kind == "bfloat16" and any(status in words for status in UNSUPPORTED)


class Teller:
    """Tells the parent on what was standard output; what libraries print goes to the errors."""

    def __init__(self) -> None:
        self.output = os.fdopen(os.dup(1), "w")
        self.doing = "its start"
        os.dup2(2, 1)

    def __call__(self, **event: Any) -> None:
        self.doing = event.get("start", self.doing)
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
        tell(error=words(error, tell.doing))
    os._exit(0)


def words(error: Exception, doing: str) -> str:
    """Return what an exception says, with the number that CUDA gave it and when it came."""
    code = getattr(error, "error_code", None)
    number = f"Error {code}: " if isinstance(code, int) else ""
    first, _, rest = str(error).partition("\n")
    return f"{type(error).__name__}: {number}{first}, during {doing}\n{rest}".strip()


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
    quick += [NUMPY_CHECK] if task.get("numpy") else []
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
    if seen["uuid"] and all(known) and bare(seen["uuid"]) not in known:
        raise RuntimeError(f"NVML and torch disagree: {driver['uuid']} is {seen['uuid']} for torch")
    there, mine = driver["memory_total_mib"], seen["memory_total_mib"]
    if there and abs(there - mine) > max(MEMORY_TOLERANCE * there, MEMORY_TOLERANCE_MIB):
        raise RuntimeError(f"NVML and torch disagree: {there} MiB of memory, {mine} for torch")


def bare(uuid: str | None) -> str:
    """Return a UUID without its kind; empty for one without a kind, as a Jetson's are."""
    found = re.match("(?:GPU|MIG)-(.+)", uuid or "")
    return found[1].lower() if found else ""


def is_integrated(properties: Any) -> bool:
    """Whether a GPU has no memory of its own; torch has told that since before 2.0."""
    return bool(getattr(properties, "is_integrated", 0))


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
    if is_integrated(torch.cuda.get_device_properties(device)):
        return  # CUDA counts the files that the kernel has cached as used
    free, total = torch.cuda.mem_get_info(device)
    if free < min(FREE_BYTES, total // 4):
        raise RuntimeError(f"CUDA out of memory: only {free >> 20} MiB are free")


def runs_on(capability: tuple[int, int], built: list[str]) -> bool:
    """Whether code for these architectures runs on a GPU, or PTX that is no newer."""
    for entry in built:
        kind, number = entry.rstrip("af").split("_")
        code = divmod(int(number), 10)
        if code_runs(code, capability) or (kind == "compute" and code <= capability):
            return True
    return not built


def code_runs(code: tuple[int, int], device: tuple[int, int]) -> bool:
    """Whether machine code runs on a GPU: the rule of fleetwheel/choosing/compatibility.py."""
    code, device = RENAMED.get(code, code), RENAMED.get(device, device)
    if code == device:
        return True
    if code in INTEGRATED or (device in INTEGRATED and device not in UNIFIED):
        return False
    return code[0] == device[0] and code[1] <= device[1]


if __name__ == "__main__":
    main(globals()["input"])

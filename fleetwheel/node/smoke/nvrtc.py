"""Compiling CUDA C++ for one GPU with NVRTC of torch's own CUDA, and launching it."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Any

from fleetwheel.node.smoke.architectures import code_runs


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

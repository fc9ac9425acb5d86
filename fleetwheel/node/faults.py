"""The faults that a smoke test can meet: how each is recognised, what it means, what mends it.

A run of the smoke test on a host has these rows at hand, and so has a person there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LIBRARIES = "(?:CUBLAS|CUSOLVER|CUSPARSE|CUFFT|CURAND|CUDNN)_(?:STATUS_)?"
"""How the names of the CUDA libraries' statuses begin; cuFFT leaves ``STATUS_`` out."""
LIBRARY_SYMBOL = r"\S*(?:cublas|cusolver|cusparse|cufft|curand|cudnn|nccl|nvJitLink|cupti)"


class Fault(NamedTuple):
    """One row: the first with an error's number gives it its name, else the first that matches."""

    name: str
    pattern: str
    """Regular expression of the error texts of torch, CUDA, the loader and the smoke test."""
    meaning: str
    repair: str
    """Both may name ``{torch}`` and ``{driver}``, the oldest driver that will do."""
    codes: tuple[int, ...] = ()
    """Numbers of ``cudaError_t`` (driver_types.h); those of ``CUresult`` here are the same."""


FAULTS = (
    Fault(
        "package-import",
        r"(during|after) import (?!torch\b)\S+ of \S+",
        "a package that the team's file names cannot be imported here",
        "read the error: take a version that goes with {torch} and this host, or take it out of"
        " the file; a project of your own has to name in pyproject.toml what it imports; where"
        " both are right, a library of the system is missing",
    ),
    Fault(
        "no-driver",
        r"Found no NVIDIA driver|libcuda\.so(\.1)?: cannot open|nvcuda\.dll",
        "{torch} finds no NVIDIA driver on this host",
        "install NVIDIA driver {driver} or newer and see that nvidia-smi works;"
        " for a host without a GPU set accelerator: cpu",
    ),
    Fault(
        "stub-library",
        r"CUDA driver is a stub library",
        "the CUDA toolkit's stub of libcuda stands before the driver's own library",
        "take the toolkit's lib64/stubs out of LD_LIBRARY_PATH and out of /etc/ld.so.conf.d",
        codes=(34,),
    ),
    Fault(
        "driver-too-old",
        r"driver on your system is too old|driver version is insufficient|unsupported toolchain"
        r"|not supported in the installed CUDA driver",
        "the NVIDIA driver is too old for {torch}",
        "update the NVIDIA driver to {driver} or newer, or choose wheels for an older CUDA",
        codes=(35, 36, 222),
    ),
    Fault(
        "driver-mismatch",
        r"unsupported display driver / cuda driver combination",
        "the driver's library and its kernel module are of different versions",
        "reboot, or reload the nvidia modules; in a container, remove its own libcuda",
        codes=(803,),
    ),
    Fault(
        "driver-incomplete",
        r"PTX JIT compiler library not found|shared object (symbol not found|initialization failed)"
        r"|integrity checks failed",
        "a library of the NVIDIA driver is missing or damaged",
        "install all packages of the driver again, in one version; in a container, let"
        " NVIDIA_DRIVER_CAPABILITIES hold compute and utility",
        codes=(103, 221, 302, 303),
    ),
    Fault(
        "forward-compatibility",
        r"forward compatibility was attempted on non supported HW",
        "a cuda-compat library stands before the driver's own, and this GPU cannot use it",
        "remove the cuda-compat package or its entry in LD_LIBRARY_PATH, or update the driver",
        codes=(804,),
    ),
    Fault(
        "fabric-not-ready",
        r"system not yet initialized",
        "the NVSwitch fabric is not initialised",
        "start nvidia-fabricmanager, in exactly the driver's version",
        codes=(802,),
    ),
    Fault(
        "mps",
        r"\bMPS (client|server|control)|resources required to support device connections",
        "CUDA's Multi-Process Service does not let the test in",
        "see that nvidia-cuda-mps-control runs as this user or as root and that fewer clients than"
        " its limit are connected; `echo quit | nvidia-cuda-mps-control` ends the service",
        codes=(805, 806, 807, 808, 809, 810),
    ),
    Fault(
        "driver-start",
        r"CUDA driver initialization failed|CUDA error: initialization error"
        r"|startup failure in cuda runtime|CUDA error: invalid device context",
        "the NVIDIA driver could not start CUDA",
        "see that /dev/nvidia-uvm exists (`nvidia-modprobe -u -c 0` makes it) and that this user"
        " may open /dev/nvidia*; look for NVRM in the kernel's log, then reboot",
        codes=(3, 127, 201),
    ),
    Fault(
        "unknown-cuda-error",
        r"CUDA unknown error|CUDA error: unknown error",
        "the NVIDIA driver gives no reason why CUDA does not work",
        "reload its memory module (`rmmod nvidia_uvm; modprobe nvidia_uvm`), as is needed after a"
        " suspend; look for Xid or NVRM in the kernel's log, then reboot",
        codes=(999,),
    ),
    Fault(
        "system-call",
        r"OS call failed or operation not supported on this OS",
        "the operating system refused what the NVIDIA driver asked of it",
        "see that this user, and its container, may use /dev/nvidia* and /dev/nvidia-uvm (device"
        " cgroup, seccomp), and that `ulimit -v` and `ulimit -l` are unlimited",
        codes=(304,),
    ),
    Fault(
        "vgpu-license",
        r"doesn't have valid Grid license",
        "the virtual GPU has no license",
        "see `nvidia-smi -q` for its license status, and the log of nvidia-gridd",
        codes=(102,),
    ),
    Fault(
        "not-permitted",
        r"CUDA( driver)? error: operation not (permitted|supported)\b(?! on)",
        "the driver does not allow this operation here, as with some vGPU profiles and in WSL",
        "give the virtual machine a vGPU profile for compute, or the whole GPU; in WSL update the"
        " driver on Windows",
        codes=(800, 801),
    ),
    Fault(
        "no-devices",
        r"No CUDA GPUs are available|no CUDA-capable device is detected|invalid device ordinal",
        "the driver is there, but shows {torch} no GPU",
        "compare nvidia-smi -L with CUDA_VISIBLE_DEVICES and with the container's devices",
        codes=(100, 101),
    ),
    Fault(
        "device-busy",
        r"CUDA-capable device(s|\(s\)) (is/)?are busy or unavailable|device already in use by",
        "another process holds the GPU for itself, or its compute mode admits none",
        "see nvidia-smi -q -d COMPUTE,PIDS; wait for the job, or set nvidia-smi -c DEFAULT",
        codes=(46, 216),
    ),
    Fault(
        "in-use",
        r"the GPU is in use by",
        "somebody's job runs on the GPU, and the full level would disturb it",
        "run again when the job is done, or run the quick level",
    ),
    Fault(
        "gpu-lost",
        r"GPU (\d+ )?is lost|fallen off the bus|NVML does not (answer|show \S+) any more",
        "the driver has lost a GPU",
        "look for Xid errors in the kernel's log, then reboot; if it returns, have the card,"
        " its power and its slot checked",
    ),
    Fault(
        "gpu-missing",
        r"GPUs? to test not found",
        "a GPU that the inventory names is not on this host",
        "compare nvidia-smi -L with gpus in the inventory, with CUDA_VISIBLE_DEVICES and with the"
        " container's devices",
    ),
    Fault(
        "disagreement",
        r"NVML and torch disagree",
        "torch and the driver do not see the same GPUs",
        "compare nvidia-smi -L with the container's devices; reboot after a change of MIG",
    ),
    Fault(
        "no-kernel-image",
        r"no kernel image is available|invalid device function|device kernel image is invalid"
        r"|PTX JIT compilation failed|named symbol not found",
        "{torch} holds no code for this GPU",
        "deploy wheels that are built for its compute capability: fleetwheel choose names them",
        codes=(98, 200, 209, 218, 300, 500),
    ),
    Fault(
        "foreign-library",
        r"cuDNN version (incompatibility|mismatch)"
        r"|CUDNN_STATUS_(SUBLIBRARY_)?(VERSION_MISMATCH|LOADING_FAILED)"
        rf"|undefined symbol: {LIBRARY_SYMBOL}|symbol {LIBRARY_SYMBOL}\S* version \S+ not defined",
        "a CUDA library from elsewhere is loaded in the place of one of the wheels",
        "take the directories of other CUDA, cuDNN and NCCL installations out of LD_LIBRARY_PATH,"
        " LD_PRELOAD and /etc/ld.so.conf.d; if there are none, deploy again",
    ),
    Fault(
        "library-unsupported",
        LIBRARIES + r"(NOT_SUPPORTED|ARCH_MISMATCH)",
        "a CUDA library of {torch} cannot do this operation on this GPU",
        "deploy wheels for a CUDA that still serves the GPU: fleetwheel choose names them",
    ),
    Fault(
        "library-start",
        LIBRARIES + r"(NOT_INITIALIZED|ALLOC_FAILED"
        r"|INTERNAL_ERROR_(DEVICE|HOST)_ALLOCATION_FAILED)",
        "a CUDA library could not start on the GPU, most often for want of memory",
        "see nvidia-smi for processes that hold its memory; if there is room, take other CUDA"
        " libraries out of LD_LIBRARY_PATH and reset the GPU (`nvidia-smi --gpu-reset -i INDEX`)",
    ),
    Fault(
        "library-failed",
        LIBRARIES + "[A-Z_]+",
        "a CUDA library failed on the GPU",
        "look for Xid errors in the kernel's log, reset the GPU (`nvidia-smi --gpu-reset -i INDEX`)"
        " and test again; if it persists on all GPUs of this model, pin another torch release",
    ),
    Fault(
        "contained-error",
        r"Invalid access of peer GPU memory over nvlink or a hardware error",
        "the GPU has contained a hardware error (Xid 94 or 95) and ended what it hit",
        "drain the host, reset the GPU (`nvidia-smi --gpu-reset -i INDEX`) and test again; if it"
        " returns, have the card replaced",
        codes=(226,),
    ),
    Fault(
        "nvlink",
        r"uncorrectable NVLink error",
        "an NVLink connection of the GPU has failed",
        "see nvidia-smi nvlink -e for the link; reset all its GPUs together (`nvidia-smi -r`),"
        " restart nvidia-fabricmanager, and test again; if it stays, have the board checked",
        codes=(220,),
    ),
    Fault(
        "memory-errors",
        r"rose from \d+ to \d+ during|uncorrectable ECC error",
        "the GPU's memory has made errors under load",
        "drain the host, reset the GPU so that rows are remapped, and test again; if the count"
        " goes on rising, have the card replaced",
        codes=(214,),
    ),
    Fault(
        "watchdog",
        r"the launch timed out and was terminated",
        "the system's watchdog (on Windows: TDR) ended a kernel: the GPU drives a display and was"
        " too slow",
        "let another GPU drive the display, or log its user off; on Windows raise TdrDelay in"
        r" HKLM\SYSTEM\CurrentControlSet\Control\GraphicsDrivers and restart",
        codes=(702,),
    ),
    Fault(
        "kernel-fault",
        r"an illegal (memory access|instruction) was encountered|unspecified launch failure"
        r"|hardware stack error|misaligned address|invalid program counter"
        r"|operation not supported on global/shared address space|device-side assert"
        r"|too many resources requested for launch|context is destroyed"
        r"|tensor memory not completely freed",
        "a kernel that is known to be right has failed on the GPU",
        "look for the Xid error in the kernel's log, reset the GPU (`nvidia-smi --gpu-reset -i"
        " INDEX`) and test again; if it stays on one card, have that card checked",
        codes=(700, 701, 709, 710, 714, 715, 716, 717, 718, 719, 721),
    ),
    Fault(
        "too-many-peers",
        r"peer mapping resources exhausted|peer access is not supported between",
        "a GPU cannot be joined to another one by direct access",
        "end other programs that use several GPUs, then run again; see nvidia-smi topo -p2p r",
        codes=(217, 711),
    ),
    Fault(
        "peer-copy",
        r"(^|during )copy cuda:\d+ to cuda:\d+",
        "copies between two GPUs go wrong, most often because PCIe's ACS or an IOMMU is on",
        "turn ACS off in the firmware and the IOMMU off or to iommu=pt; NCCL_P2P_DISABLE=1 helps"
        " programs until then; if both are off, suspect the bridge or the NVLink between the two",
    ),
    Fault(
        "all-reduce",
        r"^all-reduce \S+: relative error|no answer within .*during all-reduce",
        "a sum over devices that work alone is wrong or does not end, most often because PCIe's"
        " ACS or an IOMMU is on",
        "turn ACS off in the firmware and the IOMMU off or to iommu=pt, and test again with"
        " NCCL_P2P_DISABLE=1 and NCCL_DEBUG=INFO; in a container allow more shared memory; see"
        " nvidia-smi topo -m for bridges and NVLinks",
    ),
    Fault(
        "memory-held",
        r"only \d+ MiB are free",
        "other processes hold the GPU's memory",
        "wait until they end (nvidia-smi lists them), then run again",
    ),
    Fault(
        "out-of-memory",
        r"CUDA out of memory|CUDA( driver)? error: out of memory",
        "CUDA could not allocate memory on the GPU",
        "see nvidia-smi: if processes hold it, wait until they end; if nobody does, reset the GPU"
        " (`nvidia-smi --gpu-reset -i INDEX`) or reboot, and look for Xid errors",
        codes=(2,),
    ),
    Fault(
        "wrong-variant",
        r"not compiled with CUDA enabled|is built for .+, but .+ was expected",
        "the wheels are of another variant than the lock's",
        "run with relock; if it stays, the wheel source holds the wrong files",
    ),
    Fault(
        "wrong-version",
        r"differs from the lock's",
        "what is installed is not what was locked",
        "deploy again: the lock is built into a new generation",
    ),
    Fault(
        "numpy",
        r"Numpy is not available|compiled using NumPy 1\.x",
        "{torch} cannot exchange arrays with the numpy beside it",
        "set numpy<2 in packages for a torch before 2.3, or choose torch 2.3 or newer",
    ),
    Fault(
        "disk-full",
        r"No space left on device|Disk quota exceeded|WinError 112\b",
        "a disk of this host is full",
        "make room where df -h and df -i show none (/tmp, home directory, environment), test again",
    ),
    Fault(
        "nvrtc",
        r"NVRTC error|nvrtc: error|nvrtc-builtins",
        "CUDA's compiler of {torch}, NVRTC, does not work on this host",
        "take the directories of other CUDA installations out of LD_LIBRARY_PATH, see that /tmp has"
        " room, and deploy again",
    ),
    Fault(
        "application-control",
        r"WinError 4551\b",
        "an application control policy of this host does not let a file of {torch} run",
        "have its administrators allow the root directory, or what its wheels' publishers signed",
    ),
    Fault(
        "virus-scanner",
        r"WinError 22[56]\b",
        "the virus scanner of this host has taken a file of {torch} for malware",
        "look at its history (Windows Security, Protection history), exclude the root directory if"
        " the finding is false, and deploy again",
    ),
    Fault(
        "page-file",
        r"WinError 1455\b",
        "the page file of this host is too small for the DLLs of {torch}",
        "let Windows manage its size (Advanced system settings, Performance, Virtual memory), or"
        " make room on its drive",
    ),
    Fault(
        "wrong-architecture",
        r"WinError 193\b",
        "a DLL that {torch} loads is damaged, or for another processor than its Python",
        "deploy again; on ARM64, deploy with a Python for ARM64",
    ),
    Fault(
        "visual-c++",
        r"WinError (126|127|1114)\b",
        "a DLL that {torch} needs is missing or too old: most often Microsoft's Visual C++ runtime",
        "install the latest Visual C++ redistributable for the processor (vc_redist.x64.exe), and"
        " test again",
    ),
    Fault(
        "missing-library",
        r"cannot open shared object file|DLL load failed|undefined symbol"
        r"|version `\S+' not found|Could not load library",
        "a library that {torch} needs cannot be loaded",
        "install the library if it is one of the system's; if not, deploy again",
    ),
    Fault(
        "no-torch",
        r"No module named 'torch'",
        "torch is not installed in this environment",
        "deploy again",
    ),
    Fault(
        "wrong-values",
        r"relative error \S+ is above",
        "the device computes wrong values",
        "test again; if it stays, suspect the hardware: memory, overclocking, cooling",
    ),
    Fault(
        "xid",
        r"NVRM: Xid",
        "the driver has reported an error of a GPU",
        "look the number after Xid up in NVIDIA's list of Xid errors; reset the GPU, test again",
    ),
    Fault(
        "too-slow",
        r"of what the clocks promise is less than",
        "the device is slower than the inventory's smoke_min_fraction allows",
        "see nvidia-smi -q -d CLOCK,POWER,PERFORMANCE; look at cooling and at the power limit",
    ),
    Fault(
        "nccl",
        r"NCCL ([Ee]rror|WARN)|DistBackendError",
        "the GPUs cannot work together through NCCL",
        "run with NCCL_DEBUG=INFO; in a container allow more shared memory; see nvidia-smi topo -m",
    ),
    Fault(
        "hang",
        r"no answer within",
        "the device does not answer",
        "look for Xid errors in the kernel's log, then reset the GPU or reboot; a slow disk at the"
        " first import needs a longer device deadline",
    ),
    Fault(
        "killed",
        r"ended by SIGKILL",
        "something killed the test, most often the kernel for want of memory",
        "look for the OOM killer in the kernel's log, then give the host more memory",
    ),
    Fault(
        "illegal-instruction",
        r"ended by SIGILL|exit code 0xc000001d",
        "{torch} uses instructions that this processor does not have",
        "pin a torch release that runs on this processor, or move the host to another machine",
    ),
    Fault(
        "crash",
        r"ended by (SIG|signal)|exit code 0x",
        "the test crashed",
        "read the traceback; suspect the driver, then the memory",
    ),
    Fault(
        "no-result",
        r"without a result|ended with exit code",
        "the test ended before it was through",
        "read the error, and run the test again",
    ),
    Fault(
        "bad-input",
        r"the input (has|asks)",
        "the test was given input that it does not understand",
        "see docs/smoke-test.md for its input",
    ),
)


UNNAMED = Fault("unnamed", "", "the test failed", "read the error")


def words(torch: str = "", driver: str | None = None) -> dict[str, str]:
    """Return what the texts of rows name; ``driver`` is the oldest that runs this torch, if known.

    ``torch`` is its full version.
    """
    return {"torch": f"torch {torch}".strip(), "driver": driver or "for its CUDA version"}


def named(text: str, words: dict[str, str]) -> dict[str, str]:
    """Return an error text with the name, meaning and repair of its row.

    That is the row of its CUDA error number, or else the first whose pattern it matches.
    """
    number = re.search(r"(?<!NCCL )\bError ([0-9]+)\b", text)
    known = [row for row in FAULTS if number and int(number[1]) in row.codes]
    row = next(iter(known), None) or next(
        (row for row in FAULTS if re.search(row.pattern, text)), UNNAMED
    )
    said = {"meaning": row.meaning.format(**words), "repair": row.repair.format(**words)}
    return {"name": row.name, **said, "error": text[:2000]}

"""The faults that a smoke test can meet: how each is recognised, what it means, what mends it."""

from typing import NamedTuple


class Fault(NamedTuple):
    """One row: the first whose ``pattern`` is found in an error text gives it its name."""

    name: str
    pattern: str
    """Regular expression of the error texts of torch, CUDA, the loader and probes/smoke.py."""
    meaning: str
    repair: str
    """Both may name ``{torch}`` and ``{driver}``, the oldest driver that will do."""


FAULTS = (
    Fault(
        "no-driver",
        r"Found no NVIDIA driver|libcuda\.so(\.1)?: cannot open|nvcuda\.dll",
        "{torch} finds no NVIDIA driver on this host",
        "install NVIDIA driver {driver} or newer and see that nvidia-smi works;"
        " for a host without a GPU set accelerator: cpu",
    ),
    Fault(
        "driver-too-old",
        r"driver on your system is too old|driver version is insufficient|unsupported toolchain",
        "the NVIDIA driver is too old for {torch}",
        "update the NVIDIA driver to {driver} or newer, or choose wheels for an older CUDA",
    ),
    Fault(
        "driver-mismatch",
        r"Error 803|unsupported display driver / cuda driver combination",
        "the driver's library and its kernel module are of different versions",
        "reboot, or reload the nvidia modules; in a container, remove its own libcuda",
    ),
    Fault(
        "forward-compatibility",
        r"Error 804|forward compatibility was attempted on non supported HW",
        "a cuda-compat library stands before the driver's own, and this GPU cannot use it",
        "remove the cuda-compat package or its entry in LD_LIBRARY_PATH, or update the driver",
    ),
    Fault(
        "fabric-not-ready",
        r"Error 802|system not yet initialized",
        "the NVSwitch fabric is not initialised",
        "start nvidia-fabricmanager, in exactly the driver's version",
    ),
    Fault(
        "no-devices",
        r"No CUDA GPUs are available|no CUDA-capable device is detected",
        "the driver is there, but shows {torch} no GPU",
        "compare nvidia-smi -L with CUDA_VISIBLE_DEVICES and with the container's devices",
    ),
    Fault(
        "device-busy",
        r"CUDA-capable device(s|\(s\)) (is/)?are busy or unavailable",
        "another process holds the GPU for itself, or its compute mode admits none",
        "see nvidia-smi -q -d COMPUTE,PIDS; wait for the job, or set nvidia-smi -c DEFAULT",
    ),
    Fault(
        "in-use",
        r"the GPU is in use by",
        "somebody's job runs on the GPU, and the full level would disturb it",
        "run again when the job is done, or run the quick level",
    ),
    Fault(
        "gpu-lost",
        r"GPU (\d+ )?is lost|fallen off the bus|NVML does not answer any more",
        "the driver has lost a GPU",
        "look for Xid errors in the kernel's log, then reboot; if it returns, have the card,"
        " its power and its slot checked",
    ),
    Fault(
        "disagreement",
        r"NVML and torch disagree",
        "torch and the driver do not see the same GPUs",
        "compare nvidia-smi -L with the container's devices; reboot after a change of MIG",
    ),
    Fault(
        "no-kernel-image",
        r"no kernel image is available",
        "{torch} holds no code for this GPU",
        "deploy wheels that are built for its compute capability: fleetwheel choose names them",
    ),
    Fault(
        "out-of-memory",
        r"CUDA out of memory|CUDA( driver)? error: out of memory|Error 2: out of memory",
        "other processes hold the GPU's memory",
        "wait until they end (nvidia-smi lists them), then run again",
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
        "missing-library",
        r"cannot open shared object file|DLL load failed|WinError 126|undefined symbol"
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
        "memory-errors",
        r"rose from \d+ to \d+ during",
        "the GPU's memory has made errors under load",
        "drain the host, reset the GPU so that rows are remapped, and test again; if the count"
        " goes on rising, have the card replaced",
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
        r"NCCL (error|WARN)|DistBackendError",
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
        "the test was asked for something that it does not know",
        "see docs/smoke-test.md for its input",
    ),
)


def table(torch: str, driver: str | None) -> list[list[str]]:
    """Return the rows for probes/smoke.py, which names its errors with them.

    ``torch`` is its full version, ``driver`` the oldest NVIDIA driver that runs it, if it is known.
    """
    words = {"torch": f"torch {torch}", "driver": driver or "for its CUDA version"}
    return [
        [row.name, row.pattern, row.meaning.format(**words), row.repair.format(**words)]
        for row in FAULTS
    ]

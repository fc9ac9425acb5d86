"""What the driver says of the GPUs to test: a child of run.py.

Prints one JSON document: ``devices``, every GPU or MIG instance that CUDA can use, with who holds
it and how many errors were counted; ``lost``, a sentence for each GPU that does not answer;
``detail``, why NVML did not; ``xids``, the kernel's lines on GPU errors, null where its log cannot
be read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fleetwheel.node import nvml

COUNTERS = (
    "ecc_corrected",
    "ecc_uncorrected",
    "remapped_correctable",
    "remapped_uncorrectable",
    "remapping_failed",
    "retired_pages",
)
"""NVML's counts of memory errors, none of which may rise during a full test."""
KERNEL_LOG = "/dev/kmsg"
MPS_SERVER = "nvidia-cuda-mps"
"""How Linux names the server of the Multi-Process Service, which computes nothing by itself."""


def driver(task: dict[str, Any]) -> int:
    """Ask NVML and the kernel's log, and print what they say."""
    document = nvml.describe()
    gpus = document["gpus"]
    answer = {
        "devices": [device for gpu in gpus if "lost" not in gpu for device in devices_of(gpu)],
        "lost": [f"GPU {gpu['index']} is lost: {gpu['lost']}" for gpu in gpus if "lost" in gpu],
        "detail": document["driver"].get("detail", ""),
        "xids": xids(KERNEL_LOG),
    }
    print(json.dumps(answer))
    return 0


def devices_of(gpu: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a GPU, or its MIG instances, which are all that CUDA sees of it then."""
    label = f"cuda:{gpu['index']}"
    entries = [(label, gpu)]
    if gpu["mig"]:
        instances = gpu["mig_instances"] or []
        entries = [(f"{label}/mig:{instance['index']}", instance) for instance in instances]
    return [
        {
            "device": name,
            "name": entry["name"],
            "uuid": entry["uuid"],
            "capability": gpu["compute_capability"],
            "memory_total_mib": entry["memory_total_mib"],
            "gpu": gpu["uuid"],
            "mig": bool(gpu["mig"]),
            "held_by": held_by(entry["processes"], gpu["driver_model"]),
            "memory_free_mib": entry["memory_free_mib"],
            "pci_bus_id": gpu["pci_bus_id"],
            "driver_model": gpu["driver_model"],
            "compute_mode": gpu["compute_mode"],
            "counters": {key: gpu[key] for key in COUNTERS if gpu[key] is not None},
        }
        for name, entry in entries
    ]


def held_by(processes: list[int] | None, driver_model: str | None) -> str:
    """Return the processes that compute on a GPU; with WDDM these are all that have a window."""
    pids = [pid for pid in processes or [] if not serves_others(pid)]
    if not pids or driver_model == "WDDM":
        return ""
    return f"process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}"


def serves_others(pid: int) -> bool:
    """Whether a process is the server of MPS, which is there as long as the service is."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(MPS_SERVER)
    except OSError:
        return False


def xids(kernel_log: str) -> list[str] | None:
    """Return the lines on GPU errors, as they stand in the log with their running numbers."""
    try:
        handle = os.open(kernel_log, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    lines: list[str] = []
    with os.fdopen(handle, "rb", buffering=0) as log:
        while True:
            try:
                record = log.read(8192)
            except BrokenPipeError:  # the kernel has overwritten what came next
                continue
            except OSError:
                return None
            if not record:
                break
            lines += record.decode("utf-8", "replace").splitlines()
    return [line for line in lines if "NVRM: Xid" in line]

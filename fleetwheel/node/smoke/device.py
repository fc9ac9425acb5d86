"""Compute on one device and tell how far off its values are: a child of run.py.

Its input is a dictionary with ``device`` ("cpu", "cuda:0", or None to look for GPUs), ``seed``,
``deadline_s``, and maybe ``driver``, what NVML says of the GPU (driver.py), ``numpy``, if numpy is
locked, ``imports``, projects to import first, and ``full``, the input of the full level (full.py).
It tells what it does as it goes, a JSON object per line for ``Child`` in children.py, because it
may crash or hang at any step.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import re
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from fleetwheel.node.smoke import full as full_level
from fleetwheel.node.smoke.architectures import runs_on
from fleetwheel.node.smoke.bench import Bench, is_integrated, run_check
from fleetwheel.node.smoke.checks import CHECKS, CUDA_CHECKS, NUMPY_CHECK
from fleetwheel.node.smoke.imports import modules

FREE_BYTES = 1 << 30
"""A GPU with less free memory than this, and than a quarter, is left to whoever uses it."""
MEMORY_TOLERANCE = 0.1
MEMORY_TOLERANCE_MIB = 512
"""NVML counts what the driver keeps for itself, torch does not: 1 to 5 percent, more of little."""


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


def device(task: dict[str, Any]) -> NoReturn:
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
        tell(error=exception_words(error, tell.doing))
    os._exit(0)


def exception_words(error: Exception, doing: str) -> str:
    """Return what an exception says, with the number that CUDA gave it and when it came."""
    code = getattr(error, "error_code", None)
    number = f"Error {code}: " if isinstance(code, int) else ""
    first, _, rest = str(error).partition("\n")
    return f"{type(error).__name__}: {number}{first}, during {doing}\n{rest}".strip()


def look(torch: Any, tell: Teller) -> None:
    tell(start="looking for GPUs")
    tell(arch_list=torch.cuda.get_arch_list())
    torch.cuda.init()
    tell(devices=[describe_by_torch(torch, index) for index in range(torch.cuda.device_count())])


def describe_by_torch(torch: Any, index: int) -> dict[str, Any]:
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
    import_each(task.get("imports", ()), tell)
    if device != "cpu":
        tell(start="opening the device")
        seen = describe_by_torch(torch, torch.device(device).index)
        if driver:
            compare(seen, driver, tell)
        open_gpu(torch, device)
    bench = Bench(torch, device, task["seed"])
    quick = list(CHECKS if device == "cpu" else CUDA_CHECKS)
    quick += [NUMPY_CHECK] if task.get("numpy") else []
    if full and full["part"] != "device":
        quick = []
    more = full_level.checks(bench, full, driver or {}, tell) if full else []
    tell(planned=[f"{name} {kind}" for name, kind, _ in [*quick, *more]])
    run_checks(bench, quick, tell)
    if full and driver and driver["held_by"]:
        raise RuntimeError(f"the GPU is in use by {driver['held_by']}: the full level needs it all")
    run_checks(bench, more, tell)


def import_each(projects: Sequence[str], tell: Teller) -> None:
    """Import what has a module; one that fails is told, and the others are still tried."""
    there = modules() if projects else {}
    for project, module in ((each, there[each]) for each in projects if each in there):
        tell(start=f"import {module} of {project}")
        try:
            importlib.import_module(module)
            tell(imported=project)
        except Exception as error:
            tell(unimportable=exception_words(error, tell.doing))
    tell(start="the way to the first check")


def run_checks(bench: Bench, checks: list[Any], tell: Teller) -> None:
    for name, kind, function in checks:
        tell(start=f"{name} {kind}")
        tell(check=run_check(bench, name, kind, function))


def compare(seen: dict[str, Any], driver: dict[str, Any], tell: Teller) -> None:
    """Raise where torch sees another GPU than NVML; torch may call a MIG instance by its GPU."""
    if seen["name"].replace("NVIDIA ", "") != driver["name"].replace("NVIDIA ", ""):
        tell(warning=f"{driver['device']}: NVML calls it {driver['name']}, torch {seen['name']}")
    known = [torch_uuid(uuid) for uuid in (driver["uuid"], driver["gpu"])]
    if seen["uuid"] and all(known) and torch_uuid(seen["uuid"]) not in known:
        raise RuntimeError(f"NVML and torch disagree: {driver['uuid']} is {seen['uuid']} for torch")
    there, mine = driver["memory_total_mib"], seen["memory_total_mib"]
    if there and abs(there - mine) > max(MEMORY_TOLERANCE * there, MEMORY_TOLERANCE_MIB):
        raise RuntimeError(f"NVML and torch disagree: {there} MiB of memory, {mine} for torch")


def torch_uuid(uuid: str | None) -> str:
    """Return a UUID without its kind; empty for one without a kind, as a Jetson's are."""
    found = re.match("(?:GPU|MIG)-(.+)", uuid or "")
    return found[1].lower() if found else ""


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

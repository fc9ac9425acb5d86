"""The smoke test with scripted children in the place of smoke_device.py: no torch and no GPU."""

import json
import subprocess
from pathlib import Path
from typing import Any

from fleetwheel.connection import remote
from fleetwheel.probes import smoke as probe
from fleetwheel.smoke import faults

SCRIPT = """
import faulthandler, json, os, signal, sys, time

def tell(**event):
    print(json.dumps(event), flush=True)

def check(error=0.0, passed=True):
    tell(check={"name": "matmul", "passed": passed, "error": error, "bound": 0.1, "ms": 1})

task = globals()["input"]
device, full = task["device"], task.get("full")
part = full["part"] if full else "quick"
seen = os.environ.get("CUDA_VISIBLE_DEVICES")
tell(torch={"version": "2.14.1+cu130", "cuda": "13.0"}, arch_list=["sm_90"])
if device is None:
    tell(devices=[{"device": f"cuda:{i}", "name": "GPU", "uuid": f"GPU-{i}"} for i in range(COUNT)])
    sys.exit()
tell(planned=["matmul"], start="matmul")
EVERYONE
if device == "cuda:3" or seen == "GPU-3":
    BEHAVIOUR
check()
"""
DRIVER = """
import json, os
answer = ANSWERS[os.path.exists(PLACE)]
open(PLACE, "w").close()
print(json.dumps(answer)) if answer else os.abort()
"""
"""Stands for smoke_driver.py: one answer at the start, another one at the end."""


def scripted(behaviour: str = "pass", count: int = 4, everyone: str = "pass") -> str:
    """Return a child's program: GPU 3 behaves like this, the others pass."""
    text = SCRIPT.replace("COUNT", str(count)).replace("EVERYONE", everyone)
    return text.replace("BEHAVIOUR", behaviour)


def expected(program: str, **changes: Any) -> dict[str, Any]:
    known = {"device_deadline_s": 20, "accelerator": "cuda", "program": program}
    table = faults.table("2.14.1+cu130", "580.65.06")
    return {**probe.DEFAULTS, **known, "faults": table, **changes}


def a_gpu(index: int, **changes: Any) -> dict[str, Any]:
    """Return what smoke_driver.py says of a GPU without work."""
    return {
        "device": f"cuda:{index}",
        "name": "GPU",
        "uuid": f"GPU-{index}",
        "capability": "9.0",
        "memory_total_mib": 81559,
        "gpu": f"GPU-{index}",
        "mig": False,
        "held_by": "",
        "compute_mode": "default",
        "memory_free_mib": 80000,
        "pci_bus_id": f"00000000:4{index}:00.0",
        "driver_model": None,
        "counters": {"ecc_corrected": 4, "ecc_uncorrected": 0, "remapping_failed": 0},
        **changes,
    }


def driver(*gpus: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the whole answer of smoke_driver.py."""
    return {"devices": list(gpus), "lost": [], "detail": "", "xids": [], **changes}


def driver_program(place: Path, before: dict[str, Any], *after: dict[str, Any]) -> str:
    """Return a program that gives these answers, or the same one twice; an empty one is a crash."""
    answers = f"{[before, *(after or [before])]!r}"
    return DRIVER.replace("ANSWERS", answers).replace("PLACE", repr(str(place / "asked")))


def run(python: str, given: dict[str, Any], text: str | None = None) -> tuple[dict[str, Any], int]:
    """Run the probe as a deploy does; its output must be one line of JSON and nothing else."""
    document = json.loads(remote.document("smoke", given))
    document["program"] = text or document["program"]
    done = subprocess.run(
        [python, "-I", "-c", remote.BOOTSTRAP],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count("\n") == 1, done.stderr
    return json.loads(done.stdout), done.returncode

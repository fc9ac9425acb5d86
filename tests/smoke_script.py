"""The smoke test with scripted children in the place of smoke/device.py: no torch and no GPU."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from fleetwheel.node import faults
from fleetwheel.node.smoke import children
from fleetwheel.node.smoke import run as probe
from tests import node_program

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
"""Stands for smoke/driver.py: one answer at the start, another one at the end."""


def scripted(behaviour: str = "pass", count: int = 4, everyone: str = "pass") -> str:
    """Return a child's program: GPU 3 behaves like this, the others pass."""
    text = SCRIPT.replace("COUNT", str(count)).replace("EVERYONE", everyone)
    return text.replace("BEHAVIOUR", behaviour)


def expected(program: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return the input of a test; ``program`` and ``driver_program`` stand for its children."""
    known = {"device_deadline_s": 20, "accelerator": "cuda", "nvml": False, "program": program}
    words = faults.words("2.14.1+cu130", "580.65.06")
    return {**known, "words": words, **changes}


def a_gpu(index: int, **changes: Any) -> dict[str, Any]:
    """Return what smoke/driver.py says of a GPU without work."""
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
    """Return the whole answer of smoke/driver.py."""
    return {"devices": list(gpus), "lost": [], "detail": "", "xids": [], **changes}


def driver_program(place: Path, before: dict[str, Any], *after: dict[str, Any]) -> str:
    """Return a program that gives these answers, or the same one twice; an empty one is a crash."""
    answers = f"{[before, *(after or [before])]!r}"
    return DRIVER.replace("ANSWERS", answers).replace("PLACE", repr(str(place / "asked")))


CHILD = """
def NAME(task):
    exec(compile(TEXT, "child", "exec"), {"input": task, "__name__": "__main__"})
    return 0
"""


def split(given: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the files of the program that scripted children change, and the input of a test."""
    changes = {}
    for key, name in (("program", "device"), ("driver_program", "driver")):
        if text := given.get(key):
            changes[f"smoke/{name}.py"] = CHILD.replace("NAME", name).replace("TEXT", repr(text))
    return changes, {k: v for k, v in given.items() if k not in ("program", "driver_program")}


STAND_IN = """
import json, sys
exec(compile(PROGRAMS[sys.argv[1]], "child", "exec"), {"input": json.load(sys.stdin)})
"""
"""Stands for the whole program where nothing but the children's scripts runs: half the time."""


def in_process(given: dict[str, Any]) -> dict[str, Any]:
    """Return the document of a test that runs in this process."""
    programs = {"device": given["program"], "driver": given.get("driver_program")}
    _, asked = split(given)
    with TemporaryDirectory() as place:
        stand_in = Path(place) / "children.py"
        stand_in.write_text(STAND_IN.replace("PROGRAMS", repr(programs)))
        bare = patch.object(sys, "executable", node_program.bare_python())
        with patch.object(children, "PROGRAM", stand_in), bare:
            return probe.test({**probe.DEFAULTS, **asked})


def run(
    python: str, given: dict[str, Any], more: dict[str, str] | None = None
) -> tuple[dict[str, Any], int]:
    """Run the test as a deploy does; its output must be one line of JSON and nothing else."""
    changes, asked = split(given)
    with TemporaryDirectory() as place:
        directory = node_program.unpacked(Path(place), {**changes, **(more or {})})
        done = node_program.run(python, directory, "smoke", asked)
    assert done.stdout.count("\n") == 1, done.stderr
    return json.loads(done.stdout), done.returncode

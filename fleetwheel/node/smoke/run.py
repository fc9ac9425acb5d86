"""Test the torch of this Python on every device, in one process each.

Prints one JSON document, described in docs/smoke-test.md, and a line per device on standard error.
Exits 0 when everything passed, 2 when a device or the environment failed, 3 when nothing could be
tested.

This program never imports torch. Its children do (device.py), each with a deadline; driver.py asks
NVML. They tell what they do in a file, so that a crash, a hang or a child that cannot be killed is
the failure of one device and no more.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from fleetwheel.node import faults
from fleetwheel.node.faults import named
from fleetwheel.node.readers import readers
from fleetwheel.node.smoke.children import Job, ask
from fleetwheel.node.smoke.counters import compare_driver
from fleetwheel.node.smoke.devices import (
    Device,
    absent_gpus,
    disagreements,
    driver_jobs,
    find_devices,
    first_look,
    narrowed,
)
from fleetwheel.node.smoke.environment import differences
from fleetwheel.node.smoke.others import AnotherUser, is_for_all
from fleetwheel.node.smoke.together import full_part, test_together
from fleetwheel.node.smoke.verdict import WANT_OF_MEMORY, sentence, verdict

DEFAULTS: dict[str, Any] = {
    "packages": {},
    "variant": None,
    "cuda": None,
    "arch_list": None,
    "level": "quick",
    "device_deadline_s": 120,
    "accelerator": None,
    "gpus": None,
    "sustained_s": 60,
    "min_fraction": None,
    "words": faults.words(),
    "nvml": True,
}
"""The input, described in docs/smoke-test.md."""
ABOUT = "Test the torch of this Python on every device."
ASKED_AGAIN_S = 10
"""Seconds for NVML to say who holds a GPU that had no room: an extra wait, so a short one."""
HOLDERS = ("held_by", "memory_free_mib", "compute_mode")
"""What NVML's entry says of those who hold a GPU."""


def test(expected: dict[str, Any]) -> dict[str, Any]:
    """Test the torch of this Python on every device; return the document."""
    started = time.monotonic()
    own = Path(sys.prefix)
    other = AnotherUser(readers(own)) if is_for_all(own) else None
    look, driver = first_look(expected)
    devices = find_devices(expected, look, driver)
    told = ask([device_job(expected, device) for device in devices], expected["device_deadline_s"])
    devices = with_holders(expected, devices, told)
    full = expected["level"] == "full"
    together, untested = test_together(expected, devices, told) if full else ([], [])
    asked = full and bool(driver.get("devices"))
    since, odd = compare_driver(expected, devices, told, driver) if asked else ([], [])
    torch: dict[str, Any] = next((t["torch"] for t in [look, *told] if "torch" in t), {})
    absent = absent_gpus(expected, look, devices)
    wrong, elsewhere = disagreements(look, driver), []
    if expected["gpus"] and not absent:  # then it is with a GPU that need not be tested
        wrong, elsewhere = [], wrong
    problems = differences(expected, torch) + absent + wrong + since
    if not devices and not absent:
        problems.append(look["error"] or "No CUDA GPUs are available")
    found: dict[str, Any] = {}
    for problem in problems:
        fault = named(problem, expected["words"])
        found.setdefault(fault["name"], fault)
    results = [verdict(*pair, expected) for pair in zip(devices, told)]  # noqa: B905
    states = {result["status"] for result in results}
    sound = "failed" not in states | {result["status"] for result in together}
    return {
        "schema": "fleetwheel.smoke/1",
        "passed": not found and sound and "passed" in states,
        "level": expected["level"],
        "torch": torch.get("version"),
        "cuda": torch.get("cuda"),
        "python": platform.python_version(),
        "faults": list(found.values()),
        "warnings": warnings_of(expected, look, driver, told) + elsewhere + untested + odd,
        "others": other.cannot(expected["device_deadline_s"]) if other else "",
        "devices": results,
        "together": together,
        "seconds": round(time.monotonic() - started, 2),
    }


def device_job(expected: dict[str, Any], device: Device) -> Job:
    task = {
        "device": device.local,
        "driver": device.driver,
        "numpy": "numpy" in expected["packages"],
    }
    if expected["level"] == "full":
        task["full"] = full_part(expected, "device")
    return Job("device", task, device.environment)


def with_holders(
    expected: dict[str, Any], devices: list[Device], told: list[dict[str, Any]]
) -> list[Device]:
    """Ask NVML again where a GPU had no room: somebody may have come after the first look."""
    faults = [named(what["error"], expected["words"])["name"] for what in told]
    if not expected["nvml"] or not {*WANT_OF_MEMORY, "device-busy"} & set(faults):
        return devices
    now = ask(driver_jobs(expected), min(ASKED_AGAIN_S, expected["device_deadline_s"]))[0]
    entries = {entry["uuid"]: entry for entry in now.get("devices", [])}
    found = []
    for device in devices:
        entry = entries.get(device.driver.get("uuid"), {})
        holders = {key: entry[key] for key in HOLDERS if key in entry}
        found.append(device._replace(driver={**device.driver, **holders}))
    return found


def warnings_of(
    expected: dict[str, Any],
    look: dict[str, Any],
    driver: dict[str, Any],
    told: list[dict[str, Any]],
) -> list[str]:
    """Return what is odd but breaks nothing."""
    found = matrix_warnings(expected["arch_list"], look.get("arch_list"))
    silent = driver.get("error") or driver.get("detail")
    if silent and not driver.get("devices"):
        found.append(f"NVML did not answer, so nothing was compared with it: {silent}")
    if look.get("devices") and narrowed():
        found.append("CUDA_VISIBLE_DEVICES is set on this host: only what it shows was tested")
    if expected["level"] == "full" and driver.get("devices") and driver["xids"] is None:
        found.append("Xid errors were not counted: the kernel's log cannot be read")
    return found + [what["warning"] for what in told if "warning" in what]


def matrix_warnings(expected: list[str] | None, found: list[str] | None) -> list[str]:
    if not expected or not found or set(expected) == set(found):
        return []
    return [f"matrix row wrong: torch is built for {' '.join(found)}, not {' '.join(expected)}"]


def smoke(given: dict[str, Any]) -> int:
    """Run the test with this input, print its document, and return the exit code."""
    expected = {**DEFAULTS, **given}
    try:
        require_known(expected)
        document = test(expected)
        tested = document["devices"] + document["together"]
        failed = document["faults"] or any(result["status"] == "failed" for result in tested)
        code = 0 if document["passed"] else 2 if failed else 3
    except (OSError, ValueError) as error:
        fault = named(f"{type(error).__name__}: {error}", faults.words())
        document = {"schema": "fleetwheel.smoke/1", "passed": False, "faults": [fault]}
        code = 3
    lines = [sentence(fault) for fault in document["faults"]] + document.get("warnings", [])
    tested = document.get("devices", []) + document.get("together", [])
    lines += [result["summary"] for result in tested]
    print("\n".join(lines), file=sys.stderr, flush=True)
    print(json.dumps(document), flush=True)
    return code


def require_known(expected: dict[str, Any]) -> None:
    unknown = set(expected) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"the input has unknown keys: {', '.join(sorted(unknown))}")
    known = expected["accelerator"] in (None, "cpu", "cuda")
    if expected["level"] not in ("quick", "full") or not known:
        raise ValueError("the input asks for a level or an accelerator that is not known here")


def by_hand(words: list[str]) -> int:
    """Run the test for a person, which expects nothing unless a file says so."""
    parser = argparse.ArgumentParser("fleetwheel-node test", description=ABOUT)
    parser.add_argument("--json-input", type=Path, metavar="FILE", help="see docs/smoke-test.md")
    file = parser.parse_args(words).json_input
    return smoke(read_input(file) if file else {})


def read_input(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        print(f"{file} cannot be read as an object of JSON: {error}", file=sys.stderr)
        sys.exit(3)

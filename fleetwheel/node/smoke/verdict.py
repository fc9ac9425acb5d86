"""The verdict on one device: passed, failed, or left to others who hold it."""

from __future__ import annotations

from typing import Any

from fleetwheel.node.faults import named
from fleetwheel.node.smoke.devices import Device

OF_OTHERS = ("in-use", "memory-held")
"""Faults that say themselves that others hold the GPU."""
WANT_OF_MEMORY = ("out-of-memory", "library-start")
"""Faults that are no faults of the GPU where NVML tells that others hold its memory."""
EXCLUSIVE = ("exclusive-thread", "exclusive-process")
"""Compute modes in which a single process holds a GPU."""
HELD_MIB = 1024
"""A GPU whose free memory is less than this, and than a quarter of all, is held by others."""


def verdict(device: Device, told: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Judge one device: it must have told of every check that it planned, and passed each."""
    problems = problems_of(told, expected["min_fraction"])
    fault = named(problems[0], expected["words"]) if problems else None
    busy = fault and device.local != "cpu" and is_busy(fault, device.driver)
    status = "skipped" if busy else "failed" if problems else "passed"
    if fault:
        fault["error"] = "\n".join([fault["error"], *problems[1:]])[:2000]
    missing = [check["name"] for check in told["checks"] if check.get("unsupported")]
    checked = f"{len(told['checks'])} checks in {told['seconds']} s"
    imported = told.get("imported", ())
    checked += f", {len(imported)} packages imported" if imported else ""
    checked += f", not supported by this GPU: {', '.join(missing)}" if missing else ""
    why = sentence(fault) if fault else checked
    summary = f"{device.shown['device']} {device.shown['name']}: {status}, {why}"
    kept = ("seed", "import_s", "seconds", "checks", "measured")
    found = {key: told.get(key) for key in kept}
    return {**device.shown, "status": status, "summary": summary, "fault": fault, **found}


def problems_of(told: dict[str, Any], min_fraction: float | None) -> list[str]:
    """Return what was wrong with one device, the first thing first: an exception ends a test."""
    problems: list[str] = list(told.get("unimportable", ()))
    problems += [
        f"{check['name']}: relative error {check['error'] or 'NaN'} is above {check['bound']}"
        for check in told["checks"]
        if not check["passed"] and not check.get("unsupported")
    ]
    problems += [told["error"]] if told["error"] else []
    done = [check["name"] for check in told["checks"]]
    if not told["error"] and (not done or done != told.get("planned")):
        problems.append(f"ended without a result after {told.get('start', 'its start')}")
    problems += told.get("risen", [])
    problems += [
        f"{m['name']}: {m['fraction']} of what the clocks promise is less than {min_fraction}"
        for m in told["measured"]
        if min_fraction and m["fraction"] is not None and m["fraction"] < min_fraction
    ]
    return problems


def is_busy(fault: dict[str, str], driver: dict[str, Any]) -> bool:
    """Whether others hold the GPU, who are then named: it is not broken."""
    if fault["name"] not in (*OF_OTHERS, *WANT_OF_MEMORY, "device-busy"):
        return False
    mode, held_by = driver.get("compute_mode"), driver.get("held_by")
    said = [f"compute mode {mode}"] if mode not in (None, "default") else []
    said += [f"held by {held_by}"] if held_by else []
    first, _, rest = fault["error"].partition("\n")
    if said and not any(words in first for words in said):
        fault["error"] = f"{first} ({', '.join(said)})\n{rest}".strip()
    if fault["name"] in WANT_OF_MEMORY:
        return memory_is_held(driver)
    return fault["name"] in OF_OTHERS or bool(held_by and mode in (None, *EXCLUSIVE))


def memory_is_held(driver: dict[str, Any]) -> bool:
    """Whether NVML counts next to no free memory: in a container nobody is seen to hold it.

    Where it counts none at all, a process on the GPU has to do.
    """
    free, total = driver.get("memory_free_mib"), driver.get("memory_total_mib")
    if free is None or total is None:
        return bool(driver.get("held_by"))
    return bool(free < min(HELD_MIB, total // 4))


def sentence(fault: dict[str, str]) -> str:
    return f"{fault['meaning']} ({fault['error'].splitlines()[0][:300]}): {fault['repair']}"

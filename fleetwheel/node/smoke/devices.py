"""Which devices there are to test, by what torch and the driver say of them."""

from __future__ import annotations

import os
import platform
import re
from typing import Any, NamedTuple

from fleetwheel.node.smoke.children import Job, ask

SHOWN = ("device", "name", "uuid", "capability", "memory_total_mib")
"""What the document says of a GPU."""
NAMED = ("GPU-", "MIG-")
"""How the UUIDs begin that CUDA_VISIBLE_DEVICES takes; those of a Jetson begin otherwise."""


class Device(NamedTuple):
    """One device to test: what the document says of it, and how a child gets at it."""

    shown: dict[str, Any]
    local: str
    """Its name in the child, which may see no other GPU: ``cuda:0``."""
    environment: dict[str, str]
    driver: dict[str, Any]
    """The driver's entry (smoke_driver.py), empty where nobody asked it."""


def first_look(expected: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what torch and the driver tell of the GPUs: nothing where the CPU is to be tested."""
    if expected["accelerator"] == "cpu":
        return {}, {}
    jobs = [Job("device", {"device": None}, {}), *driver_jobs(expected)]
    look, *driver = ask(jobs, expected["device_deadline_s"])
    return look, driver[0] if driver else {}


def driver_jobs(expected: dict[str, Any]) -> list[Job]:
    return [Job("driver", {}, {})] if expected["nvml"] else []


def find_devices(
    expected: dict[str, Any], look: dict[str, Any], driver: dict[str, Any]
) -> list[Device]:
    """Return the devices to test: the GPUs and MIG instances of the driver, each by its UUID.

    Torch's number of a GPU is shown where it has one: it may count otherwise than NVML does.
    Without NVML, and where CUDA_VISIBLE_DEVICES narrows what there is, torch's own list decides.
    """
    cpu_wheel = "torch" in look and look["torch"]["cuda"] is None
    if expected["accelerator"] == "cpu" or (cpu_wheel and expected["accelerator"] is None):
        return [Device({"device": "cpu", "name": platform.machine()}, "cpu", {}, {})]
    entries = driver.get("devices", [])
    found = [
        Device(shown, shown["device"], {}, entry_of(shown, look["devices"], entries))
        for shown in look.get("devices", [])
    ]
    if found and entries and all(is_named(entry) for entry in entries) and not narrowed():
        order = {bare(device.shown["uuid"]): device.shown["device"] for device in found}
        found = [
            Device(
                {
                    **{key: entry[key] for key in SHOWN},
                    "device": order.get(bare(entry["uuid"]), entry["device"]),
                },
                "cuda:0",
                visible(entry["uuid"]),
                entry,
            )
            for entry in entries
        ]
    wanted = expected["gpus"] and [bare(uuid) for uuid in expected["gpus"]]
    return [d for d in found if wanted is None or bare(wanted_uuid(d)) in wanted]


def entry_of(
    shown: dict[str, Any], seen: list[dict[str, Any]], entries: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what the driver says of a GPU that torch shows; a single one needs no UUID."""
    if len(seen) == len(entries) == 1:
        return entries[0]
    same = [e for e in entries if e["uuid"] and bare(e["uuid"]) == bare(shown.get("uuid"))]
    return same[0] if same else {}


def is_named(entry: dict[str, Any]) -> bool:
    """Whether CUDA_VISIBLE_DEVICES can name a GPU by the UUID that NVML gives it."""
    return (entry["uuid"] or "").startswith(NAMED)


def bare(uuid: str | None) -> str:
    """Return a UUID without its kind, which NVML leaves out on a Jetson."""
    return re.sub("^(GPU|MIG)-", "", uuid or "").lower()


def wanted_uuid(device: Device) -> str | None:
    """Return the UUID of the GPU, also of a MIG instance."""
    uuid: str | None = device.driver.get("gpu") or device.shown.get("uuid")
    return uuid


def narrowed() -> bool:
    return "CUDA_VISIBLE_DEVICES" in os.environ


def visible(*uuids: str) -> dict[str, str]:
    """Return the environment of a process that sees these GPUs and no others, in this order."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(uuids)}


def in_one_process(devices: list[Device]) -> list[Device]:
    """Return the devices as a process names them that sees them all."""
    if not devices[0].environment:
        return devices
    environment = visible(*[device.shown["uuid"] for device in devices])
    return [
        device._replace(local=f"cuda:{place}", environment=environment)
        for place, device in enumerate(devices)
    ]


def absent_gpus(expected: dict[str, Any], look: dict[str, Any], devices: list[Device]) -> list[str]:
    """Return a sentence on the GPUs that are to be tested and not found, where any are."""
    found = [bare(wanted_uuid(device)) for device in devices]
    wanted = (expected["gpus"] or []) if look.get("devices") else []
    absent = [uuid for uuid in wanted if bare(uuid) not in found]
    return [f"GPUs to test not found: {', '.join(absent)}"] if absent else []


def disagreements(look: dict[str, Any], driver: dict[str, Any]) -> list[str]:
    """Return where NVML and torch list different GPUs.

    Torch shows one MIG instance at most, and with CUDA_VISIBLE_DEVICES fewer GPUs than there are:
    then there is no list to compare, only each device by itself (smoke_device.py).
    """
    lost: list[str] = driver.get("lost", [])
    entries, seen = driver.get("devices", []), look.get("devices")
    if lost or seen is None or not entries or narrowed() or any(gpu["mig"] for gpu in entries):
        return lost
    if len(seen) != len(entries):
        return [f"NVML and torch disagree: NVML shows {len(entries)} GPUs, torch {len(seen)}"]
    if not all(is_named(entry) for entry in entries):
        return []
    known = [bare(entry["uuid"]) for entry in entries]
    unknown = [gpu["uuid"] for gpu in seen if gpu.get("uuid") and bare(gpu["uuid"]) not in known]
    return [f"NVML and torch disagree: NVML does not know {uuid}" for uuid in unknown]

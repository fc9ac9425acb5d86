"""What the driver has counted during a test: errors of memory, and Xid errors."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fleetwheel.node.smoke.children import ask
from fleetwheel.node.smoke.devices import Device, driver_jobs

CORRECTED = ("ecc_corrected", "remapped_correctable")
"""Counts of errors that the GPU has put right by itself: more of them are a warning."""
APPLICATION_XIDS = (13, 31, 43, 45)
"""Xid errors that a faulty program causes on a sound GPU (NVIDIA's catalog of Xid errors)."""


def compare_driver(
    expected: dict[str, Any],
    devices: list[Device],
    told: list[dict[str, Any]],
    before: dict[str, Any],
) -> tuple[list[str], list[str]]:
    """Ask the driver again: what its counters and Xid errors say of a GPU goes to that GPU.

    Returns what is wrong with the host, and warnings.
    """
    after = ask(driver_jobs(expected), expected["device_deadline_s"])[0]
    if "devices" not in after:
        return [f"NVML does not answer any more after the test: {after['error']}"], []
    entries = {entry["uuid"]: entry for entry in after["devices"]}
    known = before["xids"] or []
    new = [xid for xid in map(parse_xid, after["xids"] or []) if xid.line not in known]
    others, warnings = new, []
    for device, what in zip(devices, told):  # noqa: B905
        what["risen"], corrected = changes_of(device, entries)
        warnings += corrected
        bus = pci_address(device.driver.get("pci_bus_id") or "")
        mine = [xid for xid in new if bus and xid.bus == bus]
        what["risen"] += [xid.line for xid in mine if xid.number not in APPLICATION_XIDS][:1]
        others = [xid for xid in others if xid not in mine or xid.number in APPLICATION_XIDS]
    said = "an Xid error on a GPU that was not tested, or caused by a program"
    warnings += [f"{said}: {xid.line}" for xid in others[:9]]
    lost: list[str] = after["lost"]
    return ([], lost + warnings) if expected["gpus"] else (lost, warnings)


def changes_of(device: Device, entries: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return what NVML's entries after the test say against a device, and warnings about it."""
    uuid = device.driver.get("uuid")
    if uuid is None:
        return [], []
    if uuid not in entries:
        return [f"NVML does not show {uuid} any more after the test"], []
    before, after = device.driver["counters"], entries[uuid]["counters"]
    harmless = {name: count for name, count in before.items() if name in CORRECTED}
    grave = {name: count for name, count in before.items() if name not in CORRECTED}
    label = device.shown["device"]
    return risen(grave, after), [f"{label}: {said}" for said in risen(harmless, after)]


class Xid(NamedTuple):
    """A line of the kernel's log on an error of a GPU."""

    line: str
    bus: tuple[int, ...]
    number: int


def parse_xid(line: str) -> Xid:
    """Read ``NVRM: Xid (PCI:0000:41:00): 79, …``, in some drivers without ``PCI:``."""
    found = re.search(r"Xid \((?:PCI:)?([0-9A-Fa-f:.]+)\): ([0-9]+)", line)
    return Xid(line, pci_address(found[1]), int(found[2])) if found else Xid(line, (), 0)


def pci_address(text: str) -> tuple[int, ...]:
    """Return domain, bus and device as numbers: NVML writes a longer domain, and the function."""
    return tuple(int(part, 16) for part in re.findall("[0-9A-Fa-f]+", text)[:3])


def risen(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return a sentence for each count of errors that went up."""
    return [
        f"NVML's count {name} rose from {count:d} to {after[name]:d} during the test"
        for name, count in before.items()
        if after.get(name, 0) > count
    ]

"""What several devices do at once at the full level: copies between them, and an all-reduce."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from fleetwheel.node.smoke.children import Job, ask
from fleetwheel.node.smoke.devices import Device, in_one_process
from fleetwheel.node.smoke.verdict import verdict


def test_together(
    expected: dict[str, Any], devices: list[Device], told: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Copy between the GPUs that have passed alone, and reduce over all of them.

    MIG instances cannot reach each other, and Windows has no NCCL. Two processes stand for a CPU.
    Returns results, and warnings of what there was no time for.
    """
    pairs = zip(devices, told)  # noqa: B905
    sound = [d for d, t in pairs if verdict(d, t, expected)["status"] == "passed"]
    whole = [d for d in sound if not d.driver.get("mig")]
    members = whole * 2 if [d.local for d in whole] == ["cpu"] else whole
    found, untested = copy_between(expected, whole)
    if members and os.name != "nt":
        with tempfile.TemporaryDirectory() as place:
            meeting = str(Path(place) / "meeting")
            local = in_one_process(members)
            jobs = [
                part_job(
                    expected, device, "all-reduce", rank=rank, world=len(members), meeting=meeting
                )
                for rank, device in enumerate(local)
            ]
            told = ask(jobs, expected["device_deadline_s"])
        name = f"all-reduce of {len(members)}"
        for device, what in zip(local, told):  # noqa: B905
            found.append(part_verdict(expected, device, device.shown["device"], name, what))
    return found, untested


def copy_between(
    expected: dict[str, Any], whole: list[Device]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Copy both ways between every two GPUs, in rounds in which a GPU has one partner.

    A process does it for two GPUs alone: at most eight can be joined to one at a time (error 711,
    cudaErrorTooManyPeers), and what joins them ends with the process.
    """
    found: list[dict[str, Any]] = []
    deadline_s = expected["device_deadline_s"] / 4
    last_start = time.monotonic() + expected["device_deadline_s"] - deadline_s
    left = rounds(whole)
    while left and time.monotonic() <= last_start:
        pairs = left.pop(0)
        local = [in_one_process(list(pair)) for pair in pairs]
        jobs = [
            part_job(
                expected,
                pair[0],
                "peers",
                places=[device.local for device in pair],
                labels=[device.shown["device"] for device in pair],
            )
            for pair in local
        ]
        for pair, told in zip(local, ask(jobs, deadline_s)):  # noqa: B905
            both = " and ".join(device.shown["device"] for device in pair)
            found.append(part_verdict(expected, pair[0], both, "copies", told))
    count = sum(len(pairs) for pairs in left)
    late = f"copies between {count} pairs of GPUs were not tested: smoke_timeout is too short"
    return found, [late] if left else []


def rounds(players: list[Any]) -> list[list[tuple[Any, Any]]]:
    """Return rounds of disjoint pairs in which everyone meets everyone else once."""
    ring = list(players) + [None] * (len(players) % 2)
    found = []
    for _ in range(len(ring) - 1):
        pairs = list(zip(ring[: len(ring) // 2], reversed(ring)))  # noqa: B905
        found.append([pair for pair in pairs if None not in pair])
        ring.insert(1, ring.pop())
    return found


def part_job(expected: dict[str, Any], device: Device, part: str, **given: Any) -> Job:
    """Return a part of the full level for a process that sees several devices."""
    task = {"device": device.local, "full": full_part(expected, part, **given)}
    return Job("device", task, device.environment)


def part_verdict(
    expected: dict[str, Any], device: Device, label: str, name: str, told: dict[str, Any]
) -> dict[str, Any]:
    return verdict(device._replace(shown={"device": label, "name": name}), told, expected)


def full_part(expected: dict[str, Any], part: str, **more: Any) -> dict[str, Any]:
    """Return what full.py needs for one of its parts."""
    return {"part": part, "sustained_s": expected["sustained_s"], **more}

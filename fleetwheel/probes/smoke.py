"""Test the torch of this Python on every device, in one process each: Python 3.8 or newer.

Runs by itself, ``python smoke.py [--json-input FILE]``, or over standard input with its input in
the global name ``input`` (see ``connection/remote.py``). Prints one JSON document, described in
docs/smoke-test.md, and a line per device on standard error. Exits 0 when everything passed, 2 when
a device or the environment failed, 3 when nothing could be tested.

This program never imports torch. Its children do (smoke_device.py, which smoke_full.py joins at the
full level; smoke_driver.py asks NVML), each with a deadline; they tell what they do in a file, so
that a crash, a hang or a child that cannot be killed is the failure of one device and no more.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import runpy
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

BOOTSTRAP = "import json,sys;d=json.load(sys.stdin);exec(compile(d['program'],'probe','exec'),d)"
"""The same as in connection/remote.py: a child starts the way this program did."""

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
    "faults": [],
    "program": None,
    "full_program": None,
    "driver_program": None,
    "nvml": None,
}
NOBODY = 65534
"""The user and group that own nothing on Linux."""
START = ("-I", "-c", "import torch")
GRACE = 5
"""Seconds that a child gets to end after its deadline, and again after SIGKILL."""
FAMILY = ("torch", "torchvision", "torchaudio")
"""Without a label in the lock, these may have any: PyPI's torch has one, PyPI's file name none."""
SHOWN = ("device", "name", "uuid", "capability", "memory_total_mib")
"""What the document says of a GPU."""
OF_OTHERS = ("in-use", "memory-held")
"""Faults that say themselves that others hold the GPU."""
WANT_OF_MEMORY = ("out-of-memory", "library-start")
"""Faults that are no faults of the GPU where NVML tells that others hold its memory."""
ASKED_AGAIN_S = 10
"""Seconds for NVML to say who holds a GPU that had no room: an extra wait, so a short one."""
EXCLUSIVE = ("exclusive-thread", "exclusive-process")
"""Compute modes in which a single process holds a GPU."""
CORRECTED = ("ecc_corrected", "remapped_correctable")
"""Counts of errors that the GPU has put right by itself: more of them are a warning."""
HELD_MIB = 1024
"""A GPU whose free memory is less than this, and than a quarter of all, is held by others."""
CLEARED = ("CUDA_", "NVIDIA_TF32", "PYTORCH_", "TORCH", "CUBLAS", "CUDNN", "NCCL_", "GLOO_", "OMP_")
"""Beginnings of variables that change how torch and CUDA work: a child gets none of them."""
KEPT = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MPS_")
"""Those that say which GPUs there are and how to reach them."""
HOLDERS = ("held_by", "memory_free_mib", "compute_mode")
"""What NVML's entry says of those who hold a GPU."""
NAMED = ("GPU-", "MIG-")
"""How the UUIDs begin that CUDA_VISIBLE_DEVICES takes; those of a Jetson begin otherwise."""
APPLICATION_XIDS = (13, 31, 43, 45)
"""Xid errors that a faulty program causes on a sound GPU (NVIDIA's catalog of Xid errors)."""


class Device(NamedTuple):
    """One device to test: what the document says of it, and how a child gets at it."""

    shown: dict[str, Any]
    local: str
    """Its name in the child, which may see no other GPU: ``cuda:0``."""
    environment: dict[str, str]
    driver: dict[str, Any]
    """The driver's entry (smoke_driver.py), empty where nobody asked it."""


class Job(NamedTuple):
    """What one child does: a program, its input, and what its environment has besides."""

    program: str
    task: dict[str, Any]
    environment: dict[str, str]


class Child:
    """A process at work on one device, its input and output in files and not in pipes."""

    def __init__(self, job: Job, deadline_s: float, threads: int) -> None:
        self.seed = secrets.randbits(32)
        self.deadline_s = deadline_s
        task = {"seed": self.seed, "deadline_s": deadline_s, **job.task}
        document = {"program": job.program, "input": task, "__name__": "__main__"}
        self.output, self.errors = scratch(), scratch()
        self.started = self.ended = time.monotonic()
        with scratch(json.dumps(document)) as stdin:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOTSTRAP],
                env={**known_environment(threads), **job.environment},
                stdin=stdin,
                stdout=self.output,
                stderr=self.errors,
            )

    def running(self) -> bool:
        """Whether to go on waiting; kills the child that outstays its deadline, and gives it up."""
        if self.process.returncode is not None:
            return False
        self.ended = time.monotonic()
        overdue = self.ended - self.started - self.deadline_s
        if self.process.poll() is not None or overdue > 2 * GRACE:
            return False
        if overdue > GRACE:
            self.process.kill()
        return True

    def told(self) -> dict[str, Any]:
        """Return its events merged: ``checks``, and in ``error`` what ended it too early."""
        told: dict[str, Any] = {"checks": [], "measured": [], "seed": self.seed, "error": ""}
        for event in events(self.output):
            for one, many in (("check", "checks"), ("measurement", "measured")):
                if one in event:
                    told[many].append(event.pop(one))
            told.update(event)
        told["seconds"] = round(self.ended - self.started, 2)
        how, last_words = self.how_it_ended(), read(self.errors)[-1500:]
        if how and not told["error"]:
            told["error"] = f"{how}, during {told.get('start', 'its start')}\n{last_words}".strip()
        return told

    def how_it_ended(self) -> str:
        code = self.process.returncode
        if code is None:
            return f"no answer within {self.deadline_s:g} s, and SIGKILL does not end it"
        if code and self.ended - self.started >= self.deadline_s:
            return f"no answer within {self.deadline_s:g} s"
        if code < 0:
            names = [known.name for known in signal.Signals if known == -code]
            return "ended by " + (names or [f"signal {-code}"])[0]
        return f"ended with exit code {hex(code) if code > 255 else code}" if code else ""


def known_environment(threads: int) -> dict[str, str]:
    """Return the environment without what changes results or speed, for so many threads."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(CLEARED) or name.startswith(KEPT)
    }
    return {**kept, "OMP_NUM_THREADS": str(threads)}


def cores() -> int:
    """Return how many processors this process may use."""
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known else os.cpu_count() or 1


def scratch(text: str = "") -> IO[bytes]:
    """Return a file without a name that holds this text."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the child needs it
    file.write(text.encode())
    file.seek(0)
    return file


def read(file: IO[bytes]) -> str:
    """Return all of a scratch file, and give it up."""
    with file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def events(output: IO[bytes]) -> list[dict[str, Any]]:
    """Return the events of a child; other lines were cut off, or printed before it began."""
    found = []
    for line in read(output).splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in found if isinstance(event, dict)]


def ask(jobs: list[Job], deadline_s: float) -> list[dict[str, Any]]:
    """Return what each child tells; all work at once and share the processors."""
    children: list[Child] = []
    threads = max(1, cores() // max(1, len(jobs)))
    try:
        for job in jobs:
            children.append(Child(job, deadline_s, threads))
        while sum(child.running() for child in children):
            time.sleep(0.02)
    except BaseException:
        for child in children:
            child.process.kill()
        raise
    return [child.told() for child in children]


def test(expected: dict[str, Any]) -> dict[str, Any]:
    """Test the torch of this Python on every device; return the document."""
    started = time.monotonic()
    other = AnotherUser() if is_for_all(Path(sys.prefix)) else None
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
    faults: dict[str, Any] = {}
    for problem in problems:
        fault = named(problem, expected["faults"])
        faults.setdefault(fault["name"], fault)
    results = [verdict(*pair, expected) for pair in zip(devices, told)]  # noqa: B905
    states = {result["status"] for result in results}
    sound = "failed" not in states | {result["status"] for result in together}
    return {
        "schema": "fleetwheel.smoke/1",
        "passed": not faults and sound and "passed" in states,
        "level": expected["level"],
        "torch": torch.get("version"),
        "cuda": torch.get("cuda"),
        "python": platform.python_version(),
        "faults": list(faults.values()),
        "warnings": warnings_of(expected, look, driver, told) + elsewhere + untested + odd,
        "others": other.cannot(expected["device_deadline_s"]) if other else "",
        "devices": results,
        "together": together,
        "seconds": round(time.monotonic() - started, 2),
    }


def is_for_all(generation: Path) -> bool:
    """Whether root made this generation under a root directory that every user can reach."""
    envs, *root_and_above = generation.resolve().parents
    if os.name == "nt" or os.geteuid() != 0 or envs.name != "envs":
        return False
    return all(place.stat().st_mode & 0o001 for place in root_and_above)


def become_another_user() -> None:
    """Give up everything that root has; a program that is started afterwards has none of it."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


class AnotherUser:
    """A start of this environment by a user that has no rights of its own."""

    def __init__(self) -> None:
        self.errors, self.failed = scratch(), ""
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.process = subprocess.Popen(
                [sys.executable, *START],
                cwd="/",
                env={**known_environment(1), "HOME": "/"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.errors,
                preexec_fn=become_another_user,
            )
        except OSError as error:
            self.failed = f"{sys.executable}: {error.strerror}"
        except subprocess.SubprocessError:
            pass  # no such user here, as in some containers: there is nobody to try it for

    def cannot(self, deadline_s: float) -> str:
        """Return why the user could not start it; empty where it could, or there is none."""
        with self.errors:
            if self.process is None:
                return self.failed
            try:
                code = self.process.wait(timeout=deadline_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                return f"no answer within {deadline_s:g} s"
            return (read(self.errors).strip()[-300:] or f"exit code {code}") if code else ""


def first_look(expected: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what torch and the driver tell of the GPUs: nothing where the CPU is to be tested."""
    if expected["accelerator"] == "cpu":
        return {}, {}
    jobs = [Job(expected["program"], {"device": None}, {}), *driver_jobs(expected)]
    look, *driver = ask(jobs, expected["device_deadline_s"])
    return look, driver[0] if driver else {}


def driver_jobs(expected: dict[str, Any]) -> list[Job]:
    archive = expected["nvml"]
    return [Job(expected["driver_program"], {"archive": archive}, {})] if archive else []


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


def device_job(expected: dict[str, Any], device: Device) -> Job:
    task = {
        "device": device.local,
        "driver": device.driver,
        "numpy": "numpy" in expected["packages"],
    }
    if expected["level"] == "full":
        task["full"] = full_part(expected, "device")
    return Job(expected["program"], task, device.environment)


def with_holders(
    expected: dict[str, Any], devices: list[Device], told: list[dict[str, Any]]
) -> list[Device]:
    """Ask NVML again where a GPU had no room: somebody may have come after the first look."""
    faults = [named(what["error"], expected["faults"])["name"] for what in told]
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


def full_part(expected: dict[str, Any], part: str, **more: Any) -> dict[str, Any]:
    """Return what smoke_full.py needs for one of its parts."""
    known = {"program": expected["full_program"], "sustained_s": expected["sustained_s"]}
    return {"part": part, **known, **more}


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
    return Job(expected["program"], task, device.environment)


def part_verdict(
    expected: dict[str, Any], device: Device, label: str, name: str, told: dict[str, Any]
) -> dict[str, Any]:
    return verdict(device._replace(shown={"device": label, "name": name}), told, expected)


def in_one_process(devices: list[Device]) -> list[Device]:
    """Return the devices as a process names them that sees them all."""
    if not devices[0].environment:
        return devices
    environment = visible(*[device.shown["uuid"] for device in devices])
    return [
        device._replace(local=f"cuda:{place}", environment=environment)
        for place, device in enumerate(devices)
    ]


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


def absent_gpus(expected: dict[str, Any], look: dict[str, Any], devices: list[Device]) -> list[str]:
    """Return a sentence on the GPUs that are to be tested and not found, where any are."""
    found = [bare(wanted_uuid(device)) for device in devices]
    wanted = (expected["gpus"] or []) if look.get("devices") else []
    absent = [uuid for uuid in wanted if bare(uuid) not in found]
    return [f"GPUs to test not found: {', '.join(absent)}"] if absent else []


def differences(expected: dict[str, Any], torch: dict[str, Any]) -> list[str]:
    """Return where the environment is not what was locked, one sentence for each kind."""
    found = installed()
    wrong = [
        f"{name} {found.get(name, '(missing)')} differs from the lock's {locked}"
        for name, locked in expected["packages"].items()
        if not same_version(name, locked, found.get(name, ""))
    ]
    locked = expected["packages"].get("torch")
    if torch and locked and not same_version("torch", locked, torch["version"]):
        wrong.append(f"the torch that is imported, {torch['version']}, differs from the lock's")
    problems = ["; ".join(wrong)] if wrong else []
    if torch and expected["variant"] and torch["cuda"] != expected["cuda"]:
        built = "CUDA " + torch["cuda"] if torch["cuda"] else "the CPU"
        wanted = expected["variant"]
        problems.append(f"torch {torch['version']} is built for {built}, but {wanted} was expected")
    return problems


def installed() -> dict[str, str]:
    """Return normalised name to version of everything installed, the first on sys.path first."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"] or ""
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return found


def same_version(name: str, locked: str, found: str) -> bool:
    """Compare local parts too, except where the lock's torch has none: PyPI's CUDA wheels."""
    if name in FAMILY and "+" not in locked:
        found = found.split("+")[0]
    return locked == found


def verdict(device: Device, told: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Judge one device: it must have told of every check that it planned, and passed each."""
    problems = problems_of(told, expected["min_fraction"])
    fault = named(problems[0], expected["faults"]) if problems else None
    busy = fault and device.local != "cpu" and is_busy(fault, device.driver)
    status = "skipped" if busy else "failed" if problems else "passed"
    if fault:
        fault["error"] = "\n".join([fault["error"], *problems[1:]])[:2000]
    missing = [check["name"] for check in told["checks"] if check.get("unsupported")]
    checked = f"{len(told['checks'])} checks in {told['seconds']} s"
    checked += f", not supported by this GPU: {', '.join(missing)}" if missing else ""
    why = sentence(fault) if fault else checked
    summary = f"{device.shown['device']} {device.shown['name']}: {status}, {why}"
    kept = ("seed", "import_s", "seconds", "checks", "measured")
    found = {key: told.get(key) for key in kept}
    return {**device.shown, "status": status, "summary": summary, "fault": fault, **found}


def problems_of(told: dict[str, Any], min_fraction: float | None) -> list[str]:
    """Return what was wrong with one device, the first thing first: an exception ends a test."""
    problems = [
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


def named(text: str, faults: list[list[Any]]) -> dict[str, str]:
    """Return an error text with the name, meaning and repair of its row.

    That is the row of its CUDA error number, or else the first whose pattern it matches.
    """
    number = re.search(r"(?<!NCCL )\bError ([0-9]+)\b", text)
    known = [row for row in faults if number and int(number[1]) in row[4]]
    known += [row for row in faults if re.search(row[1], text)]
    row = (known or [["unnamed", "", "the test failed", "read the error"]])[0]
    return {"name": row[0], "meaning": row[2], "repair": row[3], "error": text[:2000]}


def sentence(fault: dict[str, str]) -> str:
    return f"{fault['meaning']} ({fault['error'].splitlines()[0][:300]}): {fault['repair']}"


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


def main(given: dict[str, Any]) -> int:
    expected = {**DEFAULTS, **given}
    try:
        require_known(expected)
        document = test(expected)
        tested = document["devices"] + document["together"]
        failed = document["faults"] or any(result["status"] == "failed" for result in tested)
        code = 0 if document["passed"] else 2 if failed else 3
    except (OSError, ValueError) as error:
        fault = named(f"{type(error).__name__}: {error}", expected["faults"])
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


def arguments() -> dict[str, Any]:
    """Return the input of a run by hand, which expects nothing unless a file says so."""
    parser = argparse.ArgumentParser(description="Test the torch of this Python on every device.")
    parser.add_argument("--json-input", type=Path, metavar="FILE", help="see docs/smoke-test.md")
    file = parser.parse_args().json_input
    given: dict[str, Any] = read_input(file) if file else {}
    files = {
        "program": "smoke_device.py",
        "full_program": "smoke_full.py",
        "driver_program": "smoke_driver.py",
    }
    here = Path(__file__)
    texts = {key: here.with_name(name).read_text("utf-8") for key, name in files.items()}
    return {**texts, "faults": rows_of_faults(here), **given}


def rows_of_faults(here: Path) -> list[list[Any]]:
    """Return the rows of faults.py, which lies beside this program or, in a checkout, in smoke/."""
    places = (here.parent, here.parent.parent / "smoke")
    found = [place / "faults.py" for place in places if (place / "faults.py").exists()]
    rows: list[list[Any]] = runpy.run_path(str(found[0]))["table"]() if found else []
    return rows


def read_input(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        print(f"{file} cannot be read as an object of JSON: {error}", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    # Leave at once: a child that cannot be killed must not hold up the end of this process.
    os._exit(main(globals().get("input") or arguments()))

"""Test the torch of this Python on every device, in one process each: Python 3.8 or newer.

Runs by itself, ``python smoke.py [--json-input FILE]``, or over standard input with its input in
the global name ``input`` (see ``fleetwheel/remote.py``). Prints one JSON document, described in
docs/smoke-test.md, and a line per device on standard error. Exits 0 when everything passed, 2 when
a device or the environment failed, 3 when nothing could be tested.

This program never imports torch. Its children do (smoke_device.py), each with a deadline; they
tell what they do in a file, so that a crash, a hang or a child that cannot be killed is the failure
of one device and no more.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

BOOTSTRAP = "import json,sys;d=json.load(sys.stdin);exec(compile(d['program'],'probe','exec'),d)"
"""The same as in fleetwheel/remote.py: a child starts the way this program did."""

DEFAULTS: dict[str, Any] = {
    "packages": {},
    "variant": None,
    "cuda": None,
    "arch_list": None,
    "level": "quick",
    "device_deadline_s": 120,
    "accelerator": None,
    "faults": [],
    "program": None,
}
GRACE = 5
"""Seconds that a child gets to end after its deadline, and again after SIGKILL."""
FAMILY = ("torch", "torchvision", "torchaudio")
"""Without a label in the lock, these may have any: PyPI's torch has one, PyPI's file name none."""


class Child:
    """A process at work on one device, its input and output in files and not in pipes."""

    def __init__(self, program: str, device: str | None, deadline_s: float) -> None:
        self.seed = secrets.randbits(32)
        self.deadline_s = deadline_s
        task = {"device": device, "seed": self.seed, "deadline_s": deadline_s}
        document = {"program": program, "input": task, "__name__": "__main__"}
        self.output, self.errors = scratch(), scratch()
        self.started = self.ended = time.monotonic()
        with scratch(json.dumps(document)) as stdin:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOTSTRAP],
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
        told: dict[str, Any] = {"checks": [], "seed": self.seed, "error": ""}
        for event in events(self.output):
            if "check" in event:
                told["checks"].append(event.pop("check"))
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


def ask(program: str, devices: list[Any], deadline_s: float) -> list[dict[str, Any]]:
    """Return what one child per device tells, all at once; device None looks for GPUs."""
    children: list[Child] = []
    try:
        for device in devices:
            children.append(Child(program, device, deadline_s))
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
    look, devices = find_devices(expected)
    told = ask(expected["program"], [d["device"] for d in devices], expected["device_deadline_s"])
    torch: dict[str, Any] = next((t["torch"] for t in [look, *told] if "torch" in t), {})
    problems = differences(expected, torch)
    if not devices:
        problems.append(look["error"] or "No CUDA GPUs are available")
    faults: dict[str, Any] = {}
    for problem in problems:
        fault = named(problem, expected["faults"])
        faults.setdefault(fault["name"], fault)
    results = [verdict(*pair, expected["faults"]) for pair in zip(devices, told)]  # noqa: B905
    states = {result["status"] for result in results}
    return {
        "schema": "fleetwheel.smoke/1",
        "passed": not faults and "failed" not in states and "passed" in states,
        "level": expected["level"],
        "torch": torch.get("version"),
        "cuda": torch.get("cuda"),
        "python": platform.python_version(),
        "faults": list(faults.values()),
        "warnings": matrix_warnings(expected["arch_list"], look.get("arch_list")),
        "devices": results,
        "seconds": round(time.monotonic() - started, 2),
    }


def find_devices(expected: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the child told that looked for GPUs, and the devices to test."""
    cpu = [{"device": "cpu", "name": platform.machine()}]
    if expected["accelerator"] == "cpu":
        return {}, cpu
    look = ask(expected["program"], [None], expected["device_deadline_s"])[0]
    cpu_wheel = "torch" in look and look["torch"]["cuda"] is None
    if cpu_wheel and expected["accelerator"] is None:
        return look, cpu
    return look, look.get("devices", [])


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


def verdict(
    device: dict[str, Any], told: dict[str, Any], faults: list[list[str]]
) -> dict[str, Any]:
    """Judge one device: it must have told of every check that it planned, and passed each."""
    problems = [told["error"]] if told["error"] else []
    problems += [
        f"{check['name']}: relative error {check['error'] or 'NaN'} is above {check['bound']}"
        for check in told["checks"]
        if not check["passed"]
    ]
    done = [check["name"] for check in told["checks"]]
    if not done or done != told.get("planned"):
        problems.append(f"ended without a result after {told.get('start', 'its start')}")
    fault = named(problems[0], faults) if problems else None
    busy = device["device"] != "cpu" and "out of memory" in "".join(problems[:1])
    status = "skipped" if busy else "failed" if problems else "passed"
    why = sentence(fault) if fault else f"{len(done)} checks in {told['seconds']} s"
    summary = f"{device['device']} {device['name']}: {status}, {why}"
    kept = {key: told.get(key) for key in ("seed", "import_s", "seconds", "checks")}
    return {**device, "status": status, "summary": summary, "fault": fault, **kept}


def named(text: str, faults: list[list[str]]) -> dict[str, str]:
    """Return an error text with the name, meaning and repair of the first row that matches it."""
    unnamed = ["unnamed", "", "the test failed", "read the error"]
    row = next((row for row in faults if re.search(row[1], text)), unnamed)
    return {"name": row[0], "meaning": row[2], "repair": row[3], "error": text[:2000]}


def sentence(fault: dict[str, str]) -> str:
    return f"{fault['meaning']} ({fault['error'].splitlines()[0][:300]}): {fault['repair']}"


def matrix_warnings(expected: list[str] | None, found: list[str] | None) -> list[str]:
    if not expected or not found or set(expected) == set(found):
        return []
    return [f"matrix row wrong: torch is built for {' '.join(found)}, not {' '.join(expected)}"]


def main(given: dict[str, Any]) -> int:
    expected = {**DEFAULTS, **given}
    try:
        require_known(expected)
        document = test(expected)
        failed = document["faults"] or any(d["status"] == "failed" for d in document["devices"])
        code = 0 if document["passed"] else 2 if failed else 3
    except (OSError, ValueError) as error:
        fault = named(f"{type(error).__name__}: {error}", expected["faults"])
        document = {"schema": "fleetwheel.smoke/1", "passed": False, "faults": [fault]}
        code = 3
    lines = [sentence(fault) for fault in document["faults"]] + document.get("warnings", [])
    lines += [device["summary"] for device in document.get("devices", [])]
    print("\n".join(lines), file=sys.stderr, flush=True)
    print(json.dumps(document), flush=True)
    return code


def require_known(expected: dict[str, Any]) -> None:
    unknown = set(expected) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"the input has unknown keys: {', '.join(sorted(unknown))}")
    if expected["level"] != "quick" or expected["accelerator"] not in (None, "cpu", "cuda"):
        raise ValueError("the input asks for a level or an accelerator that is not known here")


def arguments() -> dict[str, Any]:
    """Return the input of a run by hand, which expects nothing unless a file says so."""
    parser = argparse.ArgumentParser(description="Test the torch of this Python on every device.")
    parser.add_argument("--json-input", type=Path, metavar="FILE", help="see docs/smoke-test.md")
    file = parser.parse_args().json_input
    given: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file else {}
    return {"program": Path(__file__).with_name("smoke_device.py").read_text("utf-8"), **given}


if __name__ == "__main__":
    # Leave at once: a child that cannot be killed must not hold up the end of this process.
    os._exit(main(globals().get("input") or arguments()))

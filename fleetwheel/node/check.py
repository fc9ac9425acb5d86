"""A host looks at itself: ``fleetwheel-node check``, for people, Nagios and programs.

Without ``--smoke`` nothing runs but NVML, and nothing is written. What stands here is compared with
the record and the lock that a deploy left, as ``fleetwheel drift`` does it (compare.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from fleetwheel.node import compare, faults, look
from fleetwheel.node.compare import Difference
from fleetwheel.node.driver import SeenDriver, gpu_of, nvidia
from fleetwheel.node.place import HERE
from fleetwheel.node.trust import why_distrusted

SCHEMA = "fleetwheel.state/1"
"""The record that this program reads; a newer one is beyond it."""
NVML_S = 5
TEST_S = 300
"""Seconds for the quick test of a whole host."""
STATES = ("ok", "warning", "critical", "unknown")
"""By their exit code, which is that of a plugin for Nagios."""


class UnknownState(Exception):  # noqa: N818 - it is an answer
    """Why nobody can say how the host is."""


class Checked(NamedTuple):
    """What a check found."""

    state: str
    """One of ``STATES``."""
    summary: str
    """One line for people."""
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    """What breaks nothing yet: a test from before a boot, a hold."""
    record: Mapping[str, Any] = {}
    gpus: int = 0
    smoke: Mapping[str, Any] | None = None
    """The document of the test, where it ran."""
    seconds: float = 0.0


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with 3, which is what Nagios knows for a check that could not be made."""
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(STATES.index("unknown"))


def by_hand(words: list[str]) -> int:
    """Check this host, print what was found, and return the exit code."""
    parser = Parser("fleetwheel-node check", description="Compare this host with its last deploy.")
    parser.add_argument("--format", choices=["text", "json", "nagios"], default="text")
    parser.add_argument("--smoke", action="store_true", help="also run the quick smoke test")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="%(default)s")
    options = parser.parse_args(words)
    started = time.monotonic()
    try:
        found = check(options.root, smoke=options.smoke)
    except UnknownState as error:
        found = Checked("unknown", str(error))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        found = Checked("unknown", f"{type(error).__name__}: {error}")
    found = found._replace(seconds=round(time.monotonic() - started, 2))
    print(FORMATS[options.format](found))
    return STATES.index(found.state)


def check(root: Path, *, smoke: bool = False) -> Checked:
    """Compare the host with its record. Raises UnknownState, and what a strange record brings."""
    record = read_record(root)
    if record is None:
        return judged([compare.NOTHING_DEPLOYED], [], {}, 0)
    user = record.get("user") or look.owner(root / "state.json")
    changeable = compare.root_differences(distrusted(root, record, user), user)
    if changeable:
        return judged(changeable, [], record, 0)
    generation = root / "envs" / record["generation"]
    refuse_unreachable(generation, user)
    if smoke:
        refuse_foreign(root, record, user)
    now = nvidia(NVML_S)
    found = [*environment_differences(root, record), *host_differences(record, now)]
    document = run_test(generation, record, now) if smoke else None
    found += failures(document) if document else []
    if record.get("hold"):
        found = [each._replace(repair=compare.repair_on_hold(each.repair)) for each in found]
    notes = [] if document else outdated(record, now)
    return judged(found, notes, record, len(now.gpus), document)


def distrusted(root: Path, record: Mapping[str, Any], user: str) -> str:
    """Return why others than the user who deployed here could change what stands here."""
    return why_distrusted(root, "trusts_root", acting=user, **believed(record))


def believed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return whom the inventory believed besides, when this was deployed."""
    trust = record.get("trust") or {}
    return {key: trust.get(key, ()) for key in ("users", "groups")}


def refuse_foreign(root: Path, record: Mapping[str, Any], user: str) -> None:
    """Raise UnknownState for an environment that others than root and who asks could change.

    The record says whom to trust besides, if neither it nor its claim is somebody else's.
    """
    if sys.platform == "win32":
        return
    own = (root / "state.json").lstat().st_uid in (0, os.geteuid())
    why = why_distrusted(root, "trusts_root", **(believed(record) if own else {}))
    if why:
        raise UnknownState(
            f"the test would run what others can change, for {why}: run it as {user}"
        )


def refuse_unreachable(generation: Path, user: str) -> None:
    """Raise UnknownState for an environment that the asking user cannot look into or run."""
    unseen = look.unreachable(generation)
    if unseen:
        raise UnknownState(
            f"you cannot {unseen}, so nothing is known of the environment: run the check as {user},"
            f" or {compare.FOR_ALL}"
        )


def environment_differences(root: Path, record: Mapping[str, Any]) -> list[Difference]:
    """Compare what stands under the root with the record and the environment's own lock."""
    generation = root / "envs" / record["generation"]
    recorded = compare.Recorded(
        record["generation"],
        record["choice"]["python"]["path"],
        record["lock"],
        look.locked(generation),
    )
    return compare.package_differences(recorded, look.current(root), look.environment(generation))


def host_differences(record: Mapping[str, Any], now: SeenDriver) -> list[Difference]:
    """Compare driver and GPUs with the record, and what the GPUs say of themselves."""
    before = SeenDriver(record["driver"]["state"], record["driver"].get("version"))
    gpus = [gpu_of(gpu) for gpu in record["gpus"]]
    passed, python = record.get("smoke") or {}, record["choice"]["python"]
    reach = python.get("reach", "everyone")
    return [
        *compare.driver_differences(before, now, os_name()),
        *compare.library_differences(now.module, now.library, os_name()),
        *compare.hardware_differences(gpus, now.gpus),
        *(
            compare.runtime_differences(record["generation"], passed.get("generation"), now.gpus)
            if record.get("tested", True)
            else compare.failing_memory(now.gpus)
        ),
        *compare.others_differences(python["path"], reach, passed.get("result") or {}),
    ]


def read_record(root: Path) -> dict[str, Any] | None:
    """Return the host's record; None without one. Raises UnknownState where it cannot be read."""
    path = root / "state.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        schema = record.get("schema")
    except FileNotFoundError:
        return None
    except (AttributeError, OSError, ValueError) as error:
        raise UnknownState(f"{path} cannot be read: {error}") from error
    if schema != SCHEMA:
        raise UnknownState(
            f"{path} is written in the schema {str(schema)[:40]}, and this program knows {SCHEMA}:"
            " run deploys/torch.py with the fleetwheel that wrote it"
        )
    return dict(record)


def os_name() -> str:
    return "windows" if sys.platform == "win32" else "linux"


def outdated(record: Mapping[str, Any], now: SeenDriver) -> list[str]:
    """Return why the last pass of the test holds no longer; a missing one is a difference."""
    passed, generation = record.get("smoke") or {}, record["generation"]
    if passed.get("generation") != generation or not record.get("tested", True):
        return []
    gpus = tuple(passed["gpus"])
    then = compare.Pass(generation, passed.get("driver"), gpus, passed.get("boot_id"))
    uuids = tuple(gpu.uuid for gpu in now.gpus)
    since = compare.since(then, compare.Pass(generation, now.version, uuids, look.boot_id()))
    return [f"the smoke test passed {words}: {compare.TEST}" for words in since]


def run_test(generation: Path, record: Mapping[str, Any], now: SeenDriver) -> dict[str, Any]:
    """Run the quick smoke test with the environment's own Python, and return its document."""
    inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    command = [str(generation / inside), "-I", "-B", str(HERE), "smoke"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(expectation(generation, record, now)),
            capture_output=True,
            text=True,
            timeout=TEST_S,
        )
        document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return document
    except (IndexError, ValueError):
        said = f"the test ended with exit code {done.returncode}: {done.stderr.strip()[-500:]}"
    except (OSError, subprocess.SubprocessError) as error:
        said = f"{type(error).__name__}: {error}"
    return {"passed": False, "faults": [faults.named(said, faults.words())], "devices": []}


def expectation(generation: Path, record: Mapping[str, Any], now: SeenDriver) -> dict[str, Any]:
    """Return the input of the test, as far as the record says what to expect."""
    variant, packages = record["choice"]["variant"], look.locked(generation) or {}
    number = variant[2:] if variant.startswith("cu") else ""
    torch = packages.get("torch", "")
    release = torch if "+" in torch else f"{torch}+{variant}"
    wanted = record["request"].get("gpus") or ()
    served = [gpu.uuid for gpu in now.gpus if {gpu.index, gpu.uuid} & set(wanted)]
    return {
        "packages": packages,
        "variant": variant,
        "cuda": f"{number[:-1]}.{number[-1]}" if number else None,
        "accelerator": "cuda" if number else "cpu",
        "gpus": served or None,
        "words": faults.words(release),
    }


def failures(document: Mapping[str, Any]) -> list[Difference]:
    """Return what a smoke test found, each fault with its name and repair."""
    named = [("", fault) for fault in document.get("faults", ())]
    named += [
        (f"{device['device']} {device['name']}: ", device["fault"])
        for device in document.get("devices", ())
        if device["fault"] and device["status"] == "failed"
    ]
    if not named and not document.get("passed"):
        unnamed = {"name": "no pass", "meaning": "nothing was tested", "repair": compare.TEST}
        named.append(("", unnamed))
    return [
        Difference(
            "runtime",
            "smoke test",
            "passed",
            f"{place}{fault['name']}: {fault['meaning']}{_error(fault)}",
            fault["repair"],
        )
        for place, fault in named
    ]


def _error(fault: Mapping[str, Any]) -> str:
    """Return the first line of what went wrong, which is all that a fault without a name says."""
    lines = str(fault.get("error") or "").splitlines()
    return f" ({lines[0][:200]})" if lines else ""


def judged(
    differences: list[Difference],
    notes: list[str],
    record: Mapping[str, Any],
    gpus: int,
    smoke: Mapping[str, Any] | None = None,
) -> Checked:
    """Return the state: any difference is critical, a test that holds no longer is a warning."""
    state = "critical" if differences else "warning" if notes else "ok"
    choice = record.get("choice", {})
    runs = f"torch {choice.get('torch')} {choice.get('variant')}, as deployed"
    hold = record.get("hold")
    held = [f"on hold since a rollback on {hold['since'][:10]}"] if hold else []
    first = [difference_line(difference) for difference in differences] + notes
    more = f" (and {len(first) - 1} more)" if len(first) > 1 else ""
    summary = f"{first[0]}{more}" if first else "; ".join([runs, *held])
    return Checked(state, summary, tuple(differences), (*notes, *held), record, gpus, smoke)


def difference_line(difference: Difference) -> str:
    return (
        f"{difference.class_}: {difference.what}: expected {difference.expected},"
        f" found {difference.found}"
    )


def as_text(found: Checked) -> str:
    lines = [f"{found.state}: {found.summary}"]
    for difference in found.differences:
        lines += [f"  {difference_line(difference)}", f"    repair: {difference.repair}"]
    lines += [f"  {note}" for note in found.notes]
    return "\n".join("".join(filter(str.isprintable, line)) for line in lines)


def as_nagios(found: Checked) -> str:
    """Return the line and the long output of a plugin; a bar would begin its figures."""
    figures = {
        "differences": len(found.differences),
        "gpus": found.gpus,
        "time": f"{found.seconds}s",
    }
    data = " ".join(f"{name}={value};;;0" for name, value in figures.items())
    first, *more = as_text(found).replace("|", "/").splitlines()
    head = first.partition(": ")[2]
    return "\n".join([f"FLEETWHEEL {found.state.upper()} - {head} | {data}", *more])


def as_json(found: Checked) -> str:
    names = ("class", *Difference._fields[1:])
    differences = [dict(zip(names, difference)) for difference in found.differences]  # noqa: B905
    document = {
        "schema": "fleetwheel.check/1",
        "status": found.state,
        "why": found.summary,
        "generation": found.record.get("generation"),
        "differences": differences,
        "notes": list(found.notes),
        "gpus": found.gpus,
        "smoke": found.smoke,
        "seconds": found.seconds,
    }
    return json.dumps(document)


FORMATS = {"text": as_text, "json": as_json, "nagios": as_nagios}

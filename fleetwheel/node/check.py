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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fleetwheel.node import compare, faults, look, publish
from fleetwheel.node.checked import (
    FORMATS,
    NPD_CODES,
    STATES,
    Checked,
    Looked,
    difference_line,
)
from fleetwheel.node.compare import Difference
from fleetwheel.node.driver import SeenDriver, gpu_of, nvidia
from fleetwheel.node.kept import reader_differences
from fleetwheel.node.link import generation_of, link_of
from fleetwheel.node.place import HERE
from fleetwheel.node.root import Failure
from fleetwheel.node.state import StrangeState, believed, records
from fleetwheel.node.trust import why_distrusted
from fleetwheel.node.verify import verify

NVML_S = 5
TEST_S = 300
"""Seconds for the quick test of a whole host."""


class UnknownState(Exception):  # noqa: N818 - it is an answer
    """Why nobody can say how the host is."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with 3, which is what Nagios knows for a check that could not be made."""
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(STATES.index("unknown"))


def by_hand(words: list[str]) -> int:
    """Check this host, print what was found, and return the exit code."""
    parser = Parser("fleetwheel-node check", description="Compare this host with its last deploy.")
    parser.add_argument("--format", choices=[*FORMATS], default="text", help="%(default)s")
    parser.add_argument("--smoke", action="store_true", help="also run the quick smoke test")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="%(default)s")
    options = parser.parse_args(words)
    started = time.monotonic()
    try:
        found = check(options.root, smoke=options.smoke)
    except (Failure, UnknownState) as error:
        found = Checked("unknown", str(error))
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        found = Checked("unknown", f"{type(error).__name__}: {error}")
    found = found._replace(seconds=round(time.monotonic() - started, 2))
    print(FORMATS[options.format](found))
    return NPD_CODES[found.state] if options.format == "npd" else STATES.index(found.state)


def check(root: Path, *, smoke: bool = False) -> Checked:
    """Compare the host with its records. Raises UnknownState, and what a strange record brings."""
    found = read_records(root)
    if not found:
        return judged([compare.NOTHING_DEPLOYED], (), 0)
    latest = max(found.values(), key=lambda record: str(record.get("deployed_at")))
    user = latest.get("user") or look.owner(root / "state.json")
    changeable = compare.root_differences(distrusted(root, latest, user), user, os_name())
    if changeable:
        return judged(changeable, [Looked(name, each) for name, each in found.items()], 0)
    for record in found.values():
        refuse_unreachable(root / "envs" / record["generation"], user, record.get("group"))
    if smoke:
        refuse_foreign(root, latest, user)
    now = nvidia(NVML_S)
    looked = [look_into(root, name, record, now, smoke) for name, record in found.items()]
    return judged(host_differences(latest, now), looked, len(now.gpus))


def look_into(
    root: Path, name: str, record: Mapping[str, Any], now: SeenDriver, smoke: bool
) -> Looked:
    """Compare one environment with its record, and test it where that is wanted."""
    found = [
        *environment_differences(root, name, record),
        *runtime_differences(record),
        *other_readers(root, name, record),
    ]
    strange = changed_files(root, record["generation"]) if smoke else []
    tests = smoke and not strange  # which would run what was put there
    document = run_test(root / "envs" / record["generation"], record, now) if tests else None
    found += [*strange, *(failures(document) if document else ())]
    if record.get("hold"):
        found = [each._replace(repair=compare.repair_on_hold(each.repair)) for each in found]
    notes = [*([] if document else outdated(record, now)), *unfound(record)]
    return Looked(name, record, tuple(found), tuple(notes), document)


def changed_files(root: Path, generation: str) -> list[Difference]:
    """Return the files of a generation that are not as its wheels brought them."""
    answer = verify(str(root), generation)
    return [
        *compare.damaged_differences(answer["damaged"]),
        *compare.unrecorded_differences(answer["unrecorded"]),
    ]


def distrusted(root: Path, record: Mapping[str, Any], user: str) -> str:
    """Return why others than the user who deployed here could change what stands here."""
    return why_distrusted(root, "trusts_root", acting=user, **believed(record))


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


def refuse_unreachable(generation: Path, user: str, group: str | None) -> None:
    """Raise UnknownState for an environment that the asking user cannot look into or run."""
    unseen = look.unreachable(generation)
    if unseen and group:
        raise UnknownState(
            f"you cannot {unseen}, so nothing is known of the environment: it is for group {group}"
            f" alone; run the check as {user}, or as a member"
        )
    if unseen:
        raise UnknownState(
            f"you cannot {unseen}, so nothing is known of the environment: run the check as {user},"
            f" or {compare.FOR_ALL}"
        )


def environment_differences(root: Path, name: str, record: Mapping[str, Any]) -> list[Difference]:
    """Compare what stands under the root with the record and the environment's own lock."""
    generation = root / "envs" / record["generation"]
    recorded = compare.Recorded(
        record["generation"],
        record["choice"]["python"]["path"],
        record["lock"],
        look.locked(generation),
    )
    there = look.environment(generation)
    path = link_of(root, name).relative_to(root).as_posix()
    return compare.package_differences(recorded, generation_of(root, name), there, path)


def runtime_differences(record: Mapping[str, Any]) -> list[Difference]:
    """Return what the record says against running the environment."""
    passed, python = record.get("smoke") or {}, record["choice"]["python"]
    untested = compare.untested_differences(record["generation"], passed.get("generation"))
    reach = python.get("reach", "everyone")
    return [
        *(untested if record.get("tested", True) else ()),
        *compare.others_differences(python["path"], reach, passed.get("result") or {}),
    ]


def other_readers(root: Path, name: str, record: Mapping[str, Any]) -> list[Difference]:
    """Compare who may read an environment with the last deploy."""
    found = reader_differences(root, name, record["generation"], record.get("group"))
    return compare.outside_differences(found)


def unfound(record: Mapping[str, Any]) -> list[str]:
    """Return what people do not find an environment by any more, which runs all the same."""
    return [f"{each.what} is {each.found}: {compare.DEPLOY}" for each in publish.lost(record)]


def host_differences(record: Mapping[str, Any], now: SeenDriver) -> list[Difference]:
    """Compare driver and GPUs with a record, and what the GPUs say of themselves."""
    before = SeenDriver(record["driver"]["state"], record["driver"].get("version"))
    gpus = [gpu_of(gpu) for gpu in record["gpus"]]
    return [
        *compare.driver_differences(before, now, os_name()),
        *compare.library_differences(now.module, now.library, os_name()),
        *compare.hardware_differences(gpus, now.gpus),
        *compare.failing_memory(now.gpus),
    ]


def read_records(root: Path) -> dict[str, dict[str, Any]]:
    """Return the record of each environment. Raises UnknownState where they cannot be read."""
    try:
        return records(root)
    except StrangeState as error:
        raise UnknownState(str(error)) from error


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
    passed = (record.get("smoke") or {}).get("result") or {}
    return {
        "packages": packages,
        "imports": passed.get("imports") or [],
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


def judged(differences: list[Difference], looked: Sequence[Looked], gpus: int) -> Checked:
    """Return the state: any difference is critical, a test that holds no longer is a warning."""
    several = len(looked) > 1
    found, notes, held = list(differences), [], []
    for each in looked:
        place = f"{each.name}: " if several else ""
        found += [one._replace(what=f"{place}{one.what}") for one in each.differences]
        notes += [f"{place}{note}" for note in each.notes]
        if hold := each.record.get("hold"):
            held.append(f"{place}on hold since a rollback on {hold['since'][:10]}")
    state = "critical" if found else "warning" if notes else "ok"
    first = [*map(difference_line, found), *notes]
    more = f" (and {len(first) - 1} more)" if len(first) > 1 else ""
    runs = ", ".join(map(_runs, looked) if several else [_torch(each) for each in looked])
    summary = f"{first[0]}{more}" if first else "; ".join([f"{runs}, as deployed", *held])
    return Checked(state, summary, tuple(found), (*notes, *held), tuple(looked), gpus)


def _torch(looked: Looked) -> str:
    choice = looked.record.get("choice", {})
    return f"torch {choice.get('torch')} {choice.get('variant')}"


def _runs(looked: Looked) -> str:
    return f"{looked.name}: {_torch(looked)}"

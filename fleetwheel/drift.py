"""What differs on a host from what it should be, of which class, and what mends it."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from fleetwheel.choice.answer import answer, exact
from fleetwheel.choice.choose import Choice, runs
from fleetwheel.choice.request import read_pins
from fleetwheel.choice.target import Blocker, Target, read_target
from fleetwheel.deploy.record import Record
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import DriverState, Gpu, HostState, Profile
from fleetwheel.inventory.settings import Expect, Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.unmet import unmet
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.node import compare
from fleetwheel.node.compare import DEPLOY, NOTHING_DEPLOYED, REBUILD, Difference
from fleetwheel.reporting.report import Drift, HostReport

ENOUGH = 3
"""Hosts that a group must have before one of them can be the odd one out."""
TORCH = "deploys/torch.py"
"""The deploy that repairs drift."""


def differences(
    record: Record | None, lock: Lock | None, found: HostState, settings: Settings, matrix: Matrix
) -> tuple[Drift, ...]:
    """Compare what a host says with its record, its lock, and what the inventory says.

    ``lock`` is what the record names; None where nobody has it any more.
    """
    profile, expect = found.profile, settings.expect
    if record is None:
        return (_of(NOTHING_DEPLOYED), *_expected(profile, expect))
    target = read_target(profile, settings.request, tested=settings.smoke != "none")
    return (
        *_request(record, lock, target, settings),
        *map(_of, _recorded(record, lock, found, matrix, tested=settings.smoke != "none")),
        *_wheels(record, target, profile, matrix),
        *_others(record, profile),
        *_expected(profile, expect),
    )


def damaged(packages: Iterable[str], *, deep: bool) -> list[Drift]:
    """Return the drift of packages whose files differ from what their RECORD says.

    ``deep`` is whether a deep look found it.
    """
    found = [
        _drift("package", f"files of {name}", "as in the wheel", "changed or missing", REBUILD)
        for name in packages
    ]
    return [drift.model_copy(update={"deep": deep}) for drift in found]


def unrecorded(files: Sequence[str], *, deep: bool) -> list[Drift]:
    """Return the drift of files that Python would run, and that no wheel of the lock brought."""
    if not files:
        return []
    drift = _drift("package", "files of no package", "none", ", ".join(files), REBUILD)
    return [drift.model_copy(update={"deep": deep})]


def failed_test(fault: FleetwheelError) -> Drift:
    """Return the drift of a smoke test that finds a fault now."""
    repair = fault.hint or DEPLOY
    drift = _drift("runtime", "smoke test", "passed", fault.message, repair)
    return drift.model_copy(update={"deep": True})


def on_hold(found: Iterable[Drift]) -> list[Drift]:
    """Return the same drift of a host on hold, with what helps there."""
    return [
        drift.model_copy(update={"repair": compare.repair_on_hold(drift.repair)}) for drift in found
    ]


def exit_status(hosts: Sequence[HostReport]) -> int:
    """Return 2 for drift, 4 for hosts that nobody could look at, 6 for both: Puppet's numbers."""
    states = {host.status for host in hosts}
    return 2 * ("drifted" in states) + 4 * bool(states & {"failed", "unreachable", "refused"})


def repairs(hosts: Sequence[HostReport], inventory: str, data: Sequence[str] = ()) -> list[str]:
    """Return the deploys that mend what hosts differ in, as far as deploys can.

    ``data`` is what the check was told with ``--data``.
    """
    told = [word for pair in data for word in ("--data", pair)]
    drifted = [host for host in hosts if host.status == "drifted"]
    anew = [host for host in drifted if any(drift.repair == REBUILD for drift in host.drift)]
    mended = [host for host in drifted if any(TORCH in drift.repair for drift in host.drift)]
    others = [host for host in mended if host not in anew]
    return [
        shlex.join(["pyinfra", inventory, "deploys/torch.py", *told, *how, *_limits(group)])
        for group, how in ((others, []), (anew, ["--data", "rebuild=true"]))
        if group
    ]


def _limits(hosts: Sequence[HostReport]) -> list[str]:
    return [word for host in hosts for word in ("--limit", host.name)]


def odd_ones_out(hosts: Sequence[HostReport]) -> list[str]:
    """Return a sentence for each host that differs from more than half of its group."""
    notes = []
    for group in dict.fromkeys(host.group for host in hosts if host.group):
        members = [host for host in hosts if host.group == group]
        for what in ("driver", "GPUs", "torch"):
            values = {h.name: _value(h.profile, h.choice, what) for h in members if h.profile}
            usual, count = Counter(values.values()).most_common(1)[0] if values else ("", 0)
            if len(values) >= ENOUGH and len(values) / 2 < count < len(values):
                notes += [
                    f"{name}: {what} {value or 'none'}, where {count} of {len(values)} hosts of"
                    f" {group} have {usual or 'none'}"
                    for name, value in values.items()
                    if value != usual
                ]
    return notes


def _value(profile: Profile, choice: Choice | None, what: str) -> str:
    if what == "driver":
        return profile.driver.version or ""
    if what == "GPUs":
        names = Counter(gpu.name for gpu in profile.gpus)
        return ", ".join(f"{count} x {name}" for name, count in sorted(names.items()))
    return f"{choice.torch} {choice.variant}" if choice else ""


def _drift(class_: str, what: str, expected: str, found: str, repair: str) -> Drift:
    said = {"what": what, "expected": expected, "found": found, "repair": repair}
    return Drift.model_validate({"class": class_, **said})


def _request(
    record: Record, lock: Lock | None, target: Target | Blocker, settings: Settings
) -> list[Drift]:
    """Return what the inventory asks for and the lock does not meet, as a deploy decides it."""
    if record.hold:
        return []  # a person put it there, and lifts the hold
    before, now = read_pins(record.request), read_pins(settings.request)
    if isinstance(target, Blocker):
        pinned = replace(now, torch=before.torch) if settings.uniform else now
        why = ("request", "what the inventory asks for", target.reason)
        asked = [why] if before != pinned else []
    else:
        lacking = unmet(lock, target) if lock else []
        asked = [(f"request for {one.key}", one.asked, one.found) for one in lacking]
    if before.gpus != now.gpus:
        asked.append(("request for gpus", _selected(now.gpus), _selected(before.gpus)))
    return [_drift("package", what, wanted, served, DEPLOY) for what, wanted, served in asked]


def _selected(gpus: frozenset[int | str] | None) -> str:
    return "all" if gpus is None else ", ".join(sorted(map(str, gpus)))


def _recorded(
    record: Record, lock: Lock | None, found: HostState, matrix: Matrix, *, tested: bool
) -> list[Difference]:
    """Compare a host with its record and lock, as the host itself does (node/check.py)."""
    profile, there, before = found.profile, found.installation, record.driver
    built = next((g for g in there.generations if g.id == record.generation), None)
    passed = record.smoke.generation if record.smoke else None
    installed = profile.installed_driver
    wanted = lock.packages if lock else None
    names = (record.generation, record.choice.python.path, record.lock)
    changed = profile.driver.version != before.version
    newer = _better(record, profile, matrix) if changed else ""
    return [
        *compare.package_differences(
            compare.Recorded(*names, wanted),
            there.current,
            compare.Environment(bool(built.python), built.packages) if built else None,
        ),
        *compare.driver_differences(before, profile.driver, profile.os, newer),
        *compare.library_differences(installed.module, installed.library, profile.os),
        *compare.hardware_differences(record.gpus, profile.gpus),
        *(
            compare.runtime_differences(record.generation, passed, profile.gpus)
            if tested
            else compare.failing_memory(profile.gpus)
        ),
    ]


def _of(difference: Difference) -> Drift:
    return _drift(*difference)


def _wheels(
    record: Record, target: Target | Blocker, profile: Profile, matrix: Matrix
) -> list[Drift]:
    """Return that the wheels in use do not run on the driver that is there now."""
    choice, state = record.choice, profile.driver.state
    obstacle = None
    if isinstance(target, Target):
        obstacle = runs(choice, exact(target, profile), matrix)
    if obstacle is None or state not in (DriverState.OK, DriverState.NO_GPU):
        return []
    return [
        _drift(
            "driver", "wheels", f"torch {choice.torch} {choice.variant} runs here", obstacle, DEPLOY
        )
    ]


def _better(record: Record, profile: Profile, matrix: Matrix) -> str:
    """Return what the new driver makes possible that the old one did not, by the matrix alone."""
    old = profile.model_copy(update={"driver": record.driver})
    before, now = (answer(host, record.request, matrix, None) for host in (old, profile))
    if not isinstance(now, Choice):
        return ""
    same = isinstance(before, Choice) and (before.torch, before.variant) == (now.torch, now.variant)
    newer = Version(now.torch) >= Version(record.choice.torch)
    if same or not newer:
        return ""
    return f"; this driver runs torch {now.torch} {now.variant}, with --data relock=true"


def _others(record: Record, profile: Profile) -> list[Drift]:
    """Return what keeps other users of the host from an environment that root has deployed."""
    used = record.choice.python
    python = next((python for python in profile.pythons if python.path == used.path), used)
    result = record.smoke.result if record.smoke else {}
    return [*map(_of, compare.others_differences(python.path, python.reach, result))]


def _expected(profile: Profile, expect: Expect) -> list[Drift]:
    """Compare a host with what the inventory says that it should be."""
    gpus, version = profile.gpus, profile.driver.version
    mend = "mend the host, or expect in the inventory"
    drifts = []
    if expect.gpus is not None and len(gpus) != expect.gpus:
        count = str(expect.gpus), str(len(gpus))
        drifts.append(_drift("hardware", "number of GPUs", *count, mend))
    for gpu in gpus:
        if expect.gpu and expect.gpu.casefold() not in gpu.name.casefold():
            drifts.append(
                _drift("hardware", f"model of GPU {gpu.index}", expect.gpu, gpu.name, mend)
            )
        drifts += _beyond(gpu, expect)
    if expect.driver and not (version and SpecifierSet(expect.driver).contains(version)):
        install = f"install a driver {expect.driver}"
        drifts.append(_drift("driver", "version", expect.driver, version or "none", install))
    return drifts


def _beyond(gpu: Gpu, expect: Expect) -> list[Drift]:
    """Return the limits of the inventory that one GPU has passed."""
    rows = (gpu.remapped_correctable or 0) + (gpu.remapped_uncorrectable or 0)
    limits = (
        ("temperature, C", gpu.temperature_c, expect.max_temperature_c, "look at its cooling"),
        ("uncorrected ECC errors", gpu.ecc_uncorrected, expect.max_ecc_uncorrected, "replace it"),
        ("remapped rows", rows, expect.max_remapped_rows, "plan its replacement"),
    )
    return [
        _drift("runtime", f"{what} of GPU {gpu.index}", f"at most {limit}", str(value), repair)
        for what, value, limit, repair in limits
        if limit is not None and value is not None and value > limit
    ]

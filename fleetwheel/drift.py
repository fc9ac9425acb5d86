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
from fleetwheel.deploy.record import Record, for_root_alone
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.driver_states import explain_state
from fleetwheel.host.profile import DriverState, Generation, Gpu, HostState, Profile
from fleetwheel.inventory.settings import Expect, Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.unmet import unmet
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.reporting.report import Drift, DriftClass, HostReport

DEPLOY = "run deploys/torch.py for this host"
REBUILD = "run deploys/torch.py for this host with --data rebuild=true"
ACCEPT = "if it is meant: run deploys/torch.py, which tests it and records it as the new baseline"
FOR_ALL = "run deploys/onboard.py, which installs a Python that all can run, then deploys/torch.py"
OPEN_WAY = "let others into it (chmod o+rX) or name another root, then run deploys/smoke.py"
ENOUGH = 3
"""Hosts that a group must have before one of them can be the odd one out."""


def differences(
    record: Record | None, lock: Lock | None, found: HostState, settings: Settings, matrix: Matrix
) -> tuple[Drift, ...]:
    """Compare what a host says with its record, its lock, and what the inventory says.

    ``lock`` is what the record names; None where nobody has it any more.
    """
    profile, expect = found.profile, settings.expect
    if record is None:
        missing = _drift("package", "environment", "a deploy", "nothing was deployed", DEPLOY)
        return (missing, *_expected(profile, expect))
    target = read_target(profile, settings.request, tested=settings.smoke != "none")
    return (
        *_request(record, lock, target, settings),
        *_package(record, lock, found),
        *_driver(record, target, profile, matrix),
        *_hardware(record.gpus, profile.gpus),
        *_runtime(record, profile.gpus, tested=settings.smoke != "none"),
        *_others(record, profile),
        *_expected(profile, expect),
    )


def damaged(packages: Iterable[str]) -> list[Drift]:
    """Return the drift of packages whose files differ from the hashes in their RECORD."""
    found = [
        _drift("package", f"files of {name}", "as in the wheel", "changed or missing", REBUILD)
        for name in packages
    ]
    return [drift.model_copy(update={"deep": True}) for drift in found]


def unrecorded(files: Sequence[str]) -> list[Drift]:
    """Return the drift of files that Python would run, and that no wheel of the lock brought."""
    if not files:
        return []
    drift = _drift("package", "files of no package", "none", ", ".join(files), REBUILD)
    return [drift.model_copy(update={"deep": True})]


def failed_test(fault: FleetwheelError) -> Drift:
    """Return the drift of a smoke test that finds a fault now."""
    repair = fault.hint or DEPLOY
    drift = _drift("runtime", "smoke test", "passed", fault.message, repair)
    return drift.model_copy(update={"deep": True})


def exit_status(hosts: Sequence[HostReport]) -> int:
    """Return 2 for drift, 4 for hosts that nobody could look at, 6 for both: Puppet's numbers."""
    states = {host.status for host in hosts}
    return 2 * ("drifted" in states) + 4 * bool(states & {"failed", "unreachable", "refused"})


def repairs(hosts: Sequence[HostReport], inventory: str) -> list[str]:
    """Return the deploys that mend what hosts differ in, as far as deploys can."""
    drifted = [host for host in hosts if host.status == "drifted"]
    anew = [host for host in drifted if any(drift.repair == REBUILD for drift in host.drift)]
    mended = [host for host in drifted if any("deploys/" in drift.repair for drift in host.drift)]
    others = [host for host in mended if host not in anew]
    return [
        shlex.join(["pyinfra", inventory, "deploys/torch.py", *how, *_limits(group)])
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


def _drift(class_: DriftClass, what: str, expected: str, found: str, repair: str) -> Drift:
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


def _package(record: Record, lock: Lock | None, found: HostState) -> list[Drift]:
    """Compare ``current``, its interpreter and its packages with record and lock."""
    there = found.installation
    generation = next((g for g in there.generations if g.id == record.generation), None)
    if generation is None:
        return [_drift("package", "environment", record.generation, "it is gone", DEPLOY)]
    drifts = []
    if there.current != record.generation:
        elsewhere = there.current or "nothing"
        drifts.append(_drift("package", "current", record.generation, elsewhere, DEPLOY))
    if not generation.python:
        gone = f"{record.choice.python.path} does not run it"
        drifts.append(_drift("package", "interpreter", "bin/python runs", gone, DEPLOY))
    if lock is None:
        return [*drifts, _drift("package", "lock", record.lock, "nobody has it", REBUILD)]
    return [*drifts, *_packages(lock, generation)]


def _packages(lock: Lock, generation: Generation) -> list[Drift]:
    wanted, there = lock.packages, generation.packages
    return [
        _drift("package", name, wanted.get(name, "not there"), there.get(name, "not there"), DEPLOY)
        for name in sorted({*wanted, *there})
        if wanted.get(name) != there.get(name)
    ]


def _driver(
    record: Record, target: Target | Blocker, profile: Profile, matrix: Matrix
) -> list[Drift]:
    before, now, installed = record.driver, profile.driver, profile.installed_driver
    drifts = []
    if now.state is not before.state:
        explained = explain_state(now.state, profile.os)
        drifts.append(
            _drift("driver", "state", before.state, now.state, explained.repair or ACCEPT)
        )
    if now.version != before.version and now.version:
        repair = f"{ACCEPT}{_better(record, profile, matrix)}"
        drifts.append(_drift("driver", "version", before.version or "none", now.version, repair))
    if installed.module and installed.library and installed.module != installed.library:
        module, library = f"kernel module {installed.module}", f"library {installed.library}"
        reboot = explain_state(DriverState.VERSION_MISMATCH, profile.os).repair
        drifts.append(_drift("driver", "library", module, library, reboot))
    choice = record.choice
    obstacle = None
    if isinstance(target, Target):
        obstacle = runs(choice, exact(target, profile), matrix)
    if obstacle and now.state in (DriverState.OK, DriverState.NO_GPU):
        wheels = f"torch {choice.torch} {choice.variant} runs here"
        drifts.append(_drift("driver", "wheels", wheels, obstacle, DEPLOY))
    return drifts


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


def _hardware(before: Sequence[Gpu], now: Sequence[Gpu]) -> list[Drift]:
    """Compare the GPUs by UUID, and those that came and went by their place on the bus."""
    if not all(gpu.uuid for gpu in (*before, *now)):
        return _by_index(before, now)
    old, new = ({gpu.uuid: gpu for gpu in gpus} for gpus in (before, now))
    drifts = [d for uuid, gpu in old.items() if uuid in new for d in _same_gpu(gpu, new[uuid])]
    gone = [gpu for uuid, gpu in old.items() if uuid not in new]
    added = {gpu.pci_bus_id: gpu for uuid, gpu in new.items() if uuid not in old}
    for gpu in gone:
        other = added.pop(gpu.pci_bus_id, None) if gpu.pci_bus_id else None
        repair = ACCEPT if other else f"look for the GPU: seat, power, `Xid` in dmesg; {ACCEPT}"
        drifts.append(_drift("hardware", _place(gpu), _gpu(gpu), _gpu(other), repair))
    for gpu in added.values():
        drifts.append(_drift("hardware", _place(gpu), "no GPU", _gpu(gpu), ACCEPT))
    return drifts


def _by_index(before: Sequence[Gpu], now: Sequence[Gpu]) -> list[Drift]:
    """Compare GPUs that tell no UUID, as after a driver has broken, by name and number."""
    names = [gpu.name for gpu in before], [gpu.name for gpu in now]
    if names[0] == names[1]:
        return []
    old, new = (", ".join(group) or "no GPU" for group in names)
    return [_drift("hardware", "GPUs", old, new, ACCEPT)]


def _same_gpu(before: Gpu, now: Gpu) -> list[Drift]:
    """Compare what should stay as it is on one GPU, as far as both looks could tell."""
    values = {
        "place on the bus": (before.pci_bus_id, now.pci_bus_id),
        "memory, MiB": (before.memory_total_mib, now.memory_total_mib),
        "ECC": (before.ecc, now.ecc),
        "MIG": (before.mig, now.mig),
    }
    drifts = [
        _drift("hardware", f"{what} of GPU {now.index}", _word(old), _word(new), ACCEPT)
        for what, (old, new) in values.items()
        if old != new and old is not None and new is not None
    ]
    old_width, width = before.pcie_width, now.pcie_width
    if old_width and width and width < old_width:
        seat = "reseat the GPU and look at its slot and riser"
        what = f"PCIe width of GPU {now.index}"
        drifts.append(_drift("hardware", what, f"x{old_width}", f"x{width}", seat))
    return drifts


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _place(gpu: Gpu) -> str:
    return f"GPU at {gpu.pci_bus_id}" if gpu.pci_bus_id else f"GPU {gpu.uuid}"


def _gpu(gpu: Gpu | None) -> str:
    return f"{gpu.name} ({gpu.uuid})" if gpu else "no GPU"


def _runtime(record: Record, gpus: Sequence[Gpu], *, tested: bool) -> list[Drift]:
    """Return a test that failed since the deploy, and GPUs that say themselves that they fail."""
    drifts = []
    failed = record.smoke is None or record.smoke.generation != record.generation
    if tested and failed:
        repair = "run deploys/smoke.py for this host"
        drifts.append(_drift("runtime", "smoke test", "passed", "no pass that counts", repair))
    for gpu in gpus:
        if gpu.remapping_failed:
            drifts.append(_memory(gpu, "no spare row is left", "replace the GPU"))
        elif gpu.remapping_pending:
            drifts.append(_memory(gpu, "a row waits to be replaced", "reboot, or reset the GPU"))
    return drifts


def _others(record: Record, profile: Profile) -> list[Drift]:
    """Return what keeps other users of the host from an environment that root has deployed."""
    used = record.choice.python
    python = next((python for python in profile.pythons if python.path == used.path), used)
    why = for_root_alone(python, record.smoke.result if record.smoke else {})
    repair = FOR_ALL if python.reach == "private" else OPEN_WAY
    return [_drift("runtime", "other users", "they can run it", why, repair)] if why else []


def _memory(gpu: Gpu, found: str, repair: str) -> Drift:
    return _drift("runtime", f"memory of GPU {gpu.index}", "sound", found, repair)


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

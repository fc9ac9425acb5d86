"""What differs on a host from what it should be, of which class, and what mends it."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from fleetwheel.choice.answer import answer, exact
from fleetwheel.choice.choose import Choice, runs
from fleetwheel.choice.request import read_pins
from fleetwheel.choice.target import Blocker, Target, on_python, read_target
from fleetwheel.deploy.hold import held
from fleetwheel.deploy.record import Record
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import DriverState, Gpu, HostState, Profile
from fleetwheel.inventory.settings import Expect, Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.unmet import unmet
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.node import compare
from fleetwheel.node.compare import DEPLOY, NOTHING_DEPLOYED, Difference
from fleetwheel.reporting.cause import Action
from fleetwheel.reporting.finding import TROUBLE
from fleetwheel.reporting.report import Drift, HostReport, Report

ENVIRONMENT = "environment="
"""Before the names, in ``--data``."""
REMOVE = "deploys/remove.py"
ENOUGH = 3
"""Hosts that a group must have before one of them can be the odd one out."""


def host_differences(
    before: Record | None, found: HostState, settings: Settings, matrix: Matrix
) -> tuple[Drift, ...]:
    """Compare driver and GPUs of a host with a record, and with what the inventory says.

    ``before`` is the latest of its records; None where nothing was deployed.
    """
    expected = _expected(found.profile, settings.expect)
    if before is None:
        return tuple(expected)
    return (*map(_of, _recorded_of_host(before, found.profile, matrix)), *expected)


def environment_differences(
    environment: str,
    record: Record | None,
    lock: Lock | None,
    found: HostState,
    settings: Settings,
    matrix: Matrix,
) -> tuple[Drift, ...]:
    """Compare an environment of a host with its record, its lock, and what the inventory says.

    ``lock`` is what the record names; None where nobody has it any more.
    """
    if record is None:
        return (_of(NOTHING_DEPLOYED),)
    profile, tested = found.profile, settings.smoke != "none"
    asked = record.request if held(record, settings) else settings.request
    part = on_python(profile, asked, record.choice.python.minor)
    target = read_target(part, asked, tested=tested)
    passed = record.smoke.generation if record.smoke else None
    untested = compare.untested_differences(record.generation, passed) if tested else []
    return (
        *_request(record, lock, target, settings),
        *map(_of, _recorded(environment, record, lock, found)),
        *map(_of, untested),
        *_wheels(record, target, profile, matrix),
        *_others(record, profile),
    )


def not_wanted(record: Record) -> Drift:
    """Return the drift of an environment that the inventory has no more."""
    return _drift(
        "package",
        "environment",
        "none (not in the inventory)",
        record.generation,
        f"{REMOVE} takes it away; or put it back into the inventory",
        action="remove",
    )


def damaged(packages: Iterable[str], *, deep: bool) -> list[Drift]:
    """Return the drift of packages whose files differ from what their RECORD says.

    ``deep`` is whether a deep look found it.
    """
    found = map(_of, compare.damaged_differences(packages))
    return [drift.model_copy(update={"deep": deep}) for drift in found]


def unrecorded(files: Sequence[str], *, deep: bool) -> list[Drift]:
    """Return the drift of files that Python would run, and that no wheel of the lock brought."""
    found = map(_of, compare.unrecorded_differences(files))
    return [drift.model_copy(update={"deep": deep}) for drift in found]


def outside(differences: Iterable[Difference]) -> list[Drift]:
    """Return the drift of who may read an environment, and of what people find it by."""
    return [*map(_of, differences)]


def failed_test(fault: FleetwheelError) -> Drift:
    """Return the drift of a smoke test that finds a fault now."""
    drift = _drift(
        "runtime",
        "smoke test",
        "passed",
        fault.message,
        fault.hint or DEPLOY,
        action="" if fault.hint else "deploy",
        subject=f"smoke test: {fault.what}",
    )
    return drift.model_copy(update={"deep": True})


def on_hold(found: Iterable[Drift], repair: str) -> list[Drift]:
    """Return the same drift of an environment on hold, with what helps there."""
    return [_on_hold(drift, repair) for drift in found]


def _on_hold(drift: Drift, held: str) -> Drift:
    repair = compare.repair_on_hold(drift.repair, held)
    action = drift.action if repair == drift.repair else ""
    test = repair == compare.TEST
    return drift.model_copy(update={"repair": repair, "action": "smoke" if test else action})


def repairs(hosts: Sequence[HostReport], inventory: str, data: Sequence[str] = ()) -> list[str]:
    """Return the deploys that mend what hosts differ in, as far as deploys can.

    ``data`` is what the check was told with ``--data``. Where some environments of a host need no
    deploy, the command names the others.
    """
    deploys: dict[_Deploy, list[str]] = {}
    for host in hosts:
        for deploy in _deploys(host):
            deploys.setdefault(deploy, []).append(host.name)
    return [
        shlex.join(["pyinfra", inventory, deploy.file, *deploy.options(data, names)])
        for deploy, names in sorted(deploys.items())
    ]


def without_repair(found: Report) -> str:
    """Return what to say of a look after which there is no deploy to run."""
    troubled = any(host.statuses & {*TROUBLE} for host in found.hosts)
    text = "no deploy repairs what this look has found" if troubled else "nothing to repair"
    return text if found.deep else f"{text}; --deep also compares files"


@dataclass(frozen=True, order=True)
class _Deploy:
    """What several hosts may need."""

    rebuild: bool
    environments: tuple[str, ...]
    """Empty for all that a host has."""
    file: str = "deploys/torch.py"

    def options(self, data: Iterable[str], hosts: Iterable[str]) -> list[str]:
        pairs = [pair for pair in data if not (self.environments and pair.startswith(ENVIRONMENT))]
        pairs += [f"{ENVIRONMENT}{','.join(self.environments)}"] if self.environments else []
        pairs += ["rebuild=true"] if self.rebuild else []
        told = [word for pair in pairs for word in ("--data", pair)]
        return told + [word for name in hosts for word in ("--limit", name)]


def _deploys(host: HostReport) -> Iterator[_Deploy]:
    leaving = _in_need(host, "remove")
    names = tuple(each.name for each in host.environments if each.name not in leaving)
    anew = _in_need(host, "rebuild") - leaving
    others = (_in_need(host, "deploy") | _in_need(host, "onboard")) - anew - leaving
    if leaving:
        yield _Deploy(rebuild=False, environments=(), file=REMOVE)
    for rebuild, needed in ((False, others), (True, anew)):
        if needed:
            chosen = () if needed >= {*names} else tuple(n for n in names if n in needed)
            yield _Deploy(rebuild, chosen)


def _in_need(host: HostReport, action: Action) -> set[str]:
    """Return the environments of a host that an action concerns; its own concerns all of them."""
    if any(drift.action == action for drift in host.drift):
        return {each.name for each in host.environments} or {DEFAULT}
    return {
        each.name
        for each in host.environments
        if any(drift.action == action for drift in each.drift)
    }


def odd_ones_out(hosts: Sequence[HostReport]) -> list[str]:
    """Return a sentence for each host that differs from more than half of its group.

    Of torch, only hosts that have the same environment are compared.
    """
    notes = []
    for group in dict.fromkeys(host.group for host in hosts if host.group):
        members = [host for host in hosts if host.group == group]
        for what, values in _compared(members).items():
            usual, count = Counter(values.values()).most_common(1)[0]
            if len(values) >= ENOUGH and len(values) / 2 < count < len(values):
                notes += [
                    f"{name}: {what} {value or 'none'}, where {count} of {len(values)} hosts of"
                    f" {group} have {usual or 'none'}"
                    for name, value in values.items()
                    if value != usual
                ]
    return notes


def _compared(hosts: Iterable[HostReport]) -> dict[str, dict[str, str]]:
    """Return what is compared in a group, and for each the value of every host."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for host in hosts:
        for what, value in _values(host):
            found[what][host.name] = value
    return found


def _values(host: HostReport) -> Iterator[tuple[str, str]]:
    if host.profile is None:
        return
    yield "driver", host.profile.driver.version or ""
    yield "GPUs", _gpus(host.profile)
    for each in host.environments:
        torch = f"{each.choice.torch} {each.choice.variant}" if each.choice else ""
        yield "torch" if each.name == DEFAULT else f"torch of {each.name}", torch


def _gpus(profile: Profile) -> str:
    names = Counter(gpu.name for gpu in profile.gpus)
    return ", ".join(f"{count} x {name}" for name, count in sorted(names.items()))


def _drift(
    class_: str,
    what: str,
    expected: str,
    found: str,
    repair: str,
    action: str = "",
    subject: str = "",
) -> Drift:
    said = {"what": what, "expected": expected, "found": found, "repair": repair}
    return Drift.model_validate({"class": class_, **said, "action": action, "subject": subject})


def _request(
    record: Record, lock: Lock | None, target: Target | Blocker, settings: Settings
) -> list[Drift]:
    """Return what the inventory asks for and the lock does not meet, as a deploy decides it."""
    if held(record, settings):
        return []
    before, now = read_pins(record.request), read_pins(settings.request)
    if isinstance(target, Blocker):
        pinned = replace(now, torch=before.torch) if settings.uniform else now
        why = ("request", "what the inventory asks for", target.reason)
        asked = [why] if before != pinned else []
    else:
        lacking = unmet(lock, target) if lock else []
        asked = [(f"request for {one.key}", one.asked, one.found) for one in lacking]
    if record.group != settings.group:
        asked.append(("request for group", settings.group or "none", record.group or "none"))
    if before.gpus != now.gpus:
        asked.append(("request for gpus", _selected(now.gpus), _selected(before.gpus)))
    return [
        _drift("package", what, wanted, served, DEPLOY, "deploy") for what, wanted, served in asked
    ]


def _selected(gpus: frozenset[int | str] | None) -> str:
    return "all" if gpus is None else ", ".join(sorted(map(str, gpus)))


def _recorded(
    environment: str, record: Record, lock: Lock | None, found: HostState
) -> list[Difference]:
    """Compare an environment with its record and lock, as the host itself does (node/check.py)."""
    there = found.installation
    built = next((g for g in there.generations if g.id == record.generation), None)
    wanted = lock.packages if lock else None
    return compare.package_differences(
        compare.Recorded(record.generation, record.choice.python.path, record.lock, wanted),
        there.in_use(environment),
        compare.Environment(bool(built.python), built.packages) if built else None,
        "current" if environment == DEFAULT else f"environments/{environment}",
    )


def _recorded_of_host(record: Record, profile: Profile, matrix: Matrix) -> list[Difference]:
    """Compare driver and GPUs with a record, and see what the GPUs say of themselves."""
    before, installed = record.driver, profile.installed_driver
    changed = profile.driver.version != before.version
    newer = _better(record, profile, matrix) if changed else ""
    return [
        *compare.driver_differences(before, profile.driver, profile.os, newer),
        *compare.library_differences(installed.module, installed.library, profile.os),
        *compare.hardware_differences(record.gpus, profile.gpus),
        *compare.failing_memory(profile.gpus),
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
            "driver",
            "wheels",
            f"torch {choice.torch} {choice.variant} runs here",
            obstacle,
            DEPLOY,
            "deploy",
        )
    ]


def _better(record: Record, profile: Profile, matrix: Matrix) -> str:
    """Return what the new driver makes possible that the old one did not, by the matrix alone."""
    old = profile.model_copy(update={"driver": record.driver})
    asked = record.request
    if asked.team:  # whose pins are not in the record
        asked = asked.model_copy(update={"torch": f"=={record.choice.torch}"})
    before, now = (answer(host, asked, matrix, None) for host in (old, profile))
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
            words = (f"model of GPU {gpu.index}", expect.gpu, gpu.name, mend)
            drifts.append(_drift("hardware", *words, subject="model of a GPU"))
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
        _drift(
            "runtime",
            f"{what} of GPU {gpu.index}",
            f"at most {limit}",
            str(value),
            repair,
            subject=f"{what} of a GPU",
        )
        for what, value, limit, repair in limits
        if limit is not None and value is not None and value > limit
    ]

"""Looking at the host of the moment, changing nothing: what differs from what it should be."""

from typing import Any

from pyinfra import host
from pyinfra.api.exceptions import PyinfraError

from fleetwheel import drift
from fleetwheel.deploy import record as records
from fleetwheel.deploy.decider import python_for, require_python
from fleetwheel.deploy.preflight import refuse_distrusted
from fleetwheel.deploy.record import Record
from fleetwheel.errors import FleetwheelError, unforeseen
from fleetwheel.facts.lock import LockCopy
from fleetwheel.host.profile import HostState
from fleetwheel.inventory.load import group_of
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.lock.lock import Lock
from fleetwheel.operations import _probe, _smoke_test
from fleetwheel.operations._damage import look_at_files
from fleetwheel.operations._host_state import answered, fact
from fleetwheel.operations._steps import LOCKS, MATRIX
from fleetwheel.reporting.report import Drift, HostReport, Status
from fleetwheel.smoke import result as smoke


def look(settings: Settings, deep: bool = False) -> HostReport:
    """
    Return what the host is and how it differs from its record, its lock and the inventory.

    + settings: what the inventory says about the host
    + deep: check every installed file against its wheel's RECORD, not for its size alone, and run
      the smoke test

    Nothing is written and no lock is taken, so a deploy may run at the same time.
    """
    seen: dict[str, Any] = {
        "name": host.name,
        "group": group_of(host.groups),
        "trust": settings.trust,
    }
    try:
        facts = answered(settings)
        seen["profile"] = facts.profile
        refuse_distrusted(facts.installation)
        record = records.parse_record(facts.installation.record)
        lock = _lock(facts, record)
        found = [*drift.differences(record, lock, facts, settings, MATRIX)]
        if record:
            seen |= {"choice": record.choice, "generation": record.generation}
            passed = record.smoke
            of_this = passed is not None and passed.generation == record.generation
            seen["smoke"] = passed.result if passed and of_this else None
        if record and lock:
            look_closer = _deeper if deep else _quick
            found += look_closer(settings, facts, record, lock, seen)
        if record and record.hold:
            found = drift.on_hold(found)
    except (FleetwheelError, OSError) as error:
        return HostReport(status="failed", why=str(error), **seen)
    except PyinfraError:  # no host is left, or this one cannot be reached
        raise
    except Exception as error:
        return HostReport(status="failed", why=str(unforeseen(error)), **seen)
    held = record is not None and record.hold is not None
    status: Status = "drifted" if found else "on hold" if held else "clean"
    return HostReport(status=status, why=_why(found, record), drift=tuple(found), **seen)


def _why(found: list[Drift], record: Record | None) -> str:
    lines = [str(_fault(each)) for each in found]
    if record and record.hold:
        lines.append(f"rolled back on {record.hold.since:%Y-%m-%d}, on hold since")
    return "\n".join(lines)


def _fault(drift: Drift) -> FleetwheelError:
    differs = f"expected {drift.expected}, found {drift.found}"
    return FleetwheelError(f"{drift.class_}: {drift.what}: {differs}", hint=drift.repair)


def _lock(facts: HostState, record: Record | None) -> Lock | None:
    """Return the lock that the host should run; a host on hold should run its own copy."""
    if record is None:
        return None
    kept = None if record.hold else locks.load_lock(LOCKS, record.lock)
    if kept:
        return kept
    built = {generation.id: generation for generation in facts.installation.generations}
    if record.generation not in built or not built[record.generation].lock:
        return None
    path = f"{facts.installation.root}/envs/{record.generation}"
    text = fact(LockCopy, generation=path)
    return locks.from_copy(text, record.lock) if text else None


def _quick(
    settings: Settings, facts: HostState, record: Record, lock: Lock, seen: dict[str, Any]
) -> list[Drift]:
    """Look at the files as a deploy does, which builds the environment again for what it finds."""
    python = python_for(lock, facts.profile, record)
    if python is None:
        return []
    lost, strange = look_at_files(record.generation, python, facts, record, settings)
    return drift.damaged(lost, deep=False) + drift.unrecorded(strange, deep=False)


def _deeper(
    settings: Settings, facts: HostState, record: Record, lock: Lock, seen: dict[str, Any]
) -> list[Drift]:
    """Check the files of the environment that should be in use, and run its smoke test."""
    python = require_python(lock, facts.profile, record)
    root, generation = facts.installation.root, record.generation
    limit = settings.smoke_timeout
    answer = _probe.generation(host, python.path, "verify", root, limit, id=generation)
    found = drift.damaged(answer.get("damaged", ()), deep=True)
    found += drift.unrecorded(answer.get("unrecorded", ()), deep=True)
    if settings.smoke == "none" or not facts.installation.runs(generation):
        return found
    environment = f"{root}/envs/{generation}"
    result = _smoke_test.run_smoke_test(host, environment, lock, facts.profile, settings)
    seen["smoke"] = result
    if not smoke.passed(result) and not smoke.busy(result):
        found += map(drift.failed_test, smoke.faults_of(result))
    return found

"""Looking at the host of the moment, changing nothing: what differs from what it should be."""

from collections.abc import Iterable, Iterator
from typing import Any

from pyinfra import host
from pyinfra.api.exceptions import PyinfraError

from fleetwheel import drift
from fleetwheel.deploy import record as records
from fleetwheel.deploy.decider import python_for, require_python
from fleetwheel.deploy.hold import held, repair_of_held
from fleetwheel.deploy.preflight import refuse_distrusted
from fleetwheel.deploy.record import Record, State
from fleetwheel.deploy.signposts import publish_of
from fleetwheel.errors import FleetwheelError, unforeseen
from fleetwheel.facts.lock import LockCopy
from fleetwheel.host.profile import HostState, Python
from fleetwheel.inventory.load import group_of
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.lock.lock import Lock
from fleetwheel.operations import _probe, _smoke_test
from fleetwheel.operations._damage import Seen, look_at_files, seen_in
from fleetwheel.operations._environments import asked_environments
from fleetwheel.operations._host_state import answered, fact
from fleetwheel.operations._steps import LOCKS, MATRIX
from fleetwheel.reporting.cause import cause_of
from fleetwheel.reporting.report import Drift, EnvironmentReport, HostReport, Status
from fleetwheel.smoke import result as smoke


def look(settings: Settings, deep: bool = False) -> HostReport:
    """
    Return what the host is and how it differs from its records, its locks and the inventory.

    + settings: what the inventory says about the host
    + deep: check every installed file against its wheel's RECORD, not for its size alone, and run
      the smoke test

    Nothing is written and no lock is taken, so a deploy may run at the same time.
    """
    about = HostReport(
        name=host.name, group=group_of(host.groups), status="clean", trust=settings.trust
    )
    try:
        facts = answered(settings)
        about = about.model_copy(update={"profile": facts.profile})
        refuse_distrusted(facts.installation)
        there = records.parse_state(facts.installation.record)
        found = drift.host_differences(there.latest, facts, settings, MATRIX)
        environments = [*_wanted(settings, facts, there, deep), *_left_over(settings, there)]
    except (FleetwheelError, OSError) as error:
        return about.model_copy(update=_failure(error))
    except PyinfraError:  # no host is left, or this one cannot be reached
        raise
    except Exception as error:
        return about.model_copy(update=_failure(unforeseen(error)))
    status: Status = "drifted" if found else "clean"
    said = {"status": status, "why": _lines(found), "drift": found}
    return about.model_copy(update=said).with_environments(environments)


def _wanted(
    settings: Settings, facts: HostState, there: State, deep: bool
) -> Iterator[EnvironmentReport]:
    """Yield what is to be said of each environment that the run is for."""
    for name, own in asked_environments(settings).items():
        about = EnvironmentReport(name=name, status="failed")
        try:
            yield _look_into(about, own, facts, there.environments.get(name), deep)
        except (FleetwheelError, OSError) as error:
            yield about.model_copy(update=_failure(error))
        except PyinfraError:
            raise
        except Exception as error:
            yield about.model_copy(update=_failure(unforeseen(error)))


def _failure(error: Exception) -> dict[str, Any]:
    return {"status": "failed", "why": str(error), "cause": cause_of("failed", error)}


def _left_over(settings: Settings, there: State) -> Iterator[EnvironmentReport]:
    """Yield the environments that the host has and the inventory has not."""
    wanted = settings.by_environment()
    for name, record in there.environments.items():
        if name not in wanted and name in (settings.environment or there.environments):
            on_hold = held(record, settings)
            found = () if on_hold else (drift.not_wanted(record),)
            yield EnvironmentReport(
                name=name,
                status="on hold" if on_hold else "drifted",
                why=f"not in the inventory; {on_hold}" if on_hold else _lines(found),
                choice=record.choice,
                generation=record.generation,
                drift=found,
            )


def _look_into(
    about: EnvironmentReport,
    settings: Settings,
    facts: HostState,
    record: Record | None,
    deep: bool,
) -> EnvironmentReport:
    """Return how one environment differs from its record, its lock and the inventory."""
    on_hold = held(record, settings)
    if record is None and on_hold:
        return about.model_copy(update={"status": "on hold", "why": on_hold})
    lock = _lock(facts, record, on_hold)
    found = [*drift.environment_differences(about.name, record, lock, facts, settings, MATRIX)]
    result = None
    if record:
        passed = record.smoke
        of_this = passed is not None and passed.generation == record.generation
        result = passed.result if passed and of_this else None
    if record and lock and deep:
        damage, result = _deeper(about, settings, facts, record, lock, result)
        found += damage
    elif record and lock:
        found += _quick(about, settings, facts, record, lock)
    if record and on_hold:
        found = drift.on_hold(found, repair_of_held(record, settings))
    status: Status = "drifted" if found else "on hold" if on_hold else "clean"
    return about.model_copy(
        update={
            "status": status,
            "why": "\n".join(filter(None, [_lines(found), on_hold])),
            "choice": record.choice if record else None,
            "generation": record.generation if record else None,
            "smoke": result,
            "drift": tuple(found),
        }
    )


def _lines(found: Iterable[Drift]) -> str:
    return "\n".join(str(_fault(each)) for each in found)


def _fault(drift: Drift) -> FleetwheelError:
    differs = f"expected {drift.expected}, found {drift.found}"
    return FleetwheelError(f"{drift.class_}: {drift.what}: {differs}", hint=drift.repair)


def _lock(facts: HostState, record: Record | None, on_hold: str) -> Lock | None:
    """Return the lock that an environment should run; one that is held runs its own copy."""
    if record is None:
        return None
    kept = None if on_hold else locks.load_lock(LOCKS, record.lock)
    if kept:
        return kept
    built = {generation.id: generation for generation in facts.installation.generations}
    if record.generation not in built or not built[record.generation].lock:
        return None
    path = f"{facts.installation.root}/envs/{record.generation}"
    text = fact(LockCopy, generation=path)
    return locks.from_copy(text, record.lock) if text else None


def _quick(
    about: EnvironmentReport, settings: Settings, facts: HostState, record: Record, lock: Lock
) -> list[Drift]:
    """Look at the files as a deploy does, which builds the environment again for what it finds."""
    python = python_for(lock, facts.profile, record)
    if python is None:
        return []
    outside = _outside(about, settings, facts, lock, python)
    seen = look_at_files(record.generation, python, facts, record, settings, outside)
    return _found(seen, deep=False)


def _outside(
    about: EnvironmentReport, settings: Settings, facts: HostState, lock: Lock, python: Python
) -> dict[str, Any]:
    """Return what a look at readers, kernelspecs and module files needs to know."""
    root, os = facts.installation.root, facts.profile.os
    publish = publish_of(about.name, root, os, settings, lock, python)
    return {"environment": about.name, "publish": publish}


def _found(seen: Seen, *, deep: bool) -> list[Drift]:
    return [
        *drift.damaged(seen.packages, deep=deep),
        *drift.unrecorded(seen.files, deep=deep),
        *drift.outside((*seen.differences, *seen.replaced)),
    ]


def _deeper(
    about: EnvironmentReport,
    settings: Settings,
    facts: HostState,
    record: Record,
    lock: Lock,
    result: dict[str, Any] | None,
) -> tuple[list[Drift], dict[str, Any] | None]:
    """Check the files of the environment that should be in use, and run its smoke test.

    What is not as the wheels brought it is not run: a planted ``.pth`` begins with the test.

    Returns what differs, and the test's document, or the ``result`` of the last one without a test.
    """
    python = require_python(lock, facts.profile, record)
    root, generation = facts.installation.root, record.generation
    limit = settings.smoke_timeout
    outside = _outside(about, settings, facts, lock, python)
    answer = _probe.generation(host, python.path, "verify", root, limit, id=generation, **outside)
    seen = seen_in(answer)
    found = _found(seen, deep=True)
    if seen.damage or settings.smoke == "none" or not facts.installation.runs(generation):
        return found, result
    path = f"{root}/envs/{generation}"
    result = _smoke_test.run_smoke_test(host, path, lock, facts.profile, settings)
    if not smoke.passed(result) and not smoke.busy(result):
        found += map(drift.failed_test, smoke.faults_of(result))
    return found, result

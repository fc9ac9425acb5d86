"""What has to happen on a host so that it runs its lock: a pure comparison."""

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from fleetwheel.choice.request import Request, read_pins
from fleetwheel.deploy.record import Record, SmokePass, State
from fleetwheel.host.profile import Generation, HostState, Profile, Python
from fleetwheel.inventory.settings import SmokeMode
from fleetwheel.lock.lock import Lock
from fleetwheel.node.compare import Difference
from fleetwheel.smoke.result import uuids
from fleetwheel.value import Value

NOTHING_DAMAGED: Mapping[str, Sequence[str]] = MappingProxyType({})


class Plan(Value):
    """The steps that a deploy takes on one host, in the order of the fields."""

    generation: str
    """The generation that the host is to run."""
    build: bool
    smoke: bool
    activate: bool
    because: str
    """Why anything has to happen, or why nothing has to."""

    @property
    def nothing(self) -> bool:
        """Whether the host is already right."""
        return not (self.build or self.smoke or self.activate)

    def and_outside(self, differences: Sequence[Difference]) -> "Plan":
        """Return the plan that also puts right who may read an environment and who finds it."""
        if self.activate or not differences:
            return self
        told = "; ".join(f"{d.what}: expected {d.expected}, found {d.found}" for d in differences)
        because = self.because if self.smoke else f"it is in use and right; {told}"
        return self.model_copy(update={"activate": True, "because": because})


def plan(
    lock: Lock,
    python: Python,
    host: HostState,
    state: State,
    *,
    environment: str,
    request: Request,
    smoke: SmokeMode,
    keep: int = 3,
    group: str | None = None,
    rebuild: bool = False,
    damaged: Mapping[str, Sequence[str]] = NOTHING_DAMAGED,
) -> Plan:
    """Compare an environment of a host with its lock, and its record with what is asked for now.

    A generation is never repaired in place: one whose packages differ from the lock is left as it
    is, and the same wheels are built again under the next build number. So is one of which a look
    at its files has found packages ``damaged``.
    """
    name = lock.generation(python, group)
    builds = {g.id: g for g in host.installation.generations if _build_of(g.id, name) is not None}
    locked = [id for id, generation in builds.items() if _as_locked(generation, lock)]
    good = [id for id in locked if id not in damaged]
    if rebuild or not good:
        number = max((_build_of(id, name) or 0 for id in builds), default=0) + 1
        return Plan(
            generation=f"{name}-{number}",
            build=True,
            smoke=smoke != "none",
            activate=True,
            because=_why_build(builds, locked, good, damaged),
        )
    current, record = host.installation.in_use(environment), state.environments.get(environment)
    chosen = current if current in good else max(good, key=lambda id: _build_of(id, name) or 0)
    passed = passed_test(state, environment, chosen, host.profile, request)
    tested = smoke == "none" or (smoke == "auto" and passed is not None)
    differs = _differs(chosen, lock, record, request, keep) or _borrowed(record, passed)
    return Plan(
        generation=chosen,
        build=False,
        smoke=not tested,
        activate=chosen != current or differs is not None,
        because="it is built, but not in use"
        if chosen != current
        else differs or _why(tested, smoke),
    )


def passed_test(
    state: State, environment: str, generation: str, profile: Profile, request: Request
) -> SmokePass | None:
    """Return a pass that still holds and covers the GPUs to be served now.

    That of the environment itself, or else of another one that uses the generation.
    """
    served = uuids(profile, request)
    own = state.environments.get(environment)
    passes = [*([own.smoke] if own and own.smoke else []), *state.passes]
    return next((each for each in passes if each.holds(generation, profile, served)), None)


def _borrowed(record: Record | None, passed: SmokePass | None) -> str | None:
    """Return that the pass of another environment has to be written into the record, if it has."""
    if record is None or passed is None or record.smoke == passed:
        return None
    return "it is in use and right; its record takes the smoke test of another environment"


def _differs(
    generation: str, lock: Lock, record: Record | None, request: Request, keep: int
) -> str | None:
    """Return why the record of an environment in use has to be written; None where it is right."""
    if record is not None and record.hold:
        return "it is in use, and its hold has ended"
    if record is None or record.generation != generation:
        return "it is in use, but the host's record says otherwise"
    if read_pins(record.request) != read_pins(request):
        return "it is in use and right; its record takes the new request"
    if record.lock != lock.name:
        return "it is in use and right; its record takes the new lock"
    if record.keep != keep:
        return f"it is in use and right; from now on {keep} of its generations stay"
    return None


def _why(tested: bool, smoke: SmokeMode) -> str:
    if smoke == "none":
        return "it is in use, as locked; nothing is tested here"
    if not tested:
        return "its smoke test has to run again"
    return "it is in use, as locked, and its smoke test has passed"


def _build_of(id: str, name: str) -> int | None:
    """Return the build number of a generation of this name."""
    match = re.fullmatch(re.escape(name) + r"-(\d{1,9})", id)
    return int(match[1]) if match else None


def _as_locked(generation: Generation, lock: Lock) -> bool:
    return generation.packages == lock.packages and bool(generation.python)


def _why_build(
    builds: Collection[str],
    locked: Collection[str],
    good: Collection[str],
    damaged: Mapping[str, Sequence[str]],
) -> str:
    if good:
        return "a new build was asked for"
    reasons = [f"files of {', '.join(names)} in {id} are changed" for id, names in damaged.items()]
    if set(builds) - set(locked):
        reasons.insert(0, "the environment's packages differ from the lock")
    return "; ".join(reasons) or "there is no environment of these wheels and this Python yet"

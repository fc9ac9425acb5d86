"""What an environment of the host of the moment is to be: decided, and compared with what it is."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyinfra import logger
from pyinfra.facts.server import Command

from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.choice.team_target import said_changes
from fleetwheel.deploy import preflight
from fleetwheel.deploy.decider import Decider, pinned, require_python, takes_cuda
from fleetwheel.deploy.generations import package_changes
from fleetwheel.deploy.plan import Plan, passed_test, plan
from fleetwheel.deploy.record import Hold, SmokePass, State
from fleetwheel.deploy.signposts import publish_of
from fleetwheel.errors import FleetwheelError, RefusedError
from fleetwheel.facts.lock import LockCopy
from fleetwheel.host.profile import DriverState, Generation, HostState, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.lock.lock import Lock
from fleetwheel.operations._damage import look_at_files
from fleetwheel.operations._deployment import Deployment
from fleetwheel.operations._host_state import fact
from fleetwheel.operations._steps import LOCKS, MATRIX
from fleetwheel.operations._uniform import members
from fleetwheel.reporting.cause import of_words
from fleetwheel.reporting.report import EnvironmentReport
from fleetwheel.smoke.result import imported_first

_decider = Decider(LOCKS, MATRIX, logger.warning)


@dataclass
class PlannedHost:
    """A host, and what the environments before this one will have done there."""

    facts: HostState
    state: State
    to_build: dict[str, Generation] = field(default_factory=dict)
    """Name of the environment to the generation that is built for it."""
    proved: list[SmokePass] = field(default_factory=list)
    """Filled while the steps are carried out."""

    @property
    def expected(self) -> HostState:
        """The host as it will be."""
        there = self.facts.installation
        generations = (*there.generations, *self.to_build.values())
        built = there.model_copy(update={"generations": generations})
        return self.facts.model_copy(update={"installation": built})

    def builder_of(self, generation: str) -> str:
        """Return the environment for which a generation is built in this run; empty for none."""
        return next((n for n, built in self.to_build.items() if built.id == generation), "")


def decide(name: str, settings: Settings, planned: PlannedHost) -> Deployment | EnvironmentReport:
    """Return what an environment should be, or the report of its refusal."""
    facts, record = planned.facts, planned.state.environments.get(name)
    if settings.group:
        _require_readers(settings.group, facts)
    request, notes = _request(name, settings, facts)
    lock = _decider.decide(
        facts.profile,
        request,
        record,
        lambda: _copy_of_lock(facts, facts.installation.in_use(name)),
        extra_sources=settings.own_sources,
        relock=settings.relock,
        tested=settings.smoke != "none",
    )
    if isinstance(lock, Refusal):
        ways = (f"what would change it: {unlock}" for unlock in lock.unlocks)
        why = "\n".join([*lock.reasons, *ways, *notes])
        cause = of_words("refused", "\n".join(lock.reasons), "; or ".join(lock.unlocks))
        return EnvironmentReport(name=name, status="refused", why=why, cause=cause)
    python = require_python(lock, facts.profile, record)
    steps, obstacles = _plan(name, lock, python, planned, request, settings)
    return Deployment(
        environment=name,
        settings=settings,
        facts=facts,
        state=planned.state,
        request=request,
        lock=lock,
        python=python,
        plan=steps,
        notes=(*notes, *obstacles, *changed_by_team(name, request, lock, facts)),
        builder=planned.builder_of(steps.generation),
        proved=planned.proved,
    )


def _require_readers(group: str, facts: HostState) -> None:
    """Raise RefusedError for a group of readers that the host does not have."""
    if facts.profile.os == "windows":
        raise RefusedError(
            "a group of readers is not known on Windows", hint="take out group: for this host"
        )
    if not fact(Command, command=f"getent group {group} || true"):
        raise RefusedError(
            f"there is no group {group} on the host",
            hint=f"add it (groupadd {group}), or name another one in the inventory",
        )


def changed_by_team(name: str, request: Request, lock: Lock, facts: HostState) -> tuple[str, ...]:
    """Return which packages of an environment change where a team's file decides them."""
    there = {each.id: each.packages for each in facts.installation.generations}
    current = there.get(facts.installation.in_use(name) or "")
    changes = said_changes(current, lock.packages) if request.team and current else ""
    return (f"what changes: {changes}",) if changes else ()


def _plan(
    name: str,
    lock: Lock,
    python: Python,
    planned: PlannedHost,
    request: Request,
    settings: Settings,
) -> tuple[Plan, tuple[str, ...]]:
    """Return the steps for a host, and why people do not find the environment somewhere.

    What would stay as it is is looked at first.
    """
    damaged: dict[str, list[str]] = {}
    record, facts = planned.state.environments.get(name), planned.facts
    publish = publish_of(name, facts.installation.root, facts.profile.os, settings, lock, python)
    outside = {"environment": name, "publish": publish}
    while True:
        steps = plan(
            lock,
            python,
            planned.expected,
            planned.state,
            environment=name,
            request=request,
            smoke=settings.smoke,
            keep=settings.keep,
            group=settings.group,
            rebuild=settings.rebuild,
            damaged=damaged,
        )
        if steps.build:
            return steps, ()
        if builder := planned.builder_of(steps.generation):
            return steps.model_copy(update={"because": f"it is built for {builder}"}), ()
        seen = look_at_files(steps.generation, python, facts, record, settings, outside)
        if not seen.damage:
            return steps.and_outside(seen.differences), seen.obstacles
        damaged[steps.generation] = seen.damage


def _request(name: str, settings: Settings, facts: HostState) -> tuple[Request, tuple[str, ...]]:
    """Return what to choose by, and what a person should know of that.

    In a uniform group it is the release that all its CUDA hosts run.
    """
    if settings.gpus and facts.profile.driver.state is DriverState.NO_GPU:
        wanted = ", ".join(map(str, settings.gpus))
        return settings.request, (f"gpus: {wanted} is without effect: the host has no NVIDIA GPU",)
    if not settings.uniform or not takes_cuda(facts.profile, settings.request):
        return settings.request, ()
    group = members(name, settings)
    release = _decider.common(group, extra_sources=settings.own_sources, relock=settings.relock)
    odd = ", ".join(_decider.odd_ones_out(group))
    if release is None:
        raise RefusedError(
            "no release of torch runs on every CUDA host of this uniform group",
            hint=f"take uniform from the group, or the odd host out of it{odd and f': {odd}'}",
        )
    notes = (f"without {odd} the uniform group would get a newer release",) if odd else ()
    return pinned(settings.request, release), notes


def deployment_of(
    name: str, settings: Settings, planned: PlannedHost, generation: str
) -> Deployment:
    """Return the deployment of a generation that stands on the host, from its copy of the lock."""
    facts, record = planned.facts, planned.state.environments[name]
    text = _copy_of_lock(facts, generation)
    if text is None:
        raise FleetwheelError(f"{generation} has lost its copy of the lock")
    preflight.refuse_dead(facts.installation, generation)
    python = require_python(locks.from_copy(text, record.lock), facts.profile)
    if damage := look_at_files(generation, python, facts, record, settings).damage:
        raise FleetwheelError(
            f"{generation} is not whole: files of {', '.join(damage)} are changed",
            hint="name another one with --data generation=ID",
        )
    lock = locks.from_copy(text, locks.name_here(LOCKS, text) or record.lock)
    passed = passed_test(
        planned.state,
        name,
        generation,
        facts.profile,
        settings.own_request,
        imported_first(lock),
    )
    steps = Plan(
        generation=generation,
        build=False,
        smoke=passed is None and settings.smoke != "none",
        activate=True,
        because="the host's record holds it there"
        if generation == record.generation
        else _changes(name, facts, generation),
    )
    hold = Hold(since=datetime.now(UTC), rolled_back_from=record.generation)
    if generation == record.generation and record.hold:
        hold = record.hold
    return Deployment(
        environment=name,
        settings=settings,
        facts=facts,
        state=planned.state,
        request=lock.origin.request.model_copy(update={"gpus": record.request.gpus}),
        lock=lock,
        python=python,
        plan=steps,
        hold=hold,
        proved=planned.proved,
    )


def _changes(name: str, facts: HostState, generation: str) -> str:
    """Return where a rollback leads from and to, and which packages it changes."""
    there = {generation.id: generation.packages for generation in facts.installation.generations}
    current = facts.installation.in_use(name)
    changes = package_changes(there.get(current or "", {}), there.get(generation, {}))
    return f"back from {current} to {generation}: {changes or 'no package changes'}"


def _copy_of_lock(facts: HostState, generation: str | None) -> str | None:
    path = f"{facts.installation.root}/envs/{generation}"
    return fact(LockCopy, generation=path) if generation else None

"""PyTorch environments: the one that suits the host, and the one that it had before."""

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from pyinfra import host, logger, state
from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand

from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.delivery import mirror
from fleetwheel.delivery.distribution import (
    lenders,
    require_own_files,
    require_public,
    require_unchanged,
)
from fleetwheel.delivery.proxy import variables
from fleetwheel.delivery.space import amount, download_bytes, missing_wheels, needed_bytes
from fleetwheel.deploy import preflight
from fleetwheel.deploy import record as records
from fleetwheel.deploy.decider import Decider, pinned, require_python, takes_cuda
from fleetwheel.deploy.generations import before, package_changes
from fleetwheel.deploy.hold import held
from fleetwheel.deploy.plan import Plan, passed_test, plan
from fleetwheel.deploy.record import Hold, Record, SmokePass, State
from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.lock import LockCopy
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import DriverState, Generation, HostState, Installation, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.lock.lock import Lock
from fleetwheel.operations import _node, _report
from fleetwheel.operations._damage import damaged_packages
from fleetwheel.operations._delivery import delivery, mirror_address, places
from fleetwheel.operations._deployment import Deployment, Transfer
from fleetwheel.operations._environments import asked_environments, each_environment
from fleetwheel.operations._host_state import fact, with_answer
from fleetwheel.operations._steps import (
    LOCKS,
    MATRIX,
    keep_lock,
    place_program,
    plan_steps,
    uv_to_send,
)
from fleetwheel.operations._uniform import members
from fleetwheel.reporting.report import EnvironmentReport
from fleetwheel.sources.configured import configured_sources, uv_credentials
from fleetwheel.sources.survey import sizes

NEVER = "nothing was deployed here"

_decider = Decider(LOCKS, MATRIX, logger.warning)


@operation()
def environment(settings: Settings) -> Generator[PyinfraCommand]:
    """
    Give each environment of the host the newest PyTorch that runs on its GPUs, tested before use.

    + settings: what the inventory says about the host

    An environment that fails leaves those beside it alone; the host fails at the end.

    **Example:**

    .. code:: python

        torch.environment(
            name="Install the PyTorch that suits this host",
            settings=settings(),
        )
    """
    yield from with_answer(settings, _environments)


def _environments(settings: Settings, facts: HostState) -> Generator[PyinfraCommand]:
    planned = _Planned(facts, records.parse_state(facts.installation.record))
    yield from each_environment(
        facts, asked_environments(settings), lambda name, own: _environment(name, own, planned)
    )


@dataclass
class _Planned:
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


def _environment(name: str, settings: Settings, planned: _Planned) -> Generator[PyinfraCommand]:
    record, there = planned.state.environments.get(name), planned.facts.installation
    if on_hold := held(record, settings):
        if record and record.hold and _repairable(name, record, there):
            yield from _carry_out(_deployment_of(name, settings, planned, record.generation))
            return
        choice, generation = (record.choice, record.generation) if record else (None, None)
        entry = EnvironmentReport(
            name=name, status="on hold", why=on_hold, choice=choice, generation=generation
        )
        _report.record_environment(host.name, entry)
        host.noop(f"{name}: {on_hold}")
        return
    deployment = _decide(name, settings, planned)
    if isinstance(deployment, EnvironmentReport):
        _report.fail_environment(host, deployment)
        return
    yield from _carry_out(deployment)
    if deployment.plan.build:
        planned.to_build[name] = deployment.built


def _repairable(name: str, record: Record, there: Installation) -> bool:
    """Whether an environment has left the generation that a rollback put it on."""
    return there.in_use(name) != record.generation and there.runs(record.generation)


@operation()
def rollback(settings: Settings, generation: str | None = None) -> Generator[PyinfraCommand]:
    """
    Put an environment back on an earlier generation, and hold it there until a person lifts it.

    + settings: what the inventory says about the host; with several environments, ``environment``
      names those that are meant
    + generation: id of the generation; the one that was in use before by default

    The generation is smoke-tested again first, unless its last pass still holds.

    **Example:**

    .. code:: python

        torch.rollback(
            name="Go back to the generation before",
            settings=settings(),
        )
    """
    yield from with_answer(settings, partial(_rollbacks, generation))


def _rollbacks(
    generation: str | None, settings: Settings, facts: HostState
) -> Generator[PyinfraCommand]:
    planned = _Planned(facts, records.parse_state(facts.installation.record))
    asked = asked_environments(settings)
    if len(asked) > 1 and not (settings.environment and generation is None):
        raise FleetwheelError(
            f"the host has {len(asked)} environments: {', '.join(asked)}",
            hint="name the one to roll back: --data environment=NAME",
        )
    yield from each_environment(
        facts, asked, lambda name, own: _rollback(name, own, planned, generation)
    )


def _rollback(
    name: str, settings: Settings, planned: _Planned, generation: str | None
) -> Generator[PyinfraCommand]:
    record, there = planned.state.environments.get(name), planned.facts.installation
    built = {each.id for each in there.generations}
    earlier = (each.generation for each in before(record) if each.generation in built)
    wanted = generation or next(earlier, None)
    if record and wanted and wanted == there.in_use(name) == record.generation:
        why = f"{wanted} is in use"
        unchanged = EnvironmentReport(name=name, status="unchanged", why=why, generation=wanted)
        _report.record_environment(host.name, unchanged)
        host.noop(f"{name}: {why}")
        return
    if record is None or wanted is None or wanted not in built:
        why = _no_way_back(wanted, built - {there.in_use(name)}) if record else NEVER
        _report.fail_environment(host, EnvironmentReport(name=name, status="refused", why=why))
        return
    yield from _carry_out(_deployment_of(name, settings, planned, wanted))


def _no_way_back(wanted: str | None, others: set[str]) -> str:
    """Return why a host cannot go back to a generation, and to which it could."""
    why = f"there is no generation {wanted}" if wanted else "there is no earlier generation"
    there = ", ".join(sorted(others))
    hint = f"; --data generation=ID takes one of these: {there}" if others else ""
    return f"{why} to go back to{hint}"


def _decide(name: str, settings: Settings, planned: _Planned) -> Deployment | EnvironmentReport:
    """Return what an environment should be, or the report of its refusal."""
    facts, record = planned.facts, planned.state.environments.get(name)
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
        return EnvironmentReport(name=name, status="refused", why=why)
    python = require_python(lock, facts.profile, record)
    return Deployment(
        environment=name,
        settings=settings,
        facts=facts,
        state=planned.state,
        request=request,
        lock=lock,
        python=python,
        plan=_plan(name, lock, python, planned, request, settings),
        notes=(*notes, *_changed_by_team(name, request, lock, facts)),
        proved=planned.proved,
    )


def _changed_by_team(name: str, request: Request, lock: Lock, facts: HostState) -> tuple[str, ...]:
    """Return which packages of an environment change where a team's file decides them."""
    there = {each.id: each.packages for each in facts.installation.generations}
    current = there.get(facts.installation.in_use(name) or "")
    changes = package_changes(current, lock.packages) if request.team and current else ""
    return (f"what changes: {changes}",) if changes else ()


def _plan(
    name: str, lock: Lock, python: Python, planned: _Planned, request: Request, settings: Settings
) -> Plan:
    """Return the steps for a host; what would stay as it is is looked at for damage first."""
    damaged: dict[str, list[str]] = {}
    record = planned.state.environments.get(name)
    while True:
        steps = plan(
            lock,
            python,
            planned.expected,
            planned.state,
            environment=name,
            request=request,
            smoke=settings.smoke,
            rebuild=settings.rebuild,
            damaged=damaged,
        )
        builders = (n for n, built in planned.to_build.items() if built.id == steps.generation)
        if steps.build or (builder := next(builders, "")):
            because = steps.because if steps.build else f"it is built for {builder}"
            return steps.model_copy(update={"because": because})
        found = damaged_packages(steps.generation, python, planned.facts, record, settings)
        if not found:
            return steps
        damaged[steps.generation] = found


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
        raise FleetwheelError(
            "no release of torch runs on every CUDA host of this uniform group",
            hint=f"take uniform from the group, or the odd host out of it{odd and f': {odd}'}",
        )
    notes = (f"without {odd} the uniform group would get a newer release",) if odd else ()
    return pinned(settings.request, release), notes


def _deployment_of(name: str, settings: Settings, planned: _Planned, generation: str) -> Deployment:
    """Return the deployment of a generation that stands on the host, from its copy of the lock."""
    facts, record = planned.facts, planned.state.environments[name]
    text = _copy_of_lock(facts, generation)
    if text is None:
        raise FleetwheelError(f"{generation} has lost its copy of the lock")
    preflight.refuse_dead(facts.installation, generation)
    python = require_python(locks.from_copy(text, record.lock), facts.profile)
    if damaged := damaged_packages(generation, python, facts, record, settings):
        raise FleetwheelError(
            f"{generation} is not whole: files of {', '.join(damaged)} are changed",
            hint="name another one with --data generation=ID",
        )
    lock = locks.from_copy(text, locks.name_here(LOCKS, text) or record.lock)
    passed = passed_test(planned.state, generation, facts.profile, settings.own_request)
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


def _carry_out(deployment: Deployment) -> Generator[PyinfraCommand]:
    """Say what happens in an environment, and yield it."""
    steps = deployment.plan
    if steps.nothing:
        why = "\n".join([steps.because, *deployment.notes])
        _report.record_environment(host.name, deployment.entry("unchanged", why))
        host.noop(f"{_place(deployment)}{steps.generation}: {steps.because}")
        if state.is_executing and not _node.kept_program(host):
            place_program(host, deployment)
        yield from keep_lock(deployment)
        return
    transfer = None
    if steps.build:
        try:
            transfer = _prepare(deployment)
            preflight.refuse_unfit(
                deployment.facts,
                transfer.needed_bytes,
                now=time.time(),
                root_named=deployment.settings.root is not None,
            )
            torch = deployment.lock.choice.packages["torch"]
            profile, python = deployment.facts.profile, deployment.python.path
            preflight.refuse_without_visual_cpp(profile, python, torch)
        except FleetwheelError as error:
            _report.fail_environment(host, deployment.entry("failed", str(error)))
            return
    why = _intention(deployment, transfer)
    said = "\n".join([why, *deployment.reasons])
    _report.record_environment(host.name, deployment.entry("would change", said))
    logger.info(f"{host.print_prefix}{_place(deployment)}{why}")
    yield from plan_steps(deployment, transfer)


def _place(deployment: Deployment) -> str:
    return "" if deployment.environment == DEFAULT else f"{deployment.environment}: "


def _prepare(deployment: Deployment) -> Transfer:
    """Find out what a build takes to the host, and how much that is."""
    lock, settings = deployment.lock, deployment.settings
    there = deployment.facts.installation
    sources = configured_sources(settings.own_sources)
    require_own_files(lock, sources, settings.packages)
    how = delivery(settings, lock, deployment.root)
    parcels = {parcel.url: parcel for parcel in how.parcels}
    fetched = {name: url for name, url in missing_wheels(lock, there).items() if url not in parcels}
    lacking = [parcel for parcel in parcels.values() if parcel.sha256 not in there.wheels]
    pushed = {parcel.filename: parcel.url for parcel in lacking}
    wheels = fetched | pushed
    require_public(lock, wheels.values(), sources)
    require_unchanged(lock, wheels.values())
    lent = lenders(lock, sources)
    known = sizes(list(wheels.values()), lent)
    ways = {"to fetch": fetched, "to send": pushed}
    amounts = [f"{amount(each, known)} {way}" for way, each in ways.items() if each]
    built = needed_bytes(lock, download_bytes(wheels, known))
    return Transfer(
        summary=", ".join(amounts) or "nothing to fetch",
        uv=uv_to_send(deployment.facts),
        needed_bytes=built + download_bytes(pushed, known),
        environment=uv_credentials(lent, fetched.values()) | _network(settings),
        delivery=how,
        places=places(settings, fetched.values()),
        sources=lent,
    )


def _network(settings: Settings) -> dict[str, str]:
    """Return the variables by which uv on the host reaches proxy and mirror."""
    if settings.distribution != "mirror":
        return variables(settings.proxy)
    near = str(urlsplit(mirror_address(settings)).hostname)
    return variables(settings.proxy, [near]) | {"UV_HTTP_TIMEOUT": mirror.PATIENCE}


def _intention(deployment: Deployment, transfer: Transfer | None) -> str:
    """Return one sentence on what is about to happen."""
    choice, steps = deployment.lock.choice, deployment.plan
    built = f"{choice.variant}, Python {deployment.python.version}"
    wanted = f"torch {choice.packages['torch']} ({built})"
    if transfer:
        count = len(deployment.lock.packages) - 1
        return f"install {wanted} and {count} packages, {transfer.summary}: {steps.because}"
    if steps.activate:
        return f"use {wanted}: {steps.because}"
    return f"test {wanted}: {steps.because}"

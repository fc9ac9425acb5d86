"""PyTorch environments: the one that suits the host, and the one that it had before."""

import time
from collections.abc import Generator
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
from fleetwheel.deploy.plan import Plan, plan
from fleetwheel.deploy.record import Hold, Record
from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.lock import LockCopy
from fleetwheel.host.profile import DriverState, HostState, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.lock.lock import Lock
from fleetwheel.operations import _node, _report
from fleetwheel.operations._damage import damaged_packages
from fleetwheel.operations._delivery import delivery, mirror_address, places
from fleetwheel.operations._deployment import Deployment, Transfer
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
from fleetwheel.reporting.report import HostReport
from fleetwheel.sources.configured import configured_sources, uv_credentials
from fleetwheel.sources.survey import sizes

_decider = Decider(LOCKS, MATRIX, logger.warning)


@operation()
def environment(settings: Settings) -> Generator[PyinfraCommand]:
    """
    Give the host the newest PyTorch that runs on all of its GPUs, tested before it is used.

    + settings: what the inventory says about the host

    **Example:**

    .. code:: python

        torch.environment(
            name="Install the PyTorch that suits this host",
            settings=settings(),
        )
    """
    yield from with_answer(settings, _environment)


def _environment(settings: Settings, facts: HostState) -> Generator[PyinfraCommand]:
    record = records.parse_record(facts.installation.record)
    if record and record.hold and not settings.lift_hold:
        held = record.generation
        if facts.installation.current != held and facts.installation.runs(held):
            yield from _carry_out(_deployment_of(settings, facts, record, held))
            return
        why = f"rolled back on {record.hold.since:%Y-%m-%d}; --data lift_hold=true ends the hold"
        _report.record(HostReport(name=host.name, status="on hold", why=why, choice=record.choice))
        host.noop(why)
        return
    deployment = _decide(settings, facts, record)
    if isinstance(deployment, HostReport):
        yield _report.refuse(deployment)
        return
    yield from _carry_out(deployment)


@operation()
def rollback(settings: Settings, generation: str | None = None) -> Generator[PyinfraCommand]:
    """
    Put the host back on an earlier generation, and hold it there until a person lifts the hold.

    + settings: what the inventory says about the host
    + generation: id of the generation; the one that was in use before by default

    The generation is smoke-tested again first, unless its last pass still holds.

    **Example:**

    .. code:: python

        torch.rollback(
            name="Go back to the generation before",
            settings=settings(),
        )
    """
    yield from with_answer(settings, partial(_rollback, generation))


def _rollback(
    generation: str | None, settings: Settings, facts: HostState
) -> Generator[PyinfraCommand]:
    record = records.parse_record(facts.installation.record)
    built = {there.id for there in facts.installation.generations}
    earlier = (id for id in (before(record) if record else ()) if id in built)
    wanted = generation or next(earlier, None)
    if record and wanted and wanted == facts.installation.current == record.generation:
        _report.record(HostReport(name=host.name, status="unchanged", why=f"{wanted} is in use"))
        host.noop(f"{wanted} is in use")
        return
    if record is None or wanted not in built:
        others = built - {facts.installation.current}
        why = _no_way_back(wanted, others) if record else "nothing was deployed here"
        about = HostReport(name=host.name, status="refused", why=why, profile=facts.profile)
        yield _report.refuse(about)
        return
    yield from _carry_out(_deployment_of(settings, facts, record, str(wanted)))


def _no_way_back(wanted: str | None, others: set[str]) -> str:
    """Return why a host cannot go back to a generation, and to which it could."""
    why = f"there is no generation {wanted}" if wanted else "there is no earlier generation"
    there = ", ".join(sorted(others))
    hint = f"; --data generation=ID takes one of these: {there}" if others else ""
    return f"{why} to go back to{hint}"


def _decide(settings: Settings, facts: HostState, record: Record | None) -> Deployment | HostReport:
    """Return what the host should run, or the report of its refusal."""
    request, notes = _request(settings, facts)
    lock = _decider.decide(
        facts.profile,
        request,
        record,
        lambda: _copy_of_lock(facts, facts.installation.current),
        extra_sources=settings.own_sources,
        relock=settings.relock,
        tested=settings.smoke != "none",
    )
    if isinstance(lock, Refusal):
        ways = (f"what would change it: {unlock}" for unlock in lock.unlocks)
        why = "\n".join([*lock.reasons, *ways, *notes])
        return HostReport(name=host.name, status="refused", why=why, profile=facts.profile)
    python = require_python(lock, facts.profile, record)
    steps = _plan(lock, python, facts, record, request, settings)
    return Deployment(
        name=host.name,
        settings=settings,
        facts=facts,
        record=record,
        request=request,
        lock=lock,
        python=python,
        plan=steps,
        notes=notes,
    )


def _plan(
    lock: Lock,
    python: Python,
    facts: HostState,
    record: Record | None,
    request: Request,
    settings: Settings,
) -> Plan:
    """Return the steps for a host; what would stay as it is is looked at for damage first."""
    damaged: dict[str, list[str]] = {}
    while True:
        steps = plan(
            lock,
            python,
            facts,
            record,
            request=request,
            smoke=settings.smoke,
            rebuild=settings.rebuild,
            damaged=damaged,
        )
        if steps.build:
            return steps
        found = damaged_packages(steps.generation, python, facts, record, settings)
        if not found:
            return steps
        damaged[steps.generation] = found


def _request(settings: Settings, facts: HostState) -> tuple[Request, tuple[str, ...]]:
    """Return what to choose by, and what a person should know of that.

    In a uniform group it is the release that all its CUDA hosts run.
    """
    if settings.gpus and facts.profile.driver.state is DriverState.NO_GPU:
        wanted = ", ".join(map(str, settings.gpus))
        return settings.request, (f"gpus: {wanted} is without effect: the host has no NVIDIA GPU",)
    if not settings.uniform or not takes_cuda(facts.profile, settings.request):
        return settings.request, ()
    group = members(settings)
    release = _decider.common(group, extra_sources=settings.own_sources, relock=settings.relock)
    odd = ", ".join(_decider.odd_ones_out(group))
    if release is None:
        raise FleetwheelError(
            "no release of torch runs on every CUDA host of this uniform group",
            hint=f"take uniform from the group, or the odd host out of it{odd and f': {odd}'}",
        )
    notes = (f"without {odd} the uniform group would get a newer release",) if odd else ()
    return pinned(settings.request, release), notes


def _deployment_of(
    settings: Settings, facts: HostState, record: Record, generation: str
) -> Deployment:
    """Return the deployment of a generation that stands on the host, from its copy of the lock."""
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
    passed = record.smoke is not None and record.smoke.holds(generation, facts.profile)
    steps = Plan(
        generation=generation,
        build=False,
        smoke=not passed and settings.smoke != "none",
        activate=True,
        because="the host's record holds it there"
        if generation == record.generation
        else _changes(facts, generation),
    )
    hold = Hold(since=datetime.now(UTC), rolled_back_from=record.generation)
    if generation == record.generation and record.hold:
        hold = record.hold
    return Deployment(
        name=host.name,
        settings=settings,
        facts=facts,
        record=record,
        request=lock.origin.request.model_copy(update={"gpus": record.request.gpus}),
        lock=lock,
        python=python,
        plan=steps,
        hold=hold,
    )


def _changes(facts: HostState, generation: str) -> str:
    """Return where a rollback leads from and to, and which packages it changes."""
    there = {generation.id: generation.packages for generation in facts.installation.generations}
    current = facts.installation.current
    changes = package_changes(there.get(current or "", {}), there.get(generation, {}))
    return f"back from {current} to {generation}: {changes or 'no package changes'}"


def _copy_of_lock(facts: HostState, generation: str | None) -> str | None:
    path = f"{facts.installation.root}/envs/{generation}"
    return fact(LockCopy, generation=path) if generation else None


def _carry_out(deployment: Deployment) -> Generator[PyinfraCommand]:
    """Say what happens on the host, and yield it."""
    steps = deployment.plan
    if steps.nothing:
        _report.record(deployment.entry("unchanged", "\n".join([steps.because, *deployment.notes])))
        host.noop(f"{steps.generation}: {steps.because}")
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
        except FleetwheelError as error:
            yield _report.refuse(deployment.entry("failed", str(error)))
            return
    why = _intention(deployment, transfer)
    _report.record(deployment.entry("would change", "\n".join([why, *deployment.reasons])))
    logger.info(f"{host.print_prefix}{why}")
    yield from plan_steps(deployment, transfer)


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

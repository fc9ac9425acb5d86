"""The steps of a deploy on one host, each a command that reports its own failure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, State
from pyinfra.api.command import PyinfraCommand

from fleetwheel import smoke
from fleetwheel.choice.request import Request
from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix import load_matrix
from fleetwheel.plan import Plan
from fleetwheel.profile import HostState, Python
from fleetwheel.record import Hold, Record, SmokePass, smoke_pass
from fleetwheel.reporting.report import HostReport, Status
from fleetwheel.reporting.table import printable
from fleetwheel.settings import Settings
from fleetwheel.wheel import Source
from fleetwheel.wheels import lock as locks
from fleetwheel.wheels import store, uv_binary
from fleetwheel.wheels.distribution import Delivery
from fleetwheel.wheels.lock import Lock
from fleetwheel.wheels.sources import certificate
from fleetwheel.wheels.space import readable
from operations import _commands, _probe, _progress, _push, _report, _waves
from operations._ask import forget

LOCKS = Path("locks")
CONNECT_SECONDS = 15
"""For each place that a host has to reach."""
MATRIX = load_matrix()


@dataclass
class Deployment:
    """One host on its way to one generation."""

    name: str
    settings: Settings
    facts: HostState
    record: Record | None
    request: Request
    lock: Lock
    python: Python
    plan: Plan
    uv: Path | None = None
    """The uv to send; None where the host has it."""
    needed_bytes: int = 0
    environment: dict[str, str] | None = None
    delivery: Delivery = field(default_factory=Delivery)
    places: tuple[str, ...] = ()
    """What the host has to reach, ``https://HOST``."""
    sources: tuple[Source, ...] = ()
    """Sources whose credentials the controller needs for what it sends."""
    hold: Hold | None = None
    smoke: SmokePass | None = None

    @property
    def root(self) -> str:
        return self.facts.installation.root

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why these wheels, where they are new on the host."""
        return self.lock.choice.reasons if self.plan.build else ()

    def entry(self, status: Status, why: str, result: dict[str, Any] | None = None) -> HostReport:
        """Return the host's line in the report."""
        return HostReport(
            name=self.name,
            status=status,
            why=why,
            profile=self.facts.profile,
            choice=self.lock.choice.model_copy(update={"python": self.python}),
            generation=self.plan.generation,
            smoke=result or self._last_result(),
        )

    def _last_result(self) -> dict[str, Any] | None:
        """Return what the smoke test said, now or on the last run where that still holds."""
        last = self.smoke or (self.record.smoke if self.record and not self.plan.smoke else None)
        return last.result if last else None

    def fail(self, host: Host, why: str, result: dict[str, Any] | None = None) -> bool:
        """Report a step that failed; always false, for pyinfra."""
        _report.record(self.entry("failed", why, result))
        logger.error(f"{host.print_prefix}{printable(why)}")
        return False


def commands(deployment: Deployment) -> Iterator[PyinfraCommand]:
    """Yield what the plan takes, in order."""
    plan = deployment.plan
    yield from keep_lock(deployment)
    if deployment.settings.serial:
        yield FunctionCommand(_await_turn, [deployment], {})
    if plan.build:
        if deployment.places:
            yield FunctionCommand(_reach, [deployment], {})
        if deployment.uv:
            yield _commands.make_directory(host, f"{deployment.root}/bin")
            yield FunctionCommand(_send_uv, [deployment], {})
        yield FunctionCommand(_build, [deployment], {})
    if plan.smoke:
        yield FunctionCommand(_test, [deployment], {})
    yield FunctionCommand(_activate, [deployment], {})


def keep_lock(deployment: Deployment) -> Iterator[PyinfraCommand]:
    """Yield the writing of the lock on this machine, where it is new or another than the one there.

    A copy that a host sent back is for that host alone.
    """
    lock = deployment.lock
    if not lock.from_host and locks.load(LOCKS, lock.name) != lock:
        yield FunctionCommand(_save_lock, [deployment], {})


def _save_lock(state: State, host: Host, deployment: Deployment) -> bool:
    try:
        locks.save(LOCKS, deployment.lock)
    except OSError as error:
        return deployment.fail(host, f"the lock cannot be written on this machine: {error}")
    return True


def _await_turn(state: State, host: Host, deployment: Deployment) -> bool:
    obstacle = _waves.wait(deployment.settings)
    return obstacle is None or deployment.fail(host, obstacle)


def _reach(state: State, host: Host, deployment: Deployment) -> bool:
    """Look whether the host gets to the wheels, before anything is sent or changed."""
    input = {"places": deployment.places, "seconds": CONNECT_SECONDS}
    limit = deployment.settings.fact_timeout
    answer = _probe.run(host, deployment.python.path, "reach", input, limit)
    unreached = answer.get("unreached") or {}
    if not unreached:
        return bool(answer["ok"]) or deployment.fail(host, _words(answer))
    lines = [f"the host cannot connect to {place}: {why}" for place, why in unreached.items()]
    hint = "check its network; or name a proxy in the inventory, or use distribution: push"
    return deployment.fail(host, str(FleetwheelError("\n".join(lines), hint=hint)))


def _send_uv(state: State, host: Host, deployment: Deployment) -> bool:
    try:
        _push.file(host, str(deployment.uv), f"{deployment.root}/bin/uv.new")
    except FleetwheelError as error:
        return deployment.fail(host, str(error))
    return True


def uv_to_send(facts: HostState) -> Path | None:
    """Return the uv for a host that lacks it; FleetwheelError where there is none for it."""
    if facts.installation.uv == uv_binary.VERSION:
        return None
    return uv_binary.path(facts.profile.os, facts.profile.arch)


def _generation(host: Host, deployment: Deployment, action: str, **input: Any) -> dict[str, Any]:
    """Run an action of probes/generation.py on the host."""
    return _probe.run(
        host,
        deployment.python.path,
        "generation",
        {"action": action, "root": deployment.root, **input},
        deployment.settings.install_timeout,
    )


def _words(answer: dict[str, Any]) -> str:
    """Return what a failed action says to the person who must act."""
    return str(FleetwheelError(answer["error"], hint=answer.get("hint", "")))


def _build(state: State, host: Host, deployment: Deployment) -> bool:
    answer = _make(host, deployment, deployment.needed_bytes)
    if answer.get("missing"):
        try:
            _send_wheels(host, deployment, answer["missing"])
        except FleetwheelError as error:
            return deployment.fail(host, str(error))
        answer = _make(host, deployment, needed_bytes=0)
    forget()
    if answer.get("missing"):
        return deployment.fail(host, f"not whole on the host: {', '.join(answer['missing'])}")
    return bool(answer["ok"]) or deployment.fail(host, _words(answer))


def _make(host: Host, deployment: Deployment, needed_bytes: int) -> dict[str, Any]:
    """Have the host build the generation, or say which wheels it lacks for that."""
    generation = deployment.plan.generation
    delivery = deployment.delivery
    progress = f"{deployment.root}/envs/.building-{generation}/progress"
    bundle = certificate()
    with _progress.shown(host, progress):
        return _generation(
            host,
            deployment,
            "build",
            id=generation,
            lock=deployment.lock.text,
            python=deployment.python.path,
            environment=deployment.environment or {},
            needed_bytes=needed_bytes,
            uv_sha256=uv_binary.sha256(deployment.uv) if deployment.uv else "",
            delivered=delivery.lock,
            wheels={parcel.filename: parcel.sha256 for parcel in delivery.parcels},
            offline=delivery.offline,
            certificates=Path(bundle).read_text(encoding="utf-8") if bundle else None,
        )


def _send_wheels(host: Host, deployment: Deployment, missing: list[str]) -> None:
    """Fetch wheels to this machine, where they are not yet, and send them to the host."""
    files = {
        parcel.filename: store.fetch(parcel.url, {parcel.sha256}, deployment.sources)
        for parcel in deployment.delivery.parcels
        if parcel.filename in missing
    }
    incoming = f"{deployment.root}/cache/wheels/incoming"
    size = readable(sum(path.stat().st_size for path in files.values()))
    logger.info(f"{host.print_prefix}sending {size} of wheels")
    _push.send(host, incoming, files, deployment.settings.install_timeout)


def _test(state: State, host: Host, deployment: Deployment) -> bool:
    """Run the smoke test; a generation that fails it stays for a look, and is never activated."""
    generation = deployment.plan.generation
    logger.info(f"{host.print_prefix}testing {generation}")
    if not deployment.plan.build and generation != deployment.facts.installation.current:
        _generation(host, deployment, "drop_bytecode", id=generation)
    result = run_smoke_test(host, deployment)
    if smoke.passed(result):
        deployment.smoke = smoke_pass(generation, deployment.facts.profile, result)
        return True
    if deployment.record:
        remember(host, deployment, deployment.record.without(generation))
    why = f"{smoke.explain(result)}\n{_what_stays(deployment)}"
    return deployment.fail(host, why, result)


def remember(host: Host, deployment: Deployment, record: Record) -> dict[str, Any]:
    """Write the host's record, and nothing else."""
    return _generation(host, deployment, "record", record=record.text())


def _what_stays(deployment: Deployment) -> str:
    """Return what a host has after a smoke test that failed."""
    current = deployment.facts.installation.current
    used = f"{current} stays in use" if current else "no environment is in use"
    return f"  {used}; {deployment.plan.generation} is kept in envs/ for a look"


def run_smoke_test(host: Host, deployment: Deployment) -> dict[str, Any]:
    """Run probes/smoke.py with the generation's own Python."""
    windows = deployment.facts.profile.os == "windows"
    python = "Scripts/python.exe" if windows else "bin/python"
    settings = deployment.settings
    level: smoke.Level = "full" if settings.smoke == "full" else "quick"
    timeout = smoke.time_limit(settings.smoke_timeout, level)
    expected = smoke.expectation(
        deployment.lock,
        MATRIX,
        smoke.device_deadline(timeout, level),
        level=level,
        gpus=smoke.uuids(deployment.facts.profile, settings.request),
        min_fraction=settings.smoke_min_fraction,
    )
    generation = f"{deployment.root}/envs/{deployment.plan.generation}"
    return _probe.run(host, f"{generation}/{python}", "smoke", expected, timeout)


def _still_failed(deployment: Deployment) -> tuple[str, ...]:
    """Return the failed generations that may stay, because a process still runs from them."""
    built = {generation.id for generation in deployment.facts.installation.generations}
    failed = deployment.record.failed if deployment.record else ()
    return tuple(id for id in failed if id in built and id != deployment.plan.generation)


def _activate(state: State, host: Host, deployment: Deployment) -> bool:
    old = deployment.record
    generation = deployment.plan.generation
    if deployment.smoke is None and old:
        deployment.smoke = old.smoke
    previous = old and (old.previous if old.generation == generation else old.generation)
    record = Record(
        generation=generation,
        previous=previous,
        request=deployment.request,
        lock=deployment.lock.name,
        choice=deployment.lock.choice.model_copy(update={"python": deployment.python}),
        driver=deployment.facts.profile.driver,
        gpus=tuple(gpu.baseline for gpu in deployment.facts.profile.gpus),
        failed=_still_failed(deployment),
        smoke=deployment.smoke,
        hold=deployment.hold,
        deployed_at=datetime.now(UTC),
    )
    answer = _generation(
        host,
        deployment,
        "activate",
        id=generation,
        record=record.text(),
        keep=deployment.settings.keep,
        failed=list(old.failed) if old else [],
    )
    forget()
    if not answer["ok"]:
        return deployment.fail(host, _words(answer))
    why = "\n".join([deployment.plan.because, *deployment.reasons])
    _report.record(deployment.entry("changed", why))
    return True

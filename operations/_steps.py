"""The steps of a deploy on one host, each a command that fails its host alone."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api import Host
from pyinfra.api.command import PyinfraCommand

from fleetwheel.connection.winssh import is_windows
from fleetwheel.delivery import uv_binary
from fleetwheel.delivery.space import readable
from fleetwheel.deploy.record import SmokePass, smoke_pass
from fleetwheel.errors import FleetwheelError, NotBegunError
from fleetwheel.host.profile import HostState
from fleetwheel.lock import lock as locks
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.operations import (
    _commands,
    _node,
    _probe,
    _progress,
    _push,
    _report,
    _smoke_test,
    _waves,
    _windows_root,
)
from fleetwheel.operations._deployment import Deployment, Transfer
from fleetwheel.operations._step import environment_step
from fleetwheel.smoke import result as smoke
from fleetwheel.sources import store
from fleetwheel.sources.configured import certificate
from fleetwheel.terminal import single_line

LOCKS = Path("locks")
CONNECT_S = 15
"""For each place that a host has to reach."""
MATRIX = load_matrix()


def plan_steps(deployment: Deployment, transfer: Transfer | None) -> Iterator[PyinfraCommand]:
    """Yield what the plan takes, in order; ``transfer`` is that of a build."""
    failed = deployment.entry("failed", "")
    yield from keep_lock(deployment)
    if deployment.settings.serial:
        yield environment_step(failed, _await_turn, deployment)
    if transfer:
        if transfer.places:
            yield environment_step(failed, _reach, deployment, transfer)
        if transfer.uv:
            yield environment_step(failed, _send_uv, deployment, transfer.uv)
        yield environment_step(failed, _build, deployment, transfer)
    yield environment_step(failed, _prove_and_activate, deployment)


def keep_lock(deployment: Deployment) -> Iterator[PyinfraCommand]:
    """Yield the writing of the lock on this machine, where it is new or another than the one there.

    A copy that a host sent back is for that host alone.
    """
    lock = deployment.lock
    if not lock.from_host and locks.load_lock(LOCKS, lock.name) != lock:
        yield environment_step(deployment.entry("failed", ""), _save_lock, lock)


def _save_lock(host: Host, lock: Lock) -> None:
    try:
        locks.save_lock(LOCKS, lock)
    except OSError as error:
        raise FleetwheelError(f"the lock cannot be written on this machine: {error}") from error


def _await_turn(host: Host, deployment: Deployment) -> None:
    if obstacle := _waves.wait(deployment.settings):
        raise NotBegunError(obstacle)


def _reach(host: Host, deployment: Deployment, transfer: Transfer) -> None:
    """Look whether the host gets to the wheels, before anything is sent or changed."""
    input = {"places": transfer.places, "seconds": CONNECT_S}
    limit = deployment.settings.fact_timeout
    answer = _probe.run_probe(host, deployment.python.path, "reach", input, limit)
    if unreached := answer.get("unreached"):
        lines = [f"the host cannot connect to {place}: {why}" for place, why in unreached.items()]
        raise FleetwheelError(
            "\n".join(lines),
            hint="check its network; or name a proxy in the inventory, or use distribution: push",
        )


def _send_uv(host: Host, deployment: Deployment, uv: Path) -> None:
    directory = f"{deployment.root}/bin"
    make = _commands.make_own_directory(host, directory, deployment.settings.trust)
    _probe.run_command(host, make)
    if is_windows(host):
        _windows_root.require_closed(host, deployment.settings)
    _push.file(host, str(uv), f"{directory}/uv.new")


def uv_to_send(facts: HostState) -> Path | None:
    """Return the uv for a host that lacks it; FleetwheelError where there is none for it."""
    if facts.installation.uv == uv_binary.VERSION:
        return None
    return uv_binary.path(facts.profile.os, facts.profile.arch)


def _generation(host: Host, deployment: Deployment, action: str, **input: Any) -> dict[str, Any]:
    """Run an action that changes the host's generations."""
    timeout = deployment.settings.install_timeout
    python = deployment.python.path
    return _probe.generation(host, python, action, deployment.root, timeout, **input)


def place_program(host: Host, deployment: Deployment) -> None:
    """Have the host keep the program that the actions of a deploy run."""
    _probe.keep_program(host, deployment.python.path, deployment.root, deployment.settings)


def _build(host: Host, deployment: Deployment, transfer: Transfer) -> None:
    """Build the generation; wheels that the host lacks for that are sent first."""
    place_program(host, deployment)
    missing = _make(host, deployment, transfer, transfer.needed_bytes)
    if missing:
        _send_wheels(host, deployment, transfer, missing)
        missing = _make(host, deployment, transfer, needed_bytes=0)
    if missing:
        raise FleetwheelError(f"not whole on the host: {', '.join(missing)}")


def _make(host: Host, deployment: Deployment, transfer: Transfer, needed_bytes: int) -> list[str]:
    """Have the host build the generation, or return the wheels that it lacks for that."""
    generation = deployment.plan.generation
    delivery = transfer.delivery
    progress = f"{deployment.root}/envs/.building-{generation}/progress"
    bundle = certificate()
    with _progress.shown(host, progress):
        answer = _generation(
            host,
            deployment,
            "build",
            id=generation,
            lock=deployment.lock.text,
            python=deployment.python.path,
            environment=transfer.environment,
            needed_bytes=needed_bytes,
            uv_sha256=uv_binary.uv_sha256(transfer.uv) if transfer.uv else "",
            uv_name=uv_binary.name_on_host(transfer.uv) if transfer.uv else "",
            delivered=delivery.lock,
            wheels={parcel.filename: parcel.sha256 for parcel in delivery.parcels},
            offline=delivery.offline,
            certificates=Path(bundle).read_text(encoding="utf-8") if bundle else None,
            group=deployment.settings.group,
        )
    return list(answer.get("missing", ()))


def _send_wheels(
    host: Host, deployment: Deployment, transfer: Transfer, missing: list[str]
) -> None:
    """Fetch wheels to this machine, where they are not yet, and send them to the host."""
    files = {
        parcel.filename: store.fetch(parcel.url, {parcel.sha256}, transfer.sources)
        for parcel in transfer.delivery.parcels
        if parcel.filename in missing
    }
    incoming = f"{deployment.root}/cache/wheels/incoming"
    size = readable(sum(path.stat().st_size for path in files.values()))
    logger.info(f"{host.print_prefix}sending {size} of wheels")
    _push.send(host, incoming, files, deployment.settings.install_timeout)


def _prove_and_activate(host: Host, deployment: Deployment) -> None:
    """Put the generation to use once its test has passed: one step, so nothing comes between."""
    _require_built(host, deployment)
    if not _node.kept_program(host):
        place_program(host, deployment)
    passed = _prove(host, deployment) if deployment.plan.smoke else None
    try:
        obstacles = _activate(host, deployment, passed)
    except FleetwheelError as error:
        if passed is None:
            raise
        raise smoke.SmokeTestError(error.message, passed.result, hint=error.hint) from error
    why = "\n".join(dict.fromkeys([deployment.plan.because, *deployment.reasons, *obstacles]))
    _report.record_environment(host.name, deployment.entry("changed", why, passed))


def _require_built(host: Host, deployment: Deployment) -> None:
    """Raise FleetwheelError where another environment's build was to bring the generation."""
    builder = _report.environment_entry(host.name, deployment.builder)
    if builder and builder.status in _report.NOT_WELL and builder.smoke is None:
        reason = builder.why.partition("\n")[0]
        raise FleetwheelError(f"{builder.name}, for which it was to be built, failed: {reason}")


def _activate(host: Host, deployment: Deployment, passed: SmokePass | None) -> list[str]:
    """Put the generation to use; return where people will not find it, and why."""
    old = deployment.record
    answer = _generation(
        host,
        deployment,
        "activate",
        id=deployment.plan.generation,
        environment=deployment.environment,
        record=deployment.recorded(passed).to_json(),
        failed=list(old.failed) if old else [],
        planned_by=old.to_json() if old else None,
        publish=deployment.publish,
    )
    return [single_line(why) for why in answer.get("obstacles", ())]


def _prove(host: Host, deployment: Deployment) -> SmokePass:
    """Run the smoke test; a generation that fails it stays for a look.

    Raises SmokeTestError.
    """
    generation, facts = deployment.plan.generation, deployment.facts
    tested = smoke.uuids(facts.profile, deployment.settings.request)
    for proved in deployment.proved if deployment.settings.smoke != "full" else ():
        if proved.holds(generation, facts.profile, tested):
            return proved
    logger.info(f"{host.print_prefix}testing {generation}")
    there = facts.installation
    if not deployment.plan.build and generation not in (
        there.current,
        *there.environments.values(),
    ):
        _generation(host, deployment, "drop_bytecode", id=generation)
    result = _smoke_test.run_smoke_test(
        host, deployment.path, deployment.lock, facts.profile, deployment.settings
    )
    if smoke.passed(result):
        deployment.proved.append(smoke_pass(generation, facts.profile, result, tested))
        return deployment.proved[-1]
    with suppress(FleetwheelError):  # what the test found is what counts
        _generation(
            host,
            deployment,
            "note_test",
            environment=deployment.environment,
            generation=generation,
            smoke=None,
            looked_at=True,
        )
    raise smoke.SmokeTestError(f"{smoke.explain_smoke(result)}\n{_what_stays(deployment)}", result)


def _what_stays(deployment: Deployment) -> str:
    """Return what a host has after a smoke test that failed."""
    current = _in_use(deployment)
    used = f"{current} stays in use" if current else "no environment is in use"
    return f"  {used}; {deployment.plan.generation} is kept in envs/ for a look"


def _in_use(deployment: Deployment) -> str | None:
    return deployment.facts.installation.in_use(deployment.environment)

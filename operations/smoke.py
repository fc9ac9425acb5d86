"""The smoke test by itself, of the environments in use."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from pyinfra import host, logger
from pyinfra.api import Host, operation
from pyinfra.api.command import PyinfraCommand

from fleetwheel.deploy import record as records
from fleetwheel.deploy.decider import require_python
from fleetwheel.deploy.preflight import refuse_dead
from fleetwheel.deploy.record import Record, smoke_pass
from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.lock import LockCopy
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import HostState, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.lock.lock import Lock
from fleetwheel.node.compare import for_root_alone
from fleetwheel.operations import _node, _probe, _report, _smoke_test
from fleetwheel.operations._environments import asked_environments, each_environment
from fleetwheel.operations._host_state import fact, with_answer
from fleetwheel.operations._step import environment_step
from fleetwheel.reporting.report import EnvironmentReport
from fleetwheel.smoke import result as smoke
from fleetwheel.smoke.result import SmokeTestError


@operation()
def test(settings: Settings) -> Generator[PyinfraCommand]:
    """
    Run the smoke test of each environment in use, and keep what it found in the host's record.

    + settings: what the inventory says about the host; ``smoke: full`` runs the full level

    The environment stays in use whatever comes out. A pass counts like that of a deploy. After a
    failure no pass counts, so the next deploy tests again.

    **Example:**

    .. code:: python

        smoke.test(
            name="Test the PyTorch that is in use",
            settings=settings(),
        )
    """
    yield from with_answer(settings, _tests)


def _tests(settings: Settings, facts: HostState) -> Generator[PyinfraCommand]:
    found = records.parse_state(facts.installation.record)
    results: _Results = {}
    yield from each_environment(
        facts,
        asked_environments(settings),
        lambda name, own: _test(name, own, facts, found.environments.get(name), results),
    )


_Results = dict[tuple[str, str, str], dict[str, Any]]
"""Generation, GPUs and level to the document of their test in this run."""


def _test(
    name: str, settings: Settings, facts: HostState, record: Record | None, results: _Results
) -> Generator[PyinfraCommand]:
    used = _in_use(name, facts, record)
    about = _about(used)
    _report.record_environment(host.name, about)
    logger.info(f"{host.print_prefix}{'' if name == DEFAULT else f'{name}: '}{about.why}")
    yield environment_step(about, _run, about, used, facts, settings, results)


@dataclass(frozen=True)
class _InUse:
    """What an environment of a host leads to."""

    environment: str
    generation: str
    lock: Lock
    record: Record | None
    python: Python


def _in_use(name: str, facts: HostState, record: Record | None) -> _InUse:
    there = facts.installation
    generation = there.in_use(name)
    if generation is None:
        raise FleetwheelError("no environment is in use", hint="run deploys/torch.py first")
    text = fact(LockCopy, generation=f"{there.root}/envs/{generation}")
    if text is None:
        raise FleetwheelError(
            f"{generation} has lost its copy of the lock", hint="run deploys/torch.py again"
        )
    refuse_dead(there, generation)
    lock = locks.from_copy(text, record.lock if record else "the host's copy")
    python = require_python(lock, facts.profile, record)
    return _InUse(name, generation, lock, record, python)


def _about(used: _InUse) -> EnvironmentReport:
    """Return the environment's line in the report before the test."""
    return EnvironmentReport(
        name=used.environment,
        status="would change",
        why=f"test torch {used.lock.choice.packages['torch']} of {used.generation}",
        choice=used.lock.choice.model_copy(update={"python": used.python}),
        generation=used.generation,
    )


def _run(
    host: Host,
    about: EnvironmentReport,
    used: _InUse,
    facts: HostState,
    settings: Settings,
    results: _Results,
) -> None:
    root = facts.installation.root
    if not _node.kept_program(host):
        _probe.keep_program(host, used.python.path, root, settings)
    path = f"{root}/envs/{used.generation}"
    tested = (
        used.generation,
        str(smoke.uuids(facts.profile, settings.own_request)),
        settings.smoke,
    )
    if tested not in results:
        results[tested] = _smoke_test.run_smoke_test(host, path, used.lock, facts.profile, settings)
    result = results[tested]
    said = "\n".join([smoke.explain_smoke(result), _keep(host, used, facts, settings, result)])
    if warning := for_root_alone(used.python.path, used.python.reach, result):
        said += f"\n  warning: {warning}"
    if not smoke.passed(result):
        raise SmokeTestError(said, result)
    done = about.model_copy(update={"status": "unchanged", "why": said, "smoke": result})
    _report.record_environment(host.name, done)


def _keep(
    host: Host, used: _InUse, facts: HostState, settings: Settings, result: dict[str, Any]
) -> str:
    """Write the result into the host's record, and return what the record says now."""
    if used.record is None or smoke.busy(result):
        return "  the host's record is as it was"
    passed = None
    if smoke.passed(result):
        tested = smoke.uuids(facts.profile, settings.own_request)
        passed = smoke_pass(used.generation, facts.profile, result, tested)
    python, root, limit = used.python.path, facts.installation.root, settings.install_timeout
    said = {"environment": used.environment, "generation": used.generation}
    document = passed.to_json() if passed else None
    try:
        answer = _probe.generation(host, python, "note_test", root, limit, **said, smoke=document)
    except FleetwheelError as error:
        return f"  the host's record is as it was: {error.message}"
    if not answer.get("noted"):
        return "  the host's record is as it was: another run has changed the environment meanwhile"
    return "  the host's record has the pass" if passed else "  the host's record has no pass now"

"""PyTorch environments: the one that suits the host, and the one that it had before."""

from collections.abc import Generator
from functools import partial

from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand

from fleetwheel.deploy import record as records
from fleetwheel.deploy.generations import before
from fleetwheel.deploy.hold import held
from fleetwheel.deploy.record import Record
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState, Installation
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _report
from fleetwheel.operations._carrying_out import carry_out
from fleetwheel.operations._environments import asked_environments, each_environment
from fleetwheel.operations._host_state import with_answer
from fleetwheel.operations._planning import PlannedHost, decide, deployment_of
from fleetwheel.reporting.cause import cause_of
from fleetwheel.reporting.report import EnvironmentReport

NEVER = "nothing was deployed here"


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
    planned = PlannedHost(facts, records.parse_state(facts.installation.record))
    yield from each_environment(
        facts, asked_environments(settings), lambda name, own: _environment(name, own, planned)
    )


def _environment(name: str, settings: Settings, planned: PlannedHost) -> Generator[PyinfraCommand]:
    record, there = planned.state.environments.get(name), planned.facts.installation
    if on_hold := held(record, settings):
        if record and record.hold and _repairable(name, record, there):
            yield from carry_out(deployment_of(name, settings, planned, record.generation))
            return
        choice, generation = (record.choice, record.generation) if record else (None, None)
        entry = EnvironmentReport(
            name=name, status="on hold", why=on_hold, choice=choice, generation=generation
        )
        _report.record_environment(host.name, entry)
        host.noop(f"{name}: {on_hold}")
        return
    deployment = decide(name, settings, planned)
    if isinstance(deployment, EnvironmentReport):
        _report.fail_environment(host, deployment)
        return
    yield from carry_out(deployment)
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
    planned = PlannedHost(facts, records.parse_state(facts.installation.record))
    asked = asked_environments(settings)
    if len(asked) > 1 and not (settings.environment and generation is None):
        raise FleetwheelError(
            f"there are {len(asked)} environments: {', '.join(asked)}",
            hint="name the one to roll back: --data environment=NAME",
        )
    yield from each_environment(
        facts, asked, lambda name, own: _rollback(name, own, planned, generation)
    )


def _rollback(
    name: str, settings: Settings, planned: PlannedHost, generation: str | None
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
        theirs = {
            each.generation for other, each in planned.state.environments.items() if other != name
        }
        others = built - {there.in_use(name)} - theirs
        why = _no_way_back(wanted, others) if record else NEVER
        refused = EnvironmentReport(
            name=name, status="refused", why=why, cause=cause_of("refused", why)
        )
        _report.fail_environment(host, refused)
        return
    yield from carry_out(deployment_of(name, settings, planned, wanted))


def _no_way_back(wanted: str | None, others: set[str]) -> str:
    """Return why a host cannot go back to a generation, and to which it could."""
    why = f"there is no generation {wanted}" if wanted else "there is no earlier generation"
    there = ", ".join(sorted(others))
    hint = f"; --data generation=ID takes one of these: {there}" if others else ""
    return f"{why} to go back to{hint}"

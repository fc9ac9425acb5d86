"""The smoke test by itself, of the environment in use."""

from collections.abc import Generator
from typing import Any

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, State, operation
from pyinfra.api.command import PyinfraCommand

from facts.lock import LockCopy
from fleetwheel import record as records
from fleetwheel import smoke
from fleetwheel.decision import python_for
from fleetwheel.errors import FleetwheelError
from fleetwheel.plan import Plan
from fleetwheel.profile import HostState
from fleetwheel.record import smoke_pass
from fleetwheel.settings import Settings
from fleetwheel.wheels import lock as locks
from operations import _report
from operations._ask import forget, with_answer
from operations._steps import Deployment, remember, run_smoke_test


@operation()
def test(settings: Settings) -> Generator[PyinfraCommand]:
    """
    Run the smoke test of the environment in use, and keep what it found in the host's record.

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
    yield from with_answer(settings, _test)


def _test(settings: Settings, facts: HostState) -> Generator[PyinfraCommand]:
    deployment = _in_use(settings, facts)
    what = f"test torch {deployment.lock.choice.packages['torch']} of {deployment.plan.generation}"
    _report.record(deployment.entry("would change", what))
    logger.info(f"{host.print_prefix}{what}")
    yield FunctionCommand(_run, [deployment], {})


def _in_use(settings: Settings, facts: HostState) -> Deployment:
    """Return the environment in use as a deployment whose only step is its test."""
    there = facts.installation
    if there.current is None:
        raise FleetwheelError("no environment is in use", hint="run deploys/torch.py first")
    text = host.get_fact(LockCopy, generation=f"{there.root}/envs/{there.current}")
    if text is None:
        raise FleetwheelError(
            f"{there.current} has lost its copy of the lock", hint="run deploys/torch.py again"
        )
    record = records.parse(there.record)
    lock = locks.from_copy(text, record.lock if record else "the host's copy")
    return Deployment(
        host.name,
        settings,
        facts,
        record,
        lock.origin.request,
        lock,
        python_for(lock, facts.profile, record) or lock.choice.python,
        Plan(
            generation=there.current, build=False, smoke=True, activate=False, because="asked for"
        ),
    )


def _run(state: State, host: Host, deployment: Deployment) -> bool:
    result = run_smoke_test(host, deployment)
    said = smoke.explain(result)
    kept = _keep(host, deployment, result)
    if not smoke.passed(result):
        return deployment.fail(host, "\n".join([said, kept]), result)
    _report.record(deployment.entry("changed", "\n".join([said, kept]), result))
    return True


def _keep(host: Host, deployment: Deployment, result: dict[str, Any]) -> str:
    """Write the result into the host's record, and return what the record says now."""
    record = deployment.record
    if record is None or smoke.busy(result):
        return "  the host's record is as it was"
    passed = None
    if smoke.passed(result):
        passed = smoke_pass(deployment.plan.generation, deployment.facts.profile, result)
    answer = remember(host, deployment, record.model_copy(update={"smoke": passed}))
    forget()
    if not answer["ok"]:
        return f"  the host's record is as it was: {answer['error']}"
    return "  the host's record has the pass" if passed else "  the host's record has no pass now"

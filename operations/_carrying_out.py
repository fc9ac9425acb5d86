"""Saying what happens in an environment of the host of the moment, and yielding it."""

import time
from collections.abc import Generator

from pyinfra import host, logger, state
from pyinfra.api.command import PyinfraCommand

from fleetwheel.deploy import preflight
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.operations import _node, _report
from fleetwheel.operations._deployment import Deployment, Transfer
from fleetwheel.operations._steps import keep_lock, place_program, plan_steps
from fleetwheel.operations._transfer import prepare_transfer
from fleetwheel.reporting.cause import cause_of


def carry_out(deployment: Deployment) -> Generator[PyinfraCommand]:
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
            transfer = prepare_transfer(deployment)
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
            failed = deployment.entry("failed", str(error))
            cause = cause_of("failed", error)
            _report.fail_environment(host, failed.model_copy(update={"cause": cause}))
            return
    why = _intention(deployment, transfer)
    said = "\n".join([why, *deployment.reasons])
    _report.record_environment(host.name, deployment.entry("would change", said))
    logger.info(f"{host.print_prefix}{_place(deployment)}{why}")
    yield from plan_steps(deployment, transfer)


def _place(deployment: Deployment) -> str:
    return "" if deployment.environment == DEFAULT else f"{deployment.environment}: "


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

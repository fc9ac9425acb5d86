"""From a bare machine to a tested member of the fleet."""

import time
from collections.abc import Generator
from pathlib import Path

from pyinfra import host, logger
from pyinfra.api import Host, operation
from pyinfra.api.command import PyinfraCommand

from fleetwheel.connection.winssh import is_windows
from fleetwheel.delivery import uv_binary
from fleetwheel.deploy import preflight
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState
from fleetwheel.inventory.settings import Settings
from fleetwheel.onboarding import driver_plan, interpreter
from fleetwheel.onboarding.interpreter import PackageManager, UvPython
from fleetwheel.operations import (
    _commands,
    _driver,
    _packages,
    _push,
    _report,
    _visual_cpp,
    _windows_root,
    torch,
)
from fleetwheel.operations._host_state import forget_host_state, with_answer
from fleetwheel.operations._step import step
from fleetwheel.operations._steps import MATRIX, uv_to_send
from fleetwheel.reporting.report import HostReport


@operation()
def member(settings: Settings) -> Generator[PyinfraCommand]:
    """
    Give the host a driver if that is asked for, a Python if it has none that suits, then PyTorch.

    + settings: what the inventory says about the host

    The Python is that of the distribution's packages, which takes root or sudo. What keeps the host
    from getting one is found before anything is changed. PyTorch waits for the driver: it comes
    with the run after the reboot, or with this one where ``reboot`` lets it reboot the host.

    **Example:**

    .. code:: python

        onboard.member(
            name="Make this host a tested member of the fleet",
            settings=settings(),
        )
    """
    yield from with_answer(settings, _member)


def _member(settings: Settings, facts: HostState) -> Generator[PyinfraCommand]:
    named = settings.root is not None
    preflight.refuse_unfit(facts, interpreter.SMALLEST, now=time.time(), root_named=named)
    manager = interpreter.python_to_install(facts, MATRIX, settings)
    uv = uv_to_send(facts) if isinstance(manager, UvPython) else None
    driver = driver_plan.driver_to_install(facts, settings.driver, hold=settings.driver_hold)
    if not (yield from _driver.ready(driver, facts.profile, settings)):
        return
    if manager:
        why = f"install {manager.package} by {manager.name}, then the torch that runs with it"
        _report.record(
            HostReport(name=host.name, status="would change", why=why, profile=facts.profile)
        )
        logger.info(f"{host.print_prefix}{why}")
        failed = HostReport(name=host.name, status="failed", profile=facts.profile)
        if uv:
            yield from _send_uv(uv, f"{facts.installation.root}/bin", settings, failed)
        yield step(failed, _install, manager, settings)
    yield from _visual_cpp.runtime_ready(facts, settings)
    yield from torch.environment._inner(settings)


def _send_uv(
    program: Path, directory: str, settings: Settings, failed: HostReport
) -> Generator[PyinfraCommand]:
    yield _commands.make_own_directory(host, directory, settings.trust)
    if is_windows(host):
        yield step(failed, _windows_root.require_closed, settings)
    yield _push.upload(str(program), f"{directory}/uv.new")
    name, sha256 = uv_binary.name_on_host(program), uv_binary.uv_sha256(program)
    yield _commands.make_uv(host, directory, name, sha256)


def _install(host: Host, manager: PackageManager | UvPython, settings: Settings) -> None:
    """Install a Python; what goes wrong is told with what the commands said."""
    before: list[str] = []
    for command in manager.commands():
        done, said = _packages.run_package_step(host, command, settings)
        before += said
        if not done:
            lines = [f"{manager.package} cannot be installed by {manager.name}:", *before]
            raise FleetwheelError("\n".join(lines), hint=manager.hint)
    forget_host_state()

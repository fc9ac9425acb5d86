"""The NVIDIA driver of a host: installed as planned, and the host rebooted where that may be."""

import time
from collections.abc import Generator

from paramiko import SSHException
from pyinfra import host, logger
from pyinfra.api import Host, StringCommand
from pyinfra.api.command import PyinfraCommand
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.util import clear_askpass_cache

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import DriverState, Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.node.driver_states import EXPLANATIONS
from fleetwheel.onboarding.driver_plan import DriverPlan
from fleetwheel.operations import _packages, _probe, _report
from fleetwheel.operations._host_state import forget_host_state, host_state
from fleetwheel.operations._step import step
from fleetwheel.reporting.report import HostReport, Status
from fleetwheel.terminal import printable

REBOOT_LIMIT_S = 1200
"""Seconds until a host has to be back; servers with much memory take their time."""
SETTLES = {
    DriverState.NOT_LOADED: 60,
    DriverState.FABRIC_NOT_READY: 300,
    DriverState.HUNG: 300,
}
"""Seconds that a state may last after a boot, or after Fabric Manager was started."""
PAUSE_S = 5
"""Seconds between two attempts to reach a host that reboots."""
BOOT_ID = StringCommand("cat", "/proc/sys/kernel/random/boot_id")
REBOOT = StringCommand("( sleep 1 && reboot ) </dev/null >/dev/null 2>&1 &")


def ready(
    plan: DriverPlan, profile: Profile, settings: Settings
) -> Generator[PyinfraCommand, None, bool]:
    """
    Yield what gives the host the driver of a plan; return whether PyTorch can be deployed next.

    + plan: what has to happen, which may be nothing
    + profile: what the host is before
    """
    if plan.nothing:
        return True
    _say(profile, "would change", plan.summary)
    about = HostReport(name=host.name, status="failed", profile=profile)
    if plan.steps:
        yield step(about, _install, plan, settings)
    obstacle = _reboot_obstacle(plan, settings) if plan.reboot else None
    if obstacle is None:
        if plan.reboot:
            yield step(about, _reboot, profile)
        yield step(about, _check, settings)
        return True
    why = f"{obstacle}\n{plan.summary}"
    if plan.steps:
        _say(profile, "changed", why)
    else:
        yield _report.failed(why, profile)
    return False


def _reboot_obstacle(plan: DriverPlan, settings: Settings) -> str | None:
    """Return what a person has to do instead of this program; None where it may reboot the host."""
    if plan.at_console:
        return "enrol the key and reboot the host at its console, then run again"
    if isinstance(host.connector, LocalConnector):
        return "reboot this machine, then run again"
    if not settings.reboot:
        return "reboot the host, then run again; with --data reboot=true that is done here"
    return None


def _install(host: Host, plan: DriverPlan, settings: Settings) -> None:
    """Run the steps up to the first that fails, and look what driver that has brought."""
    for each in plan.steps:
        logger.info(f"{host.print_prefix}{each.what}")
        done, said = _packages.run_package_step(host, each.command, settings)
        if not done:
            why = "\n".join([f"the driver is not ready, for this failed: {each.what}", *said])
            raise FleetwheelError(why, hint=each.hint)
    forget_host_state()
    facts = host_state(settings)
    wrong = plan.mismatch(facts.profile) if facts else None
    if wrong:
        raise wrong


def _reboot(host: Host, profile: Profile) -> None:
    """Reboot the host and wait until it has booted; pyinfra's own would end the whole run."""
    logger.info(f"{host.print_prefix}rebooting, for at most {REBOOT_LIMIT_S} s")
    host.run_shell_command(REBOOT, **_probe.connector_arguments(host))
    deadline = time.monotonic() + REBOOT_LIMIT_S
    while time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        if _boot_id(host) not in (None, profile.boot_id):
            forget_host_state()
            return
    why = f"the host was rebooted for its driver, and is not back after {REBOOT_LIMIT_S} s"
    raise FleetwheelError(why, hint="look at its console, then run again")


def _boot_id(host: Host) -> str | None:
    """Connect again and return which boot it is; None while the host cannot be reached."""
    clear_askpass_cache(host)
    try:
        host.disconnect()
        host.connect(show_errors=False)
        if not host.connected:
            return None
        _, output = host.run_shell_command(BOOT_ID, _timeout=PAUSE_S)
    except (OSError, EOFError, SSHException):
        return None
    return output.stdout.strip() or None


def _check(host: Host, settings: Settings) -> None:
    """Look whether the driver works now, or begins to within the time that it may take."""
    begun = time.monotonic()
    facts = host_state(settings)
    while facts and time.monotonic() - begun < SETTLES.get(facts.profile.driver.state, 0):
        time.sleep(PAUSE_S)
        forget_host_state()
        facts = host_state(settings)
    if facts is None:
        raise FleetwheelError("its facts cannot be read any more")
    driver = facts.profile.driver
    if driver.state is DriverState.OK:
        return
    meaning, repair = EXPLANATIONS[driver.state]
    why = f"the driver still does not work: {meaning} {driver.detail}".rstrip()
    raise FleetwheelError(why, hint=repair)


def _say(profile: Profile, status: Status, why: str) -> None:
    _report.record(HostReport(name=host.name, status=status, why=why, profile=profile))
    logger.info(f"{host.print_prefix}{printable(why.splitlines()[0])}")

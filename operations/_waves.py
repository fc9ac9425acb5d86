"""Letting some hosts of a roll-out wait until those before them are well."""

import time

from pyinfra import host, inventory, state
from pyinfra.api import Host

from fleetwheel.deploy.waves import waves
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _report
from fleetwheel.reporting.report import Status


def wait(settings: Settings) -> str | None:
    """
    Wait for the waves before this host's, and return why it must not begin; None when it may.

    + settings: what the inventory says about the host; hosts with the same ``serial`` roll out
      together

    The roll-out stops after a wave in which a host failed, or in which no host is well: hosts that
    are down or refused prove nothing, and stop nothing while another one of their wave is well.
    """
    together = [other for other in inventory if other.data.get("serial") == host.data.get("serial")]
    in_run = [other for other in together if other in state.activated_hosts]
    if state.pool is not None and len(in_run) > state.pool.size:
        return f"serial: {len(in_run)} hosts need config.PARALLEL = {len(in_run)} in config.py"
    by_name = {other.name: other for other in in_run}
    for number, wave in enumerate(waves(list(by_name), settings.serial), start=1):
        if host.name in wave:
            break
        ended = {status for name in wave for status in _end(by_name[name])}
        if "failed" in ended or not {"changed", "unchanged"} & ended:
            return f"wave {number} of the roll-out ({', '.join(wave)}) did not end well"
    return None


def _end(other: Host) -> set[Status]:
    """Return how another host and its environments ended, once they have."""
    while True:
        if statuses := _report.ended(other.name):
            return statuses
        if other in state.failed_hosts or state.get_results_for_host(other).error_ops:
            return {"failed"}
        time.sleep(0.2)

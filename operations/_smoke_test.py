"""The smoke test of one environment of a host, run there."""

from typing import Any

from pyinfra.api import Host

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.operations import _probe
from fleetwheel.smoke import result as smoke


def run_smoke_test(
    host: Host, environment: str, lock: Lock, profile: Profile, settings: Settings
) -> dict[str, Any]:
    """
    Run node/smoke/run.py with an environment's own Python, and return its JSON document.

    + environment: path on the host
    + lock: what the environment was made from
    + profile: the host as it is now
    + settings: which GPUs to test, at which level and for how long

    A test that gives no answer has failed: its document says why.
    """
    level: smoke.Level = "full" if settings.smoke == "full" else "quick"
    timeout = smoke.time_limit(settings.smoke_timeout, level)
    expected = smoke.expectation(
        lock,
        load_matrix(),
        smoke.device_deadline(timeout, level),
        level=level,
        gpus=smoke.uuids(profile, settings.own_request),
        min_fraction=settings.smoke_min_fraction,
    )
    python = "Scripts/python.exe" if profile.os == "windows" else "bin/python"
    try:
        return _probe.probe_document(host, f"{environment}/{python}", "smoke", expected, timeout)
    except FleetwheelError as error:
        return smoke.unanswered(error)

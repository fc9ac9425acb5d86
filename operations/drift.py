"""The drift check: what differs on a host from what it should be."""

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand

from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _report
from fleetwheel.operations._drift_check import look
from fleetwheel.reporting.report import why_of


@operation(is_idempotent=False)
def check(settings: Settings, deep: bool = False) -> Generator[PyinfraCommand]:
    """
    Compare the host with its record, its lock and the inventory, changing nothing.

    + settings: what the inventory says about the host
    + deep: also check every installed file, and run the smoke test

    A host that differs fails, with what differs and what mends it.

    **Example:**

    .. code:: python

        drift.check(
            name="Look for drift",
            settings=settings(),
        )
    """
    found = look(settings, deep)
    if found.status in ("clean", "on hold"):
        _report.record(found, deep=deep)
        host.noop(why_of(found) or "as it should be")
    else:
        yield _report.refuse(found, deep=deep)

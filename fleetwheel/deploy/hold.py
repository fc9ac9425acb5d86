"""Whether a person holds an environment as it is."""

from fleetwheel.deploy.record import Record
from fleetwheel.inventory.settings import Settings
from fleetwheel.node import compare

BY_INVENTORY = (
    "the inventory holds it, and deploys leave it alone: take `hold` out of the inventory, then"
    " deploy"
)


def held(record: Record | None, settings: Settings) -> str:
    """Return why nothing changes an environment, for people; empty where something may.

    ``settings`` are those of the environment.
    """
    if record and record.hold and not settings.lift_hold:
        return f"rolled back on {record.hold.since:%Y-%m-%d}; --data lift_hold=true ends the hold"
    return f"the inventory holds it (hold: {settings.hold})" if settings.hold else ""


def repair_of_held(record: Record, settings: Settings) -> str:
    """Return what helps against drift of an environment that is held."""
    return compare.HELD if record.hold and not settings.lift_hold else BY_INVENTORY

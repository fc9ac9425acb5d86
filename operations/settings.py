"""The settings of the host of the moment, for deploy files."""

from pyinfra import host
from pyinfra.api import OperationValueError

from fleetwheel.connection.winssh import is_windows
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings, misplaced


def settings() -> Settings:
    """Return what inventory and command line say about the host, checked."""
    try:
        found = Settings.from_data(host.data.dict())
        wrong = misplaced(found.root, windows=is_windows(host))
        # A recorded host answers as what it was, whatever its connector is.
        if wrong and not host.name.startswith("@fake/"):
            raise FleetwheelError(f"root: {wrong}")
        return found
    except FleetwheelError as error:
        raise OperationValueError(f"{host.name}: {error}") from None

"""The settings of the host of the moment, for deploy files."""

from pyinfra import host
from pyinfra.api import OperationValueError

from fleetwheel.errors import FleetwheelError
from fleetwheel.settings import Settings


def settings() -> Settings:
    """Return what inventory and command line say about the host, checked."""
    try:
        return Settings.from_data(host.data.dict())
    except FleetwheelError as error:
        raise OperationValueError(f"{host.name}: {error}") from None

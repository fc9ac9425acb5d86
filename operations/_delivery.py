"""Settling how wheels reach the host of the moment: by itself, through the mirror, or pushed."""

import socket
from collections.abc import Iterable

from pyinfra import host, inventory, logger
from pyinfra.connectors.local import LocalConnector

from fleetwheel.delivery import mirror
from fleetwheel.delivery.distribution import Delivery, deliver, parcels, unserved
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.sources.address import host_of, local_path


def delivery(settings: Settings, lock: Lock, root: str) -> Delivery:
    """
    Return what the host installs from, and what it must be sent for that.

    + settings: what the inventory says about the host
    + lock: what it is to run
    + root: its root directory

    Wheels that only the controller can read are sent to other hosts in any case.
    """
    here = isinstance(host.connector, LocalConnector)
    pushed = parcels(lock, settings.distribution, here=here)
    if settings.distribution != "mirror":
        return deliver(lock, root, pushed)
    address = mirror_address(settings)
    served = mirror.served(address)
    if others := unserved(lock, served):
        logger.warning(f"{host.print_prefix}not from the mirror: {', '.join(others)}")
    return deliver(lock, root, pushed, address, served)


def places(settings: Settings, urls: Iterable[str]) -> tuple[str, ...]:
    """Return what a host connects to for the wheels at these addresses, ``https://HOST``."""
    afar = {host_of(url) for url in urls if local_path(url) is None}
    if afar and settings.distribution == "mirror":
        return (mirror_address(settings),)
    if afar and settings.proxy:
        return (settings.proxy,)
    return tuple(sorted(afar))


def mirror_address(settings: Settings) -> str:
    """Return the address of the mirror that a host is to use."""
    if settings.mirror is None:
        raise FleetwheelError(
            "distribution: mirror, but no mirror is named",
            hint="name a host of the inventory, mirror: HOST, and run deploys/mirror.py",
        )
    addresses = {other.name: other.data.get("ssh_hostname") or other.name for other in inventory}
    return mirror.address(settings.mirror, {**addresses, "@local": socket.getfqdn()})

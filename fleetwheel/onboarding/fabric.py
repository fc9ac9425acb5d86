"""What joins the GPUs of a host, and the programs that have to run for it."""

from typing import NamedTuple

from fleetwheel.host.profile import InstalledDriver
from fleetwheel.onboarding.driver_facts import facts


class Companions(NamedTuple):
    """Programs that a host needs beside its driver, each of exactly the driver's version."""

    manager: bool = False
    """Fabric Manager, where the host has NVSwitches of its own."""
    subnet_manager: bool = False
    """NVLSM too, where these are of the fourth generation; it has versions of its own."""
    imex: bool = False
    """IMEX, where the GPUs belong to the NVLink domain of a rack."""


def needed(installed: InstalledDriver) -> Companions:
    """Return what the devices on the PCI bus of a host ask for."""
    fabric = facts().fabric
    gpus, bridges = _ids(installed.devices), _ids(installed.bridges)
    fourth = bool(gpus & fabric.nvlink5)
    return Companions(
        manager=fourth or bool(bridges & fabric.nvswitch),
        subnet_manager=fourth,
        imex=bool(gpus & fabric.imex),
    )


def missing(installed: InstalledDriver) -> tuple[str, ...]:
    """Return which of them are not there in the version of the driver's library, for people."""
    need = needed(installed)
    names = {
        "nvidia-fabricmanager": need.manager,
        "nvlsm": need.subnet_manager,
        "nvidia-imex": need.imex,
    }
    return tuple(name for name, asked in names.items() if asked and not _there(installed, name))


def _there(installed: InstalledDriver, name: str) -> bool:
    found = [line.replace("fabric-manager", "fabricmanager") for line in installed.packages]
    versions = [line.split()[-1] for line in found if line.startswith(name)]
    if name == "nvlsm" or installed.library is None:
        return bool(versions)
    return any(version.startswith(f"{installed.library}-") for version in versions)


def _ids(devices: tuple[str, ...]) -> set[int]:
    return {int(device.split()[-1], 16) for device in devices}

"""The NVIDIA driver and GPUs of a host: what nvidia-smi, the kernel and the disk say."""

import re

from fleetwheel import nvidia_smi
from fleetwheel.asking._answer import Section, first, unfinished
from fleetwheel.nvidia_smi import Nvidia
from fleetwheel.profile import Driver, DriverState, InstalledDriver


def parse(section: Section) -> Nvidia:
    """Read the answer of the section ``gpu``."""
    installed = _installed(section)
    if "smi" in section:
        found = _smi(section)
        version = found.driver.version or installed.module
        driver = found.driver.model_copy(update={"version": version})
        return Nvidia(driver=driver, installed_driver=installed, gpus=found.gpus)
    return Nvidia(driver=_without_smi(section, installed), installed_driver=installed)


def _smi(section: Section) -> Nvidia:
    """Read what nvidia-smi said; a section that was given up says no exit code."""
    code = first(section, "exit")
    return nvidia_smi.parse(
        section.get("query", []),
        first(section, "fields").split(",") if "fields" in section else nvidia_smi.FIELDS,
        int(code) if re.fullmatch("[0-9]{1,3}", code) else 124,
        section.get("banner", []),
    )


def _without_smi(section: Section, installed: InstalledDriver) -> Driver:
    if unfinished(section):
        detail = "asking about the GPU did not end in time"
        return Driver(state=DriverState.HUNG, version=installed.module, detail=detail)
    if installed.module:
        detail = "the kernel module is loaded, but there is no nvidia-smi"
        return Driver(state=DriverState.NO_DRIVER, version=installed.module, detail=detail)
    if installed.devices:
        detail = f"on the PCI bus: {', '.join(installed.devices)}"
        if installed.nouveau:
            detail += "; nouveau is loaded"
        return Driver(state=DriverState.NO_DRIVER, detail=detail)
    return Driver(state=DriverState.NO_GPU)


def _installed(section: Section) -> InstalledDriver:
    library = re.search(r"\.so\.([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})$", first(section, "library"))
    packages = [line.split() for line in section.get("package", []) if line.startswith("ii ")]
    return InstalledDriver(
        devices=tuple(section.get("pci", [])),
        module=first(section, "module") or None,
        library=library[1] if library else None,
        nouveau="nouveau" in section,
        packages=tuple(" ".join(words[1:]) for words in packages),
    )

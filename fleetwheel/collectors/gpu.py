"""The NVIDIA driver and GPUs of a host: what NVML, nvidia-smi, the kernel and the disk say."""

import re
from collections.abc import Iterable

from fleetwheel.collectors import nvidia_smi, nvml
from fleetwheel.collectors._answer import TIMED_OUT, Section, first, skipped, unfinished
from fleetwheel.host.driver_version import from_windows
from fleetwheel.host.profile import (
    BuiltModule,
    Driver,
    DriverState,
    InstalledDriver,
    ModuleKind,
    Nvidia,
)

UNSURE = (DriverState.HUNG, DriverState.UNPARSABLE, DriverState.NO_DRIVER)
"""States in which one of the two only says that it could not ask."""


def parse_gpus(section: Section) -> Nvidia:
    """Read the answer of the section ``gpu``."""
    installed = _installed(section)
    answers = [answer for answer in (_nvml(section), _smi(section)) if answer]
    best = max(answers, key=_worth, default=Nvidia(driver=_unasked(section, installed)))
    drivers = [best.driver, *(answer.driver for answer in answers)]
    details = [best.driver.detail or _hung(drivers)]
    others = [name for name in ("nouveau", "nova_core") if getattr(installed, name)]
    if others and best.driver.state in (DriverState.NO_DRIVER, DriverState.NOT_LOADED):
        details.append(f"{' and '.join(others)} is loaded")
    driver = Driver(
        state=best.driver.state,
        version=next((d.version for d in drivers if d.version), installed.module),
        cuda=next((d.cuda for d in drivers if d.cuda), None),
        nvml=next((d.nvml for d in drivers if d.nvml), None),
        detail="; ".join(filter(None, details)),
    )
    return Nvidia(
        driver=driver,
        installed_driver=installed,
        gpus=best.gpus,
        problems=tuple(skipped(section)),
    )


def _hung(drivers: Iterable[Driver]) -> str:
    """Return what to say of the one that did not answer, where the other one did."""
    return next((d.detail for d in drivers if d.state is DriverState.HUNG), "")


def _worth(answer: Nvidia) -> tuple[bool, bool]:
    """Rank answers: with GPUs, then with a known fault; NVML is the first of equals."""
    return bool(answer.gpus), answer.driver.state not in UNSURE


def _nvml(section: Section) -> Nvidia | None:
    """Read what NVML said; None where there is no Python that could ask it."""
    if first(section, "nvml_exit") in TIMED_OUT:
        return Nvidia(driver=Driver(state=DriverState.HUNG, detail="NVML did not answer in time"))
    documents = [line for line in section.get("nvml", []) if line.startswith("{")]
    return nvml.parse_nvml(documents[-1]) if documents else None


def _smi(section: Section) -> Nvidia | None:
    """Read what nvidia-smi said; a section that was given up says no exit code.

    A program that crashes on Windows ends with a negative one.
    """
    if "smi" not in section:
        return None
    code = first(section, "exit")
    return nvidia_smi.parse_nvidia_smi(
        section.get("query", []),
        first(section, "fields").split(",") if "fields" in section else nvidia_smi.FIELDS,
        int(code) if re.fullmatch("-?[0-9]{1,10}", code) else 124,
        section.get("banner", []),
    )


def _unasked(section: Section, installed: InstalledDriver) -> Driver:
    """Return the driver of a host where neither NVML nor nvidia-smi could be asked."""
    if unfinished(section):
        return Driver(state=DriverState.HUNG, detail="asking about the GPU did not end in time")
    if installed.module:
        detail = "the kernel module is loaded, but neither nvidia-smi nor a Python can be asked"
        return Driver(state=DriverState.NO_DRIVER, detail=detail)
    if installed.devices:
        state = DriverState.NOT_LOADED if installed.library else DriverState.NO_DRIVER
        return Driver(state=state, detail=f"on the PCI bus: {', '.join(installed.devices)}")
    return Driver(state=DriverState.NO_GPU)


def _installed(section: Section) -> InstalledDriver:
    windows = _windows_drivers(section)
    library = re.search(r"\.so\.([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})$", first(section, "library"))
    packages = [line.split() for line in section.get("package", []) if line.startswith("ii ")]
    return InstalledDriver(
        devices=(*section.get("pci", []), *_windows_devices(section)),
        module=first(section, "module") or None,
        library=library[1] if library else windows,
        nouveau="nouveau" in section,
        packages=tuple(" ".join(words[1:]) for words in packages),
        nova_core="nova_core" in section,
        bridges=tuple(section.get("bridge", [])),
        kind=_kind(first(section, "module_line")),
        built=_built(section),
        dkms=tuple(filter(None, section.get("dkms", []))),
        changed_s=_seconds(first(section, "library_changed")),
        blacklisted_s=_seconds(first(section, "blacklisted")),
        enrolled=_enrolled(section),
    )


def _kind(line: str) -> ModuleKind | None:
    """Read ``NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05 ...``."""
    if "Kernel Module" not in line:
        return None
    return "open" if "Open Kernel Module" in line else "proprietary"


def _built(section: Section) -> tuple[BuiltModule, ...] | None:
    """Read ``6.12.107+deb13-amd64 550.163.01 1764000000 NVIDIA``, the last being the licence."""
    if "looked" not in section:
        return None
    words = [line.split(maxsplit=3) for line in section.get("built", [])]
    return tuple(
        BuiltModule(
            kernel=kernel,
            version=version,
            changed_s=_seconds(changed),
            kind="open" if "MIT" in licence else "proprietary",
        )
        for kernel, version, changed, licence in (each for each in words if len(each) == 4)
    )


def _enrolled(section: Section) -> dict[str, bool]:
    """Read ``/var/lib/dkms/mok.pub /var/lib/dkms/mok.pub is already enrolled``."""
    said = [line.partition(" ") for line in section.get("mok", [])]
    return {path: "already enrolled" in words for path, _, words in said if words}


def _seconds(said: str) -> int | None:
    return int(said) if re.fullmatch("[0-9]{1,15}", said) else None


def _windows_devices(section: Section) -> list[str]:
    """Return the display devices of NVIDIA that the registry lists: instance and device id."""
    devices, key = [], ""
    for line in section.get("pci_key", []):
        if line.startswith("HKEY_"):
            key = line
        found = re.search(r"VEN_10DE&DEV_([0-9A-F]{4})[^\\]*\\([^\\]+)$", key)
        if found and "CC_03" in line and _connected(section, found[0]):
            devices.append(f"{found[2]} 0x{found[1].lower()}")
    return devices


def _connected(section: Section, instance: str) -> bool:
    """Whether a device is there now; where nobody can tell, all that the registry lists are."""
    if "connected_known" not in section:
        return True
    return any(line.upper().endswith(instance.upper()) for line in section.get("connected", []))


def _windows_drivers(section: Section) -> str | None:
    """Return the version of NVIDIA's display driver in the registry, as NVIDIA writes it."""
    matched = ""
    for line in section.get("registry", []):
        if line.startswith("HKEY_"):
            continue
        name, _, data = line.strip().partition("    ")
        if name == "MatchingDeviceId":
            matched = data.lower()
        version = from_windows(data.rpartition(" ")[2])
        if name == "DriverVersion" and version and "ven_10de" in matched:
            return version
    return None

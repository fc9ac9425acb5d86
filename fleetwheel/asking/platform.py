"""The system: its kind, distribution, C library, memory and boot."""

import re

from fleetwheel.asking._answer import Section, first
from fleetwheel.profile import OperatingSystem, Value

KERNELS: dict[str, OperatingSystem] = {"Linux": "linux", "Darwin": "macos"}
ARCHITECTURES = {"arm64": "aarch64", "amd64": "x86_64"}


class Platform(Value):
    """The fields of a profile that tell what system a host runs."""

    os: OperatingSystem
    arch: str
    distribution: str = ""
    glibc: str | None = None
    memory_total_mib: int | None = None
    boot_id: str | None = None
    secure_boot: bool | None = None
    wsl: bool = False
    container: str | None = None
    jetson: str | None = None
    reboot_pending: bool = False
    problems: tuple[str, ...] = ()


def parse(section: Section) -> Platform:
    """Read the answer of the section ``platform``; ValueError for a system that is no Linux."""
    kernel, _, machine = first(section, "uname").partition(" ")
    if kernel not in KERNELS:
        raise ValueError(f"{kernel or 'nothing'} is the system's name, which is not Linux")
    glibc, problem = _glibc(first(section, "libc"))
    memory = first(section, "memory_kib")
    return Platform(
        os=KERNELS[kernel],
        arch=ARCHITECTURES.get(machine, machine),
        distribution=first(section, "distribution").strip("\"'"),
        glibc=glibc,
        memory_total_mib=int(memory) // 1024 if re.fullmatch(r"[0-9]{1,15}", memory) else None,
        boot_id=first(section, "boot_id") or None,
        secure_boot={"0": False, "1": True}.get(first(section, "secure_boot").strip()),
        wsl="microsoft" in first(section, "release").lower(),
        container=first(section, "container") or None,
        jetson=_l4t(first(section, "jetson")),
        reboot_pending="reboot" in section,
        problems=(problem,) if problem else (),
    )


def _glibc(libc: str) -> tuple[str | None, str]:
    """Return the version of glibc, and what is wrong when nothing can be said about it.

    ``getconf`` says ``glibc 2.36``, ``ldd`` says ``ldd (Debian GLIBC 2.36-9+deb12u10) 2.36`` or
    ``musl libc (x86_64)``.
    """
    if "musl" in libc:
        return None, ""
    version = re.search(r"(?:^| )(2\.[0-9]{1,4})(?:\.[0-9]{1,4})?$", libc)
    if version:
        return version[1], ""
    return None, "the version of glibc is unknown: neither getconf nor ldd names it"


def _l4t(release: str) -> str | None:
    """Return the release of ``# R36 (release), REVISION: 4.3, GCID: 38968081, ...``."""
    found = re.match(r"# R([0-9]{1,3}) \(release\), REVISION: ([0-9.]{1,9})", release)
    return f"{found[1]}.{found[2]}" if found else None

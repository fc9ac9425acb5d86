"""The rule: does a build of torch run on a GPU with a driver, and on a host.

Every function returns None where it runs, else why not in one sentence. Sources: torch's own table
(DEVICE_REQUIREMENT in torch/cuda/__init__.py of 2.15.0) and NVIDIA's CUDA compatibility guide.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from fleetwheel.gpu_names import capability as capability_of
from fleetwheel.matrix import (
    Build,
    Capability,
    Cuda,
    DriverSystem,
    Matrix,
    Numbers,
    Platform,
    numbers,
)
from fleetwheel.profile import Gpu, Profile

RENAMED: dict[Capability, Capability] = {(10, 1): (11, 0)}
"""Thor was 10.1 before CUDA 13."""
INTEGRATED: frozenset[Capability] = frozenset({(5, 3), (6, 2), (7, 2), (8, 7), (11, 0)})
"""Jetson and Thor: their code runs on nothing else."""
UNIFIED: frozenset[Capability] = frozenset({(7, 2), (8, 7)})
"""Integrated GPUs that run the code of their larger siblings from CUDA 13.2 on."""
UNIFIED_SINCE: Numbers = (13, 2)


@dataclass(frozen=True, slots=True)
class Device:
    """What of a GPU decides."""

    label: str
    """For people: ``NVIDIA L4 (8.9)``."""
    capability: Capability


@dataclass(frozen=True, slots=True)
class Host:
    """What of a profile decides, read once for all builds."""

    platform: Platform
    glibc: Numbers | None
    driver: Numbers
    """Empty where no driver counts."""
    system: DriverSystem
    """Whose driver table counts: WSL shows Linux the driver of Windows."""
    driver_name: str
    """The driver's version as it was given."""
    devices: tuple[Device, ...]
    """The GPUs that have to be served, each kind once."""


def runs_code(code: Capability, device: Capability, cuda: Numbers) -> bool:
    """Whether machine code for ``code`` runs on a GPU: same major, and a minor not above its own.

    Integrated GPUs are the exceptions. ``cuda`` is the version that the code was built with.
    """
    code, device = RENAMED.get(code, code), RENAMED.get(device, device)
    if code == device:
        return True
    if code in INTEGRATED or (
        device in INTEGRATED and (device not in UNIFIED or cuda < UNIFIED_SINCE)
    ):
        return False
    return code[0] == device[0] and code[1] <= device[1]


@lru_cache(maxsize=4096)
def _covers(codes: tuple[Capability, ...], device: Capability, cuda: Numbers) -> bool:
    return any(runs_code(code, device, cuda) for code in codes)


def at_least(driver: Numbers, floor: Numbers) -> bool:
    """Whether a driver is a floor or newer; a bare branch such as ``580`` meets its own floors."""
    return driver >= (floor[:1] if len(driver) == 1 else floor)


def supports_fully(host: Host, cuda: Cuda) -> bool:
    """Whether the driver supports all of a CUDA version, not just its major version."""
    return at_least(host.driver, cuda.full[host.system])


def gpu_problem(build: Build, device: Device, host: Host, cuda: Cuda) -> str | None:
    """Return why a CUDA build does not run on one GPU with the host's driver."""
    floor = cuda.driver[host.system]
    if not at_least(host.driver, floor):
        return f"needs driver {dotted(floor)} or newer"
    if _covers(build.sm, device.capability, cuda.version):
        return None
    if build.ptx is None or build.ptx > device.capability:
        return f"has no code for {device.label}"
    if not supports_fully(host, cuda):
        full = dotted(cuda.full[host.system])
        return f"has only PTX for {device.label}, which needs driver {full} or newer"
    return None


def driver_problem(device: Device, host: Host, matrix: Matrix) -> str | None:
    """Return why a driver does not support a GPU at all, whatever the build."""
    generation = matrix.generation(RENAMED.get(device.capability, device.capability))
    if generation is None or not host.driver:
        return None
    branch = host.driver[0]
    last = generation.last_driver
    if last and branch > last[host.system]:
        return (
            f"driver {host.driver_name} no longer supports {device.label}: "
            f"{generation.name} ended with branch {last['linux']}"
        )
    if branch < generation.first_driver:
        return (
            f"driver {host.driver_name} does not know {device.label}: "
            f"{generation.name} begins with branch {generation.first_driver}"
        )
    return None


def host_problem(build: Build, host: Host, matrix: Matrix) -> str | None:
    """Return why a build does not run on a host, interpreters apart."""
    if build.variant != "cpu":
        cuda = matrix.cuda[build.variant]
        for device in host.devices:
            if problem := gpu_problem(build, device, host, cuda):
                return problem
    if build.glibc and host.glibc is None:
        return "needs glibc, which the host has not"
    if build.glibc and host.glibc and host.glibc < build.glibc:
        return f"needs glibc {joined(build.glibc)}, the host has {joined(host.glibc)}"
    return None


def device_of(gpu: Gpu) -> Device | None:
    """Return a GPU with its capability, from its name if need be; None when it cannot be told."""
    for found in (gpu.compute_capability, capability_of(gpu.name)):
        if found and re.fullmatch(r"[0-9]{1,2}\.[0-9]", found):
            major, minor = found.split(".")
            return Device(label=f"{gpu.name} ({found})", capability=(int(major), int(minor)))
    return None


def host_of(profile: Profile, devices: tuple[Device, ...]) -> Host:
    """Return what decides of a profile; ValueError where a version cannot be read."""
    driver = profile.driver.version if devices else None
    kinds = {device.capability: device for device in sorted(devices, key=lambda d: d.label)}
    return Host(
        platform=(profile.os, profile.arch),
        glibc=numbers(profile.glibc) if profile.glibc else None,
        driver=numbers(driver) if driver else (),
        system="windows" if profile.os == "windows" or profile.wsl else "linux",
        driver_name=driver or "",
        devices=tuple(kinds[key] for key in sorted(kinds)),
    )


def dotted(driver: Numbers) -> str:
    """Return a driver version as NVIDIA writes it: ``580.65.06``, ``520.06``."""
    return ".".join(f"{part:02}" for part in driver)


def joined(version: Numbers) -> str:
    """Return ``2.28`` for ``(2, 28)``."""
    return ".".join(map(str, version))

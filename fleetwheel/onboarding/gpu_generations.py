"""Generations of NVIDIA GPUs, and the driver branches and kernel modules that serve each."""

import re
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import ModuleKind, Profile
from fleetwheel.onboarding.driver_facts import BOTH, GpuGeneration, facts

NEWEST = 999
"""Above every branch: support has no end yet."""
GENERATIONS = facts().generations.rows


class Limits(NamedTuple):
    """What serves all of some GPUs: branches from ``first`` to ``last``, and kernel modules."""

    first: int
    last: int
    modules: frozenset[ModuleKind]

    def serve(self, branch: int) -> bool:
        """Whether a driver of this branch runs all the GPUs, with one of the kernel modules."""
        return self.first <= branch <= self.last and bool(self.kinds(branch))

    def kinds(self, branch: int) -> frozenset[ModuleKind]:
        """Return the kernel modules of a branch that run all the GPUs."""
        known = facts().branch(branch)
        return self.modules & (known.modules if known else BOTH)


def of_host(profile: Profile) -> tuple[GpuGeneration, ...]:
    """Return the generations of a host's GPUs, the oldest first.

    The PCI bus is asked first: a driver shows only the GPUs that it serves. Raises FleetwheelError
    for a GPU that is not known.
    """
    ids = [device.split()[-1] for device in profile.installed_driver.devices]
    found = [of_device(id) for id in ids]
    if not found or (None in found and len(profile.gpus) >= len(ids)):
        found = [of_capability(gpu.compute_capability or "") for gpu in profile.gpus]
    if not found or None in found:
        seen = ", ".join([*ids, *(gpu.name for gpu in profile.gpus)]) or "not on the PCI bus"
        raise FleetwheelError(
            f"which NVIDIA GPUs these are is not known: {seen}",
            hint="install the driver by hand, then run again",
        )
    return tuple(generation for generation in GENERATIONS if generation in found)


def of_device(id: str) -> GpuGeneration | None:
    """Return the generation of a PCI device id such as ``0x2684``; None where it is not known."""
    if not re.fullmatch("0x[0-9a-f]{4}", id):
        return None
    rows, number = facts().devices.rows, int(id, 16)
    name = next((name for first, last, name in rows if first <= number <= last), "")
    return next((generation for generation in GENERATIONS if generation.name == name), None)


def of_capability(capability: str) -> GpuGeneration | None:
    """Return the generation of a compute capability such as ``8.9``; None before Kepler."""
    if not re.fullmatch(r"[0-9]{1,2}\.[0-9]{1,2}", capability):
        return None
    major, minor = map(int, capability.split("."))
    older = [each for each in GENERATIONS if each.capability <= (major, minor)]
    return older[-1] if older else None


def limits(generations: Iterable[GpuGeneration]) -> Limits:
    """Return what serves GPUs of all these generations; ``first`` beyond ``last`` if nothing."""

    def narrower(so_far: Limits, one: GpuGeneration) -> Limits:
        return Limits(
            max(so_far.first, one.first),
            min(so_far.last, one.last or NEWEST),
            so_far.modules & one.modules,
        )

    return reduce(narrower, generations, Limits(0, NEWEST, BOTH))

"""Generations of NVIDIA GPUs, and the driver branches and kernel modules that serve each."""

import re
from collections.abc import Iterable
from functools import reduce
from typing import Literal, NamedTuple

from fleetwheel.errors import FleetwheelError
from fleetwheel.profile import Profile

Modules = Literal["open", "proprietary"]

NEWEST = 999
"""Above every branch: support has no end yet."""
BOTH: frozenset[Modules] = frozenset({"open", "proprietary"})


class Generation(NamedTuple):
    """GPUs of one generation; ``first`` and ``last`` are the branches that serve them."""

    name: str
    capability: tuple[int, int]
    """The lowest compute capability of the generation."""
    first: int
    last: int = NEWEST
    modules: frozenset[Modules] = BOTH


CLOSED: frozenset[Modules] = frozenset({"proprietary"})
OPEN: frozenset[Modules] = frozenset({"open"})
GENERATIONS = (
    Generation("Kepler", (3, 0), 390, 470, CLOSED),
    Generation("Maxwell", (5, 0), 390, 580, CLOSED),
    Generation("Pascal", (6, 0), 390, 580, CLOSED),
    Generation("Volta", (7, 0), 390, 580, CLOSED),
    Generation("Turing", (7, 5), 410),
    Generation("Ampere", (8, 0), 455),
    Generation("Ada", (8, 9), 525),
    Generation("Grace Hopper", (9, 0), 535, modules=OPEN),
    Generation("Hopper", (9, 0), 525),
    Generation("Blackwell", (10, 0), 570, modules=OPEN),
)
"""Last branches: NVIDIA's matrix of toolkits, drivers and architectures. Modules: the chapter on
kernel modules in its driver installation guide."""

DEVICES = (
    (0x0FC0, 0x103F, "Kepler"),
    (0x1180, 0x11FF, "Kepler"),
    (0x1280, 0x12BF, "Kepler"),
    (0x1340, 0x143F, "Maxwell"),
    (0x15F0, 0x15FF, "Pascal"),
    (0x1617, 0x1667, "Maxwell"),
    (0x1725, 0x172F, "Pascal"),
    (0x174D, 0x17FF, "Maxwell"),
    (0x1B00, 0x1D7F, "Pascal"),
    (0x1D80, 0x1DFF, "Volta"),
    (0x1E00, 0x1FFF, "Turing"),
    (0x2080, 0x20FF, "Ampere"),
    (0x2180, 0x21FF, "Turing"),
    (0x2200, 0x229F, "Ampere"),
    (0x22A0, 0x22BF, "Ada"),
    (0x2300, 0x233F, "Hopper"),
    (0x2340, 0x234F, "Grace Hopper"),
    (0x2350, 0x237F, "Hopper"),
    (0x2400, 0x25FF, "Ampere"),
    (0x2680, 0x28FF, "Ada"),
    (0x2900, 0x2FFF, "Blackwell"),
    (0x3180, 0x31FF, "Blackwell"),
)
"""PCI device ids, first to last: without a driver, a GPU tells no more than that.

source: the PCI id repository of 2023-04, and NVIDIA/gpu-admin-tools for Blackwell; confidence
high, but for 0x2e00 (GB10) and 0x3180 (B300), which is medium.
"""


class Limits(NamedTuple):
    """What serves all of some GPUs: branches from ``first`` to ``last``, and kernel modules."""

    first: int
    last: int
    modules: frozenset[Modules]

    def serve(self, branch: int) -> bool:
        """Whether a driver of this branch runs all the GPUs, with one of the kernel modules."""
        return self.first <= branch <= self.last and bool(self.modules)


def of_host(profile: Profile) -> tuple[Generation, ...]:
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


def of_device(id: str) -> Generation | None:
    """Return the generation of a PCI device id such as ``0x2684``; None where it is not known."""
    if not re.fullmatch("0x[0-9a-f]{4}", id):
        return None
    number = int(id, 16)
    name = next((name for first, last, name in DEVICES if first <= number <= last), "")
    return next((generation for generation in GENERATIONS if generation.name == name), None)


def of_capability(capability: str) -> Generation | None:
    """Return the generation of a compute capability such as ``8.9``; None before Kepler."""
    if not re.fullmatch(r"[0-9]{1,2}\.[0-9]{1,2}", capability):
        return None
    major, minor = map(int, capability.split("."))
    older = [each for each in GENERATIONS if each.capability <= (major, minor)]
    return older[-1] if older else None


def limits(generations: Iterable[Generation]) -> Limits:
    """Return what serves GPUs of all these generations; ``first`` beyond ``last`` if nothing."""

    def narrower(so_far: Limits, one: Generation) -> Limits:
        return Limits(
            max(so_far.first, one.first), min(so_far.last, one.last), so_far.modules & one.modules
        )

    return reduce(narrower, generations, Limits(0, NEWEST, BOTH))

"""How much a lock downloads and how much disk it takes."""

from collections.abc import Mapping

from fleetwheel.host.profile import Installation
from fleetwheel.lock.lock import Lock

UNPACKED = {"cpu": 4, "cuda": 2}
"""Bytes on disk for each byte of download: torch 2.13.0+cpu and 2.14.1 (CUDA 13.0), rounded up."""


SMALLEST_BYTES = 100 << 20
"""Free space for a build that fetches nothing: uv itself, and links into its cache."""


def missing_wheels(lock: Lock, installation: Installation) -> dict[str, str]:
    """Return name and wheel address of what no environment on the host has in this version."""
    present = {item for built in installation.generations for item in built.packages.items()}
    wanted = [item for item in lock.packages.items() if item not in present]
    return {name: lock.urls[name] for name, _ in wanted}


def download_bytes(wheels: Mapping[str, str], sizes: Mapping[str, int | None]) -> int:
    """Return the bytes to fetch; a wheel of unknown size counts as nothing."""
    return sum(sizes.get(url) or 0 for url in wheels.values())


def amount(wheels: Mapping[str, str], sizes: Mapping[str, int | None]) -> str:
    """Return what is fetched, for people: ``219 MB``; ``at least`` so much where one is unknown."""
    known = all(sizes.get(url) is not None for url in wheels.values())
    return ("" if known else "at least ") + readable(download_bytes(wheels, sizes))


def needed_bytes(lock: Lock, download: int) -> int:
    """Return the disk space that a build takes: its download once unpacked, cache included."""
    return max(download * UNPACKED[lock.choice.variant.runtime], SMALLEST_BYTES)


def readable(size: int) -> str:
    """Return a size for people: ``192 MB`` or ``3.3 GB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"

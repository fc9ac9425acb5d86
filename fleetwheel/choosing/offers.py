"""What is on offer: releases in variants, by the matrix alone or by what the sources hold."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from fleetwheel.choosing.compatibility import Host
from fleetwheel.choosing.pins import VARIANT, Pins
from fleetwheel.choosing.tags import platforms, wheel_tags
from fleetwheel.matrix import Build, Matrix, Platform
from fleetwheel.profile import Python
from fleetwheel.wheel import Source, Wheel

UNKNOWN = "unknown"
"""The variant of a wheel without a label, of a release that the matrix does not know."""

Shelf = Mapping[str, Sequence[Wheel]]
"""Wheels of one source that can go together, by project."""
Stock = Mapping[tuple[Source, str | None], Shelf]
"""The shelves of all sources, by source and by the variant that their wheels name."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One release in one variant, from one source or from the matrix."""

    version: Version
    """Public version."""
    variant: str
    build: Build | None
    source: Source | None = None
    rank: int = 0
    """Place of the source in the order of preference."""
    shelf: Shelf | None = None
    """None where only the matrix is asked."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How an offer is installed on a host."""

    python: Python
    packages: dict[str, str]
    """The torch family, with full versions as the source lists them."""
    size: int | None
    """Bytes of the torch family's wheels; None where the source does not say."""


def known(pins: Pins, matrix: Matrix, platform: Platform) -> list[Offer]:
    """Return what the matrix has for a platform, builds that may not be published included."""
    by_release = _by_release(matrix, platform)
    return [offer for version in by_release if pins.allow(version) for offer in by_release[version]]


@lru_cache(maxsize=64)
def _by_release(matrix: Matrix, platform: Platform) -> dict[Version, list[Offer]]:
    return {
        release.version: [
            Offer(release.version, build.variant, build)
            for build in release.builds.get(platform, {}).values()
        ]
        for release in matrix.releases.values()
    }


def from_matrix(pins: Pins, matrix: Matrix, platform: Platform) -> list[Offer]:
    """Return what the matrix alone offers for a platform."""
    return [o for o in known(pins, matrix, platform) if o.build and o.build.published]


def stock_of(wheels: Iterable[Wheel]) -> Stock:
    """Return the wheels of the sources by what can go together, in the order of the sources."""
    stock: dict[tuple[Source, str | None], dict[str, list[Wheel]]] = {}
    for wheel in wheels:
        shelf = stock.setdefault((wheel.source, _label(wheel)), defaultdict(list))
        shelf[wheel.project].append(wheel)
    return stock


def from_stock(stock: Stock, pins: Pins, matrix: Matrix, host: Host) -> list[Offer]:
    """Return what the sources offer for a platform, in their order."""
    ranks = {source: rank for rank, source in enumerate(dict.fromkeys(s for s, _ in stock))}
    offers = []
    for (source, label), shelf in stock.items():
        for version in _versions(shelf.get("torch", ()), pins, host):
            variant = label or _unlabelled(version, matrix, host.platform)
            if VARIANT.fullmatch(variant) or variant == UNKNOWN:
                build = matrix.build(version, variant, host.platform)
                offers.append(Offer(version, variant, build, source, ranks[source], shelf))
    return offers


def _label(wheel: Wheel) -> str | None:
    """Return the variant that a wheel's version or source names."""
    return wheel.version.local or wheel.source.variant


def _unlabelled(version: Version, matrix: Matrix, platform: Platform) -> str:
    release = matrix.release(version)
    return release.pypi.get(platform, UNKNOWN) if release else UNKNOWN


def _versions(wheels: Iterable[Wheel], pins: Pins, host: Host) -> list[Version]:
    """Return the allowed public versions of the wheels that are for a host's platform."""
    names = platforms(host.platform, host.glibc)
    found = dict.fromkeys(public(wheel) for wheel in wheels if for_platform(wheel, names))
    return [version for version in found if pins.allow(version)]


def for_platform(wheel: Wheel, names: frozenset[str]) -> bool:
    """Whether one of a wheel's tags is for one of these platforms."""
    return any(tag.platform in names for tag in wheel.tags)


def public(wheel: Wheel) -> Version:
    """Return a wheel's version without its local label."""
    return _public(wheel.version)


@lru_cache(maxsize=4096)
def _public(version: Version) -> Version:
    return Version(version.public)


def fit(
    offer: Offer, host: Host, pythons: Sequence[Python], pins: Pins, matrix: Matrix
) -> Fit | str:
    """Return how an offer is installed with the newest of the interpreters, or why it is not.

    ``pythons`` are the host's that may be used, newest first.
    """
    partners = partners_of(offer, pins, matrix)
    if isinstance(partners, str):
        return partners
    if offer.shelf is None:
        return _fit_matrix(offer, host, pythons, partners)
    return _fit_shelf(offer, host, offer.shelf, pythons, partners)


def partners_of(offer: Offer, pins: Pins, matrix: Matrix) -> dict[str, tuple[Version, ...]] | str:
    """Return the versions of each partner that may go with an offer, the best one first."""
    release = matrix.release(offer.version)
    found: dict[str, tuple[Version, ...]] = {}
    for name, specifier in pins.partners.items():
        belonging = release.partners[name] if release else ()
        if not belonging:
            return f"has no {name}"
        found[name] = tuple(
            Version(version)
            for version in belonging
            if specifier.contains(f"{version}+{offer.variant}", prereleases=True)
        )
        if not found[name]:
            return f"goes with {name} {belonging[0]}, not {specifier}"
    return found


def _fit_matrix(
    offer: Offer,
    host: Host,
    pythons: Sequence[Python],
    partners: Mapping[str, tuple[Version, ...]],
) -> Fit | str:
    minors = offer.build.pythons if offer.build else frozenset()
    python = next((python for python in pythons if python.minor in minors), None)
    if python is None:
        return f"has no wheel for Python {_minors(pythons)}"
    family = {"torch": offer.version} | {name: versions[0] for name, versions in partners.items()}
    label = "" if host.platform[0] == "macos" else f"+{offer.variant}"
    return Fit(python, {name: f"{version}{label}" for name, version in family.items()}, None)


def _fit_shelf(
    offer: Offer,
    host: Host,
    shelf: Shelf,
    pythons: Sequence[Python],
    partners: Mapping[str, tuple[Version, ...]],
) -> Fit | str:
    wanted = {"torch": (offer.version,), **partners}
    missing: str | None = None
    for python in pythons:
        tags = wheel_tags(python.minor, host.platform, host.glibc)
        picked = {name: _pick(shelf.get(name, ()), wanted[name], tags) for name in wanted}
        wheels = {name: wheel for name, wheel in picked.items() if wheel}
        if len(wheels) == len(wanted):
            sizes = [wheel.size for wheel in wheels.values()]
            packages = {name: str(wheel.version) for name, wheel in wheels.items()}
            return Fit(python, packages, None if None in sizes else sum(filter(None, sizes)))
        if "torch" in wheels and missing is None:
            missing = next(name for name in wanted if name not in wheels)
    where = offer.source.name if offer.source else ""
    if missing:
        return f"has no {missing} {wanted[missing][0]} beside it in {where}"
    return f"has no wheel for Python {_minors(pythons)} in {where}"


def _pick(
    wheels: Iterable[Wheel], versions: Sequence[Version], tags: frozenset[Tag]
) -> Wheel | None:
    """Return the wheel of the first version that has one; among equals, the highest build tag."""
    for version in versions:
        fitting = [w for w in wheels if public(w) == version and not w.tags.isdisjoint(tags)]
        if fitting:
            return max(fitting, key=lambda wheel: parse_wheel_filename(wheel.filename)[2])
    return None


def _minors(pythons: Sequence[Python]) -> str:
    return ", ".join(dict.fromkeys(python.minor for python in pythons))

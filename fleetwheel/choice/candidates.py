"""What there is to choose from: releases in variants, by the matrix or by what the sources hold."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from fleetwheel.choice.tags import platforms, wheel_tags
from fleetwheel.choice.target import Target
from fleetwheel.matrix.matrix import Build, Matrix, Platform
from fleetwheel.matrix.variant import Variant, variant_or_none
from fleetwheel.sources.wheel import Source, Wheel

Shelf = Mapping[str, Sequence[Wheel]]
"""Wheels of one source that can go together, by project."""
Stock = Mapping[tuple[Source, str | None], Shelf]
"""The shelves of all sources, by source and by the variant that their wheels name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One release in one variant, from one source or from the matrix."""

    version: Version
    """Public version."""
    variant: Variant | None
    """None for a wheel without a label that is not PyPI's."""
    build: Build | None
    source: Source | None = None
    rank: int = 0
    """Place of the source in the order of preference."""
    shelf: Shelf | None = None
    """None where only the matrix is asked."""

    @property
    def name(self) -> str:
        """For people: ``2.14.1+cu126``."""
        return f"{self.version}+{self.variant}" if self.variant else str(self.version)


@dataclass(frozen=True, slots=True)
class Resolved:
    """How a candidate is installed on a host."""

    python: str
    """Minor version of the interpreter."""
    packages: dict[str, str]
    """The torch family, with full versions as the source lists them."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A candidate that does not run, and why."""

    candidate: Candidate
    reason: str


def known(target: Target, matrix: Matrix) -> Iterator[list[Candidate]]:
    """Return what the matrix has for a target, a list for each release, the newest first.

    Builds that may not be published are included.
    """
    for version, candidates in _by_release(matrix, target.platform).items():
        if target.allows(version):
            yield [c for c in candidates if c.variant and target.wants(c.variant)]


@lru_cache(maxsize=64)
def _by_release(matrix: Matrix, platform: Platform) -> dict[Version, list[Candidate]]:
    return {
        release.version: [
            Candidate(release.version, build.variant, build)
            for build in release.builds.get(platform, {}).values()
        ]
        for release in matrix.releases.values()
    }


def from_matrix(target: Target, matrix: Matrix) -> Iterator[list[Candidate]]:
    """Return what the matrix alone offers for a target, a list for each release."""
    for candidates in known(target, matrix):
        yield [c for c in candidates if c.build and c.build.published]


def stock_of(wheels: Iterable[Wheel]) -> Stock:
    """Return the wheels of the sources by what can go together, in the order of the sources."""
    stock: dict[tuple[Source, str | None], dict[str, list[Wheel]]] = {}
    for wheel in wheels:
        shelf = stock.setdefault((wheel.source, _label(wheel)), defaultdict(list))
        shelf[wheel.project].append(wheel)
    return stock


def from_stock(stock: Stock, target: Target, matrix: Matrix) -> list[list[Candidate]]:
    """Return what the sources offer for a target, a list for each release, the newest first.

    Wheels whose variant nothing tells are among them: the search says why it takes none of them.
    """
    ranks = {source: rank for rank, source in enumerate(dict.fromkeys(s for s, _ in stock))}
    names = platforms(target.platform, target.glibc)
    by_release: dict[Version, list[Candidate]] = {}
    for (source, label), shelf in stock.items():
        for version, variant in _torches(shelf.get("torch", ()), label, target, matrix, names):
            if variant is None or target.wants(variant):
                build = matrix.build(version, variant, target.platform) if variant else None
                candidate = Candidate(version, variant, build, source, ranks[source], shelf)
                by_release.setdefault(version, []).append(candidate)
    return [by_release[version] for version in sorted(by_release, reverse=True)]


def _label(wheel: Wheel) -> str | None:
    """Return the variant that a wheel's version or source names."""
    return wheel.version.local or (str(wheel.source.variant) if wheel.source.variant else None)


def _torches(
    wheels: Iterable[Wheel],
    label: str | None,
    target: Target,
    matrix: Matrix,
    names: frozenset[str],
) -> list[tuple[Version, Variant | None]]:
    """Return the allowed versions of the wheels that are for a platform, with their variants."""
    found: dict[tuple[Version, Variant | None], None] = {}
    for wheel in wheels:
        if not for_platform(wheel, names):
            continue
        variant = variant_or_none(label) if label else _unlabelled(wheel, target, matrix)
        if variant or not label:
            found.setdefault((public(wheel), variant))
    oldest = min(matrix.releases)
    return [(v, variant) for v, variant in found if v >= oldest and target.allows(v)]


def _unlabelled(wheel: Wheel, target: Target, matrix: Matrix) -> Variant | None:
    """Return the variant of a wheel without a label: PyPI's own, or the only one that there is."""
    release = matrix.release(public(wheel))
    builds = list(release.builds.get(target.platform, {})) if release else []
    if release and wheel.from_pypi:
        return release.pypi.get(target.platform)
    return builds[0] if len(builds) == 1 else None


def for_platform(wheel: Wheel, names: frozenset[str]) -> bool:
    """Whether one of a wheel's tags is for one of these platforms."""
    return any(tag.platform in names for tag in wheel.tags)


def public(wheel: Wheel) -> Version:
    """Return a wheel's version without its local label."""
    return _public(wheel.version)


@lru_cache(maxsize=4096)
def _public(version: Version) -> Version:
    return Version(version.public)


def resolve(candidate: Candidate, target: Target, matrix: Matrix) -> Resolved | str:
    """Return how a candidate is installed with the newest interpreter, or why it is not."""
    partners = partners_of(candidate, target, matrix)
    if isinstance(partners, str):
        return partners
    if candidate.shelf is None:
        return _by_matrix(candidate, target, partners)
    return _by_shelf(candidate, target, candidate.shelf, partners)


def partners_of(
    candidate: Candidate, target: Target, matrix: Matrix
) -> dict[str, tuple[Version, ...]] | str:
    """Return the versions of each partner that may go with a candidate, the best one first."""
    found: dict[str, tuple[Version, ...]] = {}
    for name, specifier in target.partner_specifiers.items():
        variant = candidate.variant
        belonging = (
            matrix.partners_of(name, candidate.version, variant, target.platform) if variant else ()
        )
        if not belonging:
            return f"has no {name}"
        found[name] = tuple(
            Version(version)
            for version in belonging
            if specifier.contains(f"{version}+{variant}", prereleases=True)
        )
        if not found[name]:
            return f"goes with {name} {belonging[0]}, not {specifier}"
    return found


def _by_matrix(
    candidate: Candidate, target: Target, partners: Mapping[str, tuple[Version, ...]]
) -> Resolved | str:
    minors = candidate.build.pythons if candidate.build else frozenset()
    python = next((minor for minor in target.pythons if minor in minors), None)
    if python is None:
        return f"has no wheel for Python {', '.join(target.pythons)}"
    label = "" if target.os == "macos" else f"+{candidate.variant}"
    family = {"torch": candidate.version} | {name: found[0] for name, found in partners.items()}
    return Resolved(python, {name: f"{version}{label}" for name, version in family.items()})


def _by_shelf(
    candidate: Candidate,
    target: Target,
    shelf: Shelf,
    partners: Mapping[str, tuple[Version, ...]],
) -> Resolved | str:
    wanted = {"torch": (candidate.version,), **partners}
    missing: str | None = None
    for python in target.pythons:
        tags = wheel_tags(python, target.platform, target.glibc)
        picked = {name: _pick(shelf.get(name, ()), wanted[name], tags) for name in wanted}
        wheels = {name: wheel for name, wheel in picked.items() if wheel}
        if len(wheels) == len(wanted):
            return Resolved(python, {name: str(w.version) for name, w in wheels.items()})
        if "torch" in wheels and missing is None:
            missing = next(name for name in wanted if name not in wheels)
    where = candidate.source.name if candidate.source else ""
    if missing:
        return f"has no {missing} {wanted[missing][0]} beside it in {where}"
    return f"has no wheel for Python {', '.join(target.pythons)} in {where}"


def _pick(
    wheels: Iterable[Wheel], versions: Sequence[Version], tags: frozenset[Tag]
) -> Wheel | None:
    """Return the wheel of the first version that has one; among equals, the highest build tag."""
    for version in versions:
        fitting = [w for w in wheels if public(w) == version and not w.tags.isdisjoint(tags)]
        if fitting:
            return max(fitting, key=lambda wheel: parse_wheel_filename(wheel.filename)[2])
    return None

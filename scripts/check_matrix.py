#!/usr/bin/env python3
"""Compare matrix.yaml with pypi-torch.txt and with what sources hold, and print what differs.

Asked are pip's sources and the official index of every variant. Exits with 1 where something
differs. Architectures are not looked at: only a wheel's own libraries tell them, and the smoke
test compares them with torch.cuda.get_arch_list() on hosts.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from fleetwheel.choice.candidates import public
from fleetwheel.choice.tags import platforms
from fleetwheel.matrix.matrix import Matrix, Platform, load_matrix
from fleetwheel.matrix.variant import CPU, Variant, variant_or_none
from fleetwheel.sources.configured import configured_sources, official_source
from fleetwheel.sources.survey import survey
from fleetwheel.sources.wheel import Wheel, pypi_torch

ANY_GLIBC = (2, 99)
Key = tuple[Version, Platform, str]
"""Release, platform and variant, which is empty for a wheel of PyPI that no row tells of."""


def held(wheels: Iterable[Wheel], matrix: Matrix) -> dict[Key, set[str]]:
    """Return the interpreters for which the sources hold each build."""
    known = {platform for release in matrix.releases.values() for platform in release.builds}
    found: dict[Key, set[str]] = defaultdict(set)
    for wheel in wheels:
        version = public(wheel)
        if version.is_prerelease or version < Version("2.0"):
            continue
        for platform in known:
            if not any(tag.platform in platforms(platform, ANY_GLIBC) for tag in wheel.tags):
                continue
            release = matrix.release(version)
            default = release.pypi.get(platform) if release else None
            labelled = variant_or_none(wheel.version.local) or wheel.source.variant
            if labelled or not wheel.version.local:
                variant = labelled or default or ""
                found[version, platform, str(variant)] |= {_minor(tag) for tag in wheel.tags}
    return found


def _minor(tag: Tag) -> str:
    """Return ``3.14t`` for cp314-cp314t; macOS wheels are cp314-none."""
    name = (tag.interpreter if tag.abi == "none" else tag.abi).removeprefix("cp")
    return f"{name[0]}.{name[1:]}"


def differences(found: dict[Key, set[str]], matrix: Matrix) -> Iterator[str]:
    """Return one sentence for everything that the matrix does not know."""
    for (version, platform, variant), minors in sorted(found.items()):
        build = matrix.build(version, Variant.parse(variant), platform) if variant else None
        name = f"{version}{variant and '+'}{variant} for {' '.join(platform)}"
        if version not in matrix.releases:
            yield f"{name}: the release is not in the matrix"
        elif not variant:
            yield f"{name}: the matrix does not say what PyPI's wheel is"
        elif build is None:
            yield f"{name}: the variant is not in the matrix"
        elif more := minors - build.pythons:
            yield f"{name}: the matrix lacks Python {', '.join(sorted(more))}"
        elif not build.published:
            yield f"{name}: is published after all"


def unknown_hashes(wheels: Iterable[Wheel]) -> Iterator[str]:
    """Return one line for each wheel that only PyPI names so and that pypi-torch.txt lacks."""
    for wheel in wheels:
        unlabelled = wheel.version.local is None and wheel.source.variant is None
        released = wheel.version >= Version("2.0") and not wheel.version.is_prerelease
        elsewhere = any("macosx" in tag.platform for tag in wheel.tags)
        unknown = wheel.sha256 and wheel.filename not in pypi_torch()
        if unlabelled and released and unknown and not elsewhere:
            yield f"pypi-torch.txt lacks: {wheel.sha256}  {wheel.filename}"


def without_hash(matrix: Matrix) -> Iterator[str]:
    """Return one line for each wheel that PyPI has by the matrix and that pypi-torch.txt lacks."""
    listed = [parse_wheel_filename(filename) for filename in pypi_torch()]
    known = {(version, tag.platform, _minor(tag)) for _, version, _, tags in listed for tag in tags}
    for version, release in matrix.releases.items():
        for platform, variant in release.pypi.items():
            if platform[0] == "macos":
                continue
            names = platforms(platform, ANY_GLIBC)
            minors = {m for v, name, m in known if v == version and name in names}
            if lacking := release.builds[platform][variant].pythons - minors:
                where = f"{version} for {' '.join(platform)}"
                yield f"pypi-torch.txt lacks torch {where}, Python {', '.join(sorted(lacking))}"


def main() -> int:
    """Ask the sources and print what differs."""
    matrix = load_matrix()
    official = [official_source(variant) for variant in (CPU, *matrix.cuda)]
    answer = survey([*configured_sources(), *official], ["torch"])
    for warning in answer.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    found = held(answer.wheels, matrix)
    differ = differences(found, matrix)
    lines = [*differ, *unknown_hashes(answer.wheels), *without_hash(matrix)]
    print("\n".join(dict.fromkeys(lines)) or f"{len(found)} builds are as in the matrix")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())

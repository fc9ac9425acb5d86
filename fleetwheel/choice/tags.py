"""Wheel tags of a target host, whatever machine this runs on."""

from functools import cache

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms

from fleetwheel.matrix.matrix import Numbers, Platform

LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Names from before PEP 600, by the minor version of glibc 2.x that they stand for."""


@cache
def platforms(platform: Platform, glibc: Numbers | None) -> frozenset[str]:
    """Return the platform tags that a host takes."""
    system, arch = platform
    if system == "windows":
        return frozenset({{"x86_64": "win_amd64", "aarch64": "win_arm64"}.get(arch, arch)})
    if system == "macos":
        # A profile has no macOS version: a current one is assumed.
        return frozenset(mac_platforms((26, 0), "arm64" if arch == "aarch64" else arch))
    minors = range(5, glibc[1] + 1) if glibc and glibc[0] == 2 else range(0)
    names = [f"manylinux_2_{minor}" for minor in minors]
    names += [legacy for minor, legacy in LEGACY.items() if minor in minors]
    # The official index names some builds (2.6 cu124) plain linux_x86_64, which promises no glibc;
    # the matrix knows what they need.
    return frozenset(f"{name}_{arch}" for name in [*names, "linux"])


@cache
def wheel_tags(python: str, platform: Platform, glibc: Numbers | None) -> frozenset[Tag]:
    """Return the tags of the wheels that Python ``3.12`` or ``3.14t`` takes on a host.

    torchvision 0.29.2 is ``py3-none`` for a platform, everything before it is for one interpreter.
    """
    major, minor = map(int, python.rstrip("t").split("."))
    interpreter, names = f"cp{major}{minor}", sorted(platforms(platform, glibc))
    abi = "cp" + python.replace(".", "")
    return frozenset(
        {
            *cpython_tags((major, minor), [abi], names),
            *compatible_tags((major, minor), interpreter, names),
        }
    )

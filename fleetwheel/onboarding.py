"""What a host needs before PyTorch can be deployed to it: decided by its facts alone."""

import re

from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix import Matrix, numbers
from fleetwheel.profile import HostState, Profile, Value

SMALLEST = 1 << 30
"""Bytes that a Python and the smallest set of wheels take, roughly."""


class PackageManager(Value):
    """How a family of distributions gets a Python that releases of torch have wheels for."""

    name: str
    distributions: str
    """Pattern of the names that the family's systems give themselves."""
    package: str
    refresh: tuple[str, ...]
    install: tuple[str, ...]

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """Return the commands, in words, that root runs one after the other."""
        install = (*self.install, self.package)
        return (self.refresh, install) if self.refresh else (install,)


APT_LOCK = ("-o", "DPkg::Lock::Timeout=120")
"""A fresh machine often runs its automatic updates just then."""
APT_INSTALL = (
    *("env", "DEBIAN_FRONTEND=noninteractive"),
    *("apt-get", "-q", "-y", "--no-install-recommends", "install"),
)

PACKAGE_MANAGERS = (
    PackageManager(
        name="apt",
        distributions=r"Debian|Ubuntu|Linux Mint",
        package="python3",
        refresh=("apt-get", "-q", *APT_LOCK, "update"),
        install=(*APT_INSTALL, *APT_LOCK),
    ),
    PackageManager(
        name="dnf",
        distributions=r"Fedora",
        package="python3",
        refresh=(),
        install=("dnf", "-q", "-y", "install"),
    ),
    PackageManager(
        name="dnf",
        distributions=r"Red Hat Enterprise|Rocky|AlmaLinux|CentOS Stream|Oracle Linux",
        package="python3.12",
        refresh=(),
        install=("dnf", "-q", "-y", "install"),
    ),
    PackageManager(
        name="zypper",
        distributions=r"openSUSE|SUSE Linux",
        package="python311",
        refresh=(),
        install=("zypper", "--non-interactive", "--quiet", "install"),
    ),
)
"""RHEL's own python3 is 3.6 or 3.9 and SUSE's is 3.6, too old for torch."""


def package_manager(profile: Profile) -> PackageManager | None:
    """Return what brings a Python to this distribution; None where that is not known."""
    system = profile.distribution
    return next((each for each in PACKAGE_MANAGERS if re.match(each.distributions, system)), None)


def python_to_install(facts: HostState, matrix: Matrix) -> PackageManager | None:
    """Return what has to install a Python first; None where the host has one that suits.

    Raises FleetwheelError, before anything is changed, for a host that cannot be helped.
    """
    usable = _usable_pythons(facts.profile, matrix)
    if any(python.minor in usable for python in facts.profile.pythons):
        return None
    return _manager_for(facts)


def _usable_pythons(profile: Profile, matrix: Matrix) -> frozenset[str]:
    """Return the Pythons that some release has wheels for on this system."""
    system = (profile.os, profile.arch)
    builds = [
        build
        for release in matrix.releases.values()
        for build in release.builds.get(system, {}).values()
    ]
    if not builds:
        raise FleetwheelError(f"there are no wheels of torch for {profile.os} {profile.arch}")
    glibc = numbers(profile.glibc) if profile.glibc else ()
    loading = [build for build in builds if not build.glibc or build.glibc <= glibc]
    if not loading:
        oldest = ".".join(map(str, min(build.glibc for build in builds if build.glibc)))
        has = f"glibc {profile.glibc}" if profile.glibc else "no glibc (musl?)"
        raise FleetwheelError(
            f"the host has {has}, and torch's wheels need {oldest} or newer",
            hint="install a newer release of its distribution, or one that has glibc",
        )
    return frozenset().union(*(build.pythons for build in loading))


def _manager_for(facts: HostState) -> PackageManager:
    profile, user = facts.profile, facts.installation.user
    has = ", ".join(python.version for python in profile.pythons) or "none"
    lacking = f"the host has no Python that torch has wheels for (it has {has})"
    manager = package_manager(profile)
    if manager is None:
        raise FleetwheelError(
            f"{lacking}, and how {profile.distribution or profile.os} gets one is not known",
            hint="install a Python by hand, on Windows one from python.org, then run again",
        )
    if user != "root":
        raise FleetwheelError(
            f"{lacking}, and {user or 'the user'} may not install one",
            hint=f"use sudo: true, or have an admin install the package {manager.package}",
        )
    return manager

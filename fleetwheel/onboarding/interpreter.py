"""What a host needs before PyTorch can be deployed to it: decided by its facts alone."""

from collections import Counter

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState, Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.matrix.matrix import Matrix, numbers
from fleetwheel.value import Value

SMALLEST = 1 << 30
"""Bytes that a Python and the smallest set of wheels take, roughly."""


REFUSED = "fix the package sources or the network of the host, then run again"


class PackageManager(Value):
    """How a family of distributions gets a Python that releases of torch have wheels for."""

    name: str
    systems: frozenset[str]
    """ID of os-release, or ID_LIKE of relatives."""
    major: str | None = None
    """First number of VERSION_ID, where releases differ."""
    package: str
    refresh: tuple[str, ...] = ()
    install: tuple[str, ...]
    hint: str = REFUSED

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """Return the commands, in words, that root runs one after the other."""
        install = (*self.install, self.package)
        return (self.refresh, install) if self.refresh else (install,)


APT_LOCK = ("-o", "DPkg::Lock::Timeout=120")
"""A fresh machine often runs its automatic updates just then."""
APT_INSTALL = (
    *("env", "DEBIAN_FRONTEND=noninteractive"),
    *("apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef"),
    *("-o", "Dpkg::Options::=--force-confold", "--no-install-recommends", "install"),
)

DNF_INSTALL = ("dnf", "-q", "-y", "install")
ZYPPER_INSTALL = ("zypper", "--non-interactive", "--quiet", "install")
RELATIVES = frozenset({"rhel", "rocky", "almalinux", "centos", "ol", "amzn"})

PACKAGE_MANAGERS = (
    PackageManager(
        name="apt",
        systems=frozenset({"debian", "ubuntu"}),
        package="python3",
        refresh=("apt-get", "-q", *APT_LOCK, "update"),
        install=(*APT_INSTALL, *APT_LOCK),
    ),
    PackageManager(name="dnf", systems=RELATIVES, package="python3.12", install=DNF_INSTALL),
    PackageManager(
        name="dnf", systems=frozenset({"fedora"}), package="python3", install=DNF_INSTALL
    ),
    PackageManager(
        name="zypper",
        systems=frozenset({"sles", "sles_sap", "sled"}),
        major="15",
        package="python311",
        install=ZYPPER_INSTALL,
        hint="SLES 15 has it in the Python 3 module: `SUSEConnect -p sle-module-python3/15.N/ARCH`,"
        f" with its service pack and architecture; or {REFUSED}",
    ),
    PackageManager(
        name="zypper",
        systems=frozenset({"suse"}),
        major="15",
        package="python311",
        install=ZYPPER_INSTALL,
    ),
    PackageManager(
        name="zypper", systems=frozenset({"suse"}), package="python313", install=ZYPPER_INSTALL
    ),
)
"""The python3 of RHEL 8 and 9 and of Amazon Linux is 3.6 or 3.9 and that of SUSE 15 is 3.6, too old
for torch."""


def package_manager(profile: Profile) -> PackageManager | None:
    """Return what brings a Python to this distribution; None where that is not known."""
    major = profile.distribution_version.partition(".")[0]
    for id in (profile.distribution_id, *profile.distribution_like):
        for each in PACKAGE_MANAGERS:
            if id in each.systems and each.major in (None, major):
                return each
    return None


OWN_LIBRARY = """
umask 022
for library in "$1"/*/lib/python3.*; do
    if [ -d "$library" ]; then : >>"${library%/*}/python3${library##*/python3.}.zip"; fi
done
"""
"""Makes the file by which Python 3.11 and newer find their library: see node/programs.sh.

Without it, they look for one in every directory above first, such as /scratch.
"""


class UvPython(Value):
    """A Python of python-build-standalone, which uv puts under the root: no root user needed."""

    name: str = "uv"
    minor: str
    root: str
    mirror: str | None = None
    windows: bool = False

    hint: str = (
        "let the host reach releases.astral.sh or github.com, or name a python_mirror;"
        " then run again"
    )

    @property
    def package(self) -> str:
        """What is installed, for people."""
        return f"Python {self.minor}"

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """Return the command of the uv that was sent, and what keeps to itself what it brings."""
        install = ("--no-config", "--no-progress", "python", "install", "--no-bin", "--no-registry")
        source = "--python-downloads-json-url" if self._listed else "--mirror"
        given = (source, self.mirror) if self.mirror else ()
        pythons = f"{self.root}/pythons"
        install = (f"{self.root}/bin/uv", *install, *given, "--install-dir", pythons, self.minor)
        own = () if self.windows else (("sh", "-c", OWN_LIBRARY, "sh", pythons),)
        return (install, *own)

    @property
    def _listed(self) -> bool:
        return self.mirror is not None and self.mirror.endswith(".json")


def python_to_install(
    facts: HostState, matrix: Matrix, settings: Settings
) -> PackageManager | UvPython | None:
    """Return what has to install a Python first; None where the host has one that suits.

    Raises FleetwheelError, before anything is changed, for a host that cannot be helped.
    """
    usable = _usable_pythons(facts.profile, matrix)
    if any(p.minor in usable and p.reach != "private" for p in facts.profile.pythons):
        return None
    if settings.install_python == "uv":
        minor = settings.python or _most_served(usable)
        return UvPython(
            minor=minor,
            root=facts.installation.root,
            mirror=settings.python_mirror,
            windows=facts.profile.os == "windows",
        )
    return _manager_for(facts)


def _usable_pythons(profile: Profile, matrix: Matrix) -> Counter[str]:
    """Return how many builds of torch have wheels for each Python on this system."""
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
    return Counter(python for build in loading for python in build.pythons)


def _most_served(usable: Counter[str]) -> str:
    """Return the Python that most builds have wheels for, the newest of several."""
    usual = [minor for minor in usable if not minor.endswith("t")]
    return max(usual, key=lambda minor: (usable[minor], numbers(minor)))


def _manager_for(facts: HostState) -> PackageManager:
    profile, user = facts.profile, facts.installation.user
    has = ", ".join(python.version for python in profile.pythons) or "none"
    lacking = f"the host has no Python that torch has wheels for (it has {has})"
    manager = package_manager(profile)
    if manager is None:
        raise FleetwheelError(
            f"{lacking}, and how {profile.distribution or profile.os} gets one is not known",
            hint="use install_python: uv, or install one by hand, on Windows from python.org",
        )
    if user != "root":
        raise FleetwheelError(
            f"{lacking}, and {user or 'the user'} may not install one",
            hint=f"use sudo: true, or install_python: uv, or have an admin install the package"
            f" {manager.package}",
        )
    return manager

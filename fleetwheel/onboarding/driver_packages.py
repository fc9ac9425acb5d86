"""Packages and commands that bring an NVIDIA driver to each family of Linux distributions."""

from collections.abc import Callable

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Profile
from fleetwheel.onboarding import apt_drivers, dnf_drivers, zypper_drivers
from fleetwheel.onboarding.driver_facts import ENTERPRISE
from fleetwheel.onboarding.driver_steps import Need, Recipe, Step, file_step

FAMILIES: dict[str, Callable[[Need], Recipe]] = {
    "ubuntu": apt_drivers.ubuntu,
    "debian": apt_drivers.debian,
    **dict.fromkeys(ENTERPRISE, dnf_drivers.enterprise),
    "amzn": dnf_drivers.amazon,
    "fedora": dnf_drivers.fedora,
    "sles": zypper_drivers.suse,
    "opensuse-leap": zypper_drivers.suse,
}
"""By ID of os-release. ID_LIKE is not asked: a relative's kernels and releases are its own."""

BLACKLIST_FILE = "/etc/modprobe.d/fleetwheel-nouveau.conf"
REBUILD = """if command -v update-initramfs >/dev/null; then
    update-initramfs -u -k all && exit
else
    dracut --force ${1:+--kver "$1"} && exit
fi
rm -f "$0"
exit 1
"""
"""Without the new RAM disk the blacklist is not in effect, so it goes and the next run repeats it.
dracut without a release takes the kernel that runs. Debian has either."""


def recipe(need: Need) -> Recipe:
    """Return how a distribution gets the branch that is wanted, or the one that suits.

    Raises FleetwheelError where it is not known how, or where there is no such branch.
    """
    profile = need.profile
    make = FAMILIES.get(profile.distribution_id)
    if make is None:
        raise FleetwheelError(
            f"how {profile.distribution or 'this distribution'} gets NVIDIA's driver is not known"
            " here",
            hint="install it by hand as the distribution's own pages say, then run again",
        )
    return make(need)


def blacklist(profile: Profile) -> tuple[Step, ...]:
    """Return what keeps the kernel's own modules for NVIDIA's GPUs from the next boot."""
    installed = profile.installed_driver
    named = ["nouveau", *(["nova_core"] if installed.nova_core else [])]
    text = "".join(f"blacklist {name}\n" for name in named) + "options nouveau modeset=0\n"
    rebuild = ("sh", "-c", REBUILD, BLACKLIST_FILE, profile.kernel.boot)
    return (
        file_step(BLACKLIST_FILE, text),
        Step(what=f"rebuild the initial RAM disk without {' and '.join(named)}", command=rebuild),
    )


def hold(profile: Profile, packages: tuple[str, ...]) -> tuple[Step, ...]:
    """Return what keeps updates from replacing packages."""
    what = f"hold {' '.join(packages)}"
    by_hand = "the driver is installed: hold it by hand, for another run leaves it as it is"
    lock: tuple[str, ...] = (*dnf_drivers.DNF, "versionlock", "add")
    before: tuple[Step, ...] = ()
    match profile.distribution_id:
        case "debian" | "ubuntu":
            lock = ("apt-mark", "hold")
        case "sles" | "opensuse-leap":
            lock = (*zypper_drivers.ZYPPER, "addlock")
        case "fedora":
            pass  # dnf 5 has it built in
        case _:
            plugin = "python3-dnf-plugin-versionlock"
            install = (*dnf_drivers.DNF, "install", plugin)
            before = (Step(what=f"install {plugin}", command=install, hint=by_hand),)
    return (*before, Step(what=what, command=(*lock, *packages), hint=by_hand))

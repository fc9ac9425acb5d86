"""Packages and commands that bring an NVIDIA driver to each family of Linux distributions."""

import re
from collections.abc import Callable

from fleetwheel.errors import FleetwheelError
from fleetwheel.onboarding.gpu_generations import Limits, Modules
from fleetwheel.onboarding.interpreter import APT_INSTALL, APT_LOCK
from fleetwheel.profile import Value

PREFERRED = 580
"""The newest branch that serves every GPU since Maxwell, and the oldest that CUDA 13 runs on."""
OPEN_SINCE = 560
"""From this branch on NVIDIA suggests its open kernel modules for all GPUs that can have them."""
DEBIAN_OWN = {12: 535, 13: 550}
"""Branch in the component non-free, by release."""
NVIDIA = "https://developer.download.nvidia.com/compute/cuda/repos"
EPEL = "https://dl.fedoraproject.org/pub/epel"

UPDATE = ("apt-get", "-q", *APT_LOCK, "update")
DNF = ("dnf", "-q", "-y")
COMPONENTS = r"""set -e
have=$(apt-get indextargets --format '$(COMPONENT)' 'Created-By: Packages' "Origin: $1")
missing=
for component in $2; do
    if ! echo "$have" | grep -q -x "$component"; then missing="$missing $component"; fi
done
if [ -z "$missing" ]; then exit; fi
apt-get indextargets --format '$(SOURCESENTRY)' \
    'Created-By: Packages' "Origin: $1" 'Component: main' |
    sed 's/:[0-9]*$//' | sort -u | while read -r file; do
    case $file in
    *.sources) { sed "s/^Components:.*/Components:$missing/" "$file" && echo; } >>"$0.sources" ;;
    *) sed -n -E "s/^(deb .*) main( .*)?\$/\1$missing/p" "$file" >>"$0.list" ;;
    esac
done
if [ ! -s "$0.list" ] && [ ! -s "$0.sources" ]; then
    echo "apt has no lists of $1's component main: no such source, or it does not answer" >&2
elif apt-get indextargets >/dev/null; then
    exit
fi
rm -f "$0.list" "$0.sources"
exit 1
"""
"""Adds components of the distribution to the mirrors that its component main comes from, with
their keys and options. What apt does not take would stop it altogether, so that goes again."""
SOURCES = "/etc/apt/sources.list.d/fleetwheel-driver"
"""Of the files that are added, without their endings."""
PIN_FILE = "/etc/apt/preferences.d/fleetwheel-driver"
HEADERS = 'exec "$@" "$0$(uname -r)"'
"""The modules are built on the host, for the kernel that runs."""
WRITE = 'mkdir -p "${0%/*}" && printf %s "$1" >"$0"'
NOUVEAU_FILE = "/etc/modprobe.d/fleetwheel-nouveau.conf"
NOUVEAU = "blacklist nouveau\noptions nouveau modeset=0\n"


INSTALL_HINT = (
    "mend the package sources or the network of the host, or end the hold on another driver"
    " (apt-mark unhold, dnf versionlock delete), then run again"
)


class Step(Value):
    """One command that root runs."""

    what: str
    """What it does, in a few words for people."""
    command: tuple[str, ...]
    """Program and arguments, one word each."""
    hint: str = "mend the package sources or the network of the host, then run again"
    """What a person can do where it fails."""


class Recipe(Value):
    """How a host gets a driver of one branch."""

    branch: int
    modules: Modules
    packages: tuple[str, ...]
    """The packages by which the driver is asked for, and held."""
    steps: tuple[Step, ...]
    reasons: tuple[str, ...]


def recipe(system: str, arch: str, limits: Limits, wanted: int | None) -> Recipe:
    """Return how a distribution gets the branch that is wanted, or the one that suits.

    + system: the distribution's name for itself, such as ``Ubuntu 24.04.1 LTS``
    + limits: what serves all GPUs of the host
    + wanted: a branch within these limits

    Raises FleetwheelError where it is not known how.
    """
    for pattern, make in FAMILIES.items():
        if found := re.match(pattern, system):
            return make(found, arch, limits, wanted)
    raise FleetwheelError(
        f"how {system or 'this distribution'} gets NVIDIA's driver is not known here",
        hint="install it by hand as the distribution's own pages say, then run again",
    )


def blacklist(system: str) -> tuple[Step, ...]:
    """Return what keeps nouveau from being loaded at the next boot."""
    apt = re.match("Debian|Ubuntu", system)
    rebuild = ("update-initramfs", "-u") if apt else ("dracut", "--force")
    return (
        write(NOUVEAU_FILE, NOUVEAU),
        Step(what="rebuild the initial RAM disk without nouveau", command=rebuild),
    )


def hold(system: str, packages: tuple[str, ...]) -> tuple[Step, ...]:
    """Return what keeps updates from replacing packages."""
    what = f"hold {' '.join(packages)}"
    if re.match("Debian|Ubuntu", system):
        return (Step(what=what, command=("apt-mark", "hold", *packages)),)
    lock = (*DNF, "versionlock", "add", *packages)
    return (_dnf("python3-dnf-plugin-versionlock"), Step(what=what, command=lock))


def write(path: str, text: str) -> Step:
    """Return what writes a file of root's."""
    return Step(what=f"write {path}", command=("sh", "-c", WRITE, path, text))


def _ubuntu(found: re.Match[str], arch: str, limits: Limits, wanted: int | None) -> Recipe:
    branch = _branch(limits, wanted)
    modules = _modules(limits, branch)
    suffix = "-open" if modules == "open" else ""
    package = f"nvidia-driver-{branch}-server{suffix}"
    return Recipe(
        branch=branch,
        modules=modules,
        packages=(package,),
        steps=(
            *_components("Ubuntu", "restricted"),
            _headers("linux-headers-", (*APT_INSTALL, *APT_LOCK)),
            _apt(package),
        ),
        reasons=(
            "Ubuntu's own packages: its updates and its kernels are tested with them; the server"
            " ones stay on their branch",
        ),
    )


def _debian(found: re.Match[str], arch: str, limits: Limits, wanted: int | None) -> Recipe:
    release = int(found[1])
    own = DEBIAN_OWN.get(release)
    if own is None:
        known = " and ".join(map(str, DEBIAN_OWN))
        raise FleetwheelError(
            f"the driver's packages of Debian {release} are not known here, only those of {known}",
            hint="install the driver by hand, then run again",
        )
    if wanted in (None, own) and limits.serve(own) and "proprietary" in limits.modules:
        return _debian_own(own, "nvidia-driver", arch)
    if release == 12 and (wanted or limits.last) == 470:
        return _debian_own(470, "nvidia-tesla-470-driver", arch)
    return _debian_from_nvidia(release, own, limits, arch, wanted)


def _debian_own(branch: int, package: str, arch: str) -> Recipe:
    stem = package.removesuffix("-driver")
    cuda = "libnvidia-tesla-470-cuda1" if "tesla" in stem else "libcuda1"
    packages = (package, f"{stem}-kernel-dkms", f"{stem}-smi", cuda)
    pin = f"Package: src:nvidia-graphics-drivers\nPin: version {branch}.*\nPin-Priority: 990\n"
    pins = () if "tesla" in stem else (write(PIN_FILE, pin),)
    return Recipe(
        branch=branch,
        modules="proprietary",
        packages=packages,
        steps=(
            *_components("Debian", "contrib non-free non-free-firmware"),
            *pins,
            *_debian_headers(arch),
            _apt(*packages),
        ),
        reasons=("Debian's own packages serve these GPUs: no foreign source is needed",),
    )


def _debian_from_nvidia(
    release: int, own: int, limits: Limits, arch: str, wanted: int | None
) -> Recipe:
    branch = _branch(limits, wanted)
    if branch < PREFERRED:
        raise FleetwheelError(
            f"Debian {release} has the driver branch {own}, NVIDIA's repository for it those from"
            f" {PREFERRED} on, but none {branch}",
            hint=f"name another branch in driver:, or install {branch} by hand",
        )
    modules = _modules(limits, branch)
    package = "nvidia-open" if modules == "open" else "cuda-drivers"
    keyring = "/var/cache/apt/archives/cuda-keyring.deb"
    url = f"{NVIDIA}/debian{release}/{_nvidia_arch(arch)}/cuda-keyring_1.1-1_all.deb"
    fetch = ("/usr/lib/apt/apt-helper", "download-file", url, keyring)
    return Recipe(
        branch=branch,
        modules=modules,
        packages=(package,),
        steps=(
            *_components("Debian", "contrib"),
            Step(what="unpin Debian's own branch", command=("rm", "-f", PIN_FILE)),
            *_debian_headers(arch),
            _apt("ca-certificates"),
            Step(what="fetch the key and source of NVIDIA's repository", command=fetch),
            Step(what="add NVIDIA's repository", command=("dpkg", "-i", keyring)),
            Step(what="read the lists of packages", command=UPDATE),
            _apt(f"nvidia-driver-pinning-{branch}"),
            _apt(package),
        ),
        reasons=(f"NVIDIA's repository: Debian {release} itself has {own} and not {branch}",),
    )


def _enterprise(found: re.Match[str], arch: str, limits: Limits, wanted: int | None) -> Recipe:
    name, release = found[1], int(found[2])
    branch = _branch(limits, wanted)
    if branch < DEBIAN_OWN[12] or not 8 <= release <= 10:
        raise FleetwheelError(
            f"how {name} {release} gets the driver branch {branch} is not known here",
            hint="install it by hand, then run again",
        )
    modules = _modules(limits, branch)
    kmod = "kmod-nvidia-open-dkms" if modules == "open" else "kmod-nvidia-latest-dkms"
    packages = (kmod, "nvidia-driver", "nvidia-driver-cuda")
    epel = f"{EPEL}/epel-release-latest-{release}.noarch.rpm" if "Red" in name else "epel-release"
    repository = f"{NVIDIA}/rhel{release}/{_nvidia_arch(arch)}/cuda-rhel{release}.repo"
    add = (*DNF, "config-manager", "--add-repo", repository)
    return Recipe(
        branch=branch,
        modules=modules,
        packages=packages,
        steps=(
            _dnf("dnf-plugins-core", epel),
            _headers("kernel-devel-", (*DNF, "install", "kernel-headers")),
            Step(what="add NVIDIA's repository", command=add),
            *_stream(release, branch, modules),
            _dnf(*packages),
        ),
        reasons=(
            f"NVIDIA's repository: {name} itself has no driver of NVIDIA; dkms comes from EPEL",
        ),
    )


def _stream(release: int, branch: int, modules: Modules) -> tuple[Step, ...]:
    """Return what keeps dnf on a branch: a module stream, or from RHEL 10 on a version lock."""
    what = f"keep to branch {branch}"
    if release >= 10:
        lock = (*DNF, "versionlock", "add", f"*nvidia*{branch}*")
        return (_dnf("python3-dnf-plugin-versionlock"), Step(what=what, command=lock))
    stream = f"nvidia-driver:{branch}-{'open' if modules == 'open' else 'dkms'}"
    reset = (*DNF, "module", "reset", "nvidia-driver")
    return (
        Step(what="leave the branch there was", command=reset),
        Step(what=what, command=(*DNF, "module", "enable", stream)),
    )


FAMILIES: dict[str, Callable[[re.Match[str], str, Limits, int | None], Recipe]] = {
    r"Ubuntu (\d\d\.\d\d)": _ubuntu,
    r"Debian GNU/Linux (\d+)": _debian,
    r"(Red Hat Enterprise Linux|Rocky Linux|AlmaLinux|CentOS Stream)\D*(\d+)": _enterprise,
}


def _branch(limits: Limits, wanted: int | None) -> int:
    """Return the branch that is wanted, else the preferred one or the next to it that serves."""
    return wanted or min(max(PREFERRED, limits.first), limits.last)


def _modules(limits: Limits, branch: int) -> Modules:
    if "proprietary" not in limits.modules:
        return "open"
    return "open" if "open" in limits.modules and branch >= OPEN_SINCE else "proprietary"


def _nvidia_arch(arch: str) -> str:
    return "sbsa" if arch == "aarch64" else arch


def _components(origin: str, components: str) -> tuple[Step, ...]:
    update = Step(what="read the lists of packages", command=UPDATE)
    add = ("sh", "-c", COMPONENTS, SOURCES, origin, components)
    return (update, Step(what=f"have the components {components}", command=add), update)


def _debian_headers(arch: str) -> tuple[Step, ...]:
    """Return what brings headers for the kernel that runs, and for those that will follow it."""
    kernel = "arm64" if arch == "aarch64" else "amd64"
    return (_headers("linux-headers-", (*APT_INSTALL, *APT_LOCK, f"linux-headers-{kernel}")),)


def _headers(stem: str, install: tuple[str, ...]) -> Step:
    what = f"install {stem}* for the kernel that runs"
    hint = "update the host's kernel, for older ones are dropped; reboot it, then run again"
    return Step(what=what, command=("sh", "-c", HEADERS, stem, *install), hint=hint)


def _apt(*packages: str) -> Step:
    what = f"install {' '.join(packages)}"
    return Step(what=what, command=(*APT_INSTALL, *APT_LOCK, *packages), hint=INSTALL_HINT)


def _dnf(*packages: str) -> Step:
    what = f"install {' '.join(packages)}"
    return Step(what=what, command=(*DNF, "install", *packages), hint=INSTALL_HINT)

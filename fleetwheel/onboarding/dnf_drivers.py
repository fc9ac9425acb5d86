"""How RHEL and its relatives, Amazon Linux and Fedora get an NVIDIA driver, by dnf."""

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import ModuleKind, Profile
from fleetwheel.onboarding.driver_facts import System, facts
from fleetwheel.onboarding.driver_steps import (
    NVIDIA,
    Need,
    Recipe,
    Step,
    branch_of,
    build_modules,
    cuda_outlook,
    fabric_modules,
    fabric_reasons,
    fabric_steps,
    kind_of,
    nvidia_arch,
    system_of,
)

EPEL = "https://dl.fedoraproject.org/pub/epel"
RPM_FUSION = "https://mirrors.rpmfusion.org"
DNF = ("dnf", "-q", "-y")
ALMALINUX = ("nvidia-open-kmod", "nvidia-driver", "nvidia-driver-cuda", "nvidia-persistenced")
ANY = "[0-9]*"
"""Pattern of every branch."""
FUSION_BRANCH = 580
"""Branch that RPM Fusion keeps for GPUs that newer ones have dropped."""

ASK_STREAM = """streams=$(dnf -q -y module list nvidia-driver |
    sed -n 's/^nvidia-driver  *\\([^ ]*\\) .*/\\1/p')
if echo "$streams" | grep -q -x -F "$0"; then exit; fi
echo "NVIDIA's repository has no stream $0 of the module nvidia-driver; it has:" $streams >&2
exit 1
"""
UNFILTERED = "--disableplugin=versionlock --setopt=*.module_hotfixes=1"
"""Options of dnf 4 by which a query sees past version locks and the enabled stream, which are
changed only when all that is needed is known to be there."""
VERSIONS = """options=$0
branch=$1
shift
there() {
    dnf -q -y $options repoquery --qf '%{version} ' "$1" | tr ' ' '\\n' |
        grep -E '^[0-9.]+$' | sort -uV
}
version=$(there "$1" | grep "^$branch\\." | tail -n 1)
if [ -z "$version" ]; then
    echo "dnf has no $1 of branch $branch; it has:" $(there "$1") >&2
    exit 1
fi
shift
"""
"""The newest version that a package has of a branch."""
ASK = (
    VERSIONS
    + """for same; do
    if ! there "$same" | grep -q -x -F "$version"; then
        echo "dnf has no $same $version, which has to match the driver; it has:" \\
            $(there "$same") >&2
        exit 1
    fi
done
"""
)
"""Whether dnf has this branch, and other packages in the newest version of it."""
INSTALL = (
    VERSIONS
    + """kept=$(rpm -q --qf '%{VERSION}' nvidia-driver-cuda) || kept=
for word; do
    shift
    case $word in *-=) word=${word%=}$version ;; esac
    set -- "$@" "$word"
done
if [ "$kept" ]; then
    for name in $(rpm -qa --qf '%{NAME} %{VERSION}\\n' | sed -n "s/ $kept\\$//p"); do
        case " $* " in *" $name-$version "*) continue ;; esac
        case $name in kmod-nvidia-*) continue ;; esac
        if there "$name" | grep -q -x -F "$version"; then set -- "$@" "$name-$version"; fi
    done
fi
exec "$@"
"""
)
"""One transaction: each word ``NAME-=`` gets the newest version of the branch, and what else there
is of the driver goes along; dnf downgrades what is named with its version."""
OURS = (
    r"^!?(\*?nvidia\*|(lib)?nvidia-(driver|open|kmod|persistenced|modprobe|settings|xconfig|imex"
    r"|fabric-?manager|libXNVCtrl|cfg|fbc|gpucomp|ml|nscq)|kmod-nvidia|xorg-x11-nvidia|cuda-drivers)"
)
UNLOCK = """file=/etc/dnf/plugins/versionlock.list
if ! grep -q -s -v '^#' "$file"; then exit; fi
grep -v -E "$0" "$file" >"$file.new"
cat "$file.new" >"$file" && rm "$file.new"
"""
"""Drops earlier locks on the driver: they would keep dnf from seeing the branch that is wanted."""
LOCK = """file=/etc/dnf/plugins/versionlock.list
mkdir -p "${file%/*}" && printf '%s\\n' "$@" >>"$file"
"""
LOCKED = (
    *("nvidia-driver*", "nvidia-open*", "nvidia-kmod-common", "kmod-nvidia-*dkms"),
    *("nvidia-persistenced", "nvidia-modprobe", "nvidia-settings", "nvidia-xconfig"),
    *("libnvidia-*", "nvidia-libXNVCtrl*", "xorg-x11-nvidia", "cuda-drivers*"),
    *("nvidia-fabricmanager", "nvidia-imex"),
)
"""Patterns of the names that a branch is locked by. dnf leaves out every package whose name a
pattern matches and whose version it does not, so none may match the container toolkit."""
HOLD_HINT = (
    "fix the package sources or the network of the host, or end the hold on another driver"
    " (dnf versionlock delete), then run again"
)


def enterprise(need: Need) -> Recipe:
    """Return how RHEL and its relatives get their driver."""
    profile, system = need.profile, system_of(need.profile)
    open_suits = "open" in need.limits.modules and need.wanted is None
    if profile.distribution_id == "almalinux" and system.version != "8" and open_suits:
        return _almalinux(need)
    return _from_nvidia(need, system, f"rhel{system.version}", _epel(profile, system))


def amazon(need: Need) -> Recipe:
    """Return how Amazon Linux gets its driver; dkms is among its own packages."""
    return _from_nvidia(need, system_of(need.profile), "amzn2023", ())


def fedora(need: Need) -> Recipe:
    """Return how Fedora gets its driver: RPM Fusion has what NVIDIA's repository has dropped."""
    system = system_of(need.profile)
    first = system.nvidia or 0
    dropped = need.limits.last < first and need.limits.serve(FUSION_BRANCH)
    if dropped and need.wanted in (None, FUSION_BRANCH):
        _require_no_fabric(need)
        return _rpm_fusion(need, system)
    branch = _nvidia_branch(need, system)
    kmod, driver = _packages(kind_of(need.limits, branch))
    packages = (kmod, *driver, *_companions(need, branch))
    return Recipe(
        branch=branch,
        modules=kind_of(need.limits, branch),
        packages=packages,
        steps=(
            _dnf("dnf5-plugins"),
            _add_repository(f"fedora{system.version}", need.profile, dnf5=True),
            _ask(str(branch), _companions(need, branch)),
            _headers(need.profile, system),
            *fabric_modules(need, (*DNF, "install", _extra_modules(need.profile))),
            _install(str(branch), packages),
            build_modules(),
            *fabric_steps(need),
        ),
        reasons=(
            "NVIDIA's repository: Fedora itself has no driver of NVIDIA. Updates go on to newer"
            " branches unless driver_hold is true",
            *cuda_outlook(branch),
            *fabric_reasons(need.companions),
        ),
    )


def _require_no_fabric(need: Need) -> None:
    if any(need.companions):
        raise FleetwheelError(
            "the NVSwitches of this host need Fabric Manager, and RPM Fusion has none for its"
            f" driver {FUSION_BRANCH}",
            hint="use another distribution, such as Rocky Linux, or install both by hand",
        )


def _rpm_fusion(need: Need, system: System) -> Recipe:
    release = system.version
    packages = ("akmod-nvidia-580xx", "xorg-x11-drv-nvidia-580xx-cuda")
    places = [
        f"{RPM_FUSION}/{part}/fedora/rpmfusion-{part}-release-{release}.noarch.rpm"
        for part in ("free", "nonfree")
    ]
    build = ("sh", "-c", 'akmods --force ${1:+--kernels "$1"}', "sh", need.profile.kernel.boot)
    return Recipe(
        branch=FUSION_BRANCH,
        modules="proprietary",
        packages=packages,
        steps=(
            _dnf(*places),
            _ask(str(FUSION_BRANCH), (), packages[0]),
            _headers(need.profile, system),
            _dnf(*packages),
            Step(what="build the modules", command=build),
        ),
        reasons=(
            f"RPM Fusion: NVIDIA's repository for Fedora {release} begins at {system.nvidia}, and"
            " support for these GPUs ended before that",
        ),
    )


def _almalinux(need: Need) -> Recipe:
    """Return AlmaLinux's own way; its repository has one branch, the newest."""
    kmod, *driver = ALMALINUX
    companions = _companions(need, facts().fabric.renamed)
    packages = (kmod, *driver, *companions)
    return Recipe(
        branch=None,
        modules="open",
        packages=packages,
        steps=(
            _dnf("almalinux-release-nvidia-driver"),
            _ask(ANY, companions, kmod, options=UNFILTERED),
            *fabric_modules(need, (*DNF, "install", _extra_modules(need.profile))),
            _unlock(),
            _install(ANY, packages, kmod),
            *fabric_steps(need),
        ),
        reasons=(
            "AlmaLinux's own packages: it builds and signs the open modules for its kernels, so"
            " Secure Boot takes them. They are of the newest branch; driver: with a number takes"
            " NVIDIA's repository instead",
            *fabric_reasons(need.companions),
        ),
        signed=True,
    )


def _from_nvidia(need: Need, system: System, repository: str, epel: tuple[str, ...]) -> Recipe:
    branch = _nvidia_branch(need, system)
    modules = kind_of(need.limits, branch)
    kmod, driver = _packages(modules)
    packages = (kmod, *driver, *_companions(need, branch))
    return Recipe(
        branch=branch,
        modules=modules,
        packages=packages,
        steps=(
            _dnf("dnf-plugins-core", *epel),
            _add_repository(repository, need.profile),
            *_ask_stream(system, branch, modules),
            _ask(str(branch), _companions(need, branch), options=UNFILTERED),
            _headers(need.profile, system),
            *fabric_modules(need, (*DNF, "install", _extra_modules(need.profile))),
            _unlock(),
            *_keep(system, branch, modules, need),
            _install(str(branch), packages),
            build_modules(),
            *fabric_steps(need),
        ),
        reasons=(
            f"NVIDIA's repository: {need.profile.distribution} itself has no driver of NVIDIA"
            + ("; dkms comes from EPEL" if epel else ""),
            *cuda_outlook(branch),
            *fabric_reasons(need.companions),
        ),
    )


def _nvidia_branch(need: Need, system: System) -> int:
    """Return the branch; one that is newer than those known here is left for dnf to find."""
    first = system.nvidia or 0
    known = [each.branch for each in facts().branches.rows if each.branch >= first]
    if need.wanted and need.wanted > known[-1]:
        return need.wanted
    return branch_of(f"NVIDIA's repository for {need.profile.distribution}", known, need)


def _keep(system: System, branch: int, modules: ModuleKind, need: Need) -> tuple[Step, ...]:
    """Return what keeps dnf on a branch: a module stream, or from RHEL 10 on a version lock.

    The lock names the branch and no version, so that its later fixes come. A switch of the stream
    replaces the driver alone: with companions the installation replaces all at once.
    """
    what = f"keep to branch {branch}"
    if system.id == "rhel" and system.version == "10":
        locks = [f"{name}-{branch}.*" for name in LOCKED]
        lock = ("sh", "-c", LOCK, "sh", *locks)
        return (_dnf("python3-dnf-plugin-versionlock"), Step(what=what, command=lock))
    module = f"nvidia-driver:{_stream(branch, modules)}"
    if any(need.companions):
        reset = (*DNF, "module", "reset", "nvidia-driver")
        return (
            Step(what="leave the current branch", command=reset),
            Step(what=what, command=(*DNF, "module", "enable", module)),
        )
    switch = (*DNF, "module", "switch-to", module, "--allowerasing")
    return (Step(what=what, command=switch, hint=HOLD_HINT),)


def _ask_stream(system: System, branch: int, modules: ModuleKind) -> tuple[Step, ...]:
    if system.id == "rhel" and system.version == "10":
        return ()
    stream = _stream(branch, modules)
    ask = ("sh", "-c", ASK_STREAM, stream)
    what = f"ask dnf for the stream {stream}"
    return (Step(what=what, command=ask, hint="name one of these"),)


def _stream(branch: int, modules: ModuleKind) -> str:
    return f"{branch}-{'open' if modules == 'open' else 'dkms'}"


def _packages(modules: ModuleKind) -> tuple[str, tuple[str, ...]]:
    kmod = "kmod-nvidia-open-dkms" if modules == "open" else "kmod-nvidia-latest-dkms"
    return kmod, ("nvidia-driver", "nvidia-driver-cuda", "nvidia-persistenced")


def _companions(need: Need, branch: int) -> tuple[str, ...]:
    manager = (
        "nvidia-fabricmanager" if branch >= facts().fabric.renamed else "nvidia-fabric-manager"
    )
    wanted = need.companions
    return (
        *([manager] if wanted.manager else []),
        *(["nvlsm"] if wanted.subnet_manager else []),
        *(["nvidia-imex"] if wanted.imex else []),
    )


def _epel(profile: Profile, system: System) -> tuple[str, ...]:
    match profile.distribution_id:
        case "rhel":
            return (f"{EPEL}/epel-release-latest-{system.version}.noarch.rpm",)
        case "ol":
            return (f"oracle-epel-release-el{system.version}",)
        case _:
            return ("epel-release",)


def _add_repository(name: str, profile: Profile, *, dnf5: bool = False) -> Step:
    place = f"{NVIDIA}/{name}/{nvidia_arch(profile.arch)}/cuda-{name}.repo"
    option = (
        ("addrepo", "--overwrite", f"--from-repofile={place}") if dnf5 else ("--add-repo", place)
    )
    return Step(what="add NVIDIA's repository", command=(*DNF, "config-manager", *option))


def _headers(profile: Profile, system: System) -> Step:
    """Return what brings headers for the kernel that boots next, and for those that follow it."""
    boot = profile.kernel.boot
    if not boot:
        raise FleetwheelError(
            "which kernel the host boots is not known, so neither is what its modules need",
            hint="install the driver by hand, then run again",
        )
    release, _, flavour = boot.partition("+")
    if "uek" in boot:
        packages = [f"kernel-uek-devel-{boot}"]
    elif system.id == "amzn":
        packages = [f"kernel-devel-uname-r == {boot}", _extra_modules(profile)]
    elif (system.id, system.version) == ("rhel", "8"):
        packages = [f"kernel-devel-uname-r == {boot}"]
    else:
        packages = [f"kernel-{flavour + '-' if flavour else ''}devel-matched-{release}"]
    hint = "update the host's kernel, for older ones are dropped; reboot it, then run again"
    what = f"install headers for the kernel {boot}"
    return Step(what=what, command=(*DNF, "install", *packages), hint=hint)


def _extra_modules(profile: Profile) -> str:
    """Return the package of the modules that a kernel's own leaves out.

    AWS installs them with NVIDIA's driver on Amazon Linux, where a kernel newer than 6.1 has its
    series in the name.
    """
    boot = profile.kernel.boot
    release, _, flavour = boot.partition("+")
    if "uek" in boot:
        return f"kernel-uek-modules-extra-{boot}"
    if profile.distribution_id == "amzn" and not boot.startswith("6.1."):
        return f"kernel{'.'.join(boot.split('.')[:2])}-modules-extra-{boot}"
    return f"kernel-{flavour + '-' if flavour else ''}modules-extra-{release}"


def _ask(
    branch: str,
    companions: tuple[str, ...],
    tells: str = "nvidia-driver-cuda",
    *,
    options: str = "",
) -> Step:
    """Return what asks for a branch; ``tells`` is the package whose version counts."""
    same = [name for name in companions if name != "nvlsm"]
    return Step(
        what="ask dnf for the driver",
        command=("sh", "-c", ASK, options, branch, tells, *same),
        hint="name a branch that is there in driver:, or fix the package sources",
    )


def _install(branch: str, packages: tuple[str, ...], tells: str = "nvidia-driver-cuda") -> Step:
    names = [name if name == "nvlsm" else f"{name}-=" for name in packages]
    install = (*DNF, "install", "--allowerasing", *names)
    return Step(
        what=f"install {' '.join(packages)}",
        command=("sh", "-c", INSTALL, "", branch, tells, *install),
        hint=HOLD_HINT,
    )


def _unlock() -> Step:
    return Step(what="remove earlier locks on the driver", command=("sh", "-c", UNLOCK, OURS))


def _dnf(*packages: str) -> Step:
    named = " ".join(package for package in packages if not package.startswith("--"))
    command = (*DNF, "install", *packages)
    return Step(what=f"install {named}", command=command, hint=HOLD_HINT)

"""How Ubuntu and Debian get an NVIDIA driver, by apt."""

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Profile
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
    file_step,
    kind_of,
    nvidia_arch,
    system_of,
)
from fleetwheel.onboarding.interpreter import APT_INSTALL, APT_LOCK

UPDATE = ("apt-get", "-q", *APT_LOCK, "update")
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
CANDIDATE = """candidate=$(LC_ALL=C apt-cache policy "$0" | sed -n 's/^  Candidate: //p')
candidate=${candidate#*:}
version=${candidate%%-*}
"""
ASK = (
    CANDIDATE
    + """case $version in
"$1".*) ;;
*)
    echo "apt would install $0 ${candidate:-(it has none)}, not $1" >&2
    echo "drivers that there are:" $(apt-cache madison "$0" | cut -d '|' -f 2 | sort -uV) \\
        $(apt-cache pkgnames nvidia-driver- | grep -E -e '-[0-9]+-server(-open)?$' | sort) >&2
    exit 1
    ;;
esac
shift
for same; do
    if ! apt-cache madison "$same" | grep -q -F "| $version-"; then
        echo "apt has no $same $version, which the driver $0 needs; there is:" >&2
        echo $(apt-cache madison "$same" | cut -d '|' -f 2 | sort -uV) >&2
        exit 1
    fi
done
"""
)
"""Whether apt would install this branch of a package, and others in the same version."""
INSTALL = (
    CANDIDATE
    + """for word; do
    shift
    case $word in *=) word="$word$version-*" ;; esac
    set -- "$@" "$word"
done
exec "$@"
"""
)
"""Ends each word ``NAME=`` with the version of the driver's package, whatever its packaging."""
ASK_SIGNED = """missing=
for package; do
    if [ -z "$(apt-cache madison "$package")" ]; then missing="$missing $package"; fi
done
if [ -z "$missing" ]; then exit; fi
echo "Ubuntu signs no modules of this branch for the kernels of this host: no$missing" >&2
exit 1
"""
ASK_NVIDIA = r"""branch=$0 driver=$1 keyring=$2
shift 2
companions=
while [ "$1" != -- ]; do companions="$companions $1" && shift; done
shift
there() { apt-cache madison "$1" | cut -d '|' -f 2 | tr -d ' ' | sed 's/^[0-9]*://' | sort -uV; }
undo() {
    if [ "$had" ]; then exit 1; fi
    apt-get -q -y -o DPkg::Lock::Timeout=120 purge cuda-keyring >/dev/null
    apt-get -q update >/dev/null
    exit 1
}
refuse() {
    echo "NVIDIA's repository has no $1; it has:" $(there "$2") >&2
    undo
}
had=$(dpkg-query -W -f '${db:Status-Abbrev}' cuda-keyring 2>/dev/null | grep '^ii')
"$@" "$keyring" || undo
apt-get -q update || undo
if [ -z "$(there "nvidia-driver-pinning-$branch")" ]; then
    refuse "nvidia-driver-pinning-$branch" "$driver"
fi
version=$(there "$driver" | grep "^$branch\." | tail -n 1)
version=${version%%-*}
if [ -z "$version" ]; then refuse "$driver of branch $branch" "$driver"; fi
for same in $companions; do
    if ! there "$same" | grep -q -F "$version-"; then
        refuse "$same $version, which $driver needs" "$same"
    fi
done
"""
"""Adds the repository, and takes it away again where it has not what is wanted and was not there
before: packages of another branch would come from it."""
SOURCES = "/etc/apt/sources.list.d/fleetwheel-driver"
"""Of the files that are added, without their endings."""
PIN_FILE = "/etc/apt/preferences.d/fleetwheel-driver"
PIN = "Package: src:nvidia-graphics-drivers\nPin: version {}.*\nPin-Priority: 1001\n"
"""Above 1000 also a downgrade is taken."""
OPEN_MODULES = "nvidia-open-kernel-dkms"
"""Debian's own, which does not conflict with the proprietary ones; both would build nvidia.ko."""
HEADERS = 'exec "$@" "linux-headers-$(uname -r)"'
HOLD_HINT = (
    "fix the package sources or the network of the host, or end the hold on another driver"
    " (apt-mark unhold), then run again"
)


def ubuntu(need: Need) -> Recipe:
    """Return how an Ubuntu gets its driver: by its own packages."""
    system = system_of(need.profile)
    if need.companions.subnet_manager:
        return _from_nvidia(need, system, "NVLSM is only in NVIDIA's repository")
    branch = branch_of(f"Ubuntu {system.version}", system.own, need)
    modules = kind_of(need.limits, branch)
    flavour = f"{branch}-server{'-open' if modules == 'open' else ''}"
    signed = _signed_modules(need.profile, flavour)
    tools = (f"nvidia-utils-{branch}-server", f"nvidia-compute-utils-{branch}-server")
    without_dkms = (f"nvidia-headless-no-dkms-{flavour}", *tools, *signed)
    packages = without_dkms if signed else (f"nvidia-driver-{flavour}",)
    same = tuple(
        name
        for name, asked in (
            (f"nvidia-fabricmanager-{branch}", need.companions.manager),
            (f"nvidia-imex-{branch}", need.companions.imex),
        )
        if asked
    )
    return Recipe(
        branch=branch,
        modules=modules,
        packages=(*packages, *same),
        steps=(
            *_components("Ubuntu", "restricted multiverse" if same else "restricted"),
            _ask(packages[0], branch, same),
            _ask_signed(signed) if signed else _headers(need.profile),
            _install(packages, same, drop=_built_by_dkms(need.profile) if signed else ()),
            *(() if signed else (build_modules(),)),
            *fabric_steps(need),
        ),
        reasons=(
            "Ubuntu's own packages: its updates and its kernels are tested with them; the server"
            " ones stay on their branch",
            *_signing_reasons(need.profile, signed),
            *cuda_outlook(branch),
            *fabric_reasons(need.companions),
        ),
        signed=bool(signed),
    )


def _signed_modules(profile: Profile, flavour: str) -> tuple[str, ...]:
    """Return the packages of modules that Ubuntu signs, where Secure Boot needs them; else none.

    They are made for each kernel that a package brings, virtual ones being generic. Where apt's
    lists have the driver and lack one of them, dkms has to build the modules, as without Secure
    Boot. The driver's own metapackage would bring those of dkms too.
    """
    kernel = profile.kernel
    if not profile.secure_boot:
        return ()
    kernels = dict.fromkeys(name.replace("virtual", "generic") for name in kernel.packages)
    signed = tuple(f"linux-modules-nvidia-{flavour}-{each}" for each in kernels)
    listed = f"nvidia-driver-{flavour}" in kernel.offered
    return () if listed and not set(signed) <= set(kernel.offered) else signed


def _signing_reasons(profile: Profile, signed: tuple[str, ...]) -> tuple[str, ...]:
    if signed:
        return ("Secure Boot is on: modules that Ubuntu has signed",)
    if not profile.secure_boot:
        return ()
    kernels = ", ".join(profile.kernel.packages)
    if not kernels:
        return ("no package brings the next kernels, for which Ubuntu could have signed modules",)
    return (f"Ubuntu signs no modules of this branch for the kernel {kernels}: dkms builds them",)


def _ask_signed(signed: tuple[str, ...]) -> Step:
    return Step(
        what="ask apt for the modules that Ubuntu signs",
        command=("sh", "-c", ASK_SIGNED, "sh", *signed),
        hint="run again: the host has the lists of packages now, so dkms builds the modules, and a"
        " person confirms their key at the console. Or use a kernel that Ubuntu signs modules for",
    )


def _built_by_dkms(profile: Profile) -> tuple[str, ...]:
    """Return the packages whose modules would be loaded before those that Ubuntu signs."""
    return tuple(sorted(name for name in _there(profile) if name.startswith("nvidia-dkms-")))


def debian(need: Need) -> Recipe:
    """Return how a Debian gets its driver: by its own packages where they serve, or NVIDIA's."""
    system = system_of(need.profile)
    branch = _own_branch(need, system)
    objection = _objection(need, system, branch)
    if branch and not objection:
        return _debian_own(need, system, branch)
    return _from_nvidia(need, system, objection)


def _objection(need: Need, system: System, branch: int | None) -> str:
    """Return why Debian's own packages will not do; empty where they will."""
    ids = {int(device.split()[-1], 16) for device in need.profile.installed_driver.devices}
    if branch is None:
        served = f"not {need.wanted}" if need.wanted else "but none that serves these GPUs"
        return f"Debian {system.version} itself has {_listed(system)}, {served}"
    if unlisted := sorted(ids & system.unlisted):
        names = ", ".join(f"0x{id:04x}" for id in unlisted)
        return f"Debian's own {branch} does not know the GPU {names}"
    if any(need.companions):
        return "Fabric Manager and IMEX are there alone"
    if system.builds and _newer(need.profile.kernel.boot, system.builds):
        return f"Debian's own {branch} does not build on the kernel {need.profile.kernel.boot}"
    return ""


def _own_branch(need: Need, system: System) -> int | None:
    fit = [
        branch
        for branch in system.own
        if need.limits.serve(branch)
        and "proprietary" in need.limits.kinds(branch)
        and need.wanted in (None, branch)
    ]
    return max(fit, default=None)


def _debian_own(need: Need, system: System, branch: int) -> Recipe:
    legacy = branch != max(system.own)
    stem = f"nvidia-tesla-{branch}" if legacy else "nvidia"
    cuda = f"libnvidia-tesla-{branch}-cuda1" if legacy else "libcuda1"
    driver = (f"{stem}-driver", f"{stem}-kernel-dkms", f"{stem}-smi", cuda, "nvidia-persistenced")
    return Recipe(
        branch=branch,
        modules="proprietary",
        packages=driver,
        steps=(
            *_components("Debian", "contrib non-free non-free-firmware"),
            *(() if legacy else (file_step(PIN_FILE, PIN.format(branch)),)),
            _ask(driver[0], branch),
            _headers(need.profile),
            _install(driver, drop=tuple(_there(need.profile) & {OPEN_MODULES})),
            build_modules(),
        ),
        reasons=(
            "Debian's own packages serve these GPUs: no foreign source is needed",
            *cuda_outlook(branch),
        ),
    )


def _from_nvidia(need: Need, system: System, objection: str) -> Recipe:
    """Return how NVIDIA's repository brings one branch, which its pinning package holds it to."""
    name = f"{system.id.capitalize()} {system.version}"
    if system.nvidia is None:
        raise FleetwheelError(
            f"{objection}, and NVIDIA has no repository for {name}",
            hint="use another release of the distribution, or install the driver by hand",
        )
    branch = _nvidia_branch(need, system, name, objection)
    modules = kind_of(need.limits, branch)
    driver = ("nvidia-open" if modules == "open" else "cuda-drivers", "nvidia-persistenced")
    wanted = need.companions
    same = (
        *(["nvidia-fabricmanager"] if wanted.manager else []),
        *(["nvidia-imex"] if wanted.imex else []),
    )
    others = ("nvlsm",) if wanted.subnet_manager else ()
    update = Step(what="read the lists of packages", command=UPDATE)
    own = ("Debian", "contrib") if system.id == "debian" else ("Ubuntu", "restricted")
    return Recipe(
        branch=branch,
        modules=modules,
        packages=(*driver, *same, *others),
        steps=(
            *_components(*own),
            *_repository(need.profile, system, branch, (driver[0], *same)),
            Step(what="unpin Debian's own branch", command=("rm", "-f", PIN_FILE)),
            _pin(branch),
            update,
            _ask(driver[0], branch, same),
            _headers(need.profile),
            *fabric_modules(need, _extra_modules(need.profile)),
            _install((*driver, *others), same),
            build_modules(),
            *fabric_steps(need),
        ),
        reasons=(
            f"NVIDIA's repository: {objection}",
            *cuda_outlook(branch),
            *fabric_reasons(wanted),
        ),
    )


def _nvidia_branch(need: Need, system: System, name: str, objection: str) -> int:
    """Return the branch; one that is newer than those known here is left for apt to find."""
    first = system.nvidia or 0
    known = [each.branch for each in facts().branches.rows if each.branch >= first]
    if need.wanted and need.wanted >= first:
        return need.wanted
    source = f"NVIDIA's repository for {name}"
    if need.limits.last < first or need.wanted:
        wanted = need.wanted or need.limits.last
        raise FleetwheelError(
            f"{objection}; {source} has those from {first} on, but not {wanted}",
            hint=f"name another branch in driver:, use another release, or install {wanted} by"
            " hand",
        )
    return branch_of(source, known, need)


def _repository(
    profile: Profile, system: System, branch: int, packages: tuple[str, ...]
) -> tuple[Step, ...]:
    """Return what adds the repository, where it has this branch of packages."""
    keyring = "/var/cache/apt/archives/cuda-keyring.deb"
    repository = f"{system.id}{system.version.replace('.', '')}"
    place = f"{NVIDIA}/{repository}/{nvidia_arch(profile.arch)}/cuda-keyring_1.1-1_all.deb"
    words = (packages[0], keyring, *packages[1:], "--", *APT_INSTALL, *APT_LOCK)
    fetch = ("/usr/lib/apt/apt-helper", "download-file", place, keyring)
    return (
        _plain("ca-certificates"),
        Step(
            what="fetch the key and source of NVIDIA's repository",
            command=fetch,
            hint=f"see whether {NVIDIA} has {repository} for {profile.arch}, or fix the network;"
            " then run again",
        ),
        Step(
            what=f"add NVIDIA's repository and ask it for {packages[0]} {branch}",
            command=("sh", "-c", ASK_NVIDIA, str(branch), *words),
            hint="name a branch that is there in driver:, or fix the package sources",
        ),
    )


def _pin(branch: int) -> Step:
    return Step(
        what=f"keep to branch {branch}",
        command=(*APT_INSTALL, *APT_LOCK, f"nvidia-driver-pinning-{branch}"),
        hint="name another branch in driver: where NVIDIA's repository has none such"
        " (apt-cache pkgnames nvidia-driver-pinning-), or fix the network; then run again",
    )


def _components(origin: str, components: str) -> tuple[Step, ...]:
    update = Step(what="read the lists of packages", command=UPDATE)
    add = ("sh", "-c", COMPONENTS, SOURCES, origin, components)
    return (update, Step(what=f"have the components {components}", command=add), update)


def _ask(package: str, branch: int, same: tuple[str, ...] = ()) -> Step:
    return Step(
        what=f"ask apt for {package} {branch}",
        command=("sh", "-c", ASK, package, str(branch), *same),
        hint="name a branch that is there in driver:, or fix the package sources",
    )


def _headers(profile: Profile) -> Step:
    """Return what brings headers for the kernel that boots next, and for those that follow it."""
    kernel = profile.kernel
    install = (*APT_INSTALL, *APT_LOCK)
    metas = [f"linux-headers-{each}" for each in kernel.packages or _usual(profile)]
    hint = "update the host's kernel, for older ones are dropped; reboot it, then run again"
    what = f"install headers for the kernel {kernel.boot or 'that runs'}"
    if not kernel.boot:
        return Step(what=what, command=("sh", "-c", HEADERS, "sh", *install, *metas), hint=hint)
    return Step(what=what, command=(*install, *metas, f"linux-headers-{kernel.boot}"), hint=hint)


def _extra_modules(profile: Profile) -> tuple[str, ...]:
    return (*APT_INSTALL, *APT_LOCK, f"linux-modules-extra-{profile.kernel.boot}")


def _usual(profile: Profile) -> tuple[str, ...]:
    """Return how Debian's kernel packages end where none says it; Ubuntu's are too many."""
    if profile.distribution_id != "debian":
        return ()
    arch = "arm64" if profile.arch == "aarch64" else "amd64"
    return (f"cloud-{arch}" if "-cloud-" in profile.kernel.boot else arch,)


def _install(
    packages: tuple[str, ...], same: tuple[str, ...] = (), drop: tuple[str, ...] = ()
) -> Step:
    """Return one transaction: packages, others in the version of the first, others removed."""
    names = (*packages, *(f"{name}=" for name in same), *(f"{name}-" for name in drop))
    apt = (*APT_INSTALL, *APT_LOCK, "--allow-downgrades", *names)
    return Step(
        what=f"install {' '.join((*packages, *same))}",
        command=("sh", "-c", INSTALL, packages[0], *apt),
        hint=HOLD_HINT,
    )


def _plain(package: str) -> Step:
    return Step(what=f"install {package}", command=(*APT_INSTALL, *APT_LOCK, package))


def _there(profile: Profile) -> set[str]:
    return {line.split()[0] for line in profile.installed_driver.packages}


def _listed(system: System) -> str:
    return " and ".join(map(str, system.own))


def _newer(kernel: str, than: str) -> bool:
    """Whether a release such as ``6.17.8+deb13-amd64`` is of a newer series than ``6.12``."""
    numbers = kernel.split("-")[0].split("+")[0].split(".")[:2]
    if not all(each.isdecimal() for each in numbers):
        return False
    return tuple(map(int, numbers)) > tuple(map(int, than.split(".")))

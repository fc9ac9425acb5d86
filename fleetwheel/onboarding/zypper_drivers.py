"""How SLES and openSUSE Leap get an NVIDIA driver, by zypper."""

from fleetwheel.errors import FleetwheelError
from fleetwheel.onboarding.driver_steps import (
    NVIDIA,
    Need,
    Recipe,
    Step,
    branch_of,
    cuda_outlook,
    fabric_modules,
    fabric_reasons,
    fabric_steps,
    nvidia_arch,
    system_of,
)

ZYPPER = ("zypper", "--non-interactive")
FLAVOURS = ("default", "azure", "64kb")
"""Kernels that SUSE builds the modules for."""
REPOSITORY = "fleetwheel-cuda"
ADD = """if zypper lr "$0" >/dev/null 2>&1; then exit; fi
zypper --non-interactive addrepo --refresh "$1" "$0"
"""
VERSIONS = """versions() {
    zypper --non-interactive search -s --match-exact "$1" | cut -d '|' -f 4 | tr -d ' ' |
        grep '^[0-9]' | sort -uV
}
kmp=$(versions "$1" | grep "^$0\\." | tail -n 1)
version=${kmp%%_*}
"""
"""The version of a kmp, ``580.105.08_k6.4.0_150600.23.73-3.1``, begins with the driver's."""
ASK = (
    VERSIONS
    + """if [ -z "$kmp" ]; then
    echo "zypper has no $1 of branch $0; it has:" $(versions "$1") >&2
    exit 1
fi
shift
for same; do
    if ! versions "$same" | cut -d - -f 1 | grep -q -x -F "$version"; then
        echo "zypper has no $same $version, which has to match the modules; it has:" \\
            $(versions "$same") >&2
        exit 1
    fi
done
"""
)
INSTALL = (
    VERSIONS
    + """for word; do
    shift
    case $word in *=) word=$word$version ;; esac
    set -- "$@" "$word"
done
kmp=$1=$kmp
shift
"$@" "$kmp"
code=$?
case $code in 102 | 103) exit 0 ;; esac
exit $code
"""
)
"""One transaction: the modules, and each word ``NAME=`` in their version. zypper ends with 102 or
103 where all is installed and the host or zypper itself has to start again."""


def suse(need: Need) -> Recipe:
    """Return how SUSE's systems get their driver: modules that SUSE signs, NVIDIA's libraries."""
    system = system_of(need.profile)
    if "open" not in need.limits.modules:
        raise FleetwheelError(
            f"{need.profile.distribution} signs NVIDIA's open modules, which do not know the GPUs"
            " of this host",
            hint="install nvidia-driver-G06-kmp-default of NVIDIA's repository by hand",
        )
    branch = branch_of(need.profile.distribution, system.own, need)
    kmp = f"nvidia-open-driver-G06-signed-cuda-kmp-{_flavour(need.profile.kernel.boot)}"
    same = (
        *("nvidia-compute-utils-G06", "nvidia-persistenced"),
        *(["nvidia-fabricmanager"] if need.companions.manager else []),
        *(["nvidia-imex"] if need.companions.imex else []),
    )
    others = ("nvlsm",) if need.companions.subnet_manager else ()
    return Recipe(
        branch=branch,
        modules="open",
        packages=(kmp, *same, *others),
        steps=(
            _repository(need),
            Step(
                what="read the lists of NVIDIA's packages",
                command=(*ZYPPER, "--gpg-auto-import-keys", "refresh", REPOSITORY),
            ),
            _ask(branch, kmp, same),
            *fabric_modules(need),
            _install(branch, kmp, same, others),
            *fabric_steps(need),
        ),
        reasons=(
            "SUSE's own open modules, which it signs for its kernels, so Secure Boot takes them;"
            " the libraries of their version come from NVIDIA's repository",
            *cuda_outlook(branch),
            *fabric_reasons(need.companions),
        ),
        signed=True,
    )


def _flavour(kernel: str) -> str:
    """Return the flavour of a kernel such as ``6.4.0-150600.23.73-default``, its modules' too."""
    flavour = kernel.rpartition("-")[2] or FLAVOURS[0]
    if flavour not in FLAVOURS:
        raise FleetwheelError(
            f"SUSE signs NVIDIA's modules for its kernels {', '.join(FLAVOURS)}, and the host boots"
            f" {kernel} next",
            hint="make one of these the default, or install the driver by hand",
        )
    return flavour


def _repository(need: Need) -> Step:
    """Return what adds NVIDIA's repository; on ARM it has none for Leap alone."""
    profile = need.profile
    leap = profile.distribution_id == "opensuse-leap" and profile.arch == "x86_64"
    name = "opensuse15" if leap else "sles15"
    place = f"{NVIDIA}/{name}/{nvidia_arch(profile.arch)}/"
    command = ("sh", "-c", ADD, REPOSITORY, place)
    return Step(what="add NVIDIA's repository", command=command)


def _ask(branch: int, kmp: str, same: tuple[str, ...]) -> Step:
    return Step(
        what=f"ask zypper for {kmp} {branch}",
        command=("sh", "-c", ASK, str(branch), kmp, *same),
        hint="update the host, name a branch that is there in driver:, or fix the sources",
    )


def _install(branch: int, kmp: str, same: tuple[str, ...], others: tuple[str, ...]) -> Step:
    options = ("--auto-agree-with-licenses", "--oldpackage", "--force-resolution")
    names = (*(f"{name}=" for name in same), *others)
    install = (*ZYPPER, "install", *options, *names)
    return Step(
        what=f"install {' '.join((kmp, *same, *others))}",
        command=("sh", "-c", INSTALL, str(branch), kmp, *install),
        hint="fix the package sources or the network, or end the hold on another driver"
        " (zypper removelock), then run again",
    )

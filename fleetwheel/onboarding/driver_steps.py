"""What the recipes of all families of distributions are made of."""

from collections.abc import Iterable
from typing import NamedTuple

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import DriverState, ModuleKind, Profile
from fleetwheel.node.driver_states import EXPLANATIONS
from fleetwheel.onboarding.driver_facts import System, facts
from fleetwheel.onboarding.fabric import Companions
from fleetwheel.onboarding.gpu_generations import Limits
from fleetwheel.value import Value

PREFERRED = 580
"""The newest branch that serves every GPU since Maxwell, and the oldest that CUDA 13 runs on."""
OPEN_SINCE = 560
"""From this branch on NVIDIA suggests its open kernel modules for all GPUs that can have them."""
NVIDIA = "https://developer.download.nvidia.com/compute/cuda/repos"

SOURCES_HINT = "fix the package sources or the network of the host, then run again"
ANOTHER_HINT = "name one of these in driver:, or let driver: install choose one"
WRITE = 'mkdir -p "${0%/*}" && printf %s "$1" >"$0"'
BUILD = """if ! command -v dkms >/dev/null; then exit; fi
for headers in /lib/modules/*/build; do
    kernel=${headers%/build}
    if [ -d "$headers" ]; then dkms autoinstall -k "${kernel##*/}"; fi
done
exit 0
"""
"""The packages build for the kernel that runs; another one may boot. Facts tell what was built."""
IB_UMAD = """boot=$1
shift
there() { modinfo ${boot:+-k "$boot"} ib_umad >/dev/null 2>&1; }
if ! there && ! { "$@" && there; }; then
    echo "the kernel $boot has no module ib_umad, through which NVLSM reaches the switches" >&2
    exit 1
fi
mkdir -p "${0%/*}" && echo ib_umad >"$0"
"""


class Step(Value):
    """One command that root runs."""

    what: str
    """What it does, in a few words for people."""
    command: tuple[str, ...]
    """Program and arguments, one word each."""
    hint: str = SOURCES_HINT
    """What a person can do where it fails."""


class Recipe(Value):
    """How a host gets a driver of one branch."""

    branch: int | None
    """None where the source has but one, whichever it is."""
    modules: ModuleKind
    packages: tuple[str, ...]
    """The packages by which the driver is asked for, and held."""
    steps: tuple[Step, ...]
    reasons: tuple[str, ...]
    signed: bool = False
    """Whether the modules are signed with a key that the firmware trusts."""


class Need(NamedTuple):
    """What a host needs of a recipe."""

    profile: Profile
    limits: Limits
    """What serves all GPUs of the host."""
    wanted: int | None
    """A branch within these limits; None for the one that suits."""
    companions: Companions = Companions()


def system_of(profile: Profile) -> System:
    """Return what is known of a host's distribution, or raise FleetwheelError."""
    known = facts().system(profile)
    if known is None:
        releases = " and ".join(facts().names(profile.distribution_id))
        only = f", only those of {releases}" if releases else ""
        raise FleetwheelError(
            f"the driver's packages of {profile.distribution or 'this system'} are not known here"
            f"{only}",
            hint="install it by hand as the distribution's own pages say, then run again",
        )
    return known


def branch_of(source: str, offered: Iterable[int], need: Need) -> int:
    """Return the branch that is wanted, or the one that suits, of those that a source has.

    That is 580, or the next newer one that NVIDIA supports for long, or else the newest. Raises
    FleetwheelError, which says what there is.
    """
    there = sorted(offered)
    if need.wanted in there:
        return need.wanted
    fit = [branch for branch in there if need.limits.serve(branch) and _long_lived(branch)]
    if need.wanted is None and fit and fit[-1] >= min(PREFERRED, need.limits.last):
        return min((branch for branch in fit if branch >= PREFERRED), default=fit[-1])
    wanted = need.wanted or f"{min(max(PREFERRED, need.limits.first), need.limits.last)}"
    raise FleetwheelError(
        f"{source} has the driver branches {', '.join(map(str, there))}, but not {wanted}",
        hint=ANOTHER_HINT if fit else "install one by hand, then run again",
    )


def kind_of(limits: Limits, branch: int) -> ModuleKind:
    """Return which kernel modules of a branch suit the GPUs."""
    kinds = limits.kinds(branch)
    if "proprietary" not in kinds:
        return "open"
    return "open" if "open" in kinds and branch >= OPEN_SINCE else "proprietary"


def cuda_outlook(branch: int) -> tuple[str, ...]:
    """Return what speaks against a branch: no CUDA 13."""
    known = facts().branch(branch)
    if known is None or known.cuda >= 13:
        return ()
    return (
        f"NVIDIA's support for branch {branch} ends with {known.end}, and it runs no CUDA 13:"
        f' driver: "{PREFERRED}" or newer does, where the GPUs can have it',
    )


def fabric_modules(need: Need, install: tuple[str, ...] = ("false",)) -> tuple[Step, ...]:
    """Return what loads the module that NVLSM needs at each boot.

    + install: the command that installs the package that has it, where the kernel's own has not
    """
    if not need.companions.subnet_manager:
        return ()
    path, boot = "/etc/modules-load.d/fleetwheel-nvlsm.conf", need.profile.kernel.boot
    hint = f"install linux-modules-extra-{boot or 'KERNEL'} or kernel-modules-extra"
    command = ("sh", "-c", IB_UMAD, path, boot, *install)
    return (Step(what="load ib_umad at boot", command=command, hint=hint),)


def fabric_steps(need: Need) -> tuple[Step, ...]:
    """Return what starts Fabric Manager at the next boot."""
    if not need.companions.manager:
        return ()
    enable = ("systemctl", "enable", "nvidia-fabricmanager")
    hint = "run `systemctl enable --now nvidia-fabricmanager`, then run again"
    return (Step(what="start Fabric Manager at boot", command=enable, hint=hint),)


def fabric_start(companions: Companions) -> tuple[Step, ...]:
    """Return what starts the companions now."""
    hint = EXPLANATIONS[DriverState.FABRIC_NOT_READY].repair
    log = f"{hint} See `journalctl -u nvidia-fabricmanager`"
    steps = []
    if companions.subnet_manager:
        umad = ("modprobe", "ib_umad")
        steps.append(Step(what="load the module ib_umad", command=umad, hint=hint))
    if companions.manager:
        restart = ("systemctl", "restart", "nvidia-fabricmanager")
        steps.append(Step(what="start Fabric Manager", command=restart, hint=log))
    return tuple(steps)


def fabric_reasons(companions: Companions) -> tuple[str, ...]:
    """Return why the companions are installed, and what a person has to do for them."""
    said = []
    if companions.manager:
        said.append("NVSwitches join the GPUs: Fabric Manager of exactly the driver's version")
    if companions.subnet_manager:
        said.append("they are of the fourth generation, which NVLSM sets up")
    if companions.imex:
        said.append(
            "these GPUs belong to the NVLink domain of a rack: IMEX of exactly the driver's"
            " version. It starts when /etc/nvidia-imex/nodes_config.cfg names the rack's nodes"
        )
    return tuple(said)


def file_step(path: str, text: str) -> Step:
    """Return what writes a file of root's."""
    return Step(what=f"write {path}", command=("sh", "-c", WRITE, path, text))


def build_modules() -> Step:
    """Return what builds the modules for each kernel that has its headers here."""
    return Step(what="build the modules for every kernel", command=("sh", "-c", BUILD))


def nvidia_arch(arch: str) -> str:
    """Return what NVIDIA's repositories call an architecture."""
    return "sbsa" if arch == "aarch64" else arch


def _long_lived(branch: int) -> bool:
    known = facts().branch(branch)
    return known is not None and known.kind == "long-lived"

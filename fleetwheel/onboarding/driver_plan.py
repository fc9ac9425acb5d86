"""Which NVIDIA driver a host should get, how, and why: decided by its profile alone."""

import re

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import BuiltModule, DriverState, Gpu, HostState, ModuleKind, Profile
from fleetwheel.node.driver_states import EXPLANATIONS
from fleetwheel.onboarding import driver_packages, fabric, gpu_generations
from fleetwheel.onboarding.driver_facts import GpuGeneration
from fleetwheel.onboarding.driver_steps import (
    Need,
    Recipe,
    Step,
    fabric_modules,
    fabric_start,
    fabric_steps,
)
from fleetwheel.onboarding.gpu_generations import Limits
from fleetwheel.value import Value

WINDOWS_FLOOR = 528
"""Branch that CUDA 12 needs on Windows."""
SLEEPING = (DriverState.NOT_LOADED, DriverState.VERSION_MISMATCH)
"""States of an installed driver that a reboot may fix."""
KEYS = {"ubuntu": "/var/lib/shim-signed/mok/MOK.der"}
"""Keys that sign modules built on the host, where that is not dkms's own."""
AKMODS_KEY = "/etc/pki/akmods/certs/public_key.der"
"""The key of akmods, which builds RPM Fusion's modules."""


UNTRUSTED = "the firmware does not trust the key that signed its modules"
SIGNED = ("linux-modules-nvidia-", "nvidia-open-kmod", "nvidia-open-driver-G06-signed")
"""Beginnings of packages whose modules the distribution has signed."""
BUILT_HERE = ("nvidia-dkms-",)
"""Beginnings of Ubuntu's packages whose modules are loaded before signed ones."""


class DriverPlan(Value):
    """What has to happen on a host so that it runs the driver that is asked for."""

    branch: int | None = None
    """None where nothing has to be installed, or where the source has but one branch."""
    modules: ModuleKind | None = None
    packages: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    """Commands for root, in order."""
    reboot: bool = False
    """The host has to be rebooted afterwards, or because an earlier run installed the driver."""
    at_console: bool = False
    """Somebody has to confirm a key at the console during that reboot."""
    reasons: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Whether the driver stays as it is."""
        return not (self.steps or self.reboot)

    @property
    def summary(self) -> str:
        """What the plan does, in one line, and below it why."""
        if self.packages:
            named = f"driver {self.branch or 'of the newest branch'} ({self.modules} modules)"
            does = f"install {named}: {', '.join(self.packages)}; then a reboot"
        elif self.steps:
            does = "; ".join(step.what for step in self.steps)
            does += "; then a reboot" if self.reboot else ""
        else:
            does = "the driver is installed and waits for a reboot" if self.reboot else ""
        return "\n".join(filter(None, [does, *self.reasons]))

    def mismatch(self, after: Profile) -> FleetwheelError | None:
        """Return what is wrong with what an installation has left; None where nothing is."""
        installed = after.installed_driver
        library, boot = installed.library, after.kernel.boot
        if not (self.packages and library):
            return None
        if self.branch and _major(library) != self.branch:
            return FleetwheelError(
                f"driver {library} is there after the installation, not {self.branch}",
                hint="name that branch in driver:, or remove the other driver first; one that is"
                " held needs apt-mark unhold, dnf versionlock delete or zypper removelock",
            )
        if _unbuilt(after):
            dkms = f"; dkms says {'; '.join(installed.dkms)}" if installed.dkms else ""
            return FleetwheelError(
                f"driver {library} is installed, but its module for the kernel {boot}, which boots"
                f" next, is not built{dkms}",
                hint=_how_to_build(after, self.packages),
            )
        module = _built(after, boot)
        if module and module.kind != self.modules:
            return FleetwheelError(
                f"driver {library} is installed, but its modules for the kernel {boot} are the"
                f" {module.kind} ones, not the {self.modules} ones",
                hint="remove the packages of the other modules, then run again",
            )
        if missing := fabric.missing(installed):
            return FleetwheelError(
                f"driver {library} is installed, but {' and '.join(missing)} of its version is not",
                hint="look for it in the package sources, then run again",
            )
        return None


def driver_to_install(facts: HostState, wanted: str, *, hold: bool = False) -> DriverPlan:
    """Return the plan for a host, as ``plan`` does, if the user there may carry it out."""
    planned = plan_driver(facts.profile, wanted, hold=hold)
    user = facts.installation.user
    if planned.steps and user != "root":
        raise FleetwheelError(
            f"{user or 'the user'} may not install the driver that the inventory asks for",
            hint="use sudo: true, or take driver: from the inventory",
        )
    return planned


def plan_driver(profile: Profile, wanted: str, *, hold: bool = False) -> DriverPlan:
    """Return what gives a host the driver that is wanted.

    + wanted: ``keep``, ``install`` for any that works, or the number of a branch such as ``580``
    + hold: keep updates from replacing what is installed

    Raises FleetwheelError where the driver is not the host's own to install, where its packages
    are not known, or where no driver serves all of its GPUs.
    """
    branch = int(wanted) if wanted.isdecimal() else None
    if wanted == "keep":
        return DriverPlan(reasons=("the inventory keeps the driver as it is",))
    if profile.driver.state is DriverState.NO_GPU:
        return DriverPlan(reasons=("there is no NVIDIA GPU",))
    if _right(profile, branch) and _complete(profile):
        return DriverPlan(reasons=(f"driver {_runs(profile)} runs",))
    _require_own_driver(profile)
    generations = gpu_generations.of_host(profile)
    limits = gpu_generations.limits(generations)
    _require_one_for_all(generations, limits)
    if branch is not None:
        _require_served(generations, limits, branch)
    if profile.os == "windows":
        raise _by_hand_on_windows(profile, limits, branch)
    fault = None if _absent(profile) else _fault(profile, limits, branch)
    need = Need(profile, limits, branch, fabric.needed(profile.installed_driver))
    if fault is None and not _absent(profile):
        signed = _signed_instead(need)
        if signed is None:
            return _wake(need)
        _require_packages(profile)
        fault = f"driver {profile.installed_driver.library} is installed: {UNTRUSTED}"
        return _installation(profile, signed, generations, hold, fault)
    recipe = driver_packages.recipe(need)
    _require_packages(profile)
    return _installation(profile, recipe, generations, hold, fault)


def _right(profile: Profile, branch: int | None) -> bool:
    """Whether the driver works and is of this branch; Windows counts on within one branch.

    One that runs counts too where nothing is there yet that could ask it: neither nvidia-smi nor a
    Python.
    """
    there = profile.installed_driver
    unasked = profile.driver.state is DriverState.NO_DRIVER and there.module and there.library
    if profile.driver.state is not DriverState.OK and not unasked:
        return False
    has = _major(_runs(profile))
    return branch is None or has == branch or (profile.os == "windows" and has > branch)


def _runs(profile: Profile) -> str:
    """Return the version of a driver that runs."""
    there = profile.installed_driver
    return profile.driver.version or there.module or there.library or "of an unknown version"


def _major(version: str | None) -> int:
    head = (version or "").partition(".")[0]
    return int(head) if head.isdecimal() else 0


def _require_own_driver(profile: Profile) -> None:
    """Refuse systems whose driver belongs to another one."""
    owner = ""
    if profile.wsl:
        owner = "Windows: install NVIDIA's driver there, then run `wsl --shutdown`"
    elif profile.container:
        owner = (
            f"the host of this {profile.container} container: install it there, and start the"
            " container with the NVIDIA container toolkit"
        )
    elif profile.dgx:
        owner = (
            f"{profile.dgx}, whose driver, kernel and firmware NVIDIA releases together: update all"
            " of them by `apt update && apt full-upgrade` and a reboot, or from the DGX Dashboard"
        )
    elif profile.jetson:
        owner = "Jetson Linux (L4T): flash or upgrade JetPack"
    elif profile.os == "macos":
        owner = "nobody: there is none for macOS"
    if owner:
        what, _, hint = owner.partition(": ")
        raise FleetwheelError(f"the NVIDIA driver here belongs to {what}", hint=hint)


def _require_one_for_all(generations: tuple[GpuGeneration, ...], limits: Limits) -> None:
    names = ", ".join(each.name for each in generations)
    if not limits.modules:
        raise FleetwheelError(
            f"no driver serves all GPUs of this host ({names}): before Turing they need the"
            " proprietary kernel modules, from Blackwell on the open ones",
            hint="take one kind of GPU out of the host, or install the driver by hand",
        )
    if limits.first > limits.last:
        oldest = min(generations, key=lambda each: each.last or gpu_generations.NEWEST)
        raise FleetwheelError(
            f"no driver serves all GPUs of this host ({names}): {oldest.name} ends with branch"
            f" {limits.last}, the newest need {limits.first}",
            hint=f"take the {oldest.name} GPU out of the host, or install the driver by hand",
        )


def _require_served(generations: tuple[GpuGeneration, ...], limits: Limits, branch: int) -> None:
    if limits.serve(branch):
        return
    names = ", ".join(each.name for each in generations)
    last = f" to {limits.last}" if limits.last < gpu_generations.NEWEST else " on"
    raise FleetwheelError(
        f"the driver branch {branch} does not serve {names}: that takes one from"
        f" {limits.first}{last}",
        hint="name another branch, or let driver: install choose one",
    )


def _by_hand_on_windows(profile: Profile, limits: Limits, branch: int | None) -> FleetwheelError:
    least = branch or max(WINDOWS_FLOOR, limits.first)
    last = f", and at most {limits.last + 2}," if limits.last < gpu_generations.NEWEST else ""
    has = profile.driver.version or "none that works"
    return FleetwheelError(
        f"this host needs NVIDIA's driver {least} or newer{last} and has {has};"
        " drivers for Windows are not installed from here",
        hint="get it from nvidia.com/drivers, install it, then run again: that run checks it",
    )


def _complete(profile: Profile) -> bool:
    """Whether a driver that works has what joins the GPUs too.

    A host is asked for more only where it has NVSwitches itself, no GPU says that its fabric is set
    up (by a Fabric Manager elsewhere, or in a container), and packages brought the driver.
    """
    installed = profile.installed_driver
    joined = any(gpu.fabric_pending is False and _tells_of_fabric(gpu) for gpu in profile.gpus)
    alone = not fabric.needed(installed).manager or not installed.bridges
    return joined or alone or not installed.packages or not fabric.missing(installed)


def _tells_of_fabric(gpu: Gpu) -> bool:
    """Whether it is a Hopper or newer; of an A100 the driver says that there is no fabric."""
    return _major(gpu.compute_capability) >= 9


def _absent(profile: Profile) -> bool:
    library = profile.installed_driver.library
    return not _major(library) or profile.driver.state is DriverState.NO_DRIVER


def _fault(profile: Profile, limits: Limits, branch: int | None) -> str | None:
    """Return what is wrong with an installed driver; None where only it does not work."""
    installed = profile.installed_driver
    has, version = _major(installed.library), installed.library
    if not (has == branch if branch else limits.serve(has)):
        return f"driver {version} is installed, but {branch or 'another branch'} is wanted"
    kind = _kind(profile)
    if kind and kind not in limits.kinds(has):
        return f"driver {version} is installed with {kind} modules, which do not run these GPUs"
    if _unbuilt(profile):
        return f"driver {version} is installed, but not its module for {profile.kernel.boot}"
    if installed.packages and (missing := fabric.missing(installed)):
        return f"driver {version} is installed, but {' and '.join(missing)} of its version is not"
    return None


def _kind(profile: Profile) -> ModuleKind | None:
    """Return which modules the next boot loads: as built, or as they are loaded or packaged now."""
    installed = profile.installed_driver
    built = _built(profile, profile.kernel.boot)
    if installed.kind or built:
        return built.kind if built else installed.kind
    names = [line.split()[0] for line in installed.packages]
    modules = [name for name in names if re.search("dkms|^kmod-|^linux-modules-nvidia|kmp", name)]
    if not modules:
        return None
    return "open" if any("-open" in name for name in modules) else "proprietary"


def _built(profile: Profile, kernel: str) -> BuiltModule | None:
    """Return the module of a kernel: of several that one which the library belongs to."""
    installed = profile.installed_driver
    there = [module for module in installed.built or () if module.kernel == kernel]
    return next(
        (each for each in there if each.version == installed.library), next(iter(there), None)
    )


def _unbuilt(profile: Profile) -> bool:
    """Whether the module of the installed version is missing for the kernel that boots next."""
    installed, boot = profile.installed_driver, profile.kernel.boot
    if installed.built is None or installed.library is None or not boot:
        return False
    module = _built(profile, boot)
    return module is None or module.version != installed.library


def _how_to_build(profile: Profile, packages: tuple[str, ...]) -> str:
    """Return what a person can do where these packages brought no module for the next boot."""
    boot = profile.kernel.boot
    if any(name.startswith(SIGNED) for name in packages):
        return (
            "update the host's kernel to one that the distribution has such modules for, make that"
            " the default, then run again"
        )
    if any(name.startswith("akmod-") for name in packages):
        return f"see /var/cache/akmods, and run `akmods --force --kernels {boot}`"
    return f"see {_build_log(profile)}, and run `dkms autoinstall -k {boot}`"


def _build_log(profile: Profile) -> str:
    """Return where dkms logs the build; it says ``nvidia-current/535.261.03: added`` on Debian."""
    library = profile.installed_driver.library
    said = [re.split("[/,: ]+", line) for line in profile.installed_driver.dkms]
    name = next((words[0] for words in said if library in words), "nvidia")
    return f"/var/lib/dkms/{name}/{library}/build/make.log"


def _require_packages(profile: Profile) -> None:
    """Refuse to install packages over what NVIDIA's own installer has brought."""
    installed = profile.installed_driver
    if installed.library and not installed.packages:
        raise FleetwheelError(
            f"driver {installed.library} was installed by NVIDIA's installer (.run), and packages"
            " would mix with its files",
            hint="run nvidia-uninstall, then run again",
        )


def _signed_instead(need: Need) -> Recipe | None:
    """Return how Ubuntu brings signed modules, where those that dkms built are of no use."""
    if need.profile.distribution_id != "ubuntu" or not _untrusted(need.profile):
        return None
    recipe = driver_packages.recipe(need)
    return recipe if recipe.signed else None


def _untrusted(profile: Profile) -> bool:
    """Whether the module was not loaded, and is signed with a key that nobody has enrolled."""
    return profile.driver.state is DriverState.NOT_LOADED and _unenrolled(profile)


def _unenrolled(profile: Profile) -> bool:
    """Whether a person has to confirm the key of the modules that are installed."""
    packages = profile.installed_driver.packages
    built_here = any(line.startswith(BUILT_HERE) for line in packages)
    signed = any(line.startswith(SIGNED) for line in packages) and not built_here
    return not signed and _console(profile, packages)


def _wake(need: Need) -> DriverPlan:
    """Return the plan for a driver that is installed and does not work.

    That is a reboot, where one has not been tried since; or the loading of its module.
    """
    profile = need.profile
    state, installed = profile.driver.state, profile.installed_driver
    at_boot = (*fabric_modules(need), *fabric_steps(need))
    fabric = (*at_boot, *fabric_start(need.companions)) if installed.packages else ()
    built = _built(profile, profile.kernel.boot)
    swapped = installed.kind and built and installed.kind != built.kind
    if state is DriverState.OK or (state is DriverState.NO_DEVICES and swapped):
        state = DriverState.VERSION_MISMATCH
    meaning, repair = EXPLANATIONS[state]
    said = f"driver {installed.library}: {meaning}"
    if state is DriverState.FABRIC_NOT_READY and fabric:
        return DriverPlan(steps=fabric, reasons=(said, "its Fabric Manager is installed"))
    if state not in SLEEPING:
        raise FleetwheelError(f"driver {installed.library} is installed: {meaning}", hint=repair)
    if _untrusted(profile):
        return DriverPlan(
            reboot=True,
            at_console=True,
            reasons=(said, UNTRUSTED, *_secure_boot(profile, installed.packages)),
        )
    if _loadable(profile):
        load = Step(what="load the module nvidia", command=("modprobe", "nvidia"), hint=repair)
        return DriverPlan(
            steps=(load, *fabric), reasons=(said, "its module is built for this kernel")
        )
    others = installed.nouveau or installed.nova_core
    changed = _last_change(profile)
    if profile.booted_s and changed and changed < profile.booted_s:
        raise FleetwheelError(
            f"{said} The host was rebooted since it was installed, and another reboot will not"
            " help",
            hint=f"{repair} Also rebuild the initial RAM disk, which may hold an older module, and"
            " look at the boot loader's entry for another kernel",
        )
    off = driver_packages.blacklist(profile) if others and not installed.blacklisted_s else ()
    return DriverPlan(
        steps=(*off, *(at_boot if installed.packages else ())),
        reboot=True,
        at_console=_unenrolled(profile),
        reasons=(
            said,
            f"if it was rebooted since then: {repair}",
            *(_secure_boot(profile, installed.packages) if _unenrolled(profile) else ()),
        ),
    )


def _loadable(profile: Profile) -> bool:
    """Whether the module can be loaded without a reboot: it is there, and nothing in its place."""
    installed = profile.installed_driver
    module = _built(profile, profile.kernel.running)
    return (
        profile.driver.state is DriverState.NOT_LOADED
        and not _untrusted(profile)
        and installed.module is None
        and not (installed.nouveau or installed.nova_core)
        and module is not None
        and module.version == installed.library
    )


def _last_change(profile: Profile) -> int | None:
    """Return when something was changed that a reboot brings to bear, in seconds since 1970."""
    installed = profile.installed_driver
    if (installed.nouveau or installed.nova_core) and not installed.blacklisted_s:
        return None
    module = _built(profile, profile.kernel.boot)
    times = (installed.changed_s, installed.blacklisted_s, module.changed_s if module else None)
    return max(filter(None, times), default=None)


def _installation(
    profile: Profile,
    recipe: Recipe,
    generations: tuple[GpuGeneration, ...],
    hold: bool,
    fault: str | None,
) -> DriverPlan:
    installed = profile.installed_driver
    others = [name for name in ("nouveau", "nova_core") if getattr(installed, name)]
    steps = [*(driver_packages.blacklist(profile) if others else ()), *recipe.steps]
    if hold:
        steps += driver_packages.hold(profile, recipe.packages)
    loaded = f"{' and '.join(others)} is loaded, and keeps NVIDIA's module from the GPUs"
    unsigned = not recipe.signed
    return DriverPlan(
        branch=recipe.branch,
        modules=recipe.modules,
        packages=recipe.packages,
        steps=tuple(steps),
        reboot=True,
        at_console=unsigned and _console(profile, recipe.packages),
        reasons=(
            *([fault] if fault else []),
            *_hardware(recipe, generations),
            *recipe.reasons,
            *([loaded] if others else []),
            *(_secure_boot(profile, recipe.packages) if unsigned else ()),
        ),
    )


def _hardware(recipe: Recipe, generations: tuple[GpuGeneration, ...]) -> tuple[str, ...]:
    """Return what the GPUs have to do with the branch and the kernel modules."""
    ended = [f"{each.name} ends with branch {each.last}" for each in generations if each.last]
    old = [each.name for each in generations if "open" not in each.modules]
    new = [each.name for each in generations if "proprietary" not in each.modules]
    if old:
        why = f"proprietary modules: the open ones do not know {', '.join(old)}"
    elif new:
        why = f"open modules: there are no others for {', '.join(new)}"
    elif recipe.modules == "open":
        why = "open modules: NVIDIA suggests them from Turing on"
    else:
        why = (
            f"proprietary modules: in {recipe.branch} the open modules do not yet support every GPU"
        )
    return (*ended, why)


def _console(profile: Profile, packages: tuple[str, ...]) -> bool:
    """Whether a person has to confirm the key of modules that these packages build here."""
    enrolled = profile.installed_driver.enrolled
    return bool(profile.secure_boot) and not enrolled.get(_key(profile, packages))


def _key(profile: Profile, packages: tuple[str, ...]) -> str:
    if any(name.startswith("akmod-") for name in packages):
        return AKMODS_KEY
    return KEYS.get(profile.distribution_id, "/var/lib/dkms/mok.pub")


def _secure_boot(profile: Profile, packages: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a person has to do where Secure Boot is on: it is never turned off."""
    if not profile.secure_boot:
        return ()
    key = _key(profile, packages)
    signs = (
        "Secure Boot is on: the kernel loads only modules signed with a key that it trusts."
        f" {'akmods' if key == AKMODS_KEY else 'dkms'} signs them with this machine's own key (MOK)"
    )
    if not _console(profile, packages):
        return (f"{signs}, which is enrolled",)
    return (
        f"{signs}. That is not enrolled: run `mokutil --import {key}` on the host, choose"
        " a password, reboot, and confirm the key with it at the console",
    )

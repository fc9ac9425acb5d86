"""Which NVIDIA driver a host should get, how, and why: decided by its profile alone."""

from fleetwheel.driver_states import EXPLANATIONS
from fleetwheel.errors import FleetwheelError
from fleetwheel.onboarding import driver_packages, gpu_generations
from fleetwheel.onboarding.driver_packages import Recipe, Step
from fleetwheel.onboarding.gpu_generations import Generation, Limits
from fleetwheel.profile import DriverState, HostState, Profile, Value

WINDOWS_FLOOR = 528
"""Branch that CUDA 12 needs on Windows."""
SLEEPING = (DriverState.NOT_LOADED, DriverState.VERSION_MISMATCH)
"""States of an installed driver that a reboot mends, where anything does."""


class DriverPlan(Value):
    """What has to happen on a host so that it runs the driver that is asked for."""

    branch: int | None = None
    """None where nothing has to be installed."""
    modules: gpu_generations.Modules | None = None
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
        if self.steps:
            named = f"driver {self.branch} ({self.modules} modules): {', '.join(self.packages)}"
            does = f"install {named}; then a reboot"
        else:
            does = "the driver is installed and waits for a reboot" if self.reboot else ""
        return "\n".join(filter(None, [does, *self.reasons]))

    def mismatch(self, library: str | None) -> str | None:
        """Return what is wrong with the version of the library that an installation has left."""
        if not (self.branch and library) or _major(library) == self.branch:
            return None
        return (
            f"driver {library} is there after the installation, not {self.branch}"
            "\n  hint: name that branch in driver:, or remove the other driver first; one that is"
            " held needs apt-mark unhold, or dnf versionlock delete"
        )


def driver_to_install(facts: HostState, wanted: str, *, hold: bool = False) -> DriverPlan:
    """Return the plan for a host, as ``plan`` does, if the user there may carry it out."""
    planned = plan(facts.profile, wanted, hold=hold)
    user = facts.installation.user
    if planned.steps and user != "root":
        raise FleetwheelError(
            f"{user or 'the user'} may not install the driver that the inventory asks for",
            hint="use sudo: true, or take driver: from the inventory",
        )
    return planned


def plan(profile: Profile, wanted: str, *, hold: bool = False) -> DriverPlan:
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
    if _right(profile, branch):
        return DriverPlan(reasons=(f"driver {profile.driver.version} runs",))
    _require_own_driver(profile)
    generations = gpu_generations.of_host(profile)
    limits = gpu_generations.limits(generations)
    _require_one_for_all(generations, limits)
    if branch is not None:
        _require_served(generations, limits, branch)
    if profile.os == "windows":
        raise _by_hand_on_windows(profile, limits, branch)
    if _installed(profile, limits, branch):
        return _wake(profile)
    recipe = driver_packages.recipe(profile.distribution, profile.arch, limits, branch)
    return _installation(profile, recipe, generations, hold)


def _right(profile: Profile, branch: int | None) -> bool:
    """Whether the driver works and is of this branch; Windows counts on within one branch.

    One that runs counts too where nothing is there yet that could ask it: neither nvidia-smi nor a
    Python.
    """
    there = profile.installed_driver
    unasked = profile.driver.state is DriverState.NO_DRIVER and there.module and there.library
    if profile.driver.state is not DriverState.OK and not unasked:
        return False
    has = _major(profile.driver.version or there.module or there.library)
    return branch is None or has == branch or (profile.os == "windows" and has > branch)


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
    elif profile.jetson:
        owner = "Jetson Linux (L4T): flash or upgrade JetPack"
    elif profile.os == "macos":
        owner = "nobody: there is none for macOS"
    if owner:
        what, _, hint = owner.partition(": ")
        raise FleetwheelError(f"the NVIDIA driver here belongs to {what}", hint=hint)


def _require_one_for_all(generations: tuple[Generation, ...], limits: Limits) -> None:
    names = ", ".join(each.name for each in generations)
    if not limits.modules:
        raise FleetwheelError(
            f"no driver serves all GPUs of this host ({names}): before Turing they need the"
            " proprietary kernel modules, from Blackwell on the open ones",
            hint="take one kind of GPU out of the host, or install the driver by hand",
        )
    if limits.first > limits.last:
        oldest = min(generations, key=lambda each: each.last)
        raise FleetwheelError(
            f"no driver serves all GPUs of this host ({names}): {oldest.name} ends with branch"
            f" {limits.last}, the newest need {limits.first}",
            hint=f"take the {oldest.name} GPU out of the host, or install the driver by hand",
        )


def _require_served(generations: tuple[Generation, ...], limits: Limits, branch: int) -> None:
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


def _installed(profile: Profile, limits: Limits, branch: int | None) -> bool:
    """Whether what is on disk is the right driver, though it does not work."""
    has = _major(profile.installed_driver.library)
    if not has or profile.driver.state is DriverState.NO_DRIVER:
        return False
    return has == branch if branch else limits.serve(has)


def _wake(profile: Profile) -> DriverPlan:
    """Return the plan for a driver that is installed and does not work: a reboot, if that helps."""
    state, version = profile.driver.state, profile.installed_driver.library
    if state is DriverState.OK:  # another branch than that of the library runs
        state = DriverState.VERSION_MISMATCH
    meaning, repair = EXPLANATIONS[state]
    if state not in SLEEPING:
        raise FleetwheelError(f"driver {version} is installed: {meaning}", hint=repair)
    reasons = [f"driver {version}: {meaning}", f"if it was rebooted since then: {repair}"]
    return DriverPlan(
        reboot=True,
        at_console=bool(profile.secure_boot),
        reasons=(*reasons, *_secure_boot(profile)),
    )


def _installation(
    profile: Profile, recipe: Recipe, generations: tuple[Generation, ...], hold: bool
) -> DriverPlan:
    nouveau = profile.installed_driver.nouveau
    steps = [*recipe.steps]
    if nouveau:
        steps += driver_packages.blacklist(profile.distribution)
    if hold:
        steps += driver_packages.hold(profile.distribution, recipe.packages)
    reasons = (
        *_hardware(recipe, generations),
        *recipe.reasons,
        *(["nouveau is loaded, and keeps NVIDIA's module from the GPUs"] if nouveau else []),
        *_secure_boot(profile),
    )
    return DriverPlan(
        branch=recipe.branch,
        modules=recipe.modules,
        packages=recipe.packages,
        steps=tuple(steps),
        reboot=True,
        at_console=bool(profile.secure_boot),
        reasons=reasons,
    )


def _hardware(recipe: Recipe, generations: tuple[Generation, ...]) -> tuple[str, ...]:
    """Return what the GPUs have to do with the branch and the kernel modules."""
    ending = [f"{each.name} ends with branch {each.last}" for each in generations]
    ended = [said for said, each in zip(ending, generations, strict=True) if _ends(each)]
    old = [each.name for each in generations if "open" not in each.modules]
    new = [each.name for each in generations if "proprietary" not in each.modules]
    if old:
        why = f"proprietary modules: the open ones do not know {', '.join(old)}"
    elif new:
        why = f"open modules: there are no others for {', '.join(new)}"
    elif recipe.modules == "open":
        why = "open modules: NVIDIA suggests them from Turing on"
    else:
        why = f"proprietary modules: at {recipe.branch} the open ones are not yet for every GPU"
    return (*ended, why)


def _ends(generation: Generation) -> bool:
    return generation.last < gpu_generations.NEWEST


def _secure_boot(profile: Profile) -> tuple[str, ...]:
    """Return what a person has to do where Secure Boot is on: it is never turned off."""
    if not profile.secure_boot:
        return ()
    keys = {"Ubuntu": "/var/lib/shim-signed/mok/MOK.der"}
    key = next((path for name, path in keys.items() if profile.distribution.startswith(name)), None)
    return (
        "Secure Boot is on: the kernel loads only modules signed with a key that it trusts. dkms"
        " signs them with this machine's own key (MOK). Unless that is enrolled already: run"
        f" `mokutil --import {key or '/var/lib/dkms/mok.pub'}` on the host, choose a password,"
        " reboot, and confirm the key with it at the console",
    )

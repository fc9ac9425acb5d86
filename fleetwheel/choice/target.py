"""All that a choice may see of a host and its request, read once; it names the lock."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from fleetwheel.choice.request import Pins, Request, read_pins
from fleetwheel.choice.team_target import (
    FamilyPins,
    TeamTarget,
    applying,
    family_pins,
    read_team_target,
)
from fleetwheel.host.profile import REACHES, DriverState, Gpu, OperatingSystem, Profile, Python
from fleetwheel.matrix.gpu_names import capability_of as capability_of
from fleetwheel.matrix.gpu_names import name_words, nearest
from fleetwheel.matrix.matrix import Capability, DriverSystem, Numbers, Platform, numbers
from fleetwheel.matrix.variant import Variant
from fleetwheel.node.driver_states import explain_state
from fleetwheel.team.pins import Pin, Team
from fleetwheel.value import Value

INTEGRATED: frozenset[Capability] = frozenset({(5, 3), (6, 2), (7, 2), (8, 7), (10, 1), (11, 0)})
"""GPUs of Tegra boards, Jetson and Thor: their drivers come with JetPack and have its numbers."""

MACHINES: Mapping[Platform, str] = {("windows", "x86_64"): "AMD64", ("windows", "aarch64"): "ARM64"}
"""What Python calls a machine where that is not its architecture."""


def joined(version: Numbers) -> str:
    """Return ``2.28`` for ``(2, 28)``."""
    return ".".join(map(str, version))


def _numbers(value: object) -> object:
    if not isinstance(value, str):
        return value
    return numbers(value) if value else ()


Dotted = Annotated[Numbers, BeforeValidator(_numbers), PlainSerializer(joined)]
Code = Annotated[Capability, BeforeValidator(_numbers), PlainSerializer(joined)]


def _specifiers(text: str) -> str:
    SpecifierSet(text)
    return text


def _asked(text: str) -> str:
    Requirement(text)
    return text


Asked = Annotated[str, AfterValidator(_asked)]
"""A requirement."""


class TargetDriver(Value):
    """What of an NVIDIA driver decides."""

    system: DriverSystem
    """Whose numbers it has: WSL shows Linux the driver of Windows."""
    version: Dotted
    """Its branch, which stands for the newest driver of it; a whole version where that decides."""
    tegra: bool = False
    """Whether it is that of a Tegra board, whose numbers are in no table of branches."""
    ceiling: Dotted = ()
    """The newest CUDA that it runs, where branches do not tell that; empty where it is unknown."""


class Target(Value):
    """What a lock depends on; hosts with equal targets share one lock.

    Nothing in it is computed from the matrix, so that a newer matrix renames no lock. The exact
    version of a driver is not in it, so that an update within a branch leads to no other lock.
    """

    format: Literal["fleetwheel.target/2"] = Field(default="fleetwheel.target/2", alias="schema")
    os: OperatingSystem
    arch: str
    glibc: Dotted = ()
    """Empty on musl, Windows and macOS."""
    pythons: tuple[str, ...]
    """Minor versions of the interpreters that may be used, newest first."""
    runtime: Literal["cpu", "cuda"]
    variant: Variant | None = None
    """The one CUDA variant that is asked for by name."""
    driver: TargetDriver | None = None
    """None where no GPU has to be served."""
    devices: tuple[Code, ...] = ()
    """Compute capability of each kind of GPU that has to be served, ascending."""
    torch: Annotated[str, AfterValidator(_specifiers)] = ""
    """Canonical specifiers of the release; empty for the newest."""
    partners: tuple[Asked, ...] = ()
    """torchvision and torchaudio with canonical specifiers, where they were asked for."""
    requirements: tuple[Asked, ...] = ()
    """Everything else that was asked for, canonical and sorted."""
    constraints: tuple[Asked, ...] = ()
    """What pip on the controller is told to keep to, canonical and sorted."""
    sources: tuple[str, ...] = ()
    """The inventory's own sources in their order, without credentials."""
    optional_sources: tuple[str, ...] = ()
    """Those that a lock may do without when they give no answer, without credentials and sorted."""
    team: TeamTarget | None = None
    """What a team's own file pins beside torch."""

    @cached_property
    def platform(self) -> Platform:
        """Operating system and architecture, as the matrix has them."""
        return self.os, self.arch

    @cached_property
    def partner_specifiers(self) -> Mapping[str, SpecifierSet]:
        """What is asked of each partner, constraints included."""
        asked = [Requirement(text) for text in self.partners]
        return {found.name: found.specifier & self._constraint(found.name) for found in asked}

    @cached_property
    def torch_specifier(self) -> SpecifierSet:
        """What is asked of torch, constraints included."""
        return SpecifierSet(self.torch) & self._constraint("torch")

    def allows(self, version: Version) -> bool:
        """Whether a release is allowed; pre-releases only where the pin names one."""
        if version.is_prerelease and not SpecifierSet(self.torch).prereleases:
            return False
        return self.torch_specifier.contains(version, prereleases=True)

    def wants(self, variant: Variant) -> bool:
        """Whether a variant is asked for."""
        kept_to = not self._labels or str(variant) in self._labels
        return kept_to and variant.runtime == self.runtime and self.variant in (None, variant)

    def applies(self, requirement: Requirement) -> bool:
        """Whether a requirement is meant for this system and interpreter, by its marker."""
        return requirement.marker is None or requirement.marker.evaluate(self._environment)

    def with_driver(self, version: Numbers) -> "Target":
        """Return the target of a host whose exact driver decides."""
        if self.driver is None or self.driver.tegra:
            return self
        driver = self.driver.model_copy(update={"version": version})
        return self.model_copy(update={"driver": driver})

    def _constraint(self, name: str) -> SpecifierSet:
        """Return what constraints ask of a project's public version."""
        found = SpecifierSet()
        for text in self.constraints:
            requirement = Requirement(text)
            if requirement.name == name and self.applies(requirement):
                found &= SpecifierSet(re.sub(r"\+[A-Za-z0-9.]+", "", str(requirement.specifier)))
        return found

    @cached_property
    def _labels(self) -> frozenset[str]:
        """Return the variants that constraints on torch name: ``cpu`` for ``torch==2.13.0+cpu``."""
        torch = (text for text in self.constraints if Requirement(text).name == "torch")
        return frozenset(re.findall(r"\+([A-Za-z0-9.]+)", " ".join(torch)))

    @cached_property
    def _environment(self) -> dict[str, str]:
        return marker_environment(self.os, self.arch, self.pythons[0] if self.pythons else "3")


def marker_environment(os: OperatingSystem, arch: str, python: str) -> dict[str, str]:
    """Return what markers see of a host with a minor version of Python."""
    minor = python.rstrip("t")
    return {
        "os_name": "nt" if os == "windows" else "posix",
        "sys_platform": {"windows": "win32", "macos": "darwin"}.get(os, "linux"),
        "platform_system": {"windows": "Windows", "macos": "Darwin"}.get(os, "Linux"),
        "platform_machine": MACHINES.get((os, arch), arch),
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": minor,
        "python_full_version": f"{minor}.0",
    }


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why no wheel can be chosen for a host, whatever there is; it belongs to that host alone."""

    reason: str
    remedy: str = ""


class _BlockedError(Exception):
    """Carries a blocker out of the reading."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.blocker = Blocker(reason, remedy)


def read_target(
    profile: Profile,
    request: Request,
    *,
    constraints: Sequence[str] = (),
    sources: Sequence[str] = (),
    optional_sources: Sequence[str] = (),
    tested: bool = True,
) -> Target | Blocker:
    """Return what a choice may see of a host, or what keeps every wheel from it.

    ``constraints`` are pip's, ``sources`` and ``optional_sources`` the inventory's, without
    credentials. ``tested`` is
    false for a host that only holds the environment (``smoke: none``): it may get CUDA wheels
    that are asked for by name where no GPU works.
    Raises FleetwheelError where the request cannot be read.
    """
    pins = read_pins(request)
    try:
        runtime = _runtime(profile, pins, tested)
        named = pins.accelerator == "cuda" or pins.variant is not None
        held = named and not tested and not _works(profile)
        gpus = _served_gpus(profile, request) if runtime == "cuda" and not held else ()
        devices = tuple(sorted({_device(gpu) for gpu in gpus}))
        pythons = tuple(dict.fromkeys(p.minor for p in usable_pythons(profile, pins, request.team)))
        read = _team_on(profile, pythons, request.team) if request.team else _NO_TEAM
        partners = read.partners(pins)
        return Target(
            os=profile.os,
            arch=profile.arch,
            glibc=_readable("glibc", profile.glibc) if profile.glibc else (),
            pythons=read.pythons or pythons,
            runtime=runtime,
            variant=pins.variant if runtime == "cuda" else None,
            driver=_driver(profile, devices) if devices else None,
            devices=devices,
            torch=pins.torch or read.family.torch,
            partners=tuple(f"{name}{specifier}" for name, specifier in partners.items()),
            requirements=pins.requirements,
            constraints=tuple(constraints),
            sources=tuple(sources),
            optional_sources=tuple(optional_sources),
            team=read.target,
        )
    except _BlockedError as blocked:
        return blocked.blocker


@dataclass(frozen=True, slots=True)
class _TeamOnHost:
    """How a team's file reads on a host."""

    family: FamilyPins
    target: TeamTarget | None
    pythons: tuple[str, ...]
    """Those of the host's interpreters on which it says the same as on the newest."""

    def partners(self, pins: Pins) -> dict[str, str]:
        """Return torchvision and torchaudio as they are asked for.

        Their versions in the file are those of the file's torch.
        """
        same = not pins.torch or pins.torch == self.family.torch
        asked = {name: spec if same else "" for name, spec in self.family.partners.items()}
        return {
            name: str(SpecifierSet(asked.get(name, "")) & SpecifierSet(pins.partners.get(name, "")))
            for name in sorted({*asked, *pins.partners})
        }


_NO_TEAM = _TeamOnHost(FamilyPins(), None, ())


def _team_on(profile: Profile, pythons: Sequence[str], team: Team) -> _TeamOnHost:
    said = [_pins_of(team, profile.os, profile.arch, python) for python in pythons]
    alike = tuple(python for python, pins in zip(pythons, said, strict=True) if pins == said[0])
    return _TeamOnHost(family_pins(said[0]), read_team_target(team, said[0]), alike)


@lru_cache(maxsize=256)
def _pins_of(team: Team, os: OperatingSystem, arch: str, python: str) -> list[Pin]:
    return applying(team, marker_environment(os, arch, python))


def by_reach(profile: Profile) -> list[Profile]:
    """Return a host with the interpreters that everyone can run, and then with others besides.

    The first that a choice is found for counts: what root deploys is for every user of the host.
    """
    groups = [[p for p in profile.pythons if p.reach in REACHES[: n + 1]] for n in range(3)]
    distinct = dict.fromkeys(tuple(group) for group in groups if group)
    return [profile.model_copy(update={"pythons": group}) for group in distinct] or [profile]


def by_pins(profile: Profile, request: Request) -> list[Profile]:
    """Return a host with those interpreters at a time for which a team's file says the same.

    The newest come first: the first that a choice is found for counts.
    """
    if request.team is None:
        return [profile]
    try:
        usable = usable_pythons(profile, read_pins(request), request.team)
    except _BlockedError:
        return [profile]
    groups: list[tuple[list[Pin], list[Python]]] = []
    for python in usable:
        said = _pins_of(request.team, profile.os, profile.arch, python.minor)
        alike = next((members for pins, members in groups if pins == said), None)
        if alike is None:
            groups.append((said, alike := []))
        alike.append(python)
    return [profile.model_copy(update={"pythons": tuple(members)}) for _, members in groups]


def on_python(profile: Profile, request: Request, minor: str) -> Profile:
    """Return that part of a host by ``by_pins`` that has a minor version of Python."""
    parts = by_pins(profile, request)
    return next((p for p in parts if any(py.minor == minor for py in p.pythons)), profile)


def has_gpu(profile: Profile) -> bool:
    """Whether there is an NVIDIA GPU, working or not."""
    return bool(profile.gpus) or profile.driver.state is not DriverState.NO_GPU


def _works(profile: Profile) -> bool:
    return bool(profile.gpus) and profile.driver.state is DriverState.OK


def _runtime(profile: Profile, pins: Pins, tested: bool) -> Literal["cpu", "cuda"]:
    """Return what the wheels compute on."""
    label, accelerator, gpu = pins.label, pins.accelerator, has_gpu(profile)
    if label and accelerator not in ("auto", "cuda" if not label.cpu else "cpu", str(label)):
        raise _BlockedError(f"torch asks for {label} and accelerator for {accelerator}")
    if accelerator == "cpu":
        return "cpu"
    if label and label.cpu:
        if gpu:
            why = "torch asks for CPU wheels on a host with an NVIDIA GPU"
            raise _BlockedError(why, "accelerator: cpu says that this is meant")
        return "cpu"
    if accelerator == "auto" and pins.variant is None:
        return "cuda" if gpu else "cpu"
    if not gpu and tested:
        asked = f"accelerator is {accelerator}" if accelerator != "auto" else f"torch is {label}"
        raise _BlockedError(
            f"{asked}, but the host has no NVIDIA GPU to test CUDA wheels on",
            "smoke: none says that the host only holds the environment, as an image or login node",
        )
    return "cuda"


def _served_gpus(profile: Profile, request: Request) -> tuple[Gpu, ...]:
    """Return the GPUs that have to be served, once the driver is known to work."""
    driver = profile.driver
    if driver.state not in (DriverState.OK, DriverState.NO_GPU):
        raise _broken(profile.os, driver.state, driver.detail)
    if not profile.gpus:
        raise _broken(profile.os, DriverState.NO_DEVICES)
    if not driver.version:
        raise _broken(profile.os, DriverState.NO_DRIVER)
    if request.gpus == ():
        raise _BlockedError("gpus: the list is empty", "accelerator: cpu takes CPU wheels")
    for wanted in request.gpus or ():
        if not any(_is(gpu, wanted) for gpu in profile.gpus):
            there = ", ".join(f"{gpu.index} {gpu.name}" for gpu in profile.gpus)
            raise _BlockedError(f"gpus: the host has no GPU {wanted}", f"it has {there}")
    return selected_gpus(profile.gpus, request)


def selected_gpus(gpus: tuple[Gpu, ...], request: Request) -> tuple[Gpu, ...]:
    """Return those of some GPUs that a request names; all of them where it names none."""
    if request.gpus is None:
        return gpus
    return tuple(gpu for gpu in gpus if any(_is(gpu, want) for want in request.gpus))


def _broken(os: OperatingSystem, state: DriverState, detail: str = "") -> _BlockedError:
    meaning, repair = explain_state(state, os)
    said = f" ({detail})" if detail else ""
    return _BlockedError(f"driver {state.value}: {meaning}{said}", repair)


def _is(gpu: Gpu, wanted: int | str) -> bool:
    """Whether an index, a UUID or a name from the inventory means a GPU."""
    if isinstance(wanted, int):
        return gpu.index == wanted
    return wanted == gpu.uuid or name_words(wanted) == name_words(gpu.name)


def _device(gpu: Gpu) -> Capability:
    """Return the compute capability of a GPU, from its name if need be."""
    for found in (gpu.compute_capability, capability_of(gpu.name)):
        if found and re.fullmatch(r"[0-9]{1,2}\.[0-9]", found):
            major, minor = found.split(".")
            return int(major), int(minor)
    alike = ", ".join(nearest(gpu.name))
    raise _BlockedError(
        f"the compute capability of GPU {gpu.index}, {gpu.name}, is not known",
        f"names like it: {alike}" if alike else "install a driver that tells it",
    )


def _driver(profile: Profile, devices: Sequence[Capability]) -> TargetDriver:
    """Return the branch of a driver, and the CUDA that it runs where its number does not tell."""
    version = _readable("driver", profile.driver.version or "")
    board = any(device in INTEGRATED for device in devices)
    ceiling = profile.driver.cuda if board else None
    return TargetDriver(
        system="windows" if profile.os == "windows" or profile.wsl else "linux",
        version=version[:1],
        tegra=all(device in INTEGRATED for device in devices),
        ceiling=_readable("driver's CUDA version", ceiling) if ceiling else (),
    )


def _readable(what: str, text: str) -> Numbers:
    try:
        return numbers(text)
    except ValueError as error:
        raise _BlockedError(f"the {what} of the host cannot be read: {error}") from error


def usable_pythons(profile: Profile, pins: Pins, team: Team | None = None) -> list[Python]:
    """Return the interpreters that may be used, newest first; free-threaded ones only if pinned.

    A team's file may exclude some of them.
    """
    usable = [
        python
        for python in profile.pythons
        if (not python.free_threaded if pins.python is None else python.minor == pins.python)
    ]
    taken = SpecifierSet(team.requires_python if team else "")
    fitting = [p for p in usable if taken.contains(p.version, prereleases=True)]
    if team and usable and not fitting:
        there = ", ".join(dict.fromkeys(python.version for python in usable))
        raise _BlockedError(
            f"{team.path} is for Python {team.requires_python}; the host has {there}",
            "install such a Python there, or change requires-python in the file",
        )
    if fitting:
        return sorted(fitting, key=lambda python: Version(python.version), reverse=True)
    versions = ", ".join(dict.fromkeys(python.minor for python in profile.pythons)) or "none"
    there = "; ".join([versions, *profile.problems])
    wanted = f"Python {pins.python}" if pins.python else "Python that can be used"
    raise _BlockedError(f"the host has no {wanted} (it has {there})", _python_remedy(profile, pins))


def _python_remedy(profile: Profile, pins: Pins) -> str:
    if profile.os != "windows":
        return ""
    if not profile.pythons and any("python.exe" in problem for problem in profile.problems):
        return (
            "the Python that is there is not usable: where others can write to it, install it again"
            " for all users, below Program Files; where it does not run, start it there by hand"
        )
    one = f"Python {pins.python}" if pins.python else "one"
    return f"install {one} for all users, from python.org"

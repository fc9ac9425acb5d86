"""Ways out of a refusal: the host or the request with one thing changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fleetwheel.choosing.compatibility import device_of, dotted, joined
from fleetwheel.choosing.pins import read
from fleetwheel.choosing.situation import Obstacle, has_gpu, served_gpus
from fleetwheel.matrix import Capability, DriverSystem, Matrix, Numbers, numbers
from fleetwheel.profile import Driver, DriverState, Profile, Python
from fleetwheel.request import Request


@dataclass(frozen=True, slots=True)
class Way:
    """A host and a request with one thing changed, and what to call the change."""

    text: str
    """``{python}`` stands for the interpreter that is chosen after the change."""
    profile: Profile
    request: Request
    verb: str = "unlocks"
    steps: bool = False
    """Whether the ways of its kind are steps in one direction, the smallest first."""


def _drivers(profile: Profile, request: Request, matrix: Matrix) -> Iterator[Way]:
    """Each newer driver that brings something, or the last branch that supports an old GPU."""
    if profile.driver.state not in (DriverState.OK, DriverState.NO_DRIVER) or not profile.gpus:
        return
    system: DriverSystem = "windows" if profile.os == "windows" or profile.wsl else "linux"
    devices = [device for device in map(device_of, profile.gpus) if device]
    known = [found for device in devices if (found := matrix.generation(device.capability))]
    lasts = [row.last_driver for row in known if row.last_driver]
    last = min(lasts, key=lambda branch: branch[system], default=None)
    floors: set[Numbers] = {(row.first_driver,) for row in known if row.first_driver}
    for cuda in matrix.cuda.values():
        floors |= {cuda.driver[system], cuda.full[system]}
    now = _read(profile.driver.version)
    for floor in sorted(floor for floor in floors if floor > now):
        if last is None or floor[0] <= last[system]:
            upto = f" (but no newer than branch {last['linux']})" if last else ""
            yield _driver(f"driver {dotted(floor)} or newer{upto}", floor, profile, request)
    if last and now[0] > last[system]:
        text = f"a driver of branch {last['linux']}"
        yield _driver(text, (last[system],), profile, request)


def _read(version: str | None) -> Numbers:
    """Return a version that may be missing or unreadable; such a one counts as the oldest."""
    try:
        return numbers(version or "0")
    except ValueError:
        return (0,)


def _driver(text: str, version: Numbers, profile: Profile, request: Request) -> Way:
    driver = Driver(state=DriverState.OK, version=dotted(version))
    return Way(text, profile.model_copy(update={"driver": driver}), request, steps=True)


def _fewer_gpus(profile: Profile, request: Request, matrix: Matrix) -> Iterator[Way]:
    """Each kind of GPU left out; with more than two kinds, each kind alone as well."""
    served = served_gpus(profile, request)
    if isinstance(served, Obstacle):
        return
    kinds: dict[Capability | str, list[int]] = {}
    for gpu in served:
        device = device_of(gpu)
        kinds.setdefault(device.capability if device else gpu.name, []).append(gpu.index)
    every = {gpu.index for gpu in served}
    if len(kinds) < 2:
        return
    for indexes in kinds.values():
        rest = request.model_copy(update={"gpus": tuple(sorted(every - set(indexes)))})
        yield Way(f"leaving {_gpus(indexes)} out", profile, rest)
    for indexes in kinds.values() if len(kinds) > 2 else ():
        alone = request.model_copy(update={"gpus": tuple(indexes)})
        yield Way(f"serving {_gpus(indexes)} alone", profile, alone)


def _gpus(indexes: Sequence[int]) -> str:
    return f"GPU{'s' if len(indexes) > 1 else ''} {', '.join(map(str, indexes))}"


def _pythons(profile: Profile, request: Request, matrix: Matrix) -> Iterator[Way]:
    """Another interpreter of the host, and every one that torch has wheels for."""
    if request.python:
        yield Way(
            "leaving the python pin out", profile, request.model_copy(update={"python": None})
        )
    minors = {
        minor
        for release in matrix.releases.values()
        for build in release.builds.get((profile.os, profile.arch), {}).values()
        for minor in build.pythons
    }
    pythons = tuple(
        Python(path="", version=minor.rstrip("t") + ".0", free_threaded=minor.endswith("t"))
        for minor in minors
    )
    yield Way("Python {python}", profile.model_copy(update={"pythons": pythons}), request)


def _glibc(profile: Profile, request: Request, matrix: Matrix) -> Iterator[Way]:
    """Each newer glibc that a build needs: that is, a newer distribution."""
    if profile.os != "linux":
        return
    builds = [b for r in matrix.releases.values() for p in r.builds.values() for b in p.values()]
    now = _read(profile.glibc)
    for needed in sorted({build.glibc for build in builds if build.glibc and build.glibc > now}):
        newer = profile.model_copy(update={"glibc": joined(needed)})
        yield Way(
            f"a distribution with glibc {joined(needed)} or newer", newer, request, steps=True
        )


def _pins(profile: Profile, request: Request, matrix: Matrix) -> Iterator[Way]:
    """Each pin left out, and each partner of torch."""
    if request.torch:
        yield Way("leaving the torch pin out", profile, request.model_copy(update={"torch": None}))
    if request.accelerator not in ("auto", "cpu"):
        yield Way("accelerator: auto", profile, request.model_copy(update={"accelerator": "auto"}))
    for name in read(request).partners:
        others = tuple(text for text in request.packages if _project(text) != name)
        yield Way(f"leaving {name} out", profile, request.model_copy(update={"packages": others}))


def _project(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


def _variants(profile: Profile, request: Request, matrix: Matrix) -> Iterator[Way]:
    """CPU wheels for a host with a GPU, and CUDA wheels for one without."""
    if has_gpu(profile):
        cpu = request.model_copy(update={"accelerator": "cpu"})
        yield Way("accelerator: cpu", profile, cpu, verb="takes")
        return
    for name in sorted(matrix.cuda, reverse=True):
        cuda = request.model_copy(update={"accelerator": name})
        yield Way(f"accelerator: {name}", profile, cuda, verb="takes", steps=True)


KINDS = (_drivers, _fewer_gpus, _pythons, _glibc, _pins, _variants)

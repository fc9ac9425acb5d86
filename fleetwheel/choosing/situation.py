"""What wheels have to run on: GPUs, driver and interpreters, or what is wrong with them."""

from dataclasses import dataclass

from packaging.version import Version

from fleetwheel.choosing.compatibility import Device, Host, device_of, driver_problem, host_of
from fleetwheel.choosing.pins import Pins
from fleetwheel.driver_states import explain
from fleetwheel.gpu_names import nearest, words
from fleetwheel.matrix import Matrix
from fleetwheel.profile import DriverState, Gpu, OperatingSystem, Profile, Python
from fleetwheel.request import Request


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why no wheel can be chosen, whatever there is, and what mends that."""

    reason: str
    mend: str = ""


def has_gpu(profile: Profile) -> bool:
    """Whether there is an NVIDIA GPU, working or not."""
    return bool(profile.gpus) or profile.driver.state is not DriverState.NO_GPU


def read_host(profile: Profile, request: Request, pins: Pins, matrix: Matrix) -> Host | Obstacle:
    """Return what the wheels have to run on; no devices where CPU wheels are right."""
    if pins.accelerator == "cpu" or not has_gpu(profile):
        if pins.accelerator == "cuda" and not pins.names_cuda:
            return Obstacle(
                "accelerator is cuda, but the host has no NVIDIA GPU",
                "accelerator: cu130 (or another variant) takes CUDA wheels anyway",
            )
        return _host(profile, ())
    served = served_gpus(profile, request)
    if isinstance(served, Obstacle):
        return served
    return _with_gpus(profile, served, matrix)


def served_gpus(profile: Profile, request: Request) -> tuple[Gpu, ...] | Obstacle:
    """Return the GPUs that have to be served, once the driver is known to work."""
    driver = profile.driver
    if driver.state not in (DriverState.OK, DriverState.NO_GPU):
        return _broken(profile.os, driver.state, driver.detail)
    if not profile.gpus:
        return _broken(profile.os, DriverState.NO_DEVICES)
    if not driver.version:
        return _broken(profile.os, DriverState.NO_DRIVER)
    if request.gpus is None:
        return profile.gpus
    chosen: set[int] = set()
    for wanted in request.gpus:
        matching = {gpu.index for gpu in profile.gpus if _is(gpu, wanted)}
        if not matching:
            there = ", ".join(f"{gpu.index} {gpu.name}" for gpu in profile.gpus)
            return Obstacle(f"gpus: the host has no GPU {wanted}", f"it has {there}")
        chosen |= matching
    if not chosen:
        return Obstacle("gpus: the list is empty", "accelerator: cpu takes CPU wheels")
    return tuple(gpu for gpu in profile.gpus if gpu.index in chosen)


def _broken(os: OperatingSystem, state: DriverState, detail: str = "") -> Obstacle:
    meaning, repair = explain(state, os)
    said = f" ({detail})" if detail else ""
    return Obstacle(f"driver {state.value}: {meaning}{said}", repair)


def _is(gpu: Gpu, wanted: int | str) -> bool:
    """Whether an index, a UUID or a name from the inventory means a GPU."""
    if isinstance(wanted, int):
        return gpu.index == wanted
    return wanted == gpu.uuid or words(wanted) == words(gpu.name)


def _with_gpus(profile: Profile, gpus: tuple[Gpu, ...], matrix: Matrix) -> Host | Obstacle:
    devices: list[Device] = []
    for gpu in gpus:
        device = device_of(gpu)
        if device is None:
            alike = ", ".join(nearest(gpu.name))
            return Obstacle(
                f"the compute capability of GPU {gpu.index}, {gpu.name}, is not known",
                f"names like it: {alike}" if alike else "install a driver that tells it",
            )
        devices.append(device)
    host = _host(profile, tuple(devices))
    if isinstance(host, Obstacle):
        return host
    problems = (driver_problem(device, host, matrix) for device in host.devices)
    problem = next(filter(None, problems), None)
    return Obstacle(problem) if problem else host


def _host(profile: Profile, devices: tuple[Device, ...]) -> Host | Obstacle:
    try:
        return host_of(profile, devices)
    except ValueError as error:
        return Obstacle(f"the driver or glibc of the host cannot be read: {error}")


def usable_pythons(profile: Profile, pins: Pins) -> list[Python] | Obstacle:
    """Return the interpreters that may be used, newest first; free-threaded ones only if pinned."""
    usable = [
        python
        for python in profile.pythons
        if (not python.free_threaded if pins.python is None else python.minor == pins.python)
    ]
    if usable:
        return sorted(usable, key=lambda python: Version(python.version), reverse=True)
    versions = ", ".join(dict.fromkeys(python.minor for python in profile.pythons)) or "none"
    there = "; ".join([versions, *profile.problems])
    wanted = f"Python {pins.python}" if pins.python else "Python that can be used"
    mend = "install one for all users, from python.org" if profile.os == "windows" else ""
    return Obstacle(f"the host has no {wanted} (it has {there})", mend)

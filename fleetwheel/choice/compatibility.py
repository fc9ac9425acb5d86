"""The rule: does a build of torch run on a GPU with a driver, and on a host.

Every function returns None where it runs, else why not in one sentence. Sources: torch's own table
(DEVICE_REQUIREMENT in torch/cuda/__init__.py of 2.15.0) and NVIDIA's CUDA compatibility guide.
"""

from functools import lru_cache

from fleetwheel.choice.target import INTEGRATED, Target, TargetDriver, joined
from fleetwheel.matrix.matrix import Build, Capability, Cuda, Matrix, Numbers

RENAMED: dict[Capability, Capability] = {(10, 1): (11, 0)}
"""Thor was 10.1 before CUDA 13."""
UNIFIED: frozenset[Capability] = frozenset({(7, 2), (8, 7)})
"""Integrated GPUs that run the code of their larger siblings from CUDA 13.2 on."""
UNIFIED_SINCE: Numbers = (13, 2)


def runs_code(code: Capability, device: Capability, cuda: Numbers) -> bool:
    """Whether machine code for ``code`` runs on a GPU: same major, and a minor not above its own.

    Integrated GPUs are the exceptions. ``cuda`` is the version that the code was built with.
    """
    code, device = RENAMED.get(code, code), RENAMED.get(device, device)
    if code == device:
        return True
    if code in INTEGRATED or (
        device in INTEGRATED and (device not in UNIFIED or cuda < UNIFIED_SINCE)
    ):
        return False
    return code[0] == device[0] and code[1] <= device[1]


@lru_cache(maxsize=4096)
def _covers(codes: tuple[Capability, ...], device: Capability, cuda: Numbers) -> bool:
    return any(runs_code(code, device, cuda) for code in codes)


def at_least(driver: Numbers, floor: Numbers) -> bool:
    """Whether a driver is a floor or newer; a bare branch stands for the newest driver of it."""
    return driver >= (floor[:1] if len(driver) == 1 else floor)


def lacks_driver(driver: TargetDriver, cuda: Cuda) -> str | None:
    """Return what a driver lacks to run builds of a CUDA version at all.

    Those of Tegra boards run no newer CUDA than their own.
    """
    if driver.tegra:
        needed = joined(cuda.version)
        return None if supports_fully(driver, cuda) else f"needs a JetPack with CUDA {needed}"
    floor = cuda.driver[driver.system]
    return None if at_least(driver.version, floor) else f"needs driver {dotted(floor)} or newer"


def supports_fully(driver: TargetDriver, cuda: Cuda) -> bool:
    """Whether a driver supports all of a CUDA version, not just its major version."""
    if driver.tegra and driver.ceiling:
        return driver.ceiling >= cuda.version
    return at_least(
        driver.version[:1] if driver.tegra else driver.version, cuda.full[driver.system]
    )


def branch_supports_fully(driver: TargetDriver, cuda: Cuda) -> bool:
    """Whether the newest driver of a branch supports all of a CUDA version.

    Preferences go by it, so that the exact version of a driver decides what runs, and nothing else.
    """
    if driver.tegra:
        return supports_fully(driver, cuda)
    return at_least(driver.version[:1], cuda.full[driver.system])


def gpu_problem(
    build: Build, device: Capability, driver: TargetDriver, cuda: Cuda, matrix: Matrix
) -> str | None:
    """Return why a CUDA build does not run on one GPU with a driver."""
    if lacking := lacks_driver(driver, cuda):
        return lacking
    label = labelled(device, matrix)
    if _covers(build.sm, device, cuda.version):
        if device in build.without_cudnn:
            return f"has code for {label}, but its cuDNN has none"
        return None
    known = matrix.first_cuda(RENAMED.get(device, device)) or matrix.first_cuda(device)
    if build.ptx is None or build.ptx > device or known is None or cuda.version < known:
        return f"has no code for {label}"
    if not supports_fully(driver, cuda):
        full = dotted(cuda.full[driver.system])
        return f"has only PTX for {label}, which needs driver {full} or newer"
    return None


def only_ptx(build: Build, device: Capability, cuda: Cuda) -> bool:
    """Whether a build that runs on a GPU has no machine code for it."""
    return not _covers(build.sm, device, cuda.version)


def driver_problem(target: Target, matrix: Matrix) -> str | None:
    """Return which GPU the driver of a host does not support at all, whatever the build."""
    driver = target.driver
    for device in target.devices if driver else ():
        architecture = matrix.architecture(RENAMED.get(device, device))
        if driver is None or architecture is None:
            continue
        branch, label = driver.version[0], labelled(device, matrix)
        last = architecture.last_driver
        if last and branch > last[driver.system]:
            return (
                f"driver {dotted(driver.version)} no longer supports {label}:"
                f" {architecture.name} ended with branch {last['linux']}"
            )
        if branch < architecture.first_driver:
            return (
                f"driver {dotted(driver.version)} does not know {label}:"
                f" {architecture.name} begins with branch {architecture.first_driver}"
            )
    return None


def build_problem(build: Build, target: Target, matrix: Matrix) -> str | None:
    """Return why a build does not run on a host, interpreters apart."""
    if target.driver and not build.variant.cpu:
        cuda = matrix.cuda[build.variant]
        for device in target.devices:
            if problem := gpu_problem(build, device, target.driver, cuda, matrix):
                return problem
    if build.glibc and not target.glibc:
        return "needs glibc, which the host has not"
    if build.glibc and target.glibc < build.glibc:
        return f"needs glibc {joined(build.glibc)}, the host has {joined(target.glibc)}"
    return None


@lru_cache(maxsize=1024)
def labelled(device: Capability, matrix: Matrix) -> str:
    """Return a kind of GPU for people: ``Pascal (6.1)``."""
    architecture = matrix.architecture(RENAMED.get(device, device))
    return f"{architecture.name if architecture else 'the GPU'} ({joined(device)})"


def dotted(driver: Numbers) -> str:
    """Return a driver version as NVIDIA writes it: ``580.65.06``, ``520.06``."""
    return ".".join(f"{part:02}" for part in driver)

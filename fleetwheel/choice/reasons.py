"""Why a wheel was chosen, or none: a few lines that a person understands."""

from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from fleetwheel.choice.candidates import Candidate, Lost, Resolved
from fleetwheel.choice.compatibility import dotted, labelled, only_ptx, supports_fully
from fleetwheel.choice.target import Target, TargetDriver, joined
from fleetwheel.matrix.matrix import Matrix

SYSTEMS = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}


def of_choice(
    candidate: Candidate,
    resolved: Resolved,
    target: Target,
    matrix: Matrix,
    lost: Sequence[Lost],
) -> tuple[str, ...]:
    """Return why a candidate was taken."""
    lines = [_newest(candidate, target, matrix, lost), *_device(candidate, target, matrix)]
    place = f" in {candidate.source.name}" if candidate.source else ""
    lines.append(f"there is a wheel for {_where(target)}, Python {resolved.python}{place}")
    if candidate.build and candidate.build.confidence == "low":
        lines.append("what this build was compiled for is inferred, not read from it")
    asked = {Requirement(text).name for text in target.requirements}
    lines += [
        f"{limit.requirement}: {limit.why}"
        for limit in matrix.limits_of(candidate.version, candidate.variant, target.platform)
        if Requirement(limit.requirement).name in asked
    ]
    return tuple(lines)


def _newest(candidate: Candidate, target: Target, matrix: Matrix, lost: Sequence[Lost]) -> str:
    for loss in lost:
        if loss.candidate.version > candidate.version:
            return f"newest torch that runs here; {loss.candidate.name} {loss.reason}"
    newest = max(filter(target.allows, matrix.releases), default=candidate.version)
    if candidate.source and newest > candidate.version:
        kind = "CUDA" if target.devices else str(candidate.variant)
        return f"newest torch here; {newest} is out, but no source that answers has it as {kind}"
    pins = [*([pin_of(target)] if target.torch else []), *_constraints_on_torch(target)]
    return f"newest torch that {', '.join(pins)} allows" if pins else "newest torch"


def _constraints_on_torch(target: Target) -> list[str]:
    return [text for text in target.constraints if Requirement(text).name == "torch"]


def pin_of(target: Target) -> str:
    """Return a torch pin for people: ``2.14.1`` for ``==2.14.1``, ``2.14`` for ``==2.14.*``."""
    text = target.torch
    exact = text.startswith("==") and "," not in text
    return text.removeprefix("==").removesuffix(".*") if exact else text


def _device(candidate: Candidate, target: Target, matrix: Matrix) -> list[str]:
    variant, driver = candidate.variant, target.driver
    if driver is None or variant is None:
        if target.runtime == "cuda":
            return [f"{variant} was asked for by name, for a host that tests nothing"]
        return ["no NVIDIA GPU has to be served"]
    cuda = matrix.cuda[variant]
    how = f"supports CUDA {joined(cuda.version)} fully"
    if not supports_fully(driver, cuda):
        floor = dotted(cuda.driver[driver.system])
        how = f"runs CUDA {joined(cuda.version)} by minor-version compatibility ({floor} or newer)"
    lines = [f"{variant} has code for {_gpus(target, matrix)}; driver {driver_name(driver)} {how}"]
    build = candidate.build
    lines += [
        f"only PTX for {labelled(device, matrix)}: the driver compiles it at the first use"
        for device in target.devices
        if build and only_ptx(build, device, cuda)
    ]
    return lines


def of_refusal(
    target: Target, matrix: Matrix, lost: Sequence[Lost], *, offline: bool
) -> tuple[str, ...]:
    """Return why nothing could be taken: the whole in one line, then what the newest lack."""
    if not any(loss.candidate.variant for loss in lost):
        strangers = [f"{loss.candidate.name} {loss.reason}" for loss in lost[:1]]
        return (_nothing(target, matrix, offline), *strangers)
    on = "the CPU" if target.runtime == "cpu" else str(target.variant or "CUDA")
    if target.driver:
        on = f"{_gpus(target, matrix)} with driver {driver_name(target.driver)}"
    lines = [f"no torch wheel runs on {on}, {_where(target)}, Python {', '.join(target.pythons)}"]
    by_reason: dict[str, Candidate] = {}
    for loss in lost:
        by_reason.setdefault(loss.reason, loss.candidate)
    lines += [f"{candidate.name} {reason}" for reason, candidate in list(by_reason.items())[:3]]
    return tuple(lines)


def _nothing(target: Target, matrix: Matrix, offline: bool) -> str:
    """Return why there was not even something to reject."""
    pinned = f" of torch {pin_of(target)}" if target.torch else ""
    oldest, newest = min(matrix.releases), max(matrix.releases)
    if not any(target.allows(version) for version in matrix.releases):
        asked = f"torch {pin_of(target)}" if target.torch else "every torch that is known"
        if any(SpecifierSet(target.torch).contains(version) for version in matrix.releases):
            return f"pip's constraint {', '.join(_constraints_on_torch(target))} forbids {asked}"
        return (
            f"there is no {asked}: this fleetwheel's matrix begins with {oldest} and ends with"
            f" {newest}"
        )
    kind = str(target.variant or ("CUDA" if target.runtime == "cuda" else "CPU"))
    if offline:
        return f"there are no {kind} wheels{pinned} for {_where(target)}"
    return f"the sources that answer hold no {kind} wheels{pinned} for {_where(target)}"


def driver_name(driver: TargetDriver) -> str:
    """Return a driver for people: its branch, or its version where that decides."""
    return dotted(driver.version)


def _where(target: Target) -> str:
    system, arch = target.platform
    glibc = f" with glibc {joined(target.glibc)}" if target.glibc else ""
    return f"{SYSTEMS.get(system, system)} {arch}{glibc}"


def _gpus(target: Target, matrix: Matrix) -> str:
    return " and ".join(labelled(device, matrix) for device in target.devices)

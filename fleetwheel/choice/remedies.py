"""What would turn a refusal into a choice: one thing is changed at a time, and tried."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from packaging.requirements import Requirement
from packaging.version import Version

from fleetwheel.choice.candidates import Stock
from fleetwheel.choice.compatibility import (
    at_least,
    build_problem,
    dotted,
    driver_problem,
    labelled,
)
from fleetwheel.choice.search import Fit, best
from fleetwheel.choice.tags import wheel_tags
from fleetwheel.choice.target import INTEGRATED, Target, TargetDriver, joined
from fleetwheel.matrix.matrix import Capability, Matrix, Numbers, Platform

UPGRADABLE: frozenset[Capability] = frozenset({(8, 7), (10, 1), (11, 0)})
"""Orin and Thor: JetPack 7 serves both; older boards end with an older JetPack."""
PIN_OUT = "leaving the torch pin out"


@dataclass(frozen=True, slots=True)
class Remedy:
    """A target with one thing changed, and what to call the change."""

    text: str
    """``{python}`` stands for the interpreter that is chosen after the change."""
    target: Target
    verb: str = "unlocks"
    steps: bool = False
    """Whether the remedies of its kind are steps in one direction, the smallest first."""


@dataclass(frozen=True, slots=True)
class _Tried:
    remedy: Remedy
    found: Fit


def remedies(target: Target, matrix: Matrix, stock: Stock | None) -> tuple[str, ...]:
    """Return what would change a refusal: ``driver 580.65.06 or newer unlocks 2.15.0+cu132``."""
    lines = [line for kind in KINDS for line in tried(kind(target, matrix, stock), matrix, stock)]
    lines += _elsewhere(target, matrix)
    if not lines and stock is not None and (found := try_out(target, matrix, None)):
        lines.append(f"a wheel source that holds {found.candidate.name} unlocks it")
    return (*lines, *tried(cpu_wheels(target, matrix, stock), matrix, stock))


def tried(changes: Iterable[Remedy], matrix: Matrix, stock: Stock | None) -> list[str]:
    """Return those changes of one kind that lead to a choice, each with what it leads to."""
    leading = [
        _Tried(remedy, found)
        for remedy in changes
        if (found := try_out(remedy.target, matrix, stock))
    ]
    return [_line(each) for each in _telling(leading)]


def try_out(target: Target, matrix: Matrix, stock: Stock | None) -> Fit | None:
    """Return what a target would get; None where it would be refused."""
    return None if driver_problem(target, matrix) else best(target, matrix, stock)


def _telling(tried: Sequence[_Tried]) -> list[_Tried]:
    """Of steps of one kind, keep the smallest, and the one that leads to the newest release."""
    if not tried or not tried[0].remedy.steps:
        return list(tried)
    furthest = max(tried, key=lambda each: each.found.candidate.version)
    newer = furthest.found.candidate.version > tried[0].found.candidate.version
    return [tried[0], furthest] if newer else [tried[0]]


def _line(tried: _Tried) -> str:
    text = tried.remedy.text.format(python=tried.found.resolved.python)
    return f"{text} {tried.remedy.verb} {tried.found.candidate.name}"


def newer_drivers(target: Target, matrix: Matrix, stock: Stock | None) -> Iterator[Remedy]:
    """Each newer driver that brings something, or the last branch that supports an old GPU."""
    driver = target.driver
    if driver is None or driver.tegra:
        yield from _newer_jetpacks(target, matrix)
        return
    known = [found for code in target.devices if (found := matrix.architecture(code))]
    lasts = [found.last_driver for found in known if found.last_driver]
    last = min(lasts, key=lambda branches: branches[driver.system], default=None)
    newest = last[driver.system] if last else None
    for floor in driver_floors(driver, target, matrix):
        if newest is None or floor[0] <= newest:
            upto = f" (but no newer than branch {last['linux']})" if last else ""
            text = f"driver {dotted(floor)} or newer{upto}"
            yield Remedy(text, _with(floor, target, driver, matrix, stock), steps=True)
    if last and newest and driver.version[0] > newest:
        text = f"a driver of branch {last['linux']}"
        branch = (last["linux"],)
        yield Remedy(text, _with(branch, target, driver, matrix, stock), steps=True)


def _newer_jetpacks(target: Target, matrix: Matrix) -> Iterator[Remedy]:
    """Each newer CUDA that a JetPack can bring: a board takes its driver from there alone."""
    if target.driver is None or not UPGRADABLE.issuperset(target.devices):
        return
    for version in sorted({cuda.version for cuda in matrix.cuda.values()}):
        if version > target.driver.ceiling:
            driver = target.driver.model_copy(update={"ceiling": version})
            text = f"a JetPack with CUDA {joined(version)} or newer"
            yield Remedy(text, target.model_copy(update={"driver": driver}), steps=True)


def driver_floors(driver: TargetDriver, target: Target, matrix: Matrix) -> list[Numbers]:
    """Return every version from which a newer driver brings something, ascending.

    The first branch of an architecture counts as its first version, ``450.0``: that branch alone
    promises no floor inside it.
    """
    found = {cuda.driver[driver.system] for cuda in matrix.cuda.values()}
    found |= {cuda.full[driver.system] for cuda in matrix.cuda.values()}
    architectures = (matrix.architecture(code) for code in target.devices)
    found |= {(a.first_driver,) for a in architectures if a and a.first_driver}
    return sorted(floor for floor in found if not at_least(driver.version, floor))


def _with(
    version: Numbers, target: Target, driver: TargetDriver, matrix: Matrix, stock: Stock | None
) -> Target:
    """Return the target of the oldest driver that a floor allows, as a host with it would have."""
    oldest = version if len(version) > 1 else (*version, 0)
    branch, own = (
        target.model_copy(update={"driver": driver.model_copy(update={"version": each})})
        for each in (version[:1], oldest)
    )
    found = try_out(branch, matrix, stock)
    return branch if found and not build_problem(found.build, own, matrix) else own


def _fewer_gpus(target: Target, matrix: Matrix, stock: Stock | None) -> Iterator[Remedy]:
    """Each kind of GPU left out; with more than two kinds, each kind alone as well."""
    if len(target.devices) < 2:
        return
    for device in target.devices:
        rest = tuple(other for other in target.devices if other != device)
        yield Remedy(f"gpus: leaving {labelled(device, matrix)} out", _serving(rest, target))
    for device in target.devices if len(target.devices) > 2 else ():
        alone = _serving((device,), target)
        yield Remedy(f"gpus: serving {labelled(device, matrix)} alone", alone)


def _serving(devices: tuple[Capability, ...], target: Target) -> Target:
    tegra = all(device in INTEGRATED for device in devices)
    driver = target.driver and target.driver.model_copy(update={"tegra": tegra})
    return target.model_copy(update={"devices": devices, "driver": driver})


def _pythons(target: Target, matrix: Matrix, stock: Stock | None) -> Iterator[Remedy]:
    """The newest interpreter that all of the wheel set serves."""
    proven = proven_pythons(target.platform, matrix)
    minors = tuple(minor for minor in proven if _served(minor, target, stock))
    if minors:
        yield Remedy("Python {python}", target.model_copy(update={"pythons": minors}))


@lru_cache(maxsize=64)
def proven_pythons(platform: Platform, matrix: Matrix) -> tuple[str, ...]:
    """Return the minor versions that more than one series of torch serves, the newest first.

    What else an environment needs has seldom wheels for one that only the newest torch serves.
    """
    by_minor: dict[str, set[tuple[int, ...]]] = {}
    for version, release in matrix.releases.items():
        for build in release.builds.get(platform, {}).values():
            for minor in build.pythons:
                by_minor.setdefault(minor, set()).add(version.release[:2])
    proven = [minor for minor, series in by_minor.items() if len(series) > 1]
    with_gil = (minor for minor in proven if not minor.endswith("t"))
    return tuple(sorted(with_gil, key=Version, reverse=True))


def _served(minor: str, target: Target, stock: Stock | None) -> bool:
    """Whether the sources have wheels for an interpreter of all that was asked for beside torch."""
    if stock is None:
        return True
    tags = wheel_tags(minor, target.platform, target.glibc)
    names = [Requirement(text).name for text in target.requirements]
    listed = {
        name: [wheel for shelf in stock.values() for wheel in shelf.get(name, ())] for name in names
    }
    return all(
        any(not wheel.tags.isdisjoint(tags) for wheel in wheels)
        for wheels in listed.values()
        if wheels
    )


def _glibc(target: Target, matrix: Matrix, stock: Stock | None) -> Iterator[Remedy]:
    """Each newer glibc that a build needs: that is, a newer distribution."""
    if target.os != "linux":
        return
    builds = [b for r in matrix.releases.values() for p in r.builds.values() for b in p.values()]
    for needed in sorted({b.glibc for b in builds if b.glibc and b.glibc > target.glibc}):
        newer = target.model_copy(update={"glibc": needed})
        yield Remedy(f"a distribution with glibc {joined(needed)} or newer", newer, steps=True)


def _pins(target: Target, matrix: Matrix, stock: Stock | None) -> Iterator[Remedy]:
    """Each pin left out, each constraint, and each partner of torch."""
    if target.torch:
        free = target.model_copy(update={"torch": ""})
        of_file = target.team is not None and target.team.torch == target.torch
        text = "torch: of the environment, over the team's file," if of_file else PIN_OUT
        yield Remedy(text, free)
    if target.variant and target.devices:
        free = target.model_copy(update={"variant": None})
        yield Remedy(f"leaving {target.variant} out", free)
    for constraint in target.constraints:
        rest = tuple(other for other in target.constraints if other != constraint)
        text = f"lifting pip's constraint {constraint}"
        yield Remedy(text, target.model_copy(update={"constraints": rest}))
    for partner in target.partners:
        others = tuple(other for other in target.partners if other != partner)
        text = f"leaving {Requirement(partner).name} out"
        yield Remedy(text, target.model_copy(update={"partners": others}))


def cpu_wheels(target: Target, matrix: Matrix, stock: Stock | None) -> Iterator[Remedy]:
    """CPU wheels for a host with a GPU."""
    if target.devices:
        asked = {"runtime": "cpu", "variant": None, "driver": None, "devices": ()}
        yield Remedy("accelerator: cpu", target.model_copy(update=asked), verb="takes")


def _elsewhere(target: Target, matrix: Matrix) -> list[str]:
    """Say who builds torch for a Tegra board whose CUDA no official build fits."""
    if target.driver is None or not target.driver.tegra:
        return []
    return [
        "NVIDIA's Jetson AI Lab has wheels for each JetPack's own CUDA; they name no variant, so"
        " fleetwheel does not choose among them: install one by hand",
    ]


KINDS = (newer_drivers, _fewer_gpus, _pythons, _glibc, _pins)

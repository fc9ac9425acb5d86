"""What one host gets: its target's choice, its own where its driver decides, or what blocks it."""

from collections.abc import Callable, Iterator
from typing import Any

from fleetwheel.choice.candidates import Stock
from fleetwheel.choice.choose import Choice, Refusal, choose, runs
from fleetwheel.choice.compatibility import build_problem
from fleetwheel.choice.remedies import Remedy, newer_drivers, proven_pythons, tried, try_out
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import Blocker, Target, by_pins, by_reach, has_gpu, read_target
from fleetwheel.host.profile import Driver, DriverState, Profile, Python
from fleetwheel.matrix.matrix import Matrix, numbers

Read = Callable[[Profile, Request], Target | Blocker]
"""Reads a host and its request as ``read_target`` does, with what else is known of them."""


def answer(
    profile: Profile, request: Request, matrix: Matrix, stock: Stock | None
) -> Choice | Refusal:
    """Return the wheel set for a host, or why there is none; pip's constraints are not looked at.

    Raises FleetwheelError where the request cannot be read.
    """
    refusals: list[Refusal] = []
    for reached in by_reach(profile):
        refusals = []
        for part in by_pins(reached, request):
            found = _answer(part, request, matrix, stock)
            if isinstance(found, Choice):
                return found
            refusals.append(found)
    return refusals[0]


def _answer(
    profile: Profile, request: Request, matrix: Matrix, stock: Stock | None
) -> Choice | Refusal:
    target = read_target(profile, request)
    if isinstance(target, Blocker):
        return refusal_of(target, profile, request, matrix, stock)
    found = choose(target, matrix, stock)
    own = narrowed(target, found, profile, matrix)
    return choose(own, matrix, stock) if own else found


def narrowed(
    target: Target, found: Choice | Refusal, profile: Profile, matrix: Matrix
) -> Target | None:
    """Return the target of a host whose exact driver decides; None where its branch does.

    A branch stands for its newest driver. That is too new for some choices, and for what a refusal
    says would change it.
    """
    own = exact(target, profile)
    if isinstance(found, Refusal):
        return own if own != target else None
    return own if runs(found, own, matrix) else None


def exact(target: Target, profile: Profile) -> Target:
    """Return a host's target with the exact version of its driver."""
    if target.driver is None:
        return target
    return target.with_driver(numbers(profile.driver.version or ""))


def refusal_of(
    blocker: Blocker,
    profile: Profile,
    request: Request,
    matrix: Matrix,
    stock: Stock | None,
    read: Read = read_target,
) -> Refusal:
    """Return the refusal of a host that no wheel can be chosen for, with what was tried."""
    lines = [blocker.remedy] if blocker.remedy else []
    for kind in WAYS:
        lines += tried(kind(profile, request, matrix, stock, read), matrix, stock)
    return Refusal(reasons=(blocker.reason,), unlocks=tuple(lines))


def ways_out(
    profile: Profile, request: Request, matrix: Matrix, read: Read = read_target
) -> list[Target]:
    """Return the targets that ``refusal_of`` tries, so that the sources are asked for them too."""
    return [way.target for kind in WAYS for way in kind(profile, request, matrix, None, read)]


def _with_driver(
    profile: Profile, request: Request, matrix: Matrix, stock: Stock | None, read: Read
) -> Iterator[Remedy]:
    """Each driver that a host without one could install."""
    if profile.driver.state is DriverState.NO_DRIVER and profile.gpus:
        oldest = Driver(state=DriverState.OK, version="1")
        target = read(profile.model_copy(update={"driver": oldest}), request)
        if isinstance(target, Target):
            yield from newer_drivers(target, matrix, stock)


def _with_request(
    profile: Profile, request: Request, matrix: Matrix, stock: Stock | None, read: Read
) -> Iterator[Remedy]:
    """CPU wheels for a host with a GPU, and each pin left out."""
    changes: dict[str, dict[str, Any]] = {
        "accelerator: cpu": {"accelerator": "cpu"} if has_gpu(profile) else {},
        "accelerator: auto": {"accelerator": "auto"} if request.accelerator != "auto" else {},
        "leaving gpus out": {"gpus": None} if request.gpus is not None else {},
        "leaving the torch pin out": {"torch": None} if request.torch else {},
        "leaving the python pin out": {"python": None} if request.python else {},
    }
    for text, change in changes.items():
        target = read(profile, request.model_copy(update=change)) if change else None
        if isinstance(target, Target):
            verb = "takes" if target.runtime == "cpu" else "unlocks"
            yield Remedy(text, _own(target, profile, matrix, stock), verb=verb)


def _with_python(
    profile: Profile, request: Request, matrix: Matrix, stock: Stock | None, read: Read
) -> Iterator[Remedy]:
    """The newest interpreter that the wheel set serves."""
    minors = proven_pythons((profile.os, profile.arch), matrix)
    pythons = tuple(Python(path="", version=f"{minor}.0") for minor in minors)
    target = read(profile.model_copy(update={"pythons": pythons}), request)
    if isinstance(target, Target):
        yield Remedy("Python {python}", _own(target, profile, matrix, stock))


def _own(target: Target, profile: Profile, matrix: Matrix, stock: Stock | None) -> Target:
    """Return the target that decides for a host: its driver's branch, or its exact version."""
    own, found = exact(target, profile), try_out(target, matrix, stock)
    return target if found and not build_problem(found.build, own, matrix) else own


WAYS = (_with_driver, _with_request, _with_python)

"""What would turn a refusal into a choice: one thing is changed at a time, and tried."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetwheel.choosing.offers import Fit, Offer, Stock
from fleetwheel.choosing.reasons import named
from fleetwheel.choosing.search import ask, best
from fleetwheel.choosing.situation import Obstacle, has_gpu
from fleetwheel.choosing.ways import KINDS, Way
from fleetwheel.matrix import Matrix
from fleetwheel.profile import Profile
from fleetwheel.request import Request


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A change, and what is chosen after it."""

    way: Way
    offer: Offer
    fit: Fit


def unlocks(
    profile: Profile, request: Request, matrix: Matrix, stock: Stock | None
) -> tuple[str, ...]:
    """Return what would change a refusal: ``driver 580.65.06 or newer unlocks 2.15.0+cu132``."""
    lines: list[str] = []
    for kind in KINDS:
        ways = kind(profile, request, matrix)
        found = [Unlocked(way, *fits) for way in ways if (fits := _try(way, matrix, stock))]
        lines += [_line(unlocked, matrix) for unlocked in _telling(found)]
    if not lines and stock is not None:
        fits = _try(Way("", profile, request), matrix, None)
        lines += [f"a wheel source that holds {named(fits[0])} unlocks it"] if fits else []
    return tuple(lines)


def _try(way: Way, matrix: Matrix, stock: Stock | None) -> tuple[Offer, Fit] | None:
    question = ask(way.profile, way.request, matrix, stock)
    return None if isinstance(question, Obstacle) else best(question)


def _telling(found: Sequence[Unlocked]) -> list[Unlocked]:
    """Of steps of one kind, keep the smallest, and the one that leads to the newest release."""
    if not found or not found[0].way.steps:
        return list(found)
    furthest = max(found, key=lambda unlocked: unlocked.offer.version)
    return [found[0]] + ([furthest] if furthest.offer.version > found[0].offer.version else [])


def _line(unlocked: Unlocked, matrix: Matrix) -> str:
    way, offer = unlocked.way, unlocked.offer
    text = way.text.format(python=unlocked.fit.python.minor)
    return f"{text} {way.verb} {named(offer)}{_download(unlocked, matrix)}"


def _download(unlocked: Unlocked, matrix: Matrix) -> str:
    """Return how much a CPU host would fetch for CUDA wheels, where that is known."""
    profile, offer = unlocked.way.profile, unlocked.offer
    if has_gpu(profile) or offer.variant == "cpu":
        return ""
    release = matrix.release(offer.version)
    if release and release.download_gb and profile.os == "linux":
        return f", about {release.download_gb:.1f} GB"
    return f", {unlocked.fit.size / 1e9:.1f} GB" if unlocked.fit.size else ""

"""The choice: the newest torch that runs on every GPU of a host, or a refusal with its reason."""

from collections.abc import Iterable, Sequence

from packaging.version import InvalidVersion, Version

from fleetwheel.choosing import reasons
from fleetwheel.choosing.compatibility import host_problem
from fleetwheel.choosing.offers import Fit, Offer, known, partners_of, stock_of
from fleetwheel.choosing.pins import read
from fleetwheel.choosing.search import Lost, Question, ask, judge, preference
from fleetwheel.choosing.situation import Obstacle, has_gpu, read_host
from fleetwheel.choosing.unlocks import unlocks
from fleetwheel.matrix import Matrix
from fleetwheel.profile import Profile, Python, Value
from fleetwheel.request import Request
from fleetwheel.wheel import Source, Wheel

SHOWN = 12
"""Rejected alternatives that a choice or a refusal carries."""
WORTH_ASKING = 3
"""Series of releases whose variants are worth asking the official index for."""


class Rejection(Value):
    """A release in one variant that was considered and not taken."""

    torch: str
    variant: str
    reason: str


class Choice(Value):
    """The wheel set for one host, and why."""

    torch: str
    """Public version, such as ``2.13.0``."""
    variant: str
    """``cpu`` or ``cu130``."""
    packages: dict[str, str]
    """The torch family pinned: ``{"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}``."""
    requirements: tuple[str, ...] = ()
    """Everything else that was asked for, as it was asked for."""
    python: Python
    source: Source | None = None
    """Where the torch family comes from; None when only the matrix was asked."""
    reasons: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()


class Refusal(Value):
    """No wheel set serves the host: why, and what would change it."""

    reasons: tuple[str, ...]
    unlocks: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()


def choose(
    profile: Profile, request: Request, matrix: Matrix, wheels: Sequence[Wheel] | None
) -> Choice | Refusal:
    """Return the wheel set for a host, or why there is none.

    ``wheels`` is what the sources hold of the torch family, in the order of preference of the
    sources; None is offline, where the matrix alone decides.
    Raises FleetwheelError where the request cannot be read.
    """
    stock = None if wheels is None else stock_of(wheels)
    question = ask(profile, request, matrix, stock)
    if isinstance(question, Obstacle):
        ways = unlocks(profile, request, matrix, stock)
        mends = (question.mend, *ways) if question.mend else ways
        return Refusal(reasons=(question.reason,), unlocks=mends)
    lost: list[Lost] = []
    for offer, verdict in judge(question):
        if isinstance(verdict, Fit):
            return _choice(offer, verdict, question, lost)
        lost.append((offer, verdict))
    return Refusal(
        reasons=reasons.of_refusal(question, lost, offline=stock is None),
        unlocks=unlocks(profile, request, matrix, stock),
        rejected=_rejected(lost),
    )


def _choice(offer: Offer, fit: Fit, question: Question, lost: Sequence[Lost]) -> Choice:
    return Choice(
        torch=str(offer.version),
        variant=offer.variant,
        packages=fit.packages,
        requirements=question.pins.requirements,
        python=fit.python,
        source=offer.source,
        reasons=reasons.of_choice(offer, fit, question, lost),
        rejected=_rejected(lost),
    )


def _rejected(lost: Sequence[Lost]) -> tuple[Rejection, ...]:
    """Return the newest release that each variant lost with, for each reason."""
    first: dict[tuple[str, str], Rejection] = {}
    for offer, reason in lost:
        rejection = Rejection(torch=str(offer.version), variant=offer.variant, reason=reason)
        first.setdefault((offer.variant, reason), rejection)
    return tuple(first.values())[:SHOWN]


def explain(
    profile: Profile, request: Request, matrix: Matrix, wheels: Sequence[Wheel] | None
) -> list[Rejection]:
    """Return every offer in the order of preference; those that run say so as their reason."""
    question = ask(profile, request, matrix, None if wheels is None else stock_of(wheels))
    if isinstance(question, Obstacle):
        return []
    return [
        Rejection(
            torch=str(offer.version),
            variant=offer.variant,
            reason=verdict
            if isinstance(verdict, str)
            else f"runs, with Python {verdict.python.minor}",
        )
        for offer, verdict in judge(question)
    ]


def family(request: Request) -> tuple[str, ...]:
    """Return the projects that have to come from one source."""
    return ("torch", *read(request).partners)


def candidate_variants(profile: Profile, request: Request, matrix: Matrix) -> tuple[str, ...]:
    """Return the variants whose official indexes are worth asking, the most promising first.

    Those of the newest releases that would run, builds included that may not be published.
    """
    pins = read(request)
    host = read_host(profile, request, pins, matrix)
    if isinstance(host, Obstacle):
        return ()
    running = [
        offer
        for offer in known(pins, matrix, host.platform)
        if pins.wants(offer.variant, bool(host.devices))
        and not (offer.build and host_problem(offer.build, host, matrix))
        and not isinstance(partners_of(offer, pins, matrix), str)
    ]
    running.sort(key=lambda offer: preference(offer, host, matrix), reverse=True)
    newest = list(dict.fromkeys(offer.version.release[:2] for offer in running))[:WORTH_ASKING]
    return tuple(dict.fromkeys(o.variant for o in running if o.version.release[:2] in newest))


def uniform(
    hosts: Iterable[tuple[Profile, Request]], matrix: Matrix, wheels: Sequence[Wheel] | None
) -> str | None:
    """Return the newest release that all hosts can run; None where they have none in common.

    Hosts that get nothing in any case, such as one with a broken driver, do not count.
    """
    stock = None if wheels is None else stock_of(wheels)
    common: set[Version] | None = None
    for profile, request in hosts:
        question = ask(profile, request, matrix, stock)
        if isinstance(question, Obstacle):
            continue
        running = {offer.version for offer, fit in judge(question) if isinstance(fit, Fit)}
        common = running if common is None else common & running
    return str(max(common)) if common else None


def runs(
    torch: str, variant: str, profile: Profile, request: Request, matrix: Matrix
) -> str | None:
    """Return None where a release in a variant still runs on a host, else why not.

    Interpreters, pins and sources are not looked at: this is for keeping an existing lock.
    """
    pins = read(request)
    host = read_host(profile, request, pins, matrix)
    if isinstance(host, Obstacle):
        return host.reason
    if not pins.wants(variant, bool(host.devices)):
        there = "an NVIDIA GPU" if has_gpu(profile) else "no NVIDIA GPU"
        return f"the host has {there}, the wheels are {variant}"
    try:
        build = matrix.build(Version(torch), variant, host.platform)
    except InvalidVersion:
        return f"{torch!r} is no version"
    if build is None:
        return f"{torch}+{variant} is not in the matrix for {' '.join(host.platform)}"
    return host_problem(build, host, matrix)

"""The choice: the newest torch that runs on every GPU of a target, or a refusal with its reason."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from packaging.requirements import Requirement
from packaging.version import Version
from pydantic import AfterValidator

from fleetwheel.choice import reasons
from fleetwheel.choice.candidates import Candidate, Lost, Stock, known, partners_of
from fleetwheel.choice.compatibility import build_problem, driver_problem
from fleetwheel.choice.remedies import remedies
from fleetwheel.choice.search import Fit, Veto, judge, preference
from fleetwheel.choice.target import Target
from fleetwheel.host.profile import Python
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.matrix.variant import Variant
from fleetwheel.sources.wheel import Source
from fleetwheel.value import Value

SHOWN = 12
"""Rejected alternatives that a choice or a refusal carries."""
LONGEST = 200
"""Characters of a version; hosts send choices back in their records and locks."""
LONGEST_REQUIREMENT = 5000
"""Those of a requirement, which may hold the path of a wheel and its hash."""
WORTH_ASKING = 3
"""Series of releases whose variants are worth asking the official index for."""


class Rejection(Value):
    """A release in one variant that was considered and not taken."""

    torch: str
    variant: str
    reason: str


def _version(text: str) -> str:
    Version(_short(text))
    return text


def _requirement(text: str) -> str:
    Requirement(_short(text, LONGEST_REQUIREMENT))
    return text


def _short(text: str, most: int = LONGEST) -> str:
    if len(text) > most:
        raise ValueError(f"more than {most} characters")
    return text


def _with_torch(packages: dict[str, str]) -> dict[str, str]:
    if "torch" not in packages:
        raise ValueError("torch is not among them")
    return packages


class Choice(Value):
    """The wheel set for one target, and why."""

    torch: Annotated[str, AfterValidator(_version)]
    """Public version, such as ``2.13.0``."""
    variant: Variant
    packages: Annotated[
        dict[str, Annotated[str, AfterValidator(_version)]], AfterValidator(_with_torch)
    ]
    """The torch family pinned: ``{"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}``."""
    requirements: tuple[Annotated[str, AfterValidator(_requirement)], ...] = ()
    """Everything else that was asked for."""
    limits: tuple[str, ...] = ()
    """What the release does not work without: ``numpy<2``."""
    python: Python
    """The interpreter's version; its path only in the record of a host."""
    source: Source | None = None
    """Where the torch family comes from; None when only the matrix was asked."""
    reasons: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()


class Refusal(Value):
    """No wheel set serves the target: why, and what would change it."""

    reasons: tuple[str, ...]
    unlocks: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()


def choose(
    target: Target, matrix: Matrix, stock: Stock | None, veto: Veto | None = None
) -> Choice | Refusal:
    """Return the wheel set for a target, or why there is none.

    ``stock`` is what the sources hold of the torch family; None is offline, where the matrix alone
    decides. ``veto`` speaks for what cannot be seen here: what can be locked together.
    """
    if problem := driver_problem(target, matrix):
        return Refusal(reasons=(problem,), unlocks=remedies(target, matrix, stock))
    passed_over: list[Lost] = []
    for verdict in judge(target, matrix, stock, veto):
        if isinstance(verdict, Fit):
            return _choice(verdict, target, matrix, passed_over)
        passed_over.append(verdict)
    return Refusal(
        reasons=reasons.of_refusal(target, matrix, passed_over, offline=stock is None),
        unlocks=remedies(target, matrix, stock),
        rejected=_rejected(passed_over),
    )


def _choice(found: Fit, target: Target, matrix: Matrix, lost: Sequence[Lost]) -> Choice:
    candidate, resolved = found.candidate, found.resolved
    limits = matrix.limits_of(candidate.version, found.build.variant, target.platform)
    return Choice(
        torch=str(candidate.version),
        variant=found.build.variant,
        packages=resolved.packages,
        requirements=target.requirements,
        limits=tuple(limit.requirement for limit in limits),
        python=_python(resolved.python),
        source=candidate.source,
        reasons=reasons.of_choice(candidate, resolved, target, matrix, lost),
        rejected=_rejected([loss for loss in lost if loss.candidate.name != candidate.name]),
    )


def _python(minor: str) -> Python:
    return Python(path="", version=minor.rstrip("t"), free_threaded=minor.endswith("t"))


def _rejected(lost: Sequence[Lost]) -> tuple[Rejection, ...]:
    """Return the newest release that each variant lost with, for each reason."""
    first: dict[tuple[str, str], Rejection] = {}
    for loss in lost:
        rejection = _rejection(loss.candidate, loss.reason)
        first.setdefault((rejection.variant, rejection.reason), rejection)
    return tuple(first.values())[:SHOWN]


def _rejection(candidate: Candidate, reason: str) -> Rejection:
    variant = str(candidate.variant or "unknown")
    return Rejection(torch=str(candidate.version), variant=variant, reason=reason)


def explain_candidates(target: Target, matrix: Matrix, stock: Stock | None) -> list[Rejection]:
    """Return every candidate in the order of preference; those that run say so as their reason."""
    if driver_problem(target, matrix):
        return []
    return [
        _rejection(verdict.candidate, f"runs, with Python {verdict.resolved.python}")
        if isinstance(verdict, Fit)
        else _rejection(verdict.candidate, verdict.reason)
        for verdict in judge(target, matrix, stock)
    ]


def family(target: Target) -> tuple[str, ...]:
    """Return the projects that have to come from one source."""
    return ("torch", *target.partner_specifiers)


def candidate_variants(target: Target, matrix: Matrix) -> tuple[Variant, ...]:
    """Return the variants whose official indexes are worth asking, the most promising first.

    Those of the newest releases that would run, builds included that may not be published.
    """
    if driver_problem(target, matrix):
        return ()
    promising: dict[tuple[int, ...], list[Variant]] = {}
    for candidates in known(target, matrix):
        running = [candidate for candidate in candidates if _would_run(candidate, target, matrix)]
        running.sort(key=lambda candidate: preference(candidate, target, matrix), reverse=True)
        for candidate in running:
            series = promising.setdefault(candidate.version.release[:2], [])
            series += [candidate.variant] if candidate.variant else []
        if len(promising) > WORTH_ASKING:
            break
    worth = list(promising.values())[:WORTH_ASKING]
    return tuple(dict.fromkeys(variant for series in worth for variant in series))


def _would_run(candidate: Candidate, target: Target, matrix: Matrix) -> bool:
    return not (
        (candidate.build and build_problem(candidate.build, target, matrix))
        or isinstance(partners_of(candidate, target, matrix), str)
    )


def uniform(targets: Iterable[Target], matrix: Matrix, stock: Stock | None) -> str | None:
    """Return the newest release that all targets can run; None where they have none in common.

    Targets whose driver serves none of their GPUs get nothing in any case, and do not count.
    """
    common: set[Version] | None = None
    for target in targets:
        if driver_problem(target, matrix):
            continue
        verdicts = judge(target, matrix, stock)
        running = {v.candidate.version for v in verdicts if isinstance(v, Fit)}
        common = running if common is None else common & running
    return str(max(common)) if common else None


def runs(choice: Choice, target: Target, matrix: Matrix) -> str | None:
    """Return None where the wheels of a choice still run on a target, else why not.

    Interpreters, pins and sources are not looked at: this is for keeping an existing lock.
    """
    if problem := driver_problem(target, matrix):
        return problem
    if not target.wants(choice.variant):
        there = "an NVIDIA GPU" if target.runtime == "cuda" else "no NVIDIA GPU to serve"
        return f"the host has {there}, the wheels are {choice.variant}"
    build = matrix.build(Version(choice.torch), choice.variant, target.platform)
    if build is None:
        name = f"{choice.torch}+{choice.variant}"
        return f"{name} is not in the matrix for {' '.join(target.platform)}"
    return build_problem(build, target, matrix)

"""The search: every candidate in the order of preference, until one runs on the host."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fleetwheel.choice.candidates import (
    Candidate,
    Lost,
    Resolved,
    Stock,
    from_matrix,
    from_stock,
    resolve,
)
from fleetwheel.choice.compatibility import branch_supports_fully, build_problem
from fleetwheel.choice.target import Target
from fleetwheel.matrix.matrix import Build, Matrix, Numbers

NOT_KNOWN = "is not in this fleetwheel's matrix, so nothing is known about it"
NO_LABEL = "has no label such as +cu130 and is not PyPI's own wheel, so its variant is unknown"


Veto = Callable[[Candidate], str | None]
"""Says why a candidate may not be taken, though it would run; None where it may."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A candidate that runs, and how it is installed."""

    candidate: Candidate
    build: Build
    resolved: Resolved


def in_order(target: Target, matrix: Matrix, stock: Stock | None) -> Iterator[Candidate]:
    """Return what is on offer for a target, the best first; by the matrix without stock.

    Newest torch release first; of its builds, the preferred one.
    """
    releases = from_matrix(target, matrix) if stock is None else from_stock(stock, target, matrix)
    for candidates in releases:
        yield from sorted(candidates, key=lambda c: preference(c, target, matrix), reverse=True)


def preference(candidate: Candidate, target: Target, matrix: Matrix) -> tuple[bool, Numbers, int]:
    """Order the candidates of one release; the greatest is the best.

    One whose CUDA the driver supports fully before one that leans on minor-version compatibility,
    and the newest CUDA of those. Then the first source in the order given. Of the host's
    interpreters, the newest for which that source has a wheel is taken when the candidate is
    resolved.
    """
    cuda = matrix.cuda.get(candidate.variant) if candidate.variant else None
    fully = cuda is None or target.driver is None or branch_supports_fully(target.driver, cuda)
    return fully, cuda.version if cuda else (), -candidate.rank


def judge(
    target: Target, matrix: Matrix, stock: Stock | None, veto: Veto | None = None
) -> Iterator[Fit | Lost]:
    """Return every candidate and how it is installed, or why it is not taken; the best first."""
    for candidate in in_order(target, matrix, stock):
        if veto and (objection := veto(candidate)):
            yield Lost(candidate, objection)
        else:
            yield _verdict(candidate, target, matrix)


def best(target: Target, matrix: Matrix, stock: Stock | None) -> Fit | None:
    """Return the first candidate that runs."""
    verdicts = judge(target, matrix, stock)
    return next((verdict for verdict in verdicts if isinstance(verdict, Fit)), None)


def _verdict(candidate: Candidate, target: Target, matrix: Matrix) -> Fit | Lost:
    if candidate.build is None:
        unlabelled = candidate.variant is None and matrix.release(candidate.version)
        return Lost(candidate, NO_LABEL if unlabelled else NOT_KNOWN)
    if problem := build_problem(candidate.build, target, matrix):
        return Lost(candidate, problem)
    resolved = resolve(candidate, target, matrix)
    if isinstance(resolved, str):
        return Lost(candidate, resolved)
    return Fit(candidate, candidate.build, resolved)

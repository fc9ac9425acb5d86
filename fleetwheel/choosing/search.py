"""The search: every offer in the order of preference, until one runs on the host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.version import Version

from fleetwheel.choosing.compatibility import Host, host_problem, supports_fully
from fleetwheel.choosing.offers import Fit, Offer, Stock, fit, from_matrix, from_stock
from fleetwheel.choosing.pins import Pins, read
from fleetwheel.choosing.situation import Obstacle, read_host, usable_pythons
from fleetwheel.matrix import Matrix, Numbers
from fleetwheel.profile import Profile, Python
from fleetwheel.request import Request


@dataclass(frozen=True, slots=True)
class Question:
    """One host and one request, read and checked."""

    host: Host
    pythons: Sequence[Python]
    pins: Pins
    matrix: Matrix
    offers: Sequence[Offer]
    """The best first."""


Lost = tuple[Offer, str]
"""An offer that does not run, and why."""


def ask(
    profile: Profile, request: Request, matrix: Matrix, stock: Stock | None
) -> Question | Obstacle:
    """Read a host and a request, and put what is on offer in order; by the matrix without stock."""
    pins = read(request)
    host = read_host(profile, request, pins, matrix)
    if isinstance(host, Obstacle):
        return host
    pythons = usable_pythons(profile, pins)
    if isinstance(pythons, Obstacle):
        return pythons
    offers = (
        from_matrix(pins, matrix, host.platform)
        if stock is None
        else from_stock(stock, pins, matrix, host)
    )
    wanted = [offer for offer in offers if pins.wants(offer.variant, bool(host.devices))]
    wanted.sort(key=lambda offer: preference(offer, host, matrix), reverse=True)
    return Question(host, pythons, pins, matrix, wanted)


def preference(offer: Offer, host: Host, matrix: Matrix) -> tuple[Version, bool, Numbers, int]:
    """Order offers; the greatest is the best.

    Newest torch release first. Then, of its variants, one whose CUDA the driver supports fully
    before one that leans on minor-version compatibility, and the newest CUDA of those. Then the
    first source in the order given. Of the host's interpreters, the newest for which that source
    has a wheel is taken when the offer is fitted.
    """
    cuda = matrix.cuda.get(offer.variant)
    fully = cuda is None or supports_fully(host, cuda)
    return offer.version, fully, cuda.version if cuda else (), -offer.rank


def judge(question: Question) -> Iterator[tuple[Offer, Fit | str]]:
    """Return every offer and how it fits, or why it does not; the best first."""
    for offer in question.offers:
        yield offer, _verdict(offer, question)


def best(question: Question) -> tuple[Offer, Fit] | None:
    """Return the first offer that runs, and how it fits."""
    return next(((o, fit) for o, fit in judge(question) if isinstance(fit, Fit)), None)


def _verdict(offer: Offer, question: Question) -> Fit | str:
    if offer.build is None:
        return "is not in this fleetwheel's matrix, so nothing is known about it"
    problem = host_problem(offer.build, question.host, question.matrix)
    return problem or fit(offer, question.host, question.pythons, question.pins, question.matrix)

"""What pip on this machine is told to keep to: the constraints of its configuration."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from fleetwheel.choice.request import PARTNERS
from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.address import local_path, redacted, split_login
from fleetwheel.sources.configured import pip_settings
from fleetwheel.sources.given import wheel_of
from fleetwheel.value import Value

CONFIGURED = "correct what pip is configured with: see `pip config list` and PIP_CONSTRAINT"
DEEPEST = 10
"""Files that may name one another."""


class Constraint(Value):
    """One requirement that whatever is installed has to meet."""

    requirement: str
    """Canonical: ``torch<=2.14.1``."""
    place: str
    """The file that says so, for people."""

    @property
    def project(self) -> str:
        """Normalized name of what it is about."""
        return Requirement(self.requirement).name


def configured_constraints() -> tuple[Constraint, ...]:
    """Return the constraints that ``pip install`` on this machine keeps to, each one once.

    Raises FleetwheelError that names file and line where one cannot be read.
    """
    places = pip_settings().get("constraint", "").split()
    found = [constraint for place in places for constraint in _of_file(place, 0)]
    return tuple({c.requirement: c for c in sorted(found, key=lambda c: c.requirement)}.values())


def _of_file(place: str, depth: int) -> Iterator[Constraint]:
    if depth > DEEPEST:
        raise FleetwheelError(
            f"{redacted(place)}: constraint files name one another without end", hint=CONFIGURED
        )
    text = re.sub(r"\\\r?\n", "", _read(place))
    for number, line in enumerate(text.splitlines(), 1):
        said = re.sub(r"(^|\s)#.*", "", line).strip()
        other = re.fullmatch(r"(?:-c|--constraint|-r|--requirement)[ =]?\s*(\S+)", said)
        if other:
            yield from _of_file(_beside(place, other[1]), depth + 1)
        elif said and not said.startswith("-"):
            yield _constraint(said, place, number)


def _constraint(said: str, place: str, number: int) -> Constraint:
    """Return the constraint of one line, its hashes left to what is locked."""
    try:
        requirement = Requirement(re.split(r"\s--?\w", said)[0])
    except InvalidRequirement as error:
        raise FleetwheelError(
            f"{redacted(place)}, line {number}: {said!r} is no constraint",
            hint="pip on this machine is configured with it: `pip config list`",
        ) from error
    requirement.name = str(canonicalize_name(requirement.name))
    if requirement.url and requirement.name in ("torch", *PARTNERS):
        raise FleetwheelError(
            f"{redacted(place)}, line {number}: {requirement.name} is bound to an address, but"
            " fleetwheel chooses the build of torch that suits each host",
            hint="write a version there, such as torch==2.14.1",
        )
    try:
        wheel_of(requirement)
    except ValueError as error:
        raise FleetwheelError(
            f"{redacted(place)}, line {number}: {error}",
            hint="only wheels are locked: name one, or write a version there",
        ) from error
    return Constraint(requirement=str(requirement), place=redacted(place))


def _read(place: str) -> str:
    path = local_path(place)
    try:
        if path is not None:
            return path.read_text(encoding="utf-8")
        url, login = split_login(place)
        page = web.page(url, login)
    except (OSError, ValueError) as error:
        raise FleetwheelError(
            f"the constraints that pip on this machine is configured with cannot be read: "
            f"{redacted(place)}: {getattr(error, 'strerror', None) or 'it is no text'}",
            hint=CONFIGURED,
        ) from error
    if page is None:
        raise FleetwheelError(
            f"{redacted(place)}: there are no constraints at this address", hint=CONFIGURED
        )
    return page.content.decode("utf-8", "replace")


def _beside(place: str, other: str) -> str:
    """Return the place of a file that another one names."""
    if urlsplit(other).scheme in ("http", "https", "file"):
        return other
    path = local_path(place)
    return urljoin(place, other) if path is None else str(path.parent / other)

"""What the inventory asks of a host, and the one grammar that reads it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix.variant import Variant
from fleetwheel.sources.given import as_requirement, require_hash
from fleetwheel.team.pins import Team
from fleetwheel.value import Value

T = TypeVar("T")
R = TypeVar("R")

PARTNERS = ("torchvision", "torchaudio")
"""Projects whose releases belong to releases of torch, and that come from its source."""


class Request(Value):
    """Which PyTorch a host should get; the defaults are those of an empty inventory."""

    torch: str | None = None
    """``2.14.1``, ``2.14``, specifiers such as ``>=2.10,<2.13``, or None for the newest."""
    accelerator: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or a variant such as ``cu126``."""
    packages: tuple[str, ...] = ("numpy",)
    """Requirements to install beside torch; torchvision and torchaudio get the right partner."""
    python: str | None = None
    """A minor version such as ``3.11`` or ``3.14t``; None is the newest that has a wheel."""
    gpus: tuple[int | str, ...] | None = None
    """Indexes, UUIDs or names of the GPUs that must be served; None is all of them."""
    team: Team | None = None
    """What a team's own file asks for; what stands in ``torch`` counts before it."""


@dataclass(frozen=True, slots=True)
class Pins:
    """A request as it was meant: two spellings of one request have equal pins."""

    torch: str
    """Canonical specifiers: ``==2.14.*``; empty for the newest."""
    accelerator: str
    """``auto``, ``cpu``, ``cuda``, or the name of a variant."""
    label: Variant | None
    """The variant of a pin such as ``2.14.1+cu126``."""
    python: str | None
    partners: Mapping[str, str]
    """Canonical specifiers of torchvision and torchaudio, where they were asked for."""
    requirements: tuple[str, ...]
    """Everything else, canonical and sorted."""
    gpus: frozenset[int | str] | None
    team: str = ""
    """Digest of what a team's file asks for."""

    @property
    def variant(self) -> Variant | None:
        """The one CUDA variant that is asked for by name, if one is."""
        named = [self.label] if self.label else []
        if self.accelerator not in ("auto", "cpu", "cuda"):
            named.append(Variant.parse(self.accelerator))
        return next((variant for variant in named if not variant.cpu), None)


@lru_cache(maxsize=1024)
def read_pins(request: Request) -> Pins:
    """Return the pins of a request; FleetwheelError where one of them cannot be read."""
    torch, label = _keyed("torch", torch_pin, request.torch) if request.torch else ("", None)
    partners, requirements = _keyed("packages", _packages, request.packages)
    return Pins(
        torch=str(torch),
        accelerator=_keyed("accelerator", accelerator_of, request.accelerator),
        label=label,
        python=_keyed("python", python_of, request.python) if request.python else None,
        partners=partners,
        requirements=requirements,
        gpus=None if request.gpus is None else frozenset(request.gpus),
        team=request.team.sha256 if request.team else "",
    )


def _keyed(key: str, parse: Callable[[T], R], value: T) -> R:
    """Parse the value of one key; FleetwheelError that names the key."""
    try:
        return parse(value)
    except ValueError as error:
        raise FleetwheelError(f"{key}: {error}") from error


def torch_pin(text: str) -> tuple[SpecifierSet, Variant | None]:
    """Return the specifier of a torch pin, and its variant where it has one.

    Raises ValueError that says what to write instead.
    """
    text = text.strip()
    if not text:
        raise ValueError("'' is no version: leave torch out for the newest")
    exact = text.removeprefix("==").strip()
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return SpecifierSet(f"=={text}.*"), None
        if re.fullmatch(r"\d+(\.\d+)*\.\*", text):
            return SpecifierSet(f"=={text}"), None
        if re.fullmatch(r"v?\d[^,<>=!~*]*", exact):
            version = Version(exact)
            label = Variant.parse(version.local) if version.local else None
            return SpecifierSet(f"=={version.public}"), label
        return SpecifierSet(text), None
    except (InvalidVersion, InvalidSpecifier, ValueError) as error:
        raise ValueError(
            f'{text!r} is no version: write "2.14.1", "2.14", ">=2.10,<2.13" or "2.14.1+cu126"'
        ) from error


def accelerator_of(text: str) -> str:
    """Return an accelerator as it is; ValueError for one that does not exist."""
    if text in ("auto", "cuda"):
        return text
    try:
        return str(Variant.parse(text))
    except ValueError as error:
        raise ValueError(
            f"{text!r} is none of auto, cpu, cuda, or a variant such as cu126"
        ) from error


def python_of(text: str) -> str:
    """Return a minor version of Python as it is; ValueError for what is none."""
    if re.fullmatch(r"3\.\d{1,2}t?", text):
        return text
    raise ValueError(f'{text!r} is no minor version: write "3.12", or "3.14t"')


def requirement_of(text: str) -> Requirement:
    """Return a requirement with a normalized name; ValueError for what is none."""
    try:
        requirement = Requirement(as_requirement(text.strip()))
    except InvalidRequirement as error:
        raise ValueError(
            f"{text!r} is no requirement: {str(error).splitlines()[0]};"
            ' write "numpy", "numpy>=2" or "numpy==2.3.5"'
        ) from error
    requirement.name = str(canonicalize_name(requirement.name))
    if requirement.url:
        require_hash(requirement)
    return requirement


def project_of(requirement: str) -> str:
    """Return the normalized name of what a requirement asks for."""
    return requirement_of(requirement).name


def _packages(packages: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Split the torch family from everything else."""
    partners: dict[str, SpecifierSet] = {}
    others: set[str] = set()
    for text in packages:
        requirement = requirement_of(text)
        if requirement.name == "torch":
            raise ValueError(f"{text!r} pins torch: write its version under torch instead")
        if requirement.name not in PARTNERS:
            others.add(str(requirement))
            continue
        if requirement.marker or requirement.extras or requirement.url:
            raise ValueError(
                f"{text!r}: {requirement.name} comes with torch, from the same source:"
                f" write {requirement.name}, with a version at most"
            )
        known = partners.get(requirement.name, SpecifierSet())
        partners[requirement.name] = known & requirement.specifier
    return {name: str(found) for name, found in sorted(partners.items())}, tuple(sorted(others))

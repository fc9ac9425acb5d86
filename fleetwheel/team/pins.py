"""What a team's file asks for, whatever kind of file it is."""

import hashlib
import json
import re
from collections import defaultdict
from functools import cached_property
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import Field

from fleetwheel.errors import FleetwheelError
from fleetwheel.value import Value

FAMILY = ("torch", "torchvision", "torchaudio")
"""Projects whose build is the host's: of a team's file only their public versions count."""
BROUGHT = re.compile(
    r"triton|triton-windows|pytorch-triton.*|cuda-.+|nvidia-(cublas|cuda-[a-z]+|cudnn|cufft|cufile"
    r"|curand|cusolver|cusparse|cusparselt|nccl|npp|nvjitlink|nvjpeg|nvshmem|nvtx|nvvm)(-cu\d+)?"
)
"""Projects that come with a variant of torch, by what its wheels on the official index ask for."""


LONGEST_TEXT = 10_000
"""Characters of a requirement, a marker, or ``requires-python``."""


def comes_with_variant(name: str) -> bool:
    """Whether the host's variant of torch decides which build of a project there is, or whether."""
    return name in FAMILY or BROUGHT.fullmatch(name) is not None


class TeamFile(Value):
    """Which file, as the inventory names it."""

    key: Literal["project", "requirements", "lock"]
    path: str
    """Relative to the project directory, or absolute."""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    """Projects whose wheels the inventory gives, for those that the file has from elsewhere."""
    install: bool = False
    """Whether the project itself is installed, beside what it asks for."""


class Pin(Value):
    """One line of a team's file."""

    requirement: str
    """Canonical and without a marker: ``numpy==2.3.5``."""
    marker: str = ""
    """As PEP 508 writes it; ``extras`` and ``dependency_groups`` may stand in it."""
    hashes: tuple[str, ...] = ()
    """SHA-256 of each file that may be installed; empty where the file says none."""
    wanted: bool = True
    """False for what is not asked for, but bounds what others bring."""
    direct: bool = True
    """Whether a person named it; false for what a lock adds because others need it."""
    place: str = ""
    """Where it stands, for people: ``requirements.txt, line 3``."""

    @cached_property
    def name(self) -> str:
        """Normalized name of the project."""
        return Requirement(self.requirement).name

    @property
    def with_variant(self) -> bool:
        """Whether the host's variant of torch decides which build of it, or whether it is there."""
        return comes_with_variant(self.name)


class Team(TeamFile):
    """What a team's file asks for. Records keep its digest, and never the pins."""

    sha256: str
    """Digest of the pins, their hashes, and what else is asked for: comments do not count."""
    requires_python: str = ""
    whole: bool = False
    """Whether the file names all that is to be installed, as a lock does."""
    pins: tuple[Pin, ...] = Field(default=(), exclude=True, repr=False)
    """Empty in what comes from a record."""
    overrides: tuple[str, ...] = Field(default=(), exclude=True)
    """Names whose pins count against what other packages ask of them."""
    own: str = ""
    """File name of the project's own wheel, with its hash: ``nlp-1-py3-none-any.whl#sha256=…``."""

    @cached_property
    def hashes(self) -> dict[str, frozenset[str]]:
        """SHA-256 of the files that may be installed of each project; without those of torch."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for pin in self.pins:
            if pin.hashes and not pin.with_variant:
                found[pin.name] |= set(pin.hashes)
        return {name: frozenset(hashes) for name, hashes in found.items()}


def team_of(
    file: TeamFile,
    pins: list[Pin],
    *,
    requires_python: str = "",
    whole: bool = False,
    overrides: tuple[str, ...] = (),
) -> Team:
    """Return what a file asks for, with its digest.

    Raises FleetwheelError for a text that would take long to compare with each host.
    """
    for text, place in [(requires_python, file.path)] + [
        (text, pin.place) for pin in pins for text in (pin.requirement, pin.marker)
    ]:
        if len(text) > LONGEST_TEXT:
            raise FleetwheelError(
                f"{place}: {text[:60]}... has more than {LONGEST_TEXT:,} characters",
                hint="shorten it: name fewer versions or conditions",
            )
    lines = sorted((p.requirement, p.marker, sorted(p.hashes), p.wanted, p.direct) for p in pins)
    asked = [lines, requires_python, sorted(overrides)]
    return Team(
        **file.model_dump(),
        sha256=hashlib.sha256(json.dumps(asked).encode()).hexdigest(),
        requires_python=requires_python,
        whole=whole,
        pins=tuple(pins),
        overrides=overrides,
    )


def with_own(team: Team, own: str) -> Team:
    """Return what a team's file asks for with the project's own wheel."""
    digest = hashlib.sha256(f"{team.sha256} {own}".encode()).hexdigest()
    return team.model_copy(update={"own": own, "sha256": digest})


def pin_of_requirement(
    requirement: Requirement, hashes: tuple[str, ...] = (), *, wanted: bool = True, place: str = ""
) -> Pin:
    """Return the pin of a requirement without an address."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return Pin(
        requirement=f"{canonicalize_name(requirement.name)}{extras}{requirement.specifier}",
        marker=str(requirement.marker or ""),
        hashes=hashes,
        wanted=wanted,
        place=place,
    )


def unbuilt(name: str, origin: str) -> str:
    """Say of a package that it is no wheel."""
    return f"{name} comes from {origin}: hosts install wheels only"


BESIDE = (
    "build its wheel, `pip wheel --no-deps`, and name it under packages: with #sha256=HEX behind"
    " it; it takes the place of what the project has"
)
BUILD_IT = (
    "build its wheel, `pip wheel --no-deps`, and give it: take the line out of the file, and name"
    " the wheel under packages: with #sha256=HEX behind it"
)

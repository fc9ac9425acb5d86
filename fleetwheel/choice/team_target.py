"""What a team's file asks of one kind of host: its markers are read here."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version
from pydantic import AfterValidator

from fleetwheel.choice.request import PARTNERS
from fleetwheel.errors import FleetwheelError
from fleetwheel.team.pins import FAMILY, Pin, Team
from fleetwheel.value import Value


def _requirement(text: str) -> str:
    Requirement(text)
    return text


TeamPin = Annotated[str, AfterValidator(_requirement)]
"""A requirement without a marker."""


def _own_wheel(text: str) -> str:
    if text:
        named_by(text)
    return text


def named_by(own: str) -> tuple[str, Version]:
    """Return name and version of a wheel by its file name with its hash."""
    filename, _, sha256 = own.partition("#sha256=")
    if not re.fullmatch("[0-9a-f]{64}", sha256) or "/" in filename:
        raise ValueError(f"{own!r} is no wheel with its hash")
    try:
        name, version, *_ = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise ValueError(str(error)) from error
    return str(name), version


class TeamTarget(Value):
    """The pins of a team's file that hold for a kind of host, without the torch family."""

    sha256: str
    """Digest of these pins with their hashes: what changes for other hosts alone is not in it."""
    torch: str = ""
    """What the file asks of torch; the inventory may ask for another."""
    requirements: tuple[TeamPin, ...] = ()
    """What is asked for, canonical and sorted."""
    limits: tuple[TeamPin, ...] = ()
    """What others may bring, in these versions alone."""
    overrides: tuple[str, ...] = ()
    """Names whose pins count against what other packages ask of them."""
    own: Annotated[str, AfterValidator(_own_wheel)] = ""
    """File name of the project's own wheel, with its hash behind ``#sha256=``."""
    named: tuple[str, ...] = ()
    """Projects that a person named, torch aside: the smoke test imports them."""

    @property
    def pinned(self) -> dict[str, SpecifierSet]:
        """The versions that hold, by name."""
        found: dict[str, SpecifierSet] = {}
        for requirement in map(Requirement, [*self.requirements, *self.limits]):
            known = found.get(requirement.name, SpecifierSet())
            found[requirement.name] = known & requirement.specifier
        if self.own:
            name, version = named_by(self.own)
            found[name] = SpecifierSet(f"=={version}")
        return found

    @property
    def overriding(self) -> tuple[str, ...]:
        """Those of the pins that count against what other packages ask."""
        return tuple(t for t in self.requirements if Requirement(t).name in self.overrides)


class FamilyPins(Value):
    """What a team's file asks of torch and its partners: public versions alone."""

    torch: str = ""
    partners: Mapping[str, str] = {}


def applying(team: Team, environment: Mapping[str, str]) -> list[Pin]:
    """Return the pins of a file that hold in an environment of markers.

    Raises FleetwheelError where a marker cannot be read, or one name is pinned in two ways.
    """
    sets = {"extras": frozenset(team.extras), "dependency_groups": frozenset(team.groups)}
    pins = [pin for pin in team.pins if _applies(pin, {**environment, **sets, "extra": ""})]
    exact: defaultdict[str, dict[str, Pin]] = defaultdict(dict)
    for pin in pins:
        specifier = str(Requirement(pin.requirement).specifier)
        if pin.wanted and re.fullmatch(r"==[^,*]+", specifier):
            exact[pin.name].setdefault(specifier, pin)
    for name, versions in exact.items():
        if len(versions) > 1:
            said = " and ".join(f"{each} ({pin.place})" for each, pin in versions.items())
            raise FleetwheelError(
                f"{name} is pinned twice: {said}", hint="leave one, or tell them apart by a marker"
            )
    return pins


def _applies(pin: Pin, environment: Mapping[str, str | frozenset[str]]) -> bool:
    try:
        return not pin.marker or Marker(pin.marker).evaluate(environment, context="lock_file")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FleetwheelError(
            f"{pin.place}: the marker {pin.marker!r} cannot be read: {error}", hint="correct it"
        ) from error


def family_pins(pins: Sequence[Pin]) -> FamilyPins:
    """Return what some pins ask of torch and its partners."""
    found: dict[str, SpecifierSet] = {}
    for pin in pins:
        if pin.name in FAMILY and (pin.wanted or pin.name == "torch"):
            known = found.get(pin.name, SpecifierSet())
            public = re.sub(r"\+[A-Za-z0-9._-]+", "", str(Requirement(pin.requirement).specifier))
            found[pin.name] = known & SpecifierSet(public)
    torch = str(found.pop("torch", ""))
    return FamilyPins(torch=torch, partners={name: str(spec) for name, spec in found.items()})


def read_team_target(team: Team, pins: Sequence[Pin]) -> TeamTarget:
    """Return what the pins that hold for a kind of host ask of it beside the torch family."""
    others = [pin for pin in pins if not pin.with_variant]
    lines = sorted((pin.requirement, pin.wanted, sorted(pin.hashes)) for pin in others)
    said = [lines, team.own] if team.own else lines
    own = [named_by(team.own)[0]] if team.own else []
    return TeamTarget(
        sha256=hashlib.sha256(json.dumps(said).encode()).hexdigest(),
        torch=family_pins(pins).torch,
        requirements=tuple(sorted({pin.requirement for pin in others if pin.wanted})),
        limits=tuple(sorted({pin.requirement for pin in others if not pin.wanted})),
        overrides=team.overrides,
        own=team.own,
        named=tuple(sorted({*(pin.name for pin in pins if _is_named(pin)), *own})),
    )


def _is_named(pin: Pin) -> bool:
    brought = pin.with_variant and pin.name not in PARTNERS
    return pin.direct and pin.wanted and not brought


def team_changes(before: TeamTarget | None, now: TeamTarget | None) -> str:
    """Return what differs between two readings of a team's file."""
    old, new = [
        {name: str(specifier).removeprefix("==") for name, specifier in team.pinned.items()}
        if team
        else {}
        for team in (before, now)
    ]
    return said_changes(old, new) or "other hashes of the same versions"


def said_changes(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return what differs between two sets of versions: ``added a 1; changed b 2 -> 3``.

    Empty where nothing does.
    """
    words = {
        "added": [f"{name} {new[name]}".strip() for name in new if name not in old],
        "removed": [f"{name} {old[name]}".strip() for name in old if name not in new],
        "changed": [f"{n} {old[n]} -> {new[n]}" for n in old if old[n] != new.get(n, old[n])],
    }
    return "; ".join(f"{verb} {_some(names)}" for verb, names in words.items() if names)


NAMED = 12
"""Changes of a kind that are named."""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown

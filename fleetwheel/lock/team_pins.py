"""Whether a lock keeps to a team's file, and what its reasons say of that."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from fleetwheel.choice.choose import Choice
from fleetwheel.choice.target import Target, marker_environment
from fleetwheel.choice.team_target import TeamTarget, applying, named_by
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock.failures import NoSolutionError
from fleetwheel.matrix.variant import Variant
from fleetwheel.sources.wheel import Wheel
from fleetwheel.team.pins import Pin, Team, comes_with_variant

Hashes = Mapping[str, Collection[str]]
"""SHA-256 of the files that may be installed of each project of a team's file."""
LABEL = re.compile(r"(?<![a-z])(cpu|cu\d{2,3})(?!\d)")
"""A variant within a local version: ``cu128``, ``pt28cu128``, ``cu12torch2.8``."""
OTHER_FILE = "take another version into the team's file, or its wheel by address under packages:"


def require_variant(team: TeamTarget, variant: Variant) -> None:
    """Refuse pins of builds for another variant than the one that is chosen.

    Raises NoSolutionError, so that another variant of the same torch is tried.
    """
    for requirement in map(Requirement, team.requirements):
        for label in re.findall(r"\+([\w.]+)", str(requirement.specifier)):
            built = LABEL.search(label)
            if built and not str(variant).startswith(built[1]):
                raise NoSolutionError(
                    f"{requirement} is built for {built[1]}; this host gets {variant}",
                    hint=OTHER_FILE,
                )


def require_versions(picked: Mapping[str, Version], team: TeamTarget) -> None:
    """Refuse a lock in which a version is another than that of the team's file."""
    for name, specifier in team.pinned.items():
        version = picked.get(name)
        if version is not None and not specifier.contains(version, prereleases=True):
            raise FleetwheelError(
                f"{name} {version} was picked, but the team's file pins {specifier}",
                hint=OTHER_FILE,
            )


def allowed(
    wheels: Sequence[Wheel], name: str, hashes: Hashes, digest: Callable[[Wheel], str]
) -> list[Wheel]:
    """Return the wheels of a project whose hash the team's file has.

    Raises FleetwheelError where none has.
    """
    if name not in hashes:
        return list(wheels)
    found = [wheel for wheel in wheels if digest(wheel) in hashes[name]]
    if not found and wheels:
        there = ", ".join(f"{w.filename} of {w.source.redacted}" for w in wheels[:3])
        raise FleetwheelError(
            f"{name}=={wheels[0].version}: no wheel with a hash of the team's file, but {there}",
            hint="compare the file with the source: one of them has other bytes under this name."
            " Where the source is right, or a version was changed by hand, remove the team's file"
            " and make it again: over the old one, uv keeps its hashes",
        )
    return found


def team_notes(
    team: Team, picked: Mapping[str, Version], choice: Choice, target: Target
) -> list[str]:
    """Say what a lock has from a team's file, and what not."""
    pins = applying(team, marker_environment(target.os, target.arch, choice.python.minor))
    named = {pin.name for pin in pins}
    exact = {pin.name for pin in pins if _exact(pin)}
    asked = {Requirement(text).name for text in target.requirements}
    built = named_by(team.own)[0] if team.own else ""
    others = [n for n in sorted(picked) if not comes_with_variant(n) and n != built]
    own = [name for name in others if name in named]
    notes = [f"{len(own)} of {len(others)} packages beside torch's own are those of {team.path}"]
    if built:
        notes.append(f"{built} {picked[built]} itself is built from {team.path}")
    notes += [
        f"{pin.name} {picked[pin.name]} is the wheel under packages, not that of {team.path}"
        for pin in pins
        if pin.name in team.given and pin.name in picked
    ]
    if team.key == "project" and not team.whole:
        notes.append(f"{team.path} has no uv.lock: what pyproject.toml asks for is resolved now")
    notes += [text for pin in pins if (text := _overruled(pin, choice, team.path))]
    lost = [pin.requirement for pin in pins if team.key == "project" and _left_out(pin, picked)]
    if lost:
        notes.append(f"not installed, since torch decides on CUDA here: {', '.join(lost)}")
    news = [f"{name} {picked[name]}" for name in others if name not in {*exact, *asked}]
    if news and not team.whole:
        notes.append(f"not pinned in {team.path}, so resolved now: {', '.join(news)}")
    return notes


def _left_out(pin: Pin, picked: Collection[str]) -> bool:
    """Whether something else than torch asks for a package that comes with a variant alone."""
    return pin.wanted and pin.with_variant and pin.name not in picked


def _exact(pin: Pin) -> bool:
    return re.fullmatch(r"={2,3}[^*,]+", str(Requirement(pin.requirement).specifier)) is not None


def _overruled(pin: Pin, choice: Choice, path: str) -> str | None:
    """Say that torch or a partner is not as a team's file has it; None where it is."""
    there = choice.packages.get(pin.name)
    asked = Requirement(pin.requirement).specifier
    if not pin.wanted or there is None or asked.contains(there, prereleases=True):
        return None
    public = SpecifierSet(re.sub(r"\+[A-Za-z0-9._-]+", "", str(asked)))
    same = public.contains(Version(there).public, prereleases=True)
    why = "this host's variant" if same else "torch: of the environment counts before the file"
    return f"{pin.requirement} of {path} comes as {there}: {why}"

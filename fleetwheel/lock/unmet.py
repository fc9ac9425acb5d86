"""What a lock does not meet of a host's request: by this a deploy and a drift check both decide."""

from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from fleetwheel.choice.target import Target
from fleetwheel.choice.team_target import team_changes
from fleetwheel.lock.lock import Lock
from fleetwheel.sources.given import wheel_of


class Unmet(NamedTuple):
    """One key of a request that a lock does not meet."""

    key: str
    asked: str
    found: str


def unmet(lock: Lock, target: Target) -> list[Unmet]:
    """Return what a lock does not meet of what is asked for now; whether it runs is not asked here.

    A lock stays while it meets the request: newer releases are reported, never taken unasked. What
    pip is told to keep to, and which sources there are, decide about new locks alone.
    """
    choice = lock.choice
    differences = []
    if not SpecifierSet(target.torch).contains(choice.torch, prereleases=True):
        differences.append(Unmet("torch", target.torch, choice.torch))
    if choice.python.minor not in target.pythons:
        differences.append(Unmet("python", ", ".join(target.pythons), choice.python.minor))
    return differences + _packages(lock, target) + _team(lock, target)


def _team(lock: Lock, target: Target) -> list[Unmet]:
    """Compare what a team's file pins beside torch with what it pinned for the lock."""
    origin = lock.origin.target
    before, now = origin.team if origin else None, target.team
    if (before and before.sha256) == (now and now.sha256):
        return []
    if now is None:
        return [Unmet("the team's file", "none", "the pins of one")]
    return [Unmet("the team's file", f"as it is now ({team_changes(before, now)})", "as it was")]


def _packages(lock: Lock, target: Target) -> list[Unmet]:
    """Compare what is asked for beside torch with what was asked for and what is there."""
    choice = lock.choice
    partners = [Requirement(text) for text in target.partners]
    others = [r for r in map(Requirement, target.requirements) if target.applies(r)]
    asked = [*partners, *others]
    origin = lock.origin.target
    named = [Requirement(text).name for text in origin.partners] if origin else choice.packages
    before = {name: name for name in named if name != "torch"}
    before |= {_identity(Requirement(text)): text for text in choice.requirements}
    missing = [r for r in asked if not _met(r, lock) or (r.extras and _identity(r) not in before)]
    wanted = {_identity(r) for r in [*partners, *map(Requirement, target.requirements)]}
    extra = [text for identity, text in before.items() if identity not in wanted]
    if not missing and not extra:
        return []
    have = [_installed(requirement, lock) for requirement in missing]
    have += [f"{text}, which is not asked for" for text in extra]
    return [Unmet("packages", ", ".join(map(str, missing)) or "nothing more", "; ".join(have))]


def _identity(requirement: Requirement) -> str:
    """Return what a requirement is about, its range of versions left out."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{canonicalize_name(requirement.name)}{extras}"


def _met(requirement: Requirement, lock: Lock) -> bool:
    version = lock.packages.get(requirement.name)
    if wheel := wheel_of(requirement):
        return wheel.sha256 in lock.hashes.get(requirement.name, ())
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _installed(requirement: Requirement, lock: Lock) -> str:
    version = lock.packages.get(requirement.name)
    return f"{requirement.name} {version}" if version else f"no {requirement.name}"

"""From a target to its lock: the best candidate that can be locked with what else is asked for."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from packaging.requirements import Requirement
from packaging.version import Version

from fleetwheel.choice.candidates import Candidate, public
from fleetwheel.choice.choose import Choice, Refusal, choose, family
from fleetwheel.choice.request import PARTNERS, Request
from fleetwheel.choice.tags import wheel_tags
from fleetwheel.choice.target import Target
from fleetwheel.lock import locking
from fleetwheel.lock.constraints import Constraint
from fleetwheel.lock.failures import NoSolutionError, UnheardError
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.locking import Picked
from fleetwheel.lock.supply import Supply
from fleetwheel.lock.team_pins import Hashes, team_notes
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.sources.wheel import Source

Ask = Callable[[Target], Supply]

TRIES = 5
"""Candidates that are locked at most, one after the other, before uv's first words stand."""
LONG = timedelta(days=365)
"""How far a package may be behind its newest release before the reasons say so."""


@dataclass
class Vetoes:
    """What attempts to lock have shown about candidates."""

    failed: dict[tuple[str, Source | None], str] = field(default_factory=dict)
    ceiling: Version | None = None
    """The newest torch that the packages beside it allow."""
    because: str = ""

    def __call__(self, candidate: Candidate) -> str | None:
        if self.ceiling and candidate.version > self.ceiling:
            return self.because
        return self.failed.get((candidate.name, candidate.source))


@dataclass(frozen=True)
class _Locked:
    """A choice with what uv picked for it."""

    choice: Choice
    text: str

    def newer(self, names: Iterable[str], other: "_Locked") -> bool:
        """Whether one of these projects has a newer version here than there."""
        mine, theirs = locking.picked(self.text), locking.picked(other.text)
        both = [name for name in names if name in mine and name in theirs]
        return any(mine[name].version > theirs[name].version for name in both)


def make(
    target: Target,
    request: Request,
    ask: Ask,
    matrix: Matrix,
    constraints: Sequence[Constraint] = (),
) -> Lock | Refusal:
    """Return the lock of a target, or why there is none.

    ``ask`` tells what the sources hold for a target; ``constraints`` are those that it names.
    Raises FleetwheelError with uv's words where the request cannot be locked with any torch.
    """
    supply = ask(target)
    if lacking := supply.lacking(target):
        return lacking
    vetoes = Vetoes()
    hashes = request.team.hashes if request.team else locking.NO_HASHES
    try:
        locked = _first_that_locks(target, ask, matrix, vetoes, hashes)
    except NoSolutionError as error:
        if request.team is None:
            raise
        raise error.beside(request.team.path) from error
    except UnheardError as error:
        return Refusal(reasons=tuple(error.message.splitlines()), unlocks=error.ways)
    if isinstance(locked, Refusal):
        notes = kept_to(constraints, family(target))
        return locked.model_copy(update={"reasons": (*locked.reasons, *notes)})
    held = _held_back(locked, target, supply)
    if held and (older := _with_older_torch(locked, held, target, ask, matrix, vetoes)):
        locked = older
    names = locking.picked(locked.text)
    notes = [*kept_to(constraints, names), *_held_notes(locked, held)]
    if request.team:
        versions = {name: found.version for name, found in names.items()}
        notes += team_notes(request.team, versions, locked.choice, target)
    choice = locked.choice.model_copy(update={"reasons": (*locked.choice.reasons, *notes)})
    return locking.lock_of(locked.text, choice, target, request)


def _first_that_locks(
    target: Target, ask: Ask, matrix: Matrix, vetoes: Vetoes, hashes: Hashes = locking.NO_HASHES
) -> _Locked | Refusal:
    """Return the best candidate that uv can lock; uv's first words where none can be."""
    supply = ask(target)
    first: NoSolutionError | None = None
    for _ in range(TRIES):
        choice = choose(target, matrix, supply.stock, vetoes)
        if isinstance(choice, Refusal):
            break
        try:
            locked = _Locked(choice, locking.pick(choice, target, supply.ordinary, hashes))
        except NoSolutionError as error:
            if first is None:
                first = error.about(f"{choice.torch}+{choice.variant}")
                _bound(choice, target, supply, vetoes)
            key = (f"{choice.torch}+{choice.variant}", choice.source)
            vetoes.failed[key] = f"cannot be locked: {error.cause}"
            continue
        whole = _with_partners(locked, target)
        if whole == target:
            return locked
        return _first_that_locks(whole, ask, matrix, vetoes, hashes)
    if first is None and isinstance(choice, Refusal):
        return choice
    raise _with_others(first, vetoes) if first else AssertionError


def _with_others(first: NoSolutionError, vetoes: Vetoes) -> NoSolutionError:
    """Return uv's words on the best candidate, with one line on each other that was tried."""
    others = [f"{name} {why}" for (name, _), why in list(vetoes.failed.items())[1:]]
    return NoSolutionError("\n".join([str(first.args[0]), *others]), hint=first.hint)


def _bound(choice: Choice, target: Target, supply: Supply, vetoes: Vetoes) -> None:
    """Let what the packages beside torch ask of it bound the next candidates."""
    try:
        free = locking.pick_freely(target, choice.python.minor, supply.ordinary)
    except NoSolutionError:
        return
    if "torch" in free:
        vetoes.ceiling = Version(free["torch"].version.public)
        beside = [*target.requirements, *(["the team's file"] if target.team else [])]
        names = ", ".join(beside)
        vetoes.because = f"is newer than torch {vetoes.ceiling}, the newest that goes with {names}"


def _with_partners(locked: _Locked, target: Target) -> Target:
    """Return the target with the partners of torch that others brought, as if asked for by name.

    They come from torch's own source too.
    """
    there = locking.picked(locked.text)
    brought = [
        f"{name}=={there[name].version.public}"
        for name in PARTNERS
        if name in there and name not in locked.choice.packages
    ]
    return target.model_copy(update={"partners": tuple(sorted([*target.partners, *brought]))})


def _held_back(locked: _Locked, target: Target, supply: Supply) -> dict[str, Picked]:
    """Return what torch keeps from its newest release, with that release.

    Nothing beside a team's file, which says which releases there are to be.
    """
    if target.team:
        return {}
    there = locking.picked(locked.text)
    behind = [
        name
        for name, newest in _newest(target, locked.choice.python.minor, supply).items()
        if name in there and there[name].version < newest
    ]
    if not behind:
        return {}
    try:
        free = locking.pick_freely(target, locked.choice.python.minor, supply.ordinary)
    except NoSolutionError:
        return {}
    held = {n: free[n] for n in behind if n in free and free[n].version > there[n].version}
    return held | {"torch": free["torch"]} if held and "torch" in free else {}


def _newest(target: Target, python: str, supply: Supply) -> dict[str, Version]:
    """Return the newest version that the sources have for a target of what is asked for."""
    tags = wheel_tags(python, target.platform, target.glibc)
    found: dict[str, Version] = {}
    for requirement in map(Requirement, target.requirements):
        if requirement.name not in supply.others:
            continue
        fitting = (
            public(wheel)
            for wheel in supply.others[requirement.name].wheels
            if not wheel.tags.isdisjoint(tags) and requirement.specifier.contains(wheel.version)
        )
        if newest := max(fitting, default=None):
            found[requirement.name] = newest
    return found


def _with_older_torch(
    locked: _Locked,
    held: dict[str, Picked],
    target: Target,
    ask: Ask,
    matrix: Matrix,
    vetoes: Vetoes,
) -> _Locked | None:
    """Return the newest torch that the newest releases beside it allow, where that helps them."""
    ceiling = Version(held["torch"].version.public)
    if ceiling >= Version(locked.choice.torch):
        return None
    names = [name for name in held if name != "torch"]
    newest = ", ".join(f"{name} {held[name].version}" for name in names)
    vetoes.ceiling, vetoes.because = ceiling, f"is newer than torch {ceiling}, which {newest} takes"
    try:
        older = _first_that_locks(target, ask, matrix, vetoes)
    except (NoSolutionError, UnheardError):
        return None
    if isinstance(older, Refusal):
        return None
    return older if older.newer(names, locked) else None


def _held_notes(locked: _Locked, held: dict[str, Picked]) -> list[str]:
    """Say which packages torch keeps more than a year behind their newest release."""
    there = locking.picked(locked.text)
    notes = []
    for name, newest in held.items():
        if name == "torch" or name not in there or there[name].version >= newest.version:
            continue
        old, new = there[name].uploaded, newest.uploaded
        if old is None or new is None or new - old > LONG:
            since = f" of {new:%Y-%m-%d}" if new else ""
            notes.append(
                f"{name} {there[name].version} is what goes with torch {locked.choice.torch};"
                f" its newest release{since} is {newest.version}"
            )
    return notes


def kept_to(constraints: Sequence[Constraint], names: Collection[str]) -> list[str]:
    """Say which of pip's constraints are about these projects, and where they stand."""
    kept = [constraint for constraint in constraints if constraint.project in names]
    return [
        f"{constraint.requirement} is a constraint of {constraint.place}" for constraint in kept
    ]

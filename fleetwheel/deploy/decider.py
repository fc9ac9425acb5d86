"""From a host's target to a lock: kept, shared with another host, or made now."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from threading import Lock as Mutex
from typing import NamedTuple

from packaging.version import Version

from fleetwheel.choice.answer import Read, exact, narrowed, refusal_of, ways_out
from fleetwheel.choice.choose import Refusal, runs, uniform
from fleetwheel.choice.request import Request, read_pins
from fleetwheel.choice.target import (
    Blocker,
    Target,
    by_pins,
    by_reach,
    on_python,
    read_target,
)
from fleetwheel.deploy.record import Record
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import REACHES, Profile, Python
from fleetwheel.lock import lock as locks
from fleetwheel.lock.constraints import Constraint, configured_constraints
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.making import make
from fleetwheel.lock.own_wheel import with_wheel_here
from fleetwheel.lock.supply import Supply, supply
from fleetwheel.lock.unmet import unmet
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.sources.configured import OwnSources


class Member(NamedTuple):
    """One host of a uniform group."""

    profile: Profile
    request: Request
    record: Record | None
    name: str = ""

    @property
    def target(self) -> Target | None:
        """What a choice sees of it; None where something blocks it."""
        target = read_target(self.profile, self.request)
        return exact(target, self.profile) if isinstance(target, Target) else None


class Decider:
    """Decides for every host of a run, and makes each distinct lock once."""

    def __init__(self, directory: Path, matrix: Matrix, warn: Callable[[str], None]) -> None:
        self.directory = directory
        self.matrix = matrix
        self.warn = warn
        """Called once for each source that gives no answer."""
        self._warned: set[str] = set()
        self._made: dict[Target, Lock | Refusal] = {}
        self._mutexes: dict[Target, Mutex] = {}
        self._odd: dict[frozenset[Target], set[Target]] = {}

    def decide(
        self,
        profile: Profile,
        request: Request,
        record: Record | None,
        host_copy: Callable[[], str | None],
        *,
        extra_sources: OwnSources | None = None,
        relock: bool = False,
        tested: bool = True,
    ) -> Lock | Refusal:
        """Return the lock for a host, or why there is none.

        A host keeps the lock of its record while that meets its request and its wheels still run;
        ``host_copy`` reads the host's own copy, for a controller that has not got the file.
        ``tested`` is that of ``read_target``.
        """
        if record and not relock:
            kept = self._kept(profile, request, record, host_copy, tested)
            if kept:
                return kept
        refusals: list[Refusal] = []
        for reached in by_reach(profile):
            refusals = []
            for part in by_pins(reached, request):
                found = self._decided(part, request, record, extra_sources, relock, tested)
                if isinstance(found, Lock):
                    return found
                refusals.append(found)
        return refusals[0]

    def _kept(
        self,
        profile: Profile,
        request: Request,
        record: Record,
        host_copy: Callable[[], str | None],
        tested: bool,
    ) -> Lock | None:
        """Return the lock that a host's record names, if it meets the request and runs."""
        part = on_python(profile, request, record.choice.python.minor)
        unbound = read_target(part, request, tested=tested)
        lock = self._recorded(record, host_copy) if isinstance(unbound, Target) else None
        if lock is None or isinstance(unbound, Blocker):
            return None
        own = exact(unbound, profile)
        return with_wheel_here(lock, own) if self._serves(lock, own, profile, record) else None

    def _decided(
        self,
        profile: Profile,
        request: Request,
        record: Record | None,
        extra_sources: OwnSources | None,
        relock: bool,
        tested: bool,
    ) -> Lock | Refusal:
        """Return the lock for a host with these interpreters, or why there is none."""
        read = partial(
            read_target,
            constraints=[constraint.requirement for constraint in self._constraints],
            sources=extra_sources.redacted if extra_sources else (),
            optional_sources=extra_sources.optional_redacted if extra_sources else (),
            tested=tested,
        )
        target = read(profile, request)
        if isinstance(target, Blocker):
            return self._blocked(target, profile, request, read, extra_sources)
        found = self._shared(target, request, extra_sources, relock)
        choice = found.choice if isinstance(found, Lock) else found
        if narrow := narrowed(target, choice, profile, self.matrix):
            found = self._shared(narrow, request, extra_sources, relock)
        return _for_interpreter(found, profile, record)

    def common(
        self,
        members: Sequence[Member],
        *,
        extra_sources: OwnSources | None = None,
        relock: bool = False,
    ) -> str | None:
        """Return the release for every host of a uniform group: the one it has, else the newest.

        None where no release runs on all of them.
        """
        targets = [target for member in members if (target := member.target)]
        for release in () if relock else self._held(members):
            pinned_to = [t.model_copy(update={"torch": f"=={release}"}) for t in targets]
            if uniform(pinned_to, self.matrix, None):
                return release
        return uniform(targets, self.matrix, self._supply(targets, extra_sources).stock)

    def _held(self, members: Sequence[Member]) -> list[str]:
        """Return the releases that a uniform group may keep, the one to prefer first.

        A record is what its host claims. It counts where locks/ has the lock that it names, and
        that is one for the host; without such, as in a new clone, where half of the hosts agree.
        """
        claims = [(member, release) for member in members if (release := _claimed(member))]
        ours = {release for member, release in claims if self._has_lock(member, release)}
        if ours:
            return sorted(ours, key=Version, reverse=True)
        counted = Counter(release for _, release in claims).most_common()
        return [release for release, count in counted if 2 * count >= len(members)]

    def _has_lock(self, member: Member, release: str) -> bool:
        target = read_target(member.profile, pinned(member.request, release))
        try:
            lock = locks.load_lock(self.directory, member.record.lock) if member.record else None
            return bool(lock and isinstance(target, Target) and not unmet(lock, target))
        except FleetwheelError:
            return False

    def odd_ones_out(self, members: Sequence[Member]) -> list[str]:
        """Return the names of hosts without which a uniform group would get a newer release.

        The matrix alone decides: whether a host is what it says it is, a person has to know.
        """
        targets = frozenset(target for member in members if (target := member.target))
        if targets not in self._odd:
            newest = uniform(targets, self.matrix, None)
            self._odd[targets] = {
                target
                for target in targets
                if (better := uniform(targets - {target}, self.matrix, None))
                and (newest is None or Version(better) > Version(newest))
            }
        return [member.name for member in members if member.target in self._odd[targets]]

    @cached_property
    def _constraints(self) -> tuple[Constraint, ...]:
        return configured_constraints()

    def _recorded(self, record: Record, host_copy: Callable[[], str | None]) -> Lock | None:
        """Return the lock that a record names: from locks/, else the host's own copy."""
        kept = locks.load_lock(self.directory, record.lock)
        if kept:
            return kept
        copy = host_copy()
        return locks.from_copy(copy, record.lock) if copy else None

    def _serves(self, lock: Lock, own: Target, profile: Profile, record: Record) -> bool:
        return (
            not unmet(lock, own)
            and not runs(lock.choice, own, self.matrix)
            and python_for(lock, profile, record) is not None
        )

    def _blocked(
        self,
        blocker: Blocker,
        profile: Profile,
        request: Request,
        read: Read,
        extra: OwnSources | None,
    ) -> Refusal:
        found = self._supply(ways_out(profile, request, self.matrix, read), extra)
        return refusal_of(blocker, profile, request, self.matrix, found.stock, read)

    def _shared(
        self, target: Target, request: Request, extra: OwnSources | None, relock: bool
    ) -> Lock | Refusal:
        """Return the answer of a target, found or made by the first host that has it."""
        with self._mutexes.setdefault(target, Mutex()):
            if target not in self._made:
                existing = None if relock else locks.find(self.directory, target)
                self._made[target] = (
                    with_wheel_here(existing, target)
                    if existing
                    else make(
                        target,
                        request,
                        lambda needed: self._supply([needed], extra),
                        self.matrix,
                        self._constraints,
                    )
                )
            return self._made[target]

    def _supply(self, targets: Sequence[Target], extra: OwnSources | None) -> Supply:
        found = supply(targets, self.matrix, extra)
        for warning in set(found.warnings) - self._warned:
            self._warned.add(warning)
            self.warn(warning)
        return found


def takes_cuda(profile: Profile, request: Request) -> bool:
    """Whether a host counts among those of a uniform group that have to agree on a release."""
    return bool(profile.gpus) and read_pins(request).accelerator != "cpu"


def pinned(request: Request, release: str) -> Request:
    """Return a request for exactly this release."""
    return request.model_copy(update={"torch": f"=={release}"})


def _claimed(member: Member) -> str | None:
    """Return the release that a host says it has for its group, while its request is the same."""
    if member.record is None:
        return None
    release = member.record.choice.torch
    try:
        same = read_pins(member.record.request) == read_pins(pinned(member.request, release))
    except FleetwheelError:  # a request that cannot be read is no vote
        return None
    return release if same else None


def python_for(lock: Lock, profile: Profile, record: Record | None = None) -> Python | None:
    """Return the host's interpreter for a lock: that of its record, else the newest that fits.

    One that more users can run comes first.
    """
    fitting = [
        python
        for python in profile.pythons
        if python.minor == lock.choice.python.minor and not lock.excludes(python)
    ]
    reach = next((r for r in REACHES if r in {python.reach for python in fitting}), None)
    fitting = [python for python in fitting if python.reach == reach]
    before = record.choice.python.path if record else lock.choice.python.path
    newest = sorted(fitting, key=lambda python: Version(python.version), reverse=True)
    return next((python for python in fitting if python.path == before), next(iter(newest), None))


def require_python(lock: Lock, profile: Profile, record: Record | None = None) -> Python:
    """Return the interpreter to run programs with; FleetwheelError where the host has none."""
    python = python_for(lock, profile, record)
    if python is None:
        there = "; ".join(profile.problems)
        raise FleetwheelError(
            f"the host has no Python {lock.choice.python.minor} any more"
            + (f" that is to be trusted ({there})" if there else ""),
            hint="install it again, or run with --data relock=true",
        )
    return python


def _for_interpreter(
    found: Lock | Refusal, profile: Profile, record: Record | None
) -> Lock | Refusal:
    """Refuse a lock that none of the host's interpreters may use, by their whole versions."""
    if isinstance(found, Refusal) or python_for(found, profile, record):
        return found
    there = [p for p in profile.pythons if p.minor == found.choice.python.minor]
    reasons = [f"the host has Python {p.version}; {found.excludes(p)}" for p in there]
    return Refusal(reasons=tuple(reasons), unlocks=("another patch release of this Python",))

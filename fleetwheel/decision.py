"""From a profile and a request to a lock: kept, shared with another host, or made now."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Lock as Mutex
from typing import NamedTuple

from packaging.version import Version

from fleetwheel.choice import Choice, Refusal, candidate_variants, choose, family, runs, uniform
from fleetwheel.matrix import Matrix
from fleetwheel.profile import Profile, Python
from fleetwheel.record import Record
from fleetwheel.request import Request
from fleetwheel.wheel import Source
from fleetwheel.wheels import lock as locks
from fleetwheel.wheels.lock import Lock, Target, target_of
from fleetwheel.wheels.sources import configured_sources, official_source
from fleetwheel.wheels.survey import Survey, survey


class Member(NamedTuple):
    """One host of a uniform group."""

    profile: Profile
    request: Request
    record: Record | None


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

    def decide(
        self,
        profile: Profile,
        request: Request,
        record: Record | None,
        host_copy: Callable[[], str | None],
        *,
        extra_sources: Sequence[str] = (),
        relock: bool = False,
    ) -> Lock | Refusal:
        """Return the lock for a host, or why there is none.

        A host keeps the lock of its record while its request is the same and its wheels still run;
        ``host_copy`` reads the host's own copy, for a controller that has not got the file.
        """
        if record and not relock and record.request == request and self._fits(record, profile):
            kept = locks.load(self.directory, record.lock)
            copy = None if kept else host_copy()
            if kept or copy:
                return kept or locks.from_copy(str(copy))
        target = target_of(profile, request)
        with self._mutexes.setdefault(target, Mutex()):
            if target not in self._made:
                self._made[target] = self._lock(profile, target, extra_sources, relock)
            return self._made[target]

    def common(
        self, members: Sequence[Member], *, extra_sources: Sequence[str] = (), relock: bool = False
    ) -> str | None:
        """Return the release for every host of a uniform group: the one it has, else the newest.

        None where no release runs on all of them.
        """
        hosts = {target_of(m.profile, m.request): (m.profile, m.request) for m in members}.values()
        for release in () if relock else sorted(_held(members), key=Version, reverse=True):
            if uniform([(p, pinned(r, release)) for p, r in hosts], self.matrix, None):
                return release
        return uniform(hosts, self.matrix, self._survey(hosts, extra_sources).wheels)

    def _fits(self, record: Record, profile: Profile) -> bool:
        return python_for(record.choice, profile) is not None and not runs(
            record.choice.torch, record.choice.variant, profile, record.request, self.matrix
        )

    def _lock(
        self, profile: Profile, target: Target, extra: Sequence[str], relock: bool
    ) -> Lock | Refusal:
        existing = None if relock else locks.load(self.directory, target.name)
        if existing:
            locks.require_target(existing, target)
            return existing
        choice, answering = self._choose(profile, target.request, extra)
        if isinstance(choice, Refusal):
            return choice
        return locks.resolve(choice, target, answering)

    def _choose(
        self, profile: Profile, request: Request, extra: Sequence[str]
    ) -> tuple[Choice | Refusal, list[Source]]:
        """Ask the sources and choose; also return the ordinary sources that answer."""
        found = self._survey([(profile, request)], extra)
        choice = choose(profile, request, self.matrix, found.wheels)
        ordinary = configured_sources(extra)
        return choice, [source for source in ordinary if source not in found.silent]

    def _survey(self, hosts: Iterable[tuple[Profile, Request]], extra: Sequence[str]) -> Survey:
        """Ask the ordinary sources, and the official ones that matter to these hosts."""
        variants = [v for host in hosts for v in candidate_variants(*host, self.matrix)]
        projects = [project for _, request in hosts for project in family(request)]
        official = [official_source(variant) for variant in dict.fromkeys(variants)]
        found = survey([*configured_sources(extra), *official], tuple(dict.fromkeys(projects)))
        for warning in set(found.warnings) - self._warned:
            self._warned.add(warning)
            self.warn(warning)
        return found


def pinned(request: Request, release: str) -> Request:
    """Return a request for exactly this release."""
    return request.model_copy(update={"torch": f"=={release}"})


def _held(members: Sequence[Member]) -> set[str]:
    """Return the releases that a uniform group has, while its requests are the same."""
    records = [(member.request, member.record) for member in members if member.record]
    return {r.choice.torch for asked, r in records if r.request == pinned(asked, r.choice.torch)}


def python_for(choice: Choice, profile: Profile) -> Python | None:
    """Return the host's interpreter of the version that a choice is for."""
    same = [python for python in profile.pythons if python.minor == choice.python.minor]
    return next((python for python in same if python.path == choice.python.path), None) or next(
        iter(same), None
    )

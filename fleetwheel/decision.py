"""From a profile and a request to a lock: kept, shared with another host, or made now."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock as Mutex

from fleetwheel import lock as locks
from fleetwheel.choice import Choice, Refusal, candidate_variants, choose, family, runs
from fleetwheel.lock import Lock, Target, target_of
from fleetwheel.matrix import Matrix
from fleetwheel.profile import Profile, Python
from fleetwheel.record import Record
from fleetwheel.request import Request
from fleetwheel.sources import configured_sources, official_source
from fleetwheel.survey import survey
from fleetwheel.wheel import Source


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

    def _fits(self, record: Record, profile: Profile) -> bool:
        return python_for(record.choice, profile) is not None and not runs(
            record.choice.torch, record.choice.variant, profile, record.request, self.matrix
        )

    def _lock(
        self, profile: Profile, target: Target, extra: Sequence[str], relock: bool
    ) -> Lock | Refusal:
        existing = None if relock else locks.load(self.directory, target.name)
        if existing:
            return existing
        choice, answering = self._choose(profile, target.request, extra)
        if isinstance(choice, Refusal):
            return choice
        return locks.resolve(choice, target, answering)

    def _choose(
        self, profile: Profile, request: Request, extra: Sequence[str]
    ) -> tuple[Choice | Refusal, list[Source]]:
        """Ask the sources and choose; also return the ordinary sources that answer."""
        ordinary = configured_sources(extra)
        official = [official_source(v) for v in candidate_variants(profile, request, self.matrix)]
        found = survey([*ordinary, *official], family(request))
        for warning in set(found.warnings) - self._warned:
            self._warned.add(warning)
            self.warn(warning)
        choice = choose(profile, request, self.matrix, found.wheels)
        return choice, [source for source in ordinary if source not in found.silent]


def python_for(choice: Choice, profile: Profile) -> Python | None:
    """Return the host's interpreter of the version that a choice is for."""
    same = [python for python in profile.pythons if python.minor == choice.python.minor]
    return next((python for python in same if python.path == choice.python.path), None) or next(
        iter(same), None
    )

"""What was decided for one host, before anything is done there."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetwheel.choice.request import Request
from fleetwheel.delivery.distribution import Delivery
from fleetwheel.deploy.generations import before_next
from fleetwheel.deploy.plan import Plan, passed_test
from fleetwheel.deploy.record import Hold, Record, SmokePass, State
from fleetwheel.deploy.signposts import publish_of
from fleetwheel.host.profile import Generation, HostState, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.node.compare import for_root_alone
from fleetwheel.reporting.report import EnvironmentReport, Status
from fleetwheel.sources.wheel import Source


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One environment of a host on its way to one generation."""

    environment: str
    """The environment's name."""
    settings: Settings
    facts: HostState
    state: State
    request: Request
    lock: Lock
    python: Python
    plan: Plan
    hold: Hold | None = None
    notes: tuple[str, ...] = ()
    """What a person should know of the decision."""
    builder: str = ""
    """The environment before this one that builds the generation for both."""
    proved: list[SmokePass] = field(default_factory=list)
    """Passes of this run on the host, of whichever environment."""

    @property
    def root(self) -> str:
        return self.facts.installation.root

    @property
    def record(self) -> Record | None:
        """What the host says of the environment as it is."""
        return self.state.environments.get(self.environment)

    @property
    def path(self) -> str:
        """The generation's path on the host."""
        return f"{self.root}/envs/{self.plan.generation}"

    @property
    def publish(self) -> dict[str, Any]:
        """Who may read the environment, and what people find it by (node/publish.py)."""
        os = self.facts.profile.os
        return publish_of(self.environment, self.root, os, self.settings, self.lock, self.python)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why these wheels, where they are new on the host."""
        return (*self.notes, *(self.lock.choice.reasons if self.plan.build else ()))

    def entry(self, status: Status, why: str, passed: SmokePass | None = None) -> EnvironmentReport:
        """Return the environment's line in the report, with this pass or the last one."""
        tested = passed or (None if self.plan.smoke else self._last_pass())
        return EnvironmentReport(
            name=self.environment,
            status=status,
            why="\n".join(filter(None, [why, self._warning(tested)])),
            choice=self.lock.choice.model_copy(update={"python": self.python}),
            generation=self.plan.generation,
            smoke=tested.result if tested else None,
        )

    def _last_pass(self) -> SmokePass | None:
        """Return the pass that stands for a new test of the generation; maybe an outdated one."""
        generation = self.plan.generation
        last = self.record.smoke if self.record else None
        return passed_test(
            self.state, self.environment, generation, self.facts.profile, self.settings.request
        ) or (last if last and last.generation == generation else None)

    def _warning(self, tested: SmokePass | None) -> str:
        """Return why other users of the host cannot run the environment; empty where they can."""
        why = for_root_alone(self.python.path, self.python.reach, tested.result if tested else {})
        return f"warning: {why}" if why else ""

    @property
    def built(self) -> Generation:
        """The generation as it stands on the host once it is built."""
        return Generation(
            id=self.plan.generation, python=self.python.path, packages=dict(self.lock.packages)
        )

    def recorded(self, passed: SmokePass | None) -> Record:
        """Return the record once the generation is in use; with the last pass without another."""
        old, keep = self.record, self.settings.keep
        back = self.hold is not None
        return Record(
            generation=self.plan.generation,
            earlier=before_next(old, self.plan.generation, rolled_back=back, keep=keep),
            keep=keep,
            request=self.request,
            lock=self.lock.name,
            choice=self.lock.choice.model_copy(update={"python": self.python}),
            driver=self.facts.profile.driver,
            gpus=tuple(gpu.baseline for gpu in self.facts.profile.gpus),
            failed=self._still_failed(),
            smoke=passed or self._last_pass() or (old.smoke if old else None),
            tested=self.settings.smoke != "none",
            hold=self.hold,
            group=self.settings.group,
            user=self.facts.installation.user,
            trust=self.settings.trust,
            deployed_at=datetime.now(UTC),
        )

    def _still_failed(self) -> tuple[str, ...]:
        """Return the failed generations that may stay: a process still runs from them."""
        built = {generation.id for generation in self.facts.installation.generations}
        failed = self.record.failed if self.record else ()
        return tuple(id for id in failed if id in built and id != self.plan.generation)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What a build sends to its host, and has the host fetch."""

    summary: str
    """How much of it there is, for people."""
    uv: Path | None
    """The uv to send; None where the host has it."""
    needed_bytes: int
    """Free space that the build takes."""
    environment: dict[str, str] = field(repr=False)
    """Variables for uv on the host, credentials among them."""
    delivery: Delivery = field(repr=False)
    places: tuple[str, ...]
    """What the host has to reach, ``https://HOST``."""
    sources: tuple[Source, ...] = field(repr=False)
    """Sources whose credentials the controller needs for what it sends."""

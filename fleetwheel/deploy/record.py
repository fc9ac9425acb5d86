"""The record of a host, ``<root>/state.json``: what was deployed, why, and how its test went."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field
from pydantic_core import from_json

from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import selected_gpus
from fleetwheel.connection.untrusted_json import Document
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT, EnvironmentName
from fleetwheel.host.profile import Driver, Gpu, Profile
from fleetwheel.host.trust import NOBODY, Trust
from fleetwheel.node import compare
from fleetwheel.value import Value

SCHEMA: Literal["fleetwheel.state/2"] = "fleetwheel.state/2"
FIRST_SCHEMA = "fleetwheel.state/1"
"""That of hosts that had one environment, whose record stood for itself."""
LONGEST = 2**21
"""Characters of a state; with eight GPUs and a full smoke test an environment has some 50,000."""


class SmokePass(Value):
    """A passed smoke test, and all that has to stay the same for it to hold."""

    generation: str
    driver: str | None
    gpus: tuple[str | None, ...]
    """UUIDs of the GPUs, in index order."""
    boot_id: str | None
    at: AwareDatetime
    tested: tuple[str, ...] | None = None
    """UUIDs of the GPUs that were tested; None for all of them."""
    result: Document = Field(default_factory=dict)
    """The JSON document of node/smoke/run.py."""

    def holds(
        self,
        generation: str,
        profile: Profile,
        served: Sequence[str] | None = None,
        imports: Collection[str] = (),
    ) -> bool:
        """Whether the pass still counts: same generation, driver, GPUs and boot.

        ``served`` has the UUIDs of the GPUs that it has to cover, None for all; ``imports`` the
        projects.
        """
        needed = [gpu.uuid for gpu in profile.gpus] if served is None else served
        covered = self.tested is None or {*needed} <= {*self.tested}
        done = self.result.get("imports")
        covered = covered and {*imports} <= {*map(str, done if isinstance(done, list) else ())}
        return covered and not compare.since(
            _kept(self), _kept(smoke_pass(generation, profile, {}))
        )


def _kept(passed: SmokePass) -> compare.Pass:
    return compare.Pass(passed.generation, passed.driver, passed.gpus, passed.boot_id)


def smoke_pass(
    generation: str,
    profile: Profile,
    result: dict[str, Any],
    tested: Sequence[str] | None = None,
) -> SmokePass:
    """Return the pass of a generation on the host as it is now."""
    return SmokePass(
        generation=generation,
        driver=profile.driver.version,
        gpus=tuple(gpu.uuid for gpu in profile.gpus),
        boot_id=profile.boot_id,
        at=datetime.now(UTC),
        tested=None if tested is None else tuple(tested),
        result=result,
    )


class Hold(Value):
    """A person rolled the host back: nothing moves it until a person lifts the hold."""

    since: AwareDatetime
    rolled_back_from: str


class Earlier(Value):
    """A generation that an environment had in use before."""

    generation: str
    deployed_at: AwareDatetime | None = None
    """None where an earlier version of fleetwheel did not write it down."""
    request: Request | None = None


class Record(Value):
    """What stands in one environment of a host since its last deploy or rollback."""

    generation: str
    earlier: tuple[Earlier, ...] = ()
    """Generations to go back to, newest first."""
    failed: tuple[str, ...] = ()
    """Generations whose smoke test failed, kept for a look until the next one passes."""
    keep: int = 3
    """Generations of the environment that stay, the one in use included."""
    request: Request
    lock: Annotated[str, Field(pattern=r"^pylock\.[A-Za-z0-9_-]+\.toml$")]
    """File name of the lock in locks/; the record comes from a host, so it is nothing else."""
    choice: Choice
    driver: Driver
    gpus: tuple[Gpu, ...]
    smoke: SmokePass | None = None
    tested: bool = True
    """Whether a pass of the smoke test is expected: not with ``smoke: none`` in the inventory."""
    hold: Hold | None = None
    group: str | None = None
    """Group whose members alone may read the environment."""
    published: dict[str, str] = Field(default_factory=dict)
    """Path of each file that people find it by, outside of the root, to its SHA-256; the host
    writes that down (node/publish.py)."""
    user: str = ""
    """Who deployed on the host, after sudo; empty in earlier records."""
    trust: Trust = NOBODY
    """Whom the inventory trusted on the host besides."""
    deployed_at: AwareDatetime


class State(Value):
    """What fleetwheel knows of a host: a record for each environment."""

    model_config = ConfigDict(populate_by_name=True)

    format: Literal["fleetwheel.state/2"] = Field(default=SCHEMA, alias="schema")
    environments: dict[EnvironmentName, Record] = Field(default_factory=dict)

    @property
    def passes(self) -> list[SmokePass]:
        """The passed smoke tests of all environments."""
        return [record.smoke for record in self.environments.values() if record.smoke]

    @property
    def latest(self) -> Record | None:
        """The record that saw the host last: what driver and GPUs are compared with."""
        return max(self.environments.values(), key=lambda record: record.deployed_at, default=None)

    def text(self) -> str:
        """The state as it is written on the host."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def parse_state(text: str) -> State:
    """Read a host's state.json; a state without environments when there is none.

    What a later version of this schema added is passed over.
    Raises FleetwheelError for one that cannot be read: it may hold the host on a rollback.
    """
    if not text:
        return State()
    try:
        if len(text) > LONGEST:
            raise ValueError(f"more than {LONGEST} characters")
        document = from_json(text)
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema == FIRST_SCHEMA:
            return _from_first(document)
        if isinstance(schema, str) and schema != SCHEMA and schema.startswith("fleetwheel.state/"):
            raise FleetwheelError(
                f"the host's state.json is written in the schema {schema[:40]}, this fleetwheel"
                f" knows {SCHEMA}",
                hint="use a newer fleetwheel, as the one that deployed this host",
            )
        return State.model_validate(document, extra="ignore", strict=False)
    except (ValueError, RecursionError) as error:
        raise FleetwheelError(
            "the host's state.json cannot be read, so nobody knows whether the host is on hold",
            hint="look at it on the host; if it is damaged, move it aside there (mv state.json"
            " state.json.damaged), and the next run writes a new one",
        ) from error


class _First(Value):
    """What state/1 called what ``Record.earlier`` has now."""

    previous: str | None = None
    older: tuple[str, ...] = ()


def _from_first(document: dict[str, Any]) -> State:
    """Return a state/1 document, which is the record of the one environment of its host."""
    before = _First.model_validate(document, extra="ignore", strict=False)
    names = filter(None, [before.previous, *before.older])
    record = Record.model_validate(
        {**document, "earlier": [{"generation": name} for name in names]},
        extra="ignore",
        strict=False,
    )
    if record.smoke and record.request.gpus is not None:
        tested = tuple(gpu.uuid for gpu in selected_gpus(record.gpus, record.request) if gpu.uuid)
        passed = record.smoke.model_copy(update={"tested": tested})
        record = record.model_copy(update={"smoke": passed})
    return State(environments={DEFAULT: record})

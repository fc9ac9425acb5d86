"""The record of a host, ``<root>/state.json``: what was deployed, why, and how its test went."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import from_json

from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import Request
from fleetwheel.connection.untrusted_json import Document
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, Gpu, Profile, Python
from fleetwheel.node import compare
from fleetwheel.value import Value

SCHEMA: Literal["fleetwheel.state/1"] = "fleetwheel.state/1"
LONGEST = 2**20
"""Characters of a record; with eight GPUs and a full smoke test it has some 50,000."""


class SmokePass(Value):
    """A passed smoke test, and all that has to stay the same for it to hold."""

    generation: str
    driver: str | None
    gpus: tuple[str | None, ...]
    """UUIDs of the GPUs, in index order."""
    boot_id: str | None
    at: datetime
    result: Document = Field(default_factory=dict)
    """The JSON document of node/smoke/run.py."""

    def holds(self, generation: str, profile: Profile) -> bool:
        """Whether the pass still counts: same generation, driver, GPUs and boot."""
        return not compare.since(_kept(self), _kept(smoke_pass(generation, profile, {})))


def _kept(passed: SmokePass) -> compare.Pass:
    return compare.Pass(passed.generation, passed.driver, passed.gpus, passed.boot_id)


def smoke_pass(generation: str, profile: Profile, result: dict[str, Any]) -> SmokePass:
    """Return the pass of a generation on the host as it is now."""
    return SmokePass(
        generation=generation,
        driver=profile.driver.version,
        gpus=tuple(gpu.uuid for gpu in profile.gpus),
        boot_id=profile.boot_id,
        at=datetime.now(UTC),
        result=result,
    )


class Hold(Value):
    """A person rolled the host back: nothing moves it until a person lifts the hold."""

    since: datetime
    rolled_back_from: str


class Record(Value):
    """What stands on a host since its last deploy or rollback."""

    format: Literal["fleetwheel.state/1"] = Field(default=SCHEMA, alias="schema")
    generation: str
    previous: str | None = None
    """The generation that was in use before, which a rollback goes back to."""
    older: tuple[str, ...] = ()
    """Those that were in use before that one, newest first."""
    failed: tuple[str, ...] = ()
    """Generations whose smoke test failed, kept for a look until the next one passes."""
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
    deployed_at: datetime

    def without(self, generation: str) -> "Record":
        """Return the record after a generation has failed its smoke test: no pass of it counts."""
        passed = self.smoke if self.smoke and self.smoke.generation != generation else None
        failed = tuple(dict.fromkeys([*self.failed, generation]))
        return self.model_copy(update={"failed": failed, "smoke": passed})

    def text(self) -> str:
        """The record as it is written on the host."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def for_root_alone(python: Python, result: Mapping[str, Any]) -> str:
    """Return why only root can run an environment that is there for all; empty where others can.

    ``result`` is the document of its smoke test, which starts it as another user.
    """
    if python.reach == "private":
        return f"only root can run it: {python.path} lies where other users cannot go"
    others = result.get("others")
    return f"another user cannot start it: {others}" if others else ""


def parse_record(text: str) -> Record | None:
    """Read a host's state.json; None when there is none.

    What a later version of this schema added is passed over.
    Raises FleetwheelError for one that cannot be read: it may hold the host on a rollback.
    """
    if not text:
        return None
    try:
        if len(text) > LONGEST:
            raise ValueError(f"more than {LONGEST} characters")
        document = from_json(text)
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(schema, str) and schema != SCHEMA and schema.startswith("fleetwheel.state/"):
            raise FleetwheelError(
                f"the host's state.json is written in the schema {schema[:40]}, this fleetwheel"
                f" knows {SCHEMA}",
                hint="use a newer fleetwheel, as the one that deployed this host",
            )
        return Record.model_validate(document, extra="ignore", strict=False)
    except (ValueError, RecursionError) as error:
        raise FleetwheelError(
            "the host's state.json cannot be read, so nobody knows whether the host is on hold",
            hint="look at it on the host; if it is damaged, move it aside there (mv state.json"
            " state.json.damaged), and the next run writes a new one",
        ) from error

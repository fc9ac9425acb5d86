"""What hosts answered, kept in files: a fleet that can be looked at again without its hosts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field, ValidationError

from fleetwheel import files
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState, Installation, Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.value import Value

REPLAY = "recorded "
"""How the answer of a replayed host begins; a JSON document follows."""


class HostSnapshot(Value):
    """What one host of an inventory said, or why it said nothing."""

    format: Literal["fleetwheel.host/1"] = Field(default="fleetwheel.host/1", alias="schema")
    name: str
    settings: Settings = Settings()
    profile: Profile | None = None
    installation: Installation | None = None
    error: str = "it gave no answer"
    """Why there is no profile, where there is none."""

    @property
    def state(self) -> HostState | None:
        """What the host answered; None where it did not."""
        if self.profile is None or self.installation is None:
            return None
        return HostState(profile=self.profile, installation=self.installation)

    def document(self) -> dict[str, Any]:
        """Return the entry of ``fleetwheel facts --json``."""
        if self.state is None:
            return {"name": self.name, "error": self.error}
        return self.model_dump(mode="json", include={"name", "profile", "installation"})

    def text(self) -> str:
        """Return the file of the host. The sources stay out: their addresses may hold passwords."""
        settings = self.settings.model_dump(mode="json", exclude_unset=True, exclude={"sources"})
        document = {"schema": self.format, "settings": settings, **self.document()}
        return json.dumps(document, indent=2) + "\n"


def save_snapshots(directory: Path, answers: Sequence[HostSnapshot]) -> list[Path]:
    """Write ``<host>.json`` for every host that answered; OSError where that cannot be done."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for answer in answers:
        if answer.state:
            path = directory / f"{quote(answer.name, safe='@')}.json"
            files.replace(path, answer.text())
            written.append(path)
    return written


def load_snapshots(place: Path) -> list[HostSnapshot]:
    """Return the host of a file, or those of all JSON files of a directory, by name.

    Raises FleetwheelError that names the file.
    """
    paths = sorted(place.glob("*.json")) if place.is_dir() else [place]
    if not paths:
        raise FleetwheelError(
            f"{place}: holds no recorded host",
            hint=f"fleetwheel facts INVENTORY --save {place} writes one file for each host",
        )
    return [read_snapshot(path) for path in paths]


def read_snapshot(path: Path) -> HostSnapshot:
    """Return the host of one file. Raises FleetwheelError that names the file."""
    try:
        return HostSnapshot.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FleetwheelError(
            f"{path}: is no recorded host: {where}{': ' if where else ''}{first['msg']}",
            hint="record it again: fleetwheel facts INVENTORY --save DIR",
        ) from None
    except OSError as error:
        raise FleetwheelError(f"{path}: cannot be read: {error.strerror}") from error


def replay(answer: HostSnapshot) -> dict[str, Any]:
    """Return the data that makes pyinfra's ``@fake`` connector answer as the host did."""
    state = answer.state.model_dump_json() if answer.state else ""
    return {
        **answer.settings.model_dump(exclude_unset=True),
        "fake_responses": {"answer platform": REPLAY + state},
        "fake_delay": 0,
        "fake_delay_jitter": 0,
    }


def replayed(output: Sequence[str]) -> HostState | None:
    """Return the state in a replayed answer; None where a real host answered.

    Raises ValueError where the answer is no state.
    """
    if not output or not output[0].startswith(REPLAY):
        return None
    return HostState.model_validate_json(output[0].removeprefix(REPLAY))

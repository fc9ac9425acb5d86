"""Locks: one wheel set by hash for every host with the same target (PEP 751)."""

import hashlib
import json
import re
import tomllib
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from packaging.pylock import Pylock, PylockValidationError
from pydantic import ValidationError

from fleetwheel import files
from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import Target
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Python
from fleetwheel.sources.address import is_address
from fleetwheel.value import Value

V = TypeVar("V", bound=Value)

RELOCK = "run with --data relock=true"
LONGEST = 2**20
"""Characters of a lock that a host sends back; the longest in use have a tenth of that."""

MOST_SERVERS = 32
"""That the wheels of a lock may lie on which a host sends back; the controller asks them all."""

FIRST = "fleetwheel.target/1"
"""How the targets are called that name no schema: they held the request and the whole host."""


class Origin(Value):
    """What a lock says of itself, in its table ``[tool.fleetwheel]``."""

    request: Request
    """As the host asked for it that the lock was made for."""
    os: str
    arch: str
    target: Target | None
    """None in a lock that says too little of its target, as those of 0.1.0 do: such a lock is good
    for the hosts whose record names it, and for no others."""


def name_of(target: Target) -> str:
    """Return the file name of a target's lock, which PEP 751 wants without another dot."""
    codes = "-".join(f"sm{major}{minor}" for major, minor in target.devices)
    document = target.model_dump_json(exclude_defaults=True)
    digest = hashlib.sha256(document.encode()).hexdigest()[:12]
    return f"pylock.{target.os}-{target.arch}-{codes or target.runtime}-{digest}.toml"


class Lock(Value):
    """One lock: its file name and its whole text."""

    name: str
    text: str
    from_host: bool = False
    """A copy that a host sent back: good for that host, never for locks/ and other hosts."""

    @cached_property
    def document(self) -> Pylock:
        """The lock as PEP 751 has it; FleetwheelError when it is not one."""
        try:
            document = Pylock.from_dict(tomllib.loads(self.text))
        except (ValueError, RecursionError, PylockValidationError) as error:
            raise FleetwheelError(
                f"locks/{self.name} cannot be read: {error}", hint=RELOCK
            ) from error
        for package in document.packages:
            for wheel in package.wheels or ():
                words = f"locks/{self.name}: a wheel of {package.name} has"
                if not re.fullmatch("[0-9a-f]{64}", wheel.hashes.get("sha256", "")):
                    raise FleetwheelError(f"{words} no sha256", hint=RELOCK)
                if not is_address(wheel.url or ""):
                    raise FleetwheelError(f"{words} an address that is none", hint=RELOCK)
        self._require_few_servers(document)
        return document

    @cached_property
    def choice(self) -> Choice:
        """The choice that the lock was made from."""
        return self._own(self._table("choice"), Choice)

    @cached_property
    def origin(self) -> Origin:
        """What the lock was made for."""
        table = self._table("target")
        schema = table.get("schema", FIRST)
        whole = {"os": table.get("os"), "arch": table.get("arch")}
        if schema == FIRST:
            return self._own({**whole, "request": table.get("request"), "target": None}, Origin)
        if schema != Target.model_fields["format"].default:
            raise FleetwheelError(
                f"locks/{self.name} is written in the schema {schema}, which this fleetwheel does"
                " not know",
                hint="use a newer fleetwheel, as whoever made the lock did",
            )
        whole |= {"request": self._table("request"), "target": table}
        return self._own(whole, Origin)

    def _require_few_servers(self, document: Pylock) -> None:
        """Refuse what would have this machine ask servers without end, on the word of a host."""
        wheels = [wheel for package in document.packages for wheel in package.wheels or ()]
        servers = {urlsplit(wheel.url or "").netloc for wheel in wheels}
        if self.from_host and len(servers) > MOST_SERVERS:
            words = f"the host's copy of locks/{self.name} names wheels on {len(servers)} servers"
            raise FleetwheelError(f"{words}, more than {MOST_SERVERS}", hint=RELOCK)

    def _table(self, key: str) -> dict[str, Any]:
        """Return an entry of the ``[tool.fleetwheel]`` table."""
        ours = (self.document.tool or {}).get("fleetwheel")
        found = ours.get(key) if isinstance(ours, dict) else None
        if not isinstance(found, dict):
            raise self._silent_about(key)
        return found

    def _own(self, table: dict[str, Any], kind: type[V]) -> V:
        try:
            return kind.model_validate(table, extra="ignore")
        except ValidationError as error:
            raise self._silent_about(kind.__name__.lower()) from error

    def _silent_about(self, what: str) -> FleetwheelError:
        words = f"locks/{self.name} does not say which {what} it was made for"
        return FleetwheelError(words, hint=RELOCK)

    @cached_property
    def packages(self) -> dict[str, str]:
        """Normalised name to full version of everything that is installed."""
        return {package.name: str(package.version) for package in self.document.packages}

    @cached_property
    def urls(self) -> dict[str, str]:
        """Normalised name to the address of the wheel."""
        return {
            package.name: wheel.url or ""
            for package in self.document.packages
            for wheel in (package.wheels or ())[:1]
        }

    @cached_property
    def hashes(self) -> dict[str, frozenset[str]]:
        """Normalised name to the SHA-256 of each of its wheels."""
        return {
            package.name: frozenset(wheel.hashes["sha256"] for wheel in package.wheels or ())
            for package in self.document.packages
        }

    @property
    def sha256(self) -> str:
        """Hash of the text, as the copy on a host has it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def generation(self, python: Python, group: str | None = None) -> str:
        """Name of the generation that this lock makes with an interpreter, without build number.

        What a ``group`` alone may read is shared with no environment that others may.
        """
        wheels = sorted(
            (package.name, str(package.version), sorted(wheel.hashes["sha256"] for wheel in wheels))
            for package in self.document.packages
            for wheels in [package.wheels or ()]
        )
        made_of = [wheels, python.path, *([group] if group else [])]
        digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]
        return f"{self.choice.packages['torch']}-{python.tag}-{digest}"

    def excludes(self, python: Python) -> str | None:
        """Return which package of the lock an interpreter is not for, by its whole version."""
        for package in self.document.packages:
            asked = package.requires_python
            if asked is not None and not asked.contains(python.version, prereleases=True):
                return f"{package.name} {package.version} is for Python {asked}"
        return None


def from_copy(text: str, name: str) -> Lock:
    """Return the lock of a copy that a host keeps, under the name that its record has for it.

    Raises FleetwheelError for one that is longer than locks are.
    """
    if len(text) > LONGEST:
        words = f"the host's copy of locks/{name} has {len(text)} characters, which no lock has"
        raise FleetwheelError(words, hint=RELOCK)
    return Lock(name=name, text=text, from_host=True)


def name_here(directory: Path, text: str) -> str | None:
    """Return the name in locks/ of a lock that a host has a copy of; None where it is not there."""
    held = (path for path in sorted(directory.glob("pylock.*.toml")) if path.is_file())
    return next((path.name for path in held if path.read_bytes() == text.encode()), None)


def load_lock(directory: Path, name: str) -> Lock | None:
    """Return the lock that a team has committed or an earlier run has made, if there is one."""
    path = directory / name
    try:
        stat = path.stat()
        return _load(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        words = f"locks/{name} cannot be read: {error.strerror}"
        raise FleetwheelError(words, hint="look at what stands there under this name") from error


@lru_cache(maxsize=8192)
def _load(path: Path, mtime_ns: int, size: int) -> Lock:
    try:
        return Lock(name=path.name, text=path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        words = f"locks/{path.name} cannot be read: it is no text"
        raise FleetwheelError(words, hint=RELOCK) from error


def find(directory: Path, target: Target) -> Lock | None:
    """Return the lock that was made for a target, whatever its file is called.

    Raises FleetwheelError where the file of the target's own name holds another lock, as after a
    wrong copy or merge; files that cannot be read are passed over.
    """
    named = load_lock(directory, name_of(target))
    if named:
        if named.origin.target != target:
            words = f"locks/{named.name} was made for another target"
            raise FleetwheelError(words, hint=RELOCK)
        require_family(named, named.choice)
        return named
    others = sorted(path.name for path in directory.glob("pylock.*.toml"))
    return next((lock for name in others if (lock := _made_for(directory, name, target))), None)


def _made_for(directory: Path, name: str, target: Target) -> Lock | None:
    try:
        lock = load_lock(directory, name)
        if lock and lock.origin.target == target:
            require_family(lock, lock.choice)
            return lock
    except (FleetwheelError, OSError):
        return None
    return None


def save_lock(directory: Path, lock: Lock) -> None:
    """Write a lock in one step, so that an interrupted run leaves the old one."""
    files.replace(directory / lock.name, lock.text)


def require_family(lock: Lock, choice: Choice) -> None:
    """Refuse a lock in which the torch family is not exactly what was chosen."""
    for name, version in choice.packages.items():
        if lock.packages.get(name) != version:
            raise FleetwheelError(
                f"{name} {version} was chosen, but uv locked {lock.packages.get(name)}",
                hint="name fewer wheel sources, or pin torch in the inventory",
            )

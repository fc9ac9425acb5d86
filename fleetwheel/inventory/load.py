"""The inventory: YAML files to hosts with their data, or errors that name file, line and key."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from fleetwheel.delivery import mirror
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.itself import SELF
from fleetwheel.inventory import plain_yaml
from fleetwheel.inventory.plain_yaml import Place, Problem, Reading
from fleetwheel.inventory.recorded import load_snapshots as recorded
from fleetwheel.inventory.recorded import replay
from fleetwheel.inventory.settings import (
    OF_A_FILE,
    EnvironmentSettings,
    Settings,
    did_you_mean,
    error_text,
    misplaced,
    suggestion,
    unknown_in_environment,
)
from fleetwheel.value import Value

DIRECTORY = Path("inventory")
VARIABLE = "FLEETWHEEL_INVENTORY"
"""Environment variable that names a file or directory to read instead of ``inventory/``."""
FILE_BYTES = 4 << 20
"""An inventory file is not longer than this: some 40,000 hosts."""
RESERVED = ("all", "inventory", "ungrouped")
"""Groups that pyinfra, or inventory.py, makes of its own."""
HINT = "docs/inventory.example.yaml has every key"
Environments = Mapping[str, EnvironmentSettings | None]


PYINFRA_NAMES = {
    "address": "ssh_hostname",
    "port": "ssh_port",
    "user": "ssh_user",
    "key": "ssh_key",
    "known_hosts": "ssh_known_hosts_file",
    "ssh_config": "ssh_config_file",
    "sudo": "_sudo",
}
"""What pyinfra calls what the inventory says of the way to a host."""


def _pyinfra_key(key: str) -> str:
    if "password" in key:
        raise ValueError(
            "passwords do not belong in a file: use a key or an agent,"
            " or pyinfra's --ssh-password-prompt and --use-sudo-password"
        )
    if key in HostEntry.model_fields:
        raise ValueError("belongs beside pyinfra, not in it")
    return key


def _home(value: str) -> str:
    """Make ``~/`` this user's home directory, which pyinfra does for other files, not for this."""
    return str(Path(value).expanduser()) if value.startswith("~/") else value


class Connection(Value):
    """How pyinfra reaches a host, in the words of SSH."""

    os: Literal["linux", "windows"] = "linux"
    """A Windows host is reached by the winssh connector."""
    address: str | None = None
    port: Annotated[int, Field(ge=1, le=65535, strict=True)] | None = None
    user: str | None = None
    key: str | None = None
    known_hosts: str | None = None
    ssh_config: Annotated[str, AfterValidator(_home)] | None = None
    sudo: bool = False
    pyinfra: dict[Annotated[str, AfterValidator(_pyinfra_key)], Any] = Field(default_factory=dict)
    """Further data for pyinfra and its connector, as it is."""

    def data(self) -> dict[str, Any]:
        """Return what pyinfra's SSH connector reads; host keys are checked unless it says no."""
        named = {name: getattr(self, key) for key, name in PYINFRA_NAMES.items()}
        said = {name: value for name, value in named.items() if value not in (None, False)}
        return {**said, "ssh_strict_host_key_checking": "yes", **self.pyinfra}


class HostEntry(Connection, Settings):
    """What one host, a group or the defaults may say."""

    @property
    def stated(self) -> list[str]:
        """The keys that are written down."""
        return [key for key in HostEntry.model_fields if key in self.model_fields_set]

    @field_validator("relock", "lift_hold", "rebuild", "environment")
    @classmethod
    def _for_one_run(cls, value: object, info: ValidationInfo) -> object:
        example = "NAME" if info.field_name == "environment" else "true"
        raise ValueError(f"is for one run, on the command line: --data {info.field_name}={example}")


def _nothing_is_empty(value: object) -> object:
    """A key with nothing behind it, such as ``ws-01:``, is an empty entry."""
    return {} if value is None else value


def _host_name(name: str) -> str:
    if not re.fullmatch(r"@?[^\s@]\S*", name) or not name.isprintable():
        raise ValueError("a host's name is one word without spaces")
    return name


def _group_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or name in RESERVED:
        raise ValueError(
            f"a group's name is letters, digits, - and _, and none of {', '.join(RESERVED)}"
        )
    return name


Entry = Annotated[HostEntry, BeforeValidator(_nothing_is_empty)]
HostName = Annotated[str, AfterValidator(_host_name)]
Hosts = Annotated[dict[HostName, Entry], BeforeValidator(_nothing_is_empty)]


class GroupEntry(HostEntry):
    """A group: what its hosts have in common, and the hosts."""

    hosts: Hosts = Field(default_factory=dict)


GroupName = Annotated[str, AfterValidator(_group_name)]
Group = Annotated[GroupEntry, BeforeValidator(_nothing_is_empty)]


class Document(BaseModel):
    """One inventory file."""

    model_config = ConfigDict(extra="forbid")

    defaults: Entry = Field(default_factory=HostEntry)
    groups: Annotated[dict[GroupName, Group], BeforeValidator(_nothing_is_empty)] = Field(
        default_factory=dict
    )
    hosts: Hosts = Field(default_factory=dict)


class ListedHost(NamedTuple):
    """One host: its name, the groups it is in, and its data for pyinfra."""

    name: str
    groups: tuple[str, ...]
    data: dict[str, Any]
    origins: Mapping[str, str] = {}
    """Where each of the data stands, such as ``group lab, inventory/lab.yaml:7``.

    Those of an environment are ``environments.vision`` and ``environments.vision.torch``.
    """


class InventoryFile(NamedTuple):
    """One inventory file whose content is sound."""

    path: Path
    document: Document
    reading: Reading


class Layer(NamedTuple):
    """What one entry says: the defaults, a group, or a host of itself."""

    file: InventoryFile
    place: Place
    entry: HostEntry

    def said(self, key: str) -> Any:
        """Return what this layer says of a key."""
        return getattr(self.entry, key)

    def where(self, *key: str) -> str:
        """Return the file and line of a key of this layer."""
        return f"{self.file.path}:{self.file.reading.line((*self.place, *key))}"

    def problem(self, text: str, *key: str) -> str:
        """Return what is wrong with a key of this layer, with its file and line."""
        place = (*self.place, *key)
        return _told(self.file.path, Problem(self.file.reading.line(place), place, text))

    def origins(self) -> dict[str, str]:
        """Return where each of the data stands that this layer says, by pyinfra's names."""
        group = f"group {self.place[-1]}" if _is_group(self.place) else "defaults"
        kind = "host" if _is_host(self.place) else group
        named = {PYINFRA_NAMES.get(key, key): self.where(key) for key in self.entry.stated}
        others = {key: self.where("pyinfra", key) for key in self.entry.pyinfra}
        inner = {".".join(key): self.where(*key) for key in self._of_environments()}
        return {name: f"{kind}, {place}" for name, place in (named | others | inner).items()}

    def _of_environments(self) -> Iterator[tuple[str, ...]]:
        for name, own in self.entry.environments.items():
            yield "environments", name
            for key in own.model_fields_set if own else ():
                yield "environments", name, key


_origins: dict[str, Mapping[str, str]] = {}
"""Where hosts that were read here have their data from, by their names."""


def origin(host: str, key: str) -> str | None:
    """Return where one of a host's data stands; None for a host that was not read here."""
    return _origins[host].get(key, "default") if host in _origins else None


def note_origins(origins: Mapping[str, Mapping[str, str]]) -> None:
    """Keep for ``origin`` where hosts have their data from."""
    _origins.update(origins)


def fleet() -> list[ListedHost]:
    """Return the hosts of FLEETWHEEL_INVENTORY, else of ``inventory/``, else this machine.

    FLEETWHEEL_SELF leaves the host of that name alone, as the machine that this runs on.
    A directory of recorded hosts gives hosts that answer as they did then, for dry runs.
    Raises FleetwheelError as ``load`` does, and where the variable names a place without hosts.
    """
    named = os.environ.get(VARIABLE)
    if named and not _files(Path(named)) and any(Path(named).glob("*.json")):
        return [
            ListedHost(f"@fake/{host.name}", (), replay(host)) for host in recorded(Path(named))
        ]
    hosts = (
        load_hosts(Path(named)) if named else load_hosts(DIRECTORY) if DIRECTORY.exists() else []
    )
    if named and not hosts:
        raise FleetwheelError(
            f"{named}: holds no *.yaml file", hint=f"{VARIABLE} names a file or a directory of them"
        )
    if name := os.environ.get(SELF):
        return [_itself(hosts, name)]
    note_origins({host.name: host.origins for host in hosts})
    return hosts or [ListedHost("@local", (), {})]


def _itself(hosts: Sequence[ListedHost], name: str) -> ListedHost:
    """Return a host as this machine: what is said about it, without the way to it."""
    data = next((host.data for host in hosts if host.name == name), None)
    if data is None:
        raise FleetwheelError(
            f"{SELF}={name}: the inventory has no such host",
            hint="add it, or take its pull away: schedule: {present: false}",
        )
    said = {key: value for key, value in data.items() if key in Settings.model_fields}
    if said.get("mirror"):
        addresses = {host.name: host.data.get("ssh_hostname", host.name) for host in hosts}
        said["mirror"] = mirror.address(said["mirror"], addresses)
    return ListedHost("@local", (), said)


def load_hosts(place: Path) -> list[ListedHost]:
    """Return the hosts of a file, or of all YAML files in a directory, in their order.

    Raises FleetwheelError as ``read`` does. Files without any host are a problem as well: this
    machine is meant only where there is no file at all.
    """
    files = read_inventory(place)
    found = hosts(files)
    if files and not found:
        problem = 'hosts: none in any file; this machine would be "@local"'
        raise FleetwheelError(f"{files[0].path}:1: {problem}", hint=HINT)
    return found


def read_inventory(place: Path, instead: Mapping[Path, str] | None = None) -> list[InventoryFile]:
    """Return the content of a file, or of all YAML files in a directory, in their order.

    ``instead`` has texts to read in the place of files, or beside them: what they would become.
    Raises FleetwheelError with a line ``FILE:LINE: KEY: PROBLEM`` for each problem.
    """
    instead = instead or {}
    paths = sorted({*_files(place), *instead}) if place.is_dir() else [place]
    problems: list[str] = []
    files = [file for path in paths if (file := _read(path, instead.get(path), problems))]
    problems += [*_duplicates(files), *_contradictions(files), *_misplaced_roots(files)]
    problems += [*_unknown_environments(files), *_unknown_groups(files)]
    if problems:
        raise FleetwheelError("\n".join(problems), hint=HINT)
    return files


def hosts(files: Sequence[InventoryFile]) -> list[ListedHost]:
    """Return the hosts of some files, with what the defaults and their groups say of them.

    A host takes what the defaults say, then its groups in the order in which they stand in the
    files, so that a later group wins over an earlier one, and last what it says of itself.
    """
    return [_listed(name, layers) for name, layers in _layers(files).items()]


def group_of(names: Iterable[str]) -> str:
    """Return the inventory's own group among those that pyinfra puts a host in; empty for none."""
    return next((name for name in names if name not in RESERVED and name[0] != "@"), "")


def _files(directory: Path) -> list[Path]:
    """Return the YAML files of a directory, without those that an editor hides there."""
    found = [*directory.glob("*.yaml"), *directory.glob("*.yml")]
    return sorted(path for path in found if not path.name.startswith("."))


def _states_defaults(document: Document) -> bool:
    return "defaults" in document.model_fields_set


def _listed(name: str, layers: Sequence[Layer]) -> ListedHost:
    groups = tuple(str(place[1]) for _, place, _ in layers if _is_group(place))
    data = _data(*(layer.entry for layer in layers))
    if data.get("uniform") is True and groups:
        places = [place for _, place, entry in layers if "uniform" in entry.stated]
        data["uniform"] = _uniform_group(places[-1], groups)
    for environment, entry in data.get("environments", {}).items():
        if entry and entry.uniform is True and groups:
            places = [place for _, place, said in layers if _states_uniform(said, environment)]
            group = {"uniform": _uniform_group(places[-1], groups)}
            data["environments"][environment] = entry.model_copy(update=group)
    return ListedHost(
        name=_named(name, *(layer.entry for layer in layers)),
        groups=groups,
        data=data,
        origins={name: at for layer in layers for name, at in layer.origins().items()},
    )


def _uniform_group(place: Place, groups: Sequence[str]) -> str:
    """Return the group that has to be uniform: the one that says so, else the host's first."""
    return str(place[1]) if _is_group(place) else groups[0]


def _states_uniform(entry: HostEntry, environment: str) -> bool:
    said = entry.environments.get(environment)
    return said is not None and "uniform" in said.model_fields_set


def _is_entry(place: Place) -> bool:
    return place == ("defaults",) or _is_group(place) or _is_host(place)


def _is_group(place: Place) -> bool:
    return place[:1] == ("groups",) and len(place) == 2


def _is_host(place: Place) -> bool:
    of_group = len(place) == 4 and place[0] == "groups"
    return place[-2:-1] == ("hosts",) and (of_group or len(place) == 2)


def _named(name: str, *entries: HostEntry) -> str:
    """Return a host's name for pyinfra, which says its connector too where that is not SSH."""
    said = [entry.os for entry in entries if "os" in entry.model_fields_set]
    windows = said[-1:] == ["windows"] and not name.startswith("@")
    return f"@winssh/{name}" if windows else name


def _data(*entries: HostEntry) -> dict[str, Any]:
    """Merge entries, a later one over an earlier one, into data for pyinfra."""
    said: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    for entry in entries:
        before = said.get("environments", {})
        said |= {key: getattr(entry, key) for key in entry.stated}
        raw |= entry.pyinfra
        if before or entry.environments:
            said["environments"] = _merged(before, entry.environments)
    way = {key: value for key, value in said.items() if key in Connection.model_fields}
    settings = {key: value for key, value in said.items() if key in Settings.model_fields}
    return Connection(**{**way, "pyinfra": raw}).data() | settings


def _merged(before: Environments, later: Environments) -> Environments:
    """Return environments key by key; a null takes away all that was said of one before."""
    merged = dict(before)
    for name, entry in later.items():
        known = merged.get(name)
        merged[name] = entry.over(known) if known and entry else entry
    return merged


def _read(path: Path, text: str | None, problems: list[str]) -> InventoryFile | None:
    """Read and check one file, or its text; what is wrong with it is added to the problems."""
    try:
        if text is None and path.stat().st_size > FILE_BYTES:
            problems.append(f"{path}:1: larger than {FILE_BYTES >> 20} MB")
            return None
        reading = plain_yaml.read_yaml(path.read_text(encoding="utf-8") if text is None else text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        problems.append(f"{path}:1: cannot be read: {reason}")
        return None
    found, document = list(reading.problems), None
    try:
        document = Document.model_validate(_nothing_is_empty(_given(reading)))
    except ValidationError as error:
        found += [_located(reading, details) for details in error.errors()]
    found.sort(key=lambda problem: problem.line)
    problems += [_told(path, problem) for problem in found]
    return InventoryFile(path, document, reading) if document else None


def _given(reading: Reading) -> Any:
    """Return the data of a file; an environment with nothing behind its name is an empty one.

    Only a written null says that it is not here.
    """
    for place in reading.empty:
        if place[-2:-1] == ("environments",) and _is_entry(place[:-2]):
            environments = reduce(getitem, place[:-1], reading.data)
            environments[place[-1]] = {}
    return reading.data


def _located(reading: Reading, error: ErrorDetails) -> Problem:
    """Return a problem of the content with its line."""
    place = tuple(part for part in error["loc"] if part != "[key]")
    text = _unknown(place) if error["type"] == "extra_forbidden" else error_text(error)
    return Problem(reading.line(place), place, text)


def _told(path: Path, problem: Problem) -> str:
    parts = [str(part) for part in problem.place]
    key = ".".join(part if part and part.isprintable() else ascii(part) for part in parts)
    where = f"{path}:{problem.line}"
    return f"{where}: {key}: {problem.text}" if key else f"{where}: {problem.text}"


def _unknown(place: Place) -> str:
    """Return what to say of a key that is not known in its place."""
    key = str(place[-1])
    if key.startswith(("ssh_", "_")):
        return 'unknown key (pyinfra\'s own go below "pyinfra")'
    if "environments" in place[:-1]:
        return unknown_in_environment(key)
    if key in OF_A_FILE:
        return f"belongs to an environment: environments: {{default: {{{key}: ...}}}}"
    entry = GroupEntry if len(place) == 3 and place[0] == "groups" else HostEntry
    if len(place) == 1 and key in HostEntry.model_fields:
        return "belongs below defaults, a group or a host"
    known = Document.model_fields if len(place) == 1 else entry.model_fields
    return suggestion(key, known) or "unknown key"


def _duplicates(files: Sequence[InventoryFile]) -> list[str]:
    """Return a problem for every group and defaults that stands in two places."""
    first: dict[tuple[str, str], str] = {}
    problems = []
    for path, document, reading in files:
        for kind, name, place in _names(document):
            line = reading.line(place)
            if there := first.get((kind, name)):
                text = f"{kind} stands at {there} already"
                problems.append(_told(path, Problem(line, place, text)))
            first.setdefault((kind, name), f"{path}:{line}")
    return problems


def _contradictions(files: Sequence[InventoryFile]) -> Iterator[str]:
    """Return a problem for everything that a host says of itself in two ways."""
    for layers in _layers(files).values():
        own = [layer for layer in layers if _is_host(layer.place)]
        for first, second in combinations(own, 2):
            for key in first.entry.stated:
                if key in second.entry.stated and first.said(key) != second.said(key):
                    place = (*second.place, key)
                    text = f"{first.where(key)} says something else"
                    problem = Problem(second.file.reading.line(place), place, text)
                    yield _told(second.file.path, problem)


def _misplaced_roots(files: Sequence[InventoryFile]) -> Iterator[str]:
    """Return a problem for every host whose root is a path of another system than its own."""
    for name, layers in _layers(files).items():
        windows = _named(name, *(layer.entry for layer in layers)).startswith("@winssh/")
        stating = [layer for layer in layers if "root" in layer.entry.model_fields_set]
        for file, place, entry in stating[-1:]:
            if wrong := misplaced(entry.root, windows=windows):
                line = file.reading.line((*place, "root"))
                yield _told(file.path, Problem(line, (*place, "root"), f"for {name}, {wrong}"))


def _unknown_environments(files: Sequence[InventoryFile]) -> Iterator[str]:
    """Return a problem for every null that nearly names an environment.

    One that is described nowhere any more may be on hosts still, and removed from them.
    """
    entries = [*_entries(files)]
    said = [(at, name, own) for at in entries for name, own in at.entry.environments.items()]
    known = {DEFAULT, *(name for _, name, own in said if own is not None)}
    for at, name, own in said:
        meant = did_you_mean(name, known) if own is None and name not in known else ""
        if meant:
            yield at.problem(f"no entry describes this environment{meant}", "environments", name)


def _unknown_groups(files: Sequence[InventoryFile]) -> Iterator[str]:
    """Return a problem for every name of a uniform group that no group has."""
    groups = {name for file in files for name in file.document.groups}
    for at in _entries(files):
        said: dict[tuple[str, ...], bool | str] = {("uniform",): at.entry.uniform}
        own = ((name, one) for name, one in at.entry.environments.items() if one)
        said |= {("environments", name, "uniform"): one.uniform for name, one in own}
        for key, group in said.items():
            if isinstance(group, str) and group not in groups:
                text = f"must be true, false, or the name of a group{did_you_mean(group, groups)}"
                yield at.problem(text, *key)


def _entries(files: Iterable[InventoryFile]) -> Iterator[Layer]:
    """Yield everything that the files say, of hosts or not, in its order."""
    for file in files:
        if _states_defaults(file.document):
            yield Layer(file, ("defaults",), file.document.defaults)
        for name, group in file.document.groups.items():
            yield Layer(file, ("groups", name), group)
            for host, entry in group.hosts.items():
                yield Layer(file, ("groups", name, "hosts", host), entry)
        for host, entry in file.document.hosts.items():
            yield Layer(file, ("hosts", host), entry)


def _layers(files: Sequence[InventoryFile]) -> dict[str, list[Layer]]:
    """Return what is said of each host, by its name; of two that differ the later one counts."""
    stating = (file for file in files if _states_defaults(file.document))
    common = [Layer(file, ("defaults",), file.document.defaults) for file in stating][:1]
    groups: dict[str, list[Layer]] = defaultdict(list)
    own: dict[str, list[Layer]] = defaultdict(list)
    for file in files:
        for name, group in file.document.groups.items():
            for host, entry in group.hosts.items():
                groups[host].append(Layer(file, ("groups", name), group))
                own[host].append(Layer(file, ("groups", name, "hosts", host), entry))
        for host, entry in file.document.hosts.items():
            own[host].append(Layer(file, ("hosts", host), entry))
    return {host: [*common, *groups[host], *layers] for host, layers in own.items()}


def _names(document: Document) -> Iterator[tuple[str, str, Place]]:
    if _states_defaults(document):
        yield "defaults", "", ("defaults",)
    for group in document.groups:
        yield "group", group, ("groups", group)

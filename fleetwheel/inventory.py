"""The inventory: YAML files to hosts with their data, or errors that name file, line and key."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fleetwheel.errors import FleetwheelError
from fleetwheel.profile import Value
from fleetwheel.settings import Settings, suggestion, words

FILE_BYTES = 4 << 20
"""An inventory file is not longer than this: some 40,000 hosts."""
Path_ = tuple[str | int, ...]
"""The keys that lead to a place in a document."""


class Connection(Value):
    """How pyinfra reaches a host, in the words of SSH."""

    address: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: str | None = None
    key: str | None = None
    known_hosts: str | None = None
    ssh_config: str | None = None
    sudo: bool = False
    pyinfra: dict[str, Any] = Field(default_factory=dict)
    """Further data for pyinfra and its connector, as it is."""

    def data(self) -> dict[str, Any]:
        """Return what pyinfra's SSH connector reads; host keys are checked unless it says no."""
        named = {
            "ssh_hostname": self.address,
            "ssh_port": self.port,
            "ssh_user": self.user,
            "ssh_key": self.key,
            "ssh_known_hosts_file": self.known_hosts,
            "ssh_config_file": self.ssh_config,
            "_sudo": self.sudo or None,
            "ssh_strict_host_key_checking": "yes",
        }
        return {key: value for key, value in named.items() if value is not None} | self.pyinfra


class HostEntry(Connection, Settings):
    """What one host, a group or the defaults may say."""


def _nothing_is_empty(value: object) -> object:
    """A key with nothing behind it, such as ``ws-01:``, is an empty entry."""
    return {} if value is None else value


Entry = Annotated[HostEntry, BeforeValidator(_nothing_is_empty)]
Hosts = Annotated[dict[str, Entry], BeforeValidator(_nothing_is_empty)]


def _group_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or name in ("all", "inventory"):
        raise ValueError("a group's name is letters, digits, - and _, and not all or inventory")
    return name


GroupName = Annotated[str, AfterValidator(_group_name)]


class GroupEntry(HostEntry):
    """A group: what its hosts have in common, and the hosts."""

    hosts: Hosts = Field(default_factory=dict)


class Document(BaseModel):
    """One inventory file."""

    model_config = ConfigDict(extra="forbid")

    defaults: Entry = Field(default_factory=HostEntry)
    groups: Annotated[
        dict[GroupName, Annotated[GroupEntry, BeforeValidator(_nothing_is_empty)]],
        BeforeValidator(_nothing_is_empty),
    ] = Field(default_factory=dict)
    hosts: Hosts = Field(default_factory=dict)


class Host(NamedTuple):
    """One host: its name, its group if it is in one, and its data for pyinfra."""

    name: str
    group: str | None
    data: dict[str, Any]


class File(NamedTuple):
    """One inventory file that was read, and the line of every key in it."""

    path: Path
    document: Document
    lines: Mapping[Path_, int]


def load(place: Path) -> list[Host]:
    """Return the hosts of a file, or of all YAML files in a directory, in their order.

    Raises FleetwheelError with a line ``FILE:LINE: KEY: PROBLEM`` for each problem.
    """
    paths = sorted([*place.glob("*.yaml"), *place.glob("*.yml")]) if place.is_dir() else [place]
    problems: list[str] = []
    read = [file for path in paths if (file := _read(path, problems))]
    problems += _duplicates(read)
    if problems:
        raise FleetwheelError("\n".join(problems), hint="docs/inventory.example.yaml has every key")
    documents = [file.document for file in read]
    stated = [document.defaults for document in documents if _states_defaults(document)]
    defaults = next(iter(stated), HostEntry())
    return [host for document in documents for host in _hosts(document, defaults)]


def _states_defaults(document: Document) -> bool:
    return "defaults" in document.model_fields_set


def _hosts(document: Document, defaults: HostEntry) -> Iterator[Host]:
    for name, group in document.groups.items():
        for host, entry in group.hosts.items():
            yield Host(host, name, _data(defaults, group, entry))
    for host, entry in document.hosts.items():
        yield Host(host, None, _data(defaults, entry))


def _data(*entries: HostEntry) -> dict[str, Any]:
    """Merge entries, a later one over an earlier one, into data for pyinfra."""
    said: dict[str, Any] = {}
    for entry in entries:
        said |= {key: getattr(entry, key) for key in entry.model_fields_set if key != "hosts"}
    connection = Connection(**{k: v for k, v in said.items() if k in Connection.model_fields})
    settings = {key: value for key, value in said.items() if key in Settings.model_fields}
    return connection.data() | settings


def _read(path: Path, problems: list[str]) -> File | None:
    """Read and check one file; what is wrong with it is added to the problems."""
    lines: dict[Path_, int] = {}
    try:
        if path.stat().st_size > FILE_BYTES:
            problems.append(f"{path}:1: larger than {FILE_BYTES >> 20} MB")
            return None
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=PlainLoader)
        data = {} if node is None else _plain(node, (), lines)
        return File(path, Document.model_validate(data), lines)
    except ValidationError as error:
        problems += [_located(path, lines, dict(e), words(e)) for e in error.errors()]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problems.append(f"{path}:{line}: {error.problem or error.context}")
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError, ValueError) as error:
        problems.append(f"{path}:1: cannot be read: {str(error).splitlines()[0]}")
    return None


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases and tags: an inventory has groups and defaults for what repeats."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases (*name) are not used here", event.start_mark)
        if getattr(event, "tag", None):
            raise _refused(f"tags ({event.tag}) are not used here", event.start_mark)
        return super().compose_node(parent, index)


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _plain(node: yaml.Node, at: Path_, lines: dict[Path_, int]) -> Any:
    """Return the value of a node, and note the line of every key below it."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*at, index), lines) for index, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def _mapping(node: yaml.MappingNode, at: Path_, lines: dict[Path_, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key in found:
            name = ".".join(map(str, (*at, key)))
            raise _refused(f"{name}: stands here twice", key_node.start_mark)
        lines[(*at, key)] = key_node.start_mark.line + 1
        found[key] = _plain(value_node, (*at, key), lines)
    return found


def _located(path: Path, lines: Mapping[Path_, int], error: dict[str, Any], message: str) -> str:
    """Return one problem with its file, line and key."""
    where: Path_ = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        known = GroupEntry if where[:1] == ("groups",) and len(where) == 3 else HostEntry
        fields = Document.model_fields if len(where) == 1 else known.model_fields
        message = suggestion(str(where[-1]), fields) or "unknown key"
    known_place = where
    while known_place not in lines:
        known_place = known_place[:-1]
    key = ".".join(str(part) for part in where)
    return f"{path}:{lines[known_place]}: {key}: {message}" if key else f"{path}:1: {message}"


def _duplicates(files: Sequence[File]) -> list[str]:
    """Return a problem for every host, group or defaults that stands in two places."""
    places: dict[tuple[str, str], str] = {}
    problems = []
    for file in files:
        for kind, name, at in _names(file.document):
            here = f"{file.path}:{file.lines[at]}"
            first = places.setdefault((kind, name), here)
            if first != here:
                problems.append(
                    f"{here}: {'.'.join(map(str, at))}: {kind} stands at {first} already"
                )
    return problems


def _names(document: Document) -> Iterator[tuple[str, str, Path_]]:
    if _states_defaults(document):
        yield "defaults", "", ("defaults",)
    for group, entry in document.groups.items():
        yield "group", group, ("groups", group)
        for host in entry.hosts:
            yield "host", host, ("groups", group, "hosts", host)
    for host in document.hosts:
        yield "host", host, ("hosts", host)

"""Hosts on their way into the inventory: what they would be there, and how they get there."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from fleetwheel import files
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import DriverState, Profile
from fleetwheel.inventory import edit as inventory_edit
from fleetwheel.inventory import load as inventory
from fleetwheel.inventory.edit import Entry
from fleetwheel.inventory.load import PYINFRA_NAMES, Document, ListedHost
from fleetwheel.inventory.settings import error_text
from fleetwheel.reporting import history

DEFAULT_FILE = "fleet.yaml"
REPORTS = 10
"""The newest reports that are read to see what hosts are."""
WINDOWS = "@winssh/"


class NewHost(NamedTuple):
    """A host to be added, and what is written of it."""

    name: str
    group: str | None
    entry: Entry


class KnownHost(NamedTuple):
    """A host that is in the inventory, and where."""

    path: Path
    line: int
    host: ListedHost


class Draft:
    """The inventory as it is read now, and as it would be with further hosts.

    Raises FleetwheelError as ``inventory.read`` does, and for a file that it does not read.
    """

    def __init__(self, file: Path | None) -> None:
        self.base = Path(os.environ.get(inventory.VARIABLE) or inventory.DIRECTORY)
        single = self.base.is_file() or self.base.suffix in (".yaml", ".yml")
        self.named = file is not None
        self.file = self.base if single else self.base / (file.name if file else DEFAULT_FILE)
        """Where hosts go whose group stands nowhere."""
        if file and not _same_file(file, self.file):
            readable = self.file if single else self.file.with_suffix(".yaml")
            raise FleetwheelError(
                f"{file}: inventory.py does not read it", hint=f"such as --file {readable}"
            )
        self.files = inventory.read_inventory(self.base) if self.base.exists() else []

    def standing(self, name: str) -> KnownHost | None:
        """Return where a host stands."""
        there = (host for host in inventory.hosts(self.files) if _bare(host) == name)
        if (host := next(there, None)) is None:
            return None
        groups = [("groups", group, "hosts", name) for group in host.groups]
        file, place = next(
            (file, place)
            for file in self.files
            for place in (*groups, ("hosts", name))
            if place in file.reading.lines
        )
        return KnownHost(file.path, file.reading.line(place), host)

    def edited(self, newcomers: Sequence[NewHost]) -> dict[Path, str]:
        """Return the text of every file that changes."""
        texts: dict[Path, str] = {}
        for name, group, entry in newcomers:
            path = self._file_of(group)
            text = texts.get(path) or _text(path)
            texts[path] = inventory_edit.insert(text, group, name, entry)
        return texts

    def hosts(self, newcomers: Sequence[NewHost]) -> dict[str, ListedHost]:
        """Return what pyinfra would be told of some hosts, by their names."""
        place = self.base if self.base.is_dir() else self.file
        files = inventory.read_inventory(place, self.edited(newcomers))
        names = {newcomer.name for newcomer in newcomers}
        return {_bare(host): host for host in inventory.hosts(files) if _bare(host) in names}

    def with_system(self, newcomer: NewHost, windows: bool) -> NewHost:
        """Return a host that says which system it has, where its group or the defaults do not."""
        host = self.hosts([newcomer])[newcomer.name]
        if host.name.startswith(WINDOWS) == windows:
            return newcomer
        entry = {**newcomer.entry, "os": "windows" if windows else "linux"}
        return newcomer._replace(entry=entry)

    def likest_group(self, newcomer: NewHost, profile: Profile, windows: bool) -> str | None:
        """Return the group that holds most hosts with this system and these GPUs, if any does.

        What hosts are is read from the newest reports. A group that reaches its hosts in another
        way than this one was reached is not taken.
        """
        known = _profiles()
        votes = Counter(
            group
            for host in inventory.hosts(self.files)
            if host.name in known and _kind(known[host.name]) == _kind(profile)
            for group in host.groups
        )
        way = _way(self.hosts([self.with_system(newcomer, windows)])[newcomer.name])
        for group, _ in votes.most_common() if _kind(profile) else ():
            if self.named and self._stands_in(group) != self.file:
                continue
            there = self.with_system(newcomer._replace(group=group), windows)
            if _way(self.hosts([there])[newcomer.name]) == way:
                return group
        return None

    def write(self, newcomers: Sequence[NewHost]) -> list[Path]:
        """Write the hosts into their files, each in one step, and return these.

        Raises FleetwheelError, with nothing written, where the inventory would not be sound.
        """
        self.hosts(newcomers)
        texts = self.edited(newcomers)
        for path, text in texts.items():
            real = path.resolve()
            try:
                files.replace(real, text, real.stat().st_mode & 0o777 if real.exists() else 0o644)
            except OSError as error:
                raise FleetwheelError(f"{path}: cannot be written: {error.strerror}") from error
        return list(texts)

    def _file_of(self, group: str | None) -> Path:
        there = self._stands_in(group)
        if self.named and there not in (None, self.file):
            raise FleetwheelError(f"the group {group} stands in {there}", hint=f"--file {there}")
        return there or self.file

    def _stands_in(self, group: str | None) -> Path | None:
        return next((f.path for f in self.files if group in f.document.groups), None)


def refuse_unsound(newcomers: Sequence[NewHost]) -> None:
    """Raise FleetwheelError for names and values that the inventory does not take."""
    for name, group, entry in newcomers:
        below = {"hosts": {name: dict(entry)}}
        try:
            Document.model_validate({"groups": {group: below}} if group else below)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"] if part != "[key]")
            raise FleetwheelError(f"{where}: {error_text(first)}") from None


def conflicts(standing: KnownHost, wanted: NewHost) -> list[str]:
    """Return in which values a host that is there differs from the one that is wanted."""
    host = standing.host
    said = {"address": _bare(host), "port": 22} | {
        key: host.data[name] for key, name in PYINFRA_NAMES.items() if name in host.data
    }
    different = [
        f"{key} {said.get(key, 'not said')}, not {value}"
        for key, value in wanted.entry.items()
        if said.get(key) != value
    ]
    if wanted.group and wanted.group not in host.groups:
        there = ", ".join(host.groups)
        different.append(f"in {there or 'no group'}, not {wanted.group}")
    return different


def _bare(host: ListedHost) -> str:
    """Return the name of a host as the inventory has it."""
    return host.name.removeprefix(WINDOWS)


def _way(host: ListedHost) -> Mapping[str, object]:
    """Return how pyinfra reaches a host."""
    data = {key: value for key, value in host.data.items() if key.startswith(("ssh_", "_"))}
    return {"name": host.name, **data}


def _kind(profile: Profile) -> tuple[str, frozenset[str]] | None:
    """Return what makes hosts alike; None where a driver shows no GPUs, though there are some."""
    names = frozenset(gpu.name for gpu in profile.gpus)
    if not names and profile.driver.state is not DriverState.NO_GPU:
        return None
    return profile.os, names


def _profiles() -> dict[str, Profile]:
    """Return what hosts were when a report last said it."""
    found: dict[str, Profile] = {}
    for path in sorted(Path("reports").glob("*.json"))[-REPORTS:]:
        with suppress(FleetwheelError):
            found |= {h.name: h.profile for h in history.read_report(path).hosts if h.profile}
    return found


def _same_file(a: Path, b: Path) -> bool:
    sound = a.suffix in (".yaml", ".yml") and not a.name.startswith(".")
    return sound and a.resolve() == b.resolve()


def _text(path: Path) -> str:
    """Return the text of a file with the line ends that it has, or the header of a new one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return inventory_edit.HEADER
    except OSError as error:
        raise FleetwheelError(f"{path}: cannot be read: {error.strerror}") from error

"""A project with its pyproject.toml, and the uv.lock beside it where there is one, as pins."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import uv
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from fleetwheel.errors import FleetwheelError
from fleetwheel.team.pins import (
    BESIDE,
    BUILD_IT,
    FAMILY,
    Pin,
    Team,
    TeamFile,
    team_of,
)
from fleetwheel.team.pyproject import ORIGINS, PROJECT, PyProject, Table
from fleetwheel.team.reading import read_bytes, toml
from fleetwheel.team.requirements import requirements_pins
from fleetwheel.work import work_directory

LOCK = "uv.lock"
SCHEMA = 1
"""Of uv.lock, as the uv that comes with fleetwheel reads it."""
STALE = "run `uv lock` in {}, and commit what it writes"
TIMEOUT_S = 60
PYTHONS = tuple(Version(f"3.{minor}.{patch}") for minor in range(30) for patch in range(30))


def read_project(file: TeamFile, directory: Path, base: Path) -> Team:
    """Return what a project asks for with these extras and groups.

    With a uv.lock beside it, that lock decides; without one, what pyproject.toml asks for is
    resolved when the lock of a host is made.
    Raises FleetwheelError for what hosts cannot install, and where the two do not fit.
    """
    said = f"{file.path}/{PROJECT}"
    project = PyProject(toml(read_bytes(directory / PROJECT, base, said), said), file)
    if not (directory / LOCK).is_symlink() and not (directory / LOCK).exists():
        return team_of(file, project.pins(), requires_python=project.requires_python)
    locked = read_bytes(directory / LOCK, base, f"{file.path}/{LOCK}")
    lock = toml(locked, f"{file.path}/{LOCK}")
    _require_fresh(project, lock)
    given = sorted({*file.given} & _not_from_an_index(lock))
    pins = _exported(file, project, locked, given)
    _require_torch(project, lock, pins)
    return team_of(
        file,
        pins,
        requires_python=str(lock.get("requires-python", "")),
        whole=True,
        overrides=_overrides(lock),
    )


def _require_fresh(project: PyProject, lock: Table) -> None:
    """Refuse a uv.lock that was made for other dependencies than those of pyproject.toml.

    uv itself tells only where it has an interpreter that the project takes, all members of its
    workspace, and an index.
    """
    said = f"{project.path}/{LOCK}"
    if lock.get("version") != SCHEMA:
        raise FleetwheelError(
            f"{said} has schema v{lock.get('version')}; this uv reads v{SCHEMA}",
            hint="a newer fleetwheel brings a newer uv",
        )
    own = _own_package(project.name, lock)
    metadata = own.get("metadata", {}) if own else {}
    locked = {_locked_key(entry) for entry in metadata.get("requires-dist", [])}
    asked = {_key(r) for r in project.dependencies}
    asked |= {_key(r, extra) for extra, found in project.extras.items() for r in found}
    groups = {
        group: {_locked_key(entry) for entry in entries}
        for group, entries in metadata.get("requires-dev", {}).items()
    }
    wanted = {group: {_key(r) for r in found} for group, found in project.groups.items()}
    same = project.dynamic or _same(asked, locked)
    same = same and all(_same(wanted[name], groups.get(name, set())) for name in wanted)
    same = same and _same_pythons(lock.get("requires-python", ""), project.requires_python)
    if own is None or not same:
        raise FleetwheelError(f"{said} does not fit {PROJECT}", hint=STALE.format(project.path))


_Key = tuple[str, str, frozenset[str], SpecifierSet | None]


def _key(requirement: Requirement, extra: str = "") -> _Key:
    name, extras = canonicalize_name(requirement.name), map(canonicalize_name, requirement.extras)
    specifier = None if requirement.url else requirement.specifier
    return str(name), extra, frozenset(map(str, extras)), specifier


def _locked_key(entry: Table) -> _Key:
    """Return the key of an entry of uv.lock; one from elsewhere than an index has no versions."""
    extra = re.search(r"extra == '([^']+)'", entry.get("marker", ""))
    elsewhere = entry.keys() & {"git", "url", "path", "directory", "editable", "virtual"}
    specifier = None if elsewhere else SpecifierSet(entry.get("specifier", ""))
    name = str(canonicalize_name(entry["name"]))
    return name, extra[1] if extra else "", frozenset(entry.get("extras", ())), specifier


def _same(asked: set[_Key], locked: set[_Key]) -> bool:
    """Compare, where uv.lock has versions, those too."""
    elsewhere = {key[:3] for key in locked if key[3] is None}
    return {(*k[:3], None) if k[:3] in elsewhere else k for k in asked} == locked


def _same_pythons(locked: str, asked: str) -> bool:
    """Whether two ranges hold the same interpreters: uv writes ``==3.11.*`` for one minor."""
    both = SpecifierSet(locked), SpecifierSet(asked)
    return not asked or all(both[0].contains(v) == both[1].contains(v) for v in PYTHONS)


def _own_package(name: str, lock: Table) -> Table | None:
    own = (p for p in lock.get("package", ()) if p.get("name") == name)
    roots = ({"virtual": "."}, {"editable": "."}, {"directory": "."})
    return next((package for package in own if package.get("source") in roots), None)


def _not_from_an_index(lock: Table) -> set[str]:
    """Return the packages of a uv.lock that come from git, an address or a path."""
    sources = ((str(p.get("name")), p.get("source", {})) for p in lock.get("package", ()))
    return {name for name, source in sources if ORIGINS.keys() & {*source}}


def _overrides(lock: Table) -> tuple[str, ...]:
    entries = lock.get("manifest", {}).get("overrides", ())
    return tuple(sorted({str(canonicalize_name(entry["name"])) for entry in entries}))


def _exported(
    file: TeamFile,
    project: PyProject,
    lock: bytes,
    given: Sequence[str],
) -> list[Pin]:
    """Return the pins of a uv.lock; what only torch and its partners bring bounds others alone.

    Of what is not from an index, the inventory may give the wheel; its dependencies stay.
    """
    place, named = f"{file.path}/{LOCK}", project.named()
    everything = _export(file, project, lock, given)
    pruned = {pin.name for pin in _export(file, project, lock, given, FAMILY)}
    return [
        pin.model_copy(
            update={
                "wanted": pin.name in pruned or pin.name in FAMILY,
                "direct": pin.name in named,
                "place": place,
            }
        )
        for pin in everything
    ] + [Pin(requirement=name, place=place, direct=name in named) for name in given]


def _export(
    file: TeamFile,
    project: PyProject,
    lock: bytes,
    given: Sequence[str],
    without: Sequence[str] = (),
) -> list[Pin]:
    """Have uv write requirements.txt, of what the project asks for and a copy of its lock."""
    command = [uv.find_uv_bin(), "export", "--frozen", "--offline", "--no-build", "--no-cache"]
    command += ["--no-config", "--no-python-downloads", "--no-default-groups", "--quiet"]
    command += ["--no-emit-workspace", "--no-header", "--no-annotate", "--color", "never"]
    command += ["--format", "requirements.txt", "--output-file", "requirements.txt"]
    command += [word for extra in file.extras for word in ("--extra", extra)]
    command += [word for group in file.groups for word in ("--group", group)]
    command += [word for name in given for word in ("--no-emit-package", name)]
    command += [word for name in without for word in ("--prune", name)]
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("UV_")}
    with work_directory("team") as directory:
        (directory / PROJECT).write_text(project.alone(), encoding="utf-8")
        (directory / LOCK).write_bytes(lock)
        try:
            done = subprocess.run(
                command, cwd=directory, env=environment, capture_output=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise FleetwheelError(f"uv read {file.path}/{LOCK} for {TIMEOUT_S} s") from error
        if done.returncode != 0:
            words = (
                done.stderr.decode("utf-8", "replace").replace(str(directory), file.path).strip()
            )
            raise FleetwheelError(
                f"uv cannot read {file.path}/{LOCK}: {words}", hint=STALE.format(file.path)
            )
        try:
            return requirements_pins(directory / "requirements.txt", directory)
        except FleetwheelError as error:
            words = error.message.partition(": ")[2] or error.message
            hint = BESIDE if error.hint == BUILD_IT else error.hint
            raise FleetwheelError(f"{file.path}/{LOCK}: {words}", hint=hint) from error


def _require_torch(project: PyProject, lock: Table, pins: Sequence[Pin]) -> None:
    """Refuse a lock that has torch, where what is asked for leaves it out."""
    locked = [p.get("version", "") for p in lock.get("package", ()) if p.get("name") == "torch"]
    places = project.named_in("torch")
    if locked and places and not any(pin.name == "torch" for pin in pins):
        raise FleetwheelError(
            f"{project.path}: torch is only in {', '.join(places)} ({', '.join(locked)})",
            hint="name one of them under extras: or groups:",
        )

"""A pyproject.toml: what it says to install."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import tomli_w
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from fleetwheel.errors import FleetwheelError
from fleetwheel.team.pins import BESIDE, FAMILY, Pin, TeamFile, pin_of_requirement, unbuilt

PROJECT = "pyproject.toml"
ORIGINS = {"git": "git", "url": "an address", "path": "a path", "workspace": "a path"}
"""Keys of ``[tool.uv.sources]``, and of a source in uv.lock, that are no index."""
ORIGINS |= dict.fromkeys(("directory", "editable", "virtual"), "a path")
Table = Mapping[str, Any]


class PyProject:
    """The part of pyproject.toml that says what to install."""

    def __init__(self, document: Table, file: TeamFile) -> None:
        """FleetwheelError where it lacks what is asked for, or a part of it cannot be read."""
        self.path, self.given = file.path, file.given
        table = document.get("project")
        if not isinstance(table, dict) or not isinstance(table.get("name"), str):
            raise self._wrong("it has no table [project] with a name")
        self._table: Table = table
        self.name = str(canonicalize_name(table["name"]))
        self.dynamic = "dependencies" in table.get("dynamic", ())
        try:
            self.requires_python = str(SpecifierSet(table.get("requires-python", "")))
            self.dependencies = [Requirement(text) for text in table.get("dependencies", [])]
            self.extras = {
                str(canonicalize_name(name)): [Requirement(text) for text in texts]
                for name, texts in table.get("optional-dependencies", {}).items()
            }
            self.groups = _groups(document)
            self.elsewhere = _elsewhere(document)
        except (InvalidRequirement, InvalidSpecifier) as error:
            raise self._wrong(str(error).splitlines()[0]) from error
        except (TypeError, AttributeError, KeyError, ValueError, RecursionError) as error:
            raise self._wrong(f"its dependencies cannot be read: {error}") from error
        self.asked_extras = self._known("extras", file.extras, self.extras)
        self.asked_groups = self._known("groups", file.groups, self.groups)

    def pins(self) -> list[Pin]:
        """Return what is asked for, as it stands in the file."""
        if self.dynamic:
            raise self._wrong("its dependencies are dynamic, and only building it tells them")
        place = f"{self.path}/{PROJECT}"
        pins = []
        for requirement in self._asked():
            name = str(canonicalize_name(requirement.name))
            origin = "an address" if requirement.url else self.elsewhere.get(name, "")
            if requirement.url and name in FAMILY:
                raise self._wrong(f"{name} comes from an address: write {name}==VERSION")
            if origin and name not in FAMILY:
                pins.append(_given_pin(name, origin, self.given, place))
            else:
                pins.append(pin_of_requirement(requirement, place=place))
        return list({(p.requirement, p.marker): p for p in pins}.values())

    def alone(self) -> str:
        """Return what uv needs of the file to read the lock, and nothing that leads elsewhere."""
        keys = ("version", "requires-python", "dependencies", "optional-dependencies", "dynamic")
        table = {key: self._table[key] for key in keys if key in self._table}
        groups = {name: list(map(str, found)) for name, found in self.groups.items()}
        # With a workspace of its own, uv does not look for one in the directories above.
        tool: dict[str, Any] = {"uv": {"workspace": {}}}
        return tomli_w.dumps(
            {"project": {"name": self.name, **table}, "dependency-groups": groups, "tool": tool}
        )

    def named(self) -> frozenset[str]:
        """Return the projects that are asked for by name."""
        return frozenset(str(canonicalize_name(asked.name)) for asked in self._asked())

    def named_in(self, name: str) -> list[str]:
        """Return the extras and groups that name a project."""
        extras = [f"the extra {e}" for e, asked in self.extras.items() if _has(asked, name)]
        groups = [f"the group {g}" for g, asked in self.groups.items() if _has(asked, name)]
        return extras + groups

    def _asked(self) -> Iterator[Requirement]:
        found = [*self.dependencies]
        for extra in self.asked_extras:
            found += self.extras[extra]
        for group in self.asked_groups:
            found += self.groups[group]
        return self._whole(found, {*self.asked_extras})

    def _whole(self, requirements: Sequence[Requirement], seen: set[str]) -> Iterator[Requirement]:
        """Replace what names the project itself, such as ``nlp[train]``, by what that extra is.

        ``seen`` grows: each extra is taken once, however many name it.
        """
        for requirement in requirements:
            if canonicalize_name(requirement.name) != self.name:
                yield requirement
                continue
            for extra in self._known("extras", sorted(requirement.extras), self.extras):
                if extra not in seen:
                    seen.add(extra)
                    yield from self._whole(self.extras[extra], seen)

    def _known(
        self, key: str, asked: Sequence[str], known: Mapping[str, object]
    ) -> tuple[str, ...]:
        names = tuple(str(canonicalize_name(name)) for name in asked)
        missing = [name for name in names if name not in known]
        if missing:
            there = ", ".join(sorted(known)) or "none"
            raise FleetwheelError(
                f"{self.path}/{PROJECT} has no {', '.join(missing)} among its {key}, which are:"
                f" {there}",
                hint=f"name one of these under {key}:, or leave {key} out",
            )
        return names

    def _wrong(self, why: str) -> FleetwheelError:
        hint = "correct it, or have its tool write a requirements.txt: requirements: FILE"
        return FleetwheelError(f"{self.path}/{PROJECT}: {why}", hint=hint)


def _groups(document: Table) -> dict[str, list[Requirement]]:
    """Return the dependency groups (PEP 735), included ones resolved; and uv's older ``dev``."""
    said = {
        str(canonicalize_name(name)): entries
        for name, entries in document.get("dependency-groups", {}).items()
    }
    found = {name: list(_group(said, name, set(), ())) for name in said}
    older = document.get("tool", {}).get("uv", {}).get("dev-dependencies", [])
    if older:
        found["dev"] = found.get("dev", []) + [Requirement(text) for text in older]
    return found


def _group(
    said: Mapping[str, Sequence[Any]], name: str, seen: set[str], within: tuple[str, ...]
) -> Iterator[Requirement]:
    """Yield what a group asks for; ``seen`` grows: each included group is taken once."""
    if name in within or name not in said:
        chain = " -> ".join((*within, name))
        why = "includes itself" if name in within else "is not among the groups"
        raise ValueError(f"the group {name} {why}: {chain}")
    if name in seen:
        return
    seen.add(name)
    for entry in said[name]:
        if isinstance(entry, str):
            yield Requirement(entry)
        else:
            included = str(canonicalize_name(entry["include-group"]))
            yield from _group(said, included, seen, (*within, name))


def _elsewhere(document: Table) -> dict[str, str]:
    """Return which projects uv would take from elsewhere than an index, and from where."""
    found = {}
    for name, said in document.get("tool", {}).get("uv", {}).get("sources", {}).items():
        keys = {key for source in ([said] if isinstance(said, dict) else said) for key in source}
        if kind := next((key for key in ORIGINS if key in keys), None):
            found[str(canonicalize_name(name))] = ORIGINS[kind]
    return found


def _given_pin(name: str, origin: str, given: Collection[str], place: str) -> Pin:
    """Return the pin of what comes from elsewhere than an index: the inventory gives its wheel."""
    if name not in given:
        raise FleetwheelError(f"{place}: {unbuilt(name, origin)}", hint=BESIDE)
    return Pin(requirement=name, place=place)


def _has(requirements: Sequence[Requirement], name: str) -> bool:
    return any(canonicalize_name(requirement.name) == name for requirement in requirements)

"""Making a lock: uv picks the versions of everything beside the torch family, and its hashes."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import tomli_w
import uv
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.version import Version

from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import PARTNERS, Request
from fleetwheel.choice.tags import wheel_tags
from fleetwheel.choice.target import Target
from fleetwheel.choice.team_target import TeamTarget, named_by
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock.failures import NoSolutionError, explained, require_heard
from fleetwheel.lock.lock import Lock, name_of, require_family
from fleetwheel.lock.team_pins import Hashes, allowed, require_variant, require_versions
from fleetwheel.matrix.misfits import misfit
from fleetwheel.render import render
from fleetwheel.sources import store
from fleetwheel.sources.catalogue import Catalogue
from fleetwheel.sources.given import by_version, wheel_of
from fleetwheel.sources.loopback import key_in, served_index
from fleetwheel.sources.metadata import metadata_inside, requires_python
from fleetwheel.sources.wheel import Source, Wheel
from fleetwheel.work import work_directory

UV_GLIBC = (17, 28, *range(31, 41))
"""Minor versions of glibc 2.x that ``uv --python-platform x86_64-manylinux_2_N`` knows."""
MEMORY_KIB = 4 * 2**20
"""Memory that uv may take, address space included; for transformers it took 1.1 GB of that."""

NO_HASHES: Hashes = MappingProxyType({})
NO_TEAM = TeamTarget(sha256="")


class Picked(NamedTuple):
    """What uv picked of one project."""

    version: Version
    uploaded: datetime | None
    """When its wheel came to its source, where the source says so."""


def pick(
    choice: Choice,
    target: Target,
    sources: Sequence[Source],
    hashes: Hashes = NO_HASHES,
    timeout: int = 600,
) -> str:
    """Return uv's lock of a choice: hashes for everything, wheels only, the family from one source.

    ``sources`` are the ordinary ones that answer, in their order; without any, everything comes
    from the source of the torch family. ``hashes`` are those of a team's file. ``timeout`` is in
    seconds.
    Raises NoSolutionError with uv's own words when there is no solution.
    """
    pins = [f"{name}=={version}" for name, version in choice.packages.items()]
    limits = _others(target.constraints, choice.packages)
    given = _given([*limits, *choice.requirements], sources)
    catalogue = Catalogue(sources, choice.source, choice.packages, given)
    team = target.team or NO_TEAM
    require_variant(team, choice.variant)
    compiled = partial(
        _compile,
        target,
        choice.python.minor,
        catalogue,
        requirements=[*pins, *choice.requirements, *team.requirements],
        constraints=[*limits, *choice.limits, *team.limits],
        timeout=timeout,
    )
    try:
        text = compiled()
    except NoSolutionError:
        if not team.overriding:
            raise
        text = compiled(overrides=team.overriding)
    document = tomllib.loads(text)
    require_heard([package["name"] for package in document["packages"]], catalogue)
    versions = {name: found.version for name, found in picked(text).items()}
    require_versions(versions, team)
    _require_fit(versions, choice)
    _settle(document, catalogue, choice.python.minor, target, hashes)
    if team.own:
        _add_own(document, team.own)
    return tomli_w.dumps(document)


def lock_of(text: str, choice: Choice, target: Target, request: Request) -> Lock:
    """Return the lock of what uv picked; ``request`` is kept in it, but for one host's GPUs."""
    asked = request.model_copy(update={"gpus": None})
    lock = Lock(name=name_of(target), text=text + _tool_table(choice, target, asked))
    require_family(lock, choice)
    return lock


def pick_freely(
    target: Target, python: str, sources: Sequence[Source], timeout: int = 600
) -> dict[str, Picked]:
    """Return what uv picks for all that is asked for beside torch, torch left to it.

    So the newest releases of the others decide, and what they ask of torch, from whichever source;
    nothing of this is ever installed.
    Raises NoSolutionError where they do not go together.
    """
    names = [Requirement(partner).name for partner in target.partners]
    limits = _others(target.constraints, ("torch", *PARTNERS))
    team = target.team or NO_TEAM
    text = _compile(
        target,
        python,
        Catalogue(sources, given=_given([*limits, *target.requirements], sources)),
        requirements=[*target.requirements, *team.requirements, *names],
        constraints=[*limits, *team.limits],
        timeout=timeout,
    )
    return picked(text)


def picked(text: str) -> dict[str, Picked]:
    """Return what stands in a lock of uv, by project."""
    return {
        package["name"]: Picked(
            Version(package["version"]),
            max((w["upload-time"] for w in package["wheels"] if "upload-time" in w), default=None),
        )
        for package in tomllib.loads(text)["packages"]
    }


def _given(requirements: Iterable[str], sources: Sequence[Source]) -> dict[str, Wheel]:
    """Return the wheels that are asked for by their address, by project.

    Each is fetched and compared with its hash: else a host would be the first to find out.
    """
    found = map(wheel_of, map(Requirement, requirements))
    given = {wheel.project: wheel for wheel in found if wheel}
    for wheel in given.values():
        store.fetch_listed(wheel, sources)
    return given


def _others(constraints: Sequence[str], family: Iterable[str]) -> list[str]:
    """Return the constraints on what uv picks: the choice has kept those on the torch family."""
    names = set(family)
    return [text for text in constraints if Requirement(text).name not in names]


def _compile(
    target: Target,
    python: str,
    catalogue: Catalogue,
    *,
    requirements: Sequence[str],
    constraints: Sequence[str],
    timeout: int,
    overrides: Sequence[str] = (),
) -> str:
    """Have uv pick versions out of a catalogue, and return the text of its lock."""
    with work_directory("lock") as work:
        wanted, limits = [list(map(by_version, texts)) for texts in (requirements, constraints)]
        project = render("lock-input.toml.j2", python=_language(python), requirements=wanted)
        (work / "pyproject.toml").write_text(project, encoding="utf-8")
        (work / "constraints.txt").write_text("\n".join(limits), encoding="utf-8")
        output = work / "pylock.toml"
        command = [uv.find_uv_bin(), "pip", "compile", str(work / "pyproject.toml")]
        command += ["--constraint", str(work / "constraints.txt")]
        if overrides:
            (work / "overrides.txt").write_text("\n".join(overrides), encoding="utf-8")
            command += ["--override", str(work / "overrides.txt")]
        command += ["--config-file", str(work / "uv.toml"), "--format", "pylock.toml"]
        command += ["--output-file", str(output), "--no-header", "--quiet", "--color", "never"]
        command += ["--only-binary", ":all:", "--no-python-downloads", "--no-cache"]
        command += ["--python", sys.executable, "--python-version", _language(python)]
        command += ["--python-platform", uv_platform(target)]
        with served_index(catalogue) as index:
            (work / "uv.toml").write_text(render("lock-index.toml.j2", index=index), "utf-8")
            _run(command, work, timeout, catalogue)
        return output.read_text(encoding="utf-8")


def _settle(
    document: dict[str, Any], catalogue: Catalogue, python: str, target: Target, hashes: Hashes
) -> None:
    """Put the wheels themselves in the place of the addresses on loopback.

    Their tags are compared again: uv knows no interpreter without a GIL that is not here, and
    takes the ordinary wheels, for which those of the same version that fit are put.
    Raises NoSolutionError that names the package without one.
    """
    tags = wheel_tags(python, target.platform, target.glibc)
    for package in document["packages"]:
        named = [catalogue.wheel(key_in(entry["url"])) for entry in package.get("wheels", ())]
        fitting = [wheel for wheel in named if wheel and not wheel.tags.isdisjoint(tags)]
        wheels = fitting or _same_version(package, catalogue, tags)[:1]
        if not wheels:
            raise NoSolutionError(
                f"{package['name']} {package['version']} has no wheel for Python {python} on"
                f" {' '.join(target.platform)} in the sources that answer",
                hint="take another Python, or leave out what needs it",
            )
        wheels = allowed(wheels, package["name"], hashes, catalogue.sha256)
        package["wheels"] = [_entry(wheel, catalogue) for wheel in wheels]
        if (
            said := requires_python(catalogue.metadata(wheels[0]) or b"")
            or wheels[0].requires_python
        ):
            package["requires-python"] = said


def _require_fit(versions: Mapping[str, Version], choice: Choice) -> None:
    """Refuse what resolves beside this torch and does not work there."""
    if found := misfit(versions, Version(choice.torch), choice.variant):
        name, row = found
        raise NoSolutionError(
            f"{name} does not go with torch {choice.torch}+{choice.variant}: {row.why}",
            hint=row.otherwise,
        )


def _add_own(document: dict[str, Any], own: str) -> None:
    """Put a project's own wheel beside what uv picked; what it asks of torch is not compared."""
    filename, _, sha256 = own.partition("#sha256=")
    path = store.kept_at(filename, sha256)
    name, version = named_by(own)
    entry = {"url": path.as_uri(), "hashes": {"sha256": sha256}, "size": path.stat().st_size}
    package = {"name": name, "version": str(version), "wheels": [entry]}
    if said := requires_python(metadata_inside(path)):
        package["requires-python"] = said
    others = [each for each in document["packages"] if each["name"] != name]
    document["packages"] = sorted([*others, package], key=lambda each: str(each["name"]))


def _same_version(
    package: dict[str, Any], catalogue: Catalogue, tags: frozenset[Tag]
) -> list[Wheel]:
    version = Version(package["version"])
    wheels = catalogue.offer(package["name"]).wheels
    return [w for w in wheels if w.version == version and not w.tags.isdisjoint(tags)]


def _entry(wheel: Wheel, catalogue: Catalogue) -> dict[str, Any]:
    """Return a wheel as a lock has it."""
    entry: dict[str, Any] = {"url": wheel.url, "hashes": {"sha256": catalogue.sha256(wheel)}}
    entry |= {"upload-time": wheel.uploaded} if wheel.uploaded else {}
    return entry | ({"size": wheel.size} if wheel.size else {})


def _language(minor: str) -> str:
    return minor.rstrip("t")


def uv_platform(target: Target) -> str:
    """Return uv's name for a platform: the newest glibc it knows that the host has."""
    if target.os == "windows":
        return f"{target.arch}-pc-windows-msvc"
    minor = target.glibc[1] if len(target.glibc) > 1 else 17
    return f"{target.arch}-manylinux_2_{max(n for n in UV_GLIBC if n <= max(minor, 17))}"


def _reaches_uv(variable: str) -> bool:
    """A person's own settings for uv, or a proxy, must not come between it and the index."""
    return not variable.upper().startswith("UV_") and not variable.upper().endswith("_PROXY")


def _run(command: list[str], work: Path, timeout: int, catalogue: Catalogue) -> None:
    environment = {key: value for key, value in os.environ.items() if _reaches_uv(key)}
    limited = ["/bin/sh", "-c", f'ulimit -v {MEMORY_KIB}; exec "$@"', "sh", *command]
    try:
        done = subprocess.run(
            limited, cwd=work, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise FleetwheelError(
            f"locking took longer than {timeout} s", hint="a wheel source is slow: run again"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().replace(str(work), "")
        said = said.replace("fleetwheel-environment", "this environment")
        raise explained(_without_options(said), catalogue)


def _without_options(said: str) -> str:
    """Return uv's words without the hints that name its options: nobody can give them here."""
    paragraphs = re.split(r"\n\s*\n", said)
    kept = [text for text in paragraphs if not re.match(r"\s*hint:.*`--", text, re.DOTALL)]
    return "\n".join(kept)


def _tool_table(choice: Choice, target: Target, request: Request) -> str:
    """Return the ``[tool.fleetwheel]`` table: the choice, without credentials, and its origin."""
    source = choice.source and choice.source.model_copy(update={"url": choice.source.redacted})
    kept = choice.model_copy(update={"source": source})
    table: dict[str, Any] = {
        "choice": kept.model_dump(mode="json", exclude_none=True),
        "request": request.model_dump(mode="json", exclude_none=True),
        "target": {
            "schema": target.format,
            **target.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        },
    }
    return "\n" + tomli_w.dumps({"tool": {"fleetwheel": table}})

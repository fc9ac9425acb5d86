"""Making a lock: uv picks the versions of everything beside the torch family, and its hashes."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
import uv
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import PARTNERS, Request
from fleetwheel.choice.tags import wheel_tags
from fleetwheel.choice.target import Target
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock.lock import Lock, name_of, require_family
from fleetwheel.render import render
from fleetwheel.sources.configured import certificate, local_path
from fleetwheel.sources.metadata import requires_python
from fleetwheel.sources.survey import survey
from fleetwheel.sources.wheel import Source, file_name

UV_GLIBC = (17, 28, *range(31, 41))
"""Minor versions of glibc 2.x that ``uv --python-platform x86_64-manylinux_2_N`` knows."""


FIRST_SOURCE = "first-index"
"""Each package comes from the first source that holds it."""
ANY_SOURCE = "unsafe-best-match"


class NoSolutionError(FleetwheelError):
    """uv finds no versions that go together."""

    @property
    def cause(self) -> str:
        """Its reason in one line of at most 200 characters."""
        words = re.split(r"cause: |╰─▶ ", " ".join(str(self.args[0]).split()))[-1]
        return words if len(words) <= 200 else f"{words[:200].rpartition(' ')[0]} …"

    def about(self, name: str) -> "NoSolutionError":
        """Return the error with the name of the build that was to be locked."""
        return NoSolutionError(f"{name}: {self.args[0]}", hint=self.hint)


class Picked(NamedTuple):
    """What uv picked of one project."""

    version: Version
    uploaded: datetime | None
    """When its wheel came to its source, where the source says so."""


def pick(choice: Choice, target: Target, sources: Sequence[Source], timeout: int = 600) -> str:
    """Return uv's lock of a choice: hashes for everything, wheels only, the family from one source.

    ``sources`` are the ordinary ones that answer, in their order; without any, everything comes
    from the source of the torch family. ``timeout`` is in seconds.
    Raises NoSolutionError with uv's own words when there is no solution.
    """
    pins = [f"{name}=={version}" for name, version in choice.packages.items()]
    own = [choice.source] if choice.source else []
    text = _compile(
        target,
        choice.python.minor,
        requirements=[*pins, *choice.requirements],
        constraints=[*_others(target.constraints, choice.packages), *choice.limits],
        family=list(choice.packages),
        family_source=choice.source,
        sources=sources or own,
        timeout=timeout,
    )
    document = tomllib.loads(text)
    _fit(document, choice.python.minor, target, [*sources, *own])
    _add_requires_python(document, [*sources, *own])
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
    text = _compile(
        target,
        python,
        requirements=[*target.requirements, *names],
        constraints=_others(target.constraints, ("torch", *PARTNERS)),
        family=[],
        family_source=None,
        sources=sources,
        strategy=ANY_SOURCE,
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


def _others(constraints: Sequence[str], family: Iterable[str]) -> list[str]:
    """Return the constraints on what uv picks: the choice has kept those on the torch family."""
    names = set(family)
    return [text for text in constraints if Requirement(text).name not in names]


def _compile(
    target: Target,
    python: str,
    *,
    requirements: Sequence[str],
    constraints: Sequence[str],
    family: Sequence[str],
    family_source: Source | None,
    sources: Sequence[Source],
    strategy: str = FIRST_SOURCE,
    timeout: int,
) -> str:
    """Have uv pick versions, and return the text of its lock."""
    with tempfile.TemporaryDirectory(prefix="fleetwheel-lock-") as directory:
        work = Path(directory)
        project = render(
            "lock-input.toml.j2",
            python=_language(python),
            requirements=requirements,
            family=family,
            family_source=family_source,
        )
        (work / "pyproject.toml").write_text(project, encoding="utf-8")
        (work / "constraints.txt").write_text("\n".join(constraints), encoding="utf-8")
        ordinary = render("lock-sources.toml.j2", sources=sources, strategy=strategy)
        (work / "uv.toml").write_text(ordinary, encoding="utf-8")
        output = work / "pylock.toml"
        command = [uv.find_uv_bin(), "pip", "compile", str(work / "pyproject.toml")]
        command += ["--constraint", str(work / "constraints.txt")]
        command += ["--config-file", str(work / "uv.toml"), "--format", "pylock.toml"]
        command += ["--output-file", str(output), "--no-header", "--quiet", "--color", "never"]
        command += ["--generate-hashes", "--only-binary", ":all:", "--no-python-downloads"]
        command += ["--python", sys.executable, "--python-version", _language(python)]
        command += ["--python-platform", uv_platform(target)]
        _run(command, work, timeout)
        return output.read_text(encoding="utf-8")


def _fit(document: dict[str, Any], python: str, target: Target, sources: Sequence[Source]) -> None:
    """See to it that every wheel of a lock fits the interpreter by its tags.

    uv knows no interpreter without a GIL that is not here, and takes the ordinary wheels: they are
    replaced by those of the same version that fit.
    Raises NoSolutionError that names the package without one.
    """
    tags = wheel_tags(python, target.platform, target.glibc)
    strangers = [package for package in document["packages"] if not _fits(package, tags)]
    found = survey(sources, [package["name"] for package in strangers]).wheels if strangers else ()
    for package in document["packages"]:
        package["wheels"] = [w for w in package.get("wheels", ()) if _suits(w, tags)]
    for package in strangers:
        same = (package["name"], Version(package["version"]))
        fitting = [
            (wheel.url, sha256)
            for wheel in found
            if (wheel.project, wheel.version) == same
            and not wheel.tags.isdisjoint(tags)
            and (sha256 := wheel.sha256 or _hash_here(wheel.url))
        ]
        if not fitting:
            raise NoSolutionError(
                f"{package['name']} {package['version']} has no wheel for Python {python} on"
                f" {' '.join(target.platform)} in the sources that answer",
                hint="take another Python, or leave out what needs it",
            )
        url, sha256 = fitting[0]
        package["wheels"] = [{"url": url, "hashes": {"sha256": sha256}}]


def _hash_here(url: str) -> str | None:
    """Return the hash of a wheel on this machine; None for one elsewhere."""
    path = local_path(url)
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add_requires_python(document: dict[str, Any], sources: Sequence[Source]) -> None:
    """Add what each package asks of the interpreter, which uv leaves out of its locks."""
    wheels = {
        package["name"]: package["wheels"][0].get("url", "")
        for package in document["packages"]
        if package.get("wheels")
    }
    asked = requires_python([url for url in wheels.values() if url], sources)
    silent = [name for name, url in wheels.items() if url not in asked]
    listed = survey(sources, silent).wheels if silent else ()
    asked |= {wheel.url: wheel.requires_python for wheel in listed if wheel.requires_python}
    for package in document["packages"]:
        if said := asked.get(wheels.get(package["name"], "")):
            package["requires-python"] = said


def _fits(package: dict[str, Any], tags: frozenset[Tag]) -> bool:
    return any(_suits(wheel, tags) for wheel in package.get("wheels", ()))


def _suits(wheel: dict[str, Any], tags: frozenset[Tag]) -> bool:
    name = file_name(wheel.get("url") or wheel["path"])
    return not parse_wheel_filename(name)[3].isdisjoint(tags)


def _language(minor: str) -> str:
    return minor.rstrip("t")


def uv_platform(target: Target) -> str:
    """Return uv's name for a platform: the newest glibc it knows that the host has."""
    if target.os == "windows":
        return f"{target.arch}-pc-windows-msvc"
    minor = target.glibc[1] if len(target.glibc) > 1 else 17
    return f"{target.arch}-manylinux_2_{max(n for n in UV_GLIBC if n <= max(minor, 17))}"


def _reaches_uv(variable: str) -> bool:
    """A person's own settings for uv must not change what a lock holds."""
    return not variable.startswith("UV_") or variable == "UV_CACHE_DIR"


def _run(command: list[str], work: Path, timeout: int) -> None:
    environment = {key: value for key, value in os.environ.items() if _reaches_uv(key)}
    environment |= {"SSL_CERT_FILE": bundle} if (bundle := certificate()) else {}
    try:
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise FleetwheelError(
            f"locking took longer than {timeout} s", hint="a wheel source is slow: run again"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().replace(str(work), "")
        said = said.replace("fleetwheel-environment", "this environment")
        hint = "change the packages or the torch version that the inventory asks for"
        if "first index that contains" in said:
            hint += ", or put what is missing into the first source that holds the package"
        kind = NoSolutionError if "No solution found" in said else FleetwheelError
        raise kind("uv finds no wheel set: " + _without_options(said), hint=hint)


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

"""A requirements.txt, with the files that it includes, as pins."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from fleetwheel.errors import FleetwheelError
from fleetwheel.team.pins import BUILD_IT, FAMILY, Pin, pin_of_requirement, unbuilt
from fleetwheel.team.reading import FEWER, read_bytes, resolved, unmarked_text

DEEPEST = 10
"""Files that may include one another."""
MOST_FILES = 100
MOST_PINS = 20_000
INCLUDE = re.compile(r"(?:(-r|--requirement)|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S.*)")
HASH = re.compile(r"\s--hash(?:=|\s+)([a-z0-9]+):([0-9A-Fa-f]+)(?=\s|$)")
INDEX = re.compile(r"(-i|-f|--(extra-)?index-url|--find-links|--no-index|--trusted-host)\b")
ADDRESS = re.compile(
    r"(git|hg|svn|bzr)\+|[A-Za-z][A-Za-z+.-]*://|file:|\.{0,2}[/\\]|[A-Za-z]:[/\\]"
)
ARCHIVE = re.compile(r"\S+\.(whl|zip|tar\.gz|tar\.bz2|tgz)(\s.*)?", re.IGNORECASE)
ALREADY = re.compile(r"--(prefer-binary|only-binary[= ]\s*:all:|require-hashes)")
"""Options that ask for what is done in any case."""


class _Line(NamedTuple):
    text: str
    place: str


class _Files:
    """The files that were read so far, and in which order they include one another."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.open: list[Path] = []
        self.read = 0

    def pins(self, path: Path, *, wanted: bool) -> Iterator[Pin]:
        """Yield the pins of a file and of those that it includes."""
        said = self._called(path)
        real = resolved(path, self.base, said)
        self.read += 1
        if real in self.open or len(self.open) >= DEEPEST or self.read > MOST_FILES:
            chain = " -> ".join(map(self._called, [*self.open, real]))
            raise FleetwheelError(
                f"{chain}: these files include one another, or too many of them",
                hint="take the line -r or -c out of one of them",
            )
        text = unmarked_text(read_bytes(path, self.base, said), said)
        self.open.append(real)
        for line in _lines(text, said):
            if include := INCLUDE.fullmatch(line.text):
                beside = path.parent / include[2].strip("\"'")
                yield from self.pins(beside, wanted=wanted and include[1] is not None)
            elif pin := _pin(line, wanted=wanted):
                yield pin
        self.open.pop()

    def _called(self, path: Path) -> str:
        """Return what people call a file: its place below the base."""
        return os.path.relpath(path, self.base)


def requirements_pins(path: Path, base: Path) -> list[Pin]:
    """Return the pins of a requirements file, in their order; ``base`` is where all files lie.

    Raises FleetwheelError that names file and line, for what no host could install from a wheel
    and for what would lead to another source than the inventory's.
    """
    pins = list(islice(_Files(base).pins(path, wanted=True), MOST_PINS + 1))
    if len(pins) > MOST_PINS:
        raise FleetwheelError(f"{path.name} has more than {MOST_PINS} lines", hint=FEWER)
    hashed = next((pin for pin in pins if pin.wanted and pin.hashes), None)
    bare = [pin for pin in pins if pin.wanted and not pin.hashes and not pin.with_variant]
    if hashed and bare:
        raise FleetwheelError(
            f"{bare[0].place}: {bare[0].requirement} has no hash, but {hashed.requirement} has",
            hint="give all of them one, as `uv pip compile --generate-hashes` does, or none",
        )
    return pins


def _lines(text: str, said: str) -> Iterator[_Line]:
    """Yield the lines that say something, continued ones joined, without comments."""
    parts: list[str] = []
    first = 1
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        first = first if parts else number
        comment = line.lstrip().startswith("#")
        parts.append("" if comment else line.removesuffix("\\"))
        if line.endswith("\\") and not comment:
            continue
        said_here = re.sub(r"(^|\s)#.*", "", " ".join(parts)).strip()
        parts = []
        if said_here:
            yield _Line(said_here, f"{said}, line {first}")
    rest = re.sub(r"(^|\s)#.*", "", " ".join(parts)).strip()
    if rest:
        yield _Line(rest, f"{said}, line {first}")


def _pin(line: _Line, *, wanted: bool) -> Pin | None:
    """Return the pin of a line; None for an option that changes nothing."""
    if line.text.startswith("-"):
        _require_harmless(line)
        return None
    bare, hashes = _without_hashes(line)
    if "${" in bare:
        raise _refused(line, "has an environment variable in it", "write the value instead")
    if ADDRESS.match(bare) or ARCHIVE.fullmatch(bare):
        raise FleetwheelError(f"{line.place}: {unbuilt(*_origin(bare))}", hint=BUILD_IT)
    try:
        requirement = Requirement(bare)
    except (InvalidRequirement, RecursionError) as error:
        said = str(error).splitlines()[0]
        raise _refused(line, f"is no requirement: {said}", 'write "numpy==2.3.5"') from None
    if requirement.url:
        _, origin = _origin(requirement.url)
        name = str(canonicalize_name(requirement.name))
        version = f"write {name}==VERSION: which build of it, each host decides"
        hint = version if name in FAMILY else BUILD_IT
        raise FleetwheelError(f"{line.place}: {unbuilt(name, origin)}", hint=hint)
    return pin_of_requirement(requirement, hashes, wanted=wanted, place=line.place)


def _without_hashes(line: _Line) -> tuple[str, tuple[str, ...]]:
    """Split a line into the requirement and the SHA-256 of what may be installed."""
    found = HASH.findall(line.text)
    bare = HASH.sub("", line.text).strip()
    if option := re.search(r"\s(--?[a-z][\w-]*)", bare):
        raise _refused(line, f"has the option {option[1]}", "take it out: no sources are built")
    hashes = {value.lower() for kind, value in found if kind == "sha256" and len(value) == 64}
    if found and not hashes:
        raise _refused(
            line, "has no whole hash of the kind sha256", "add it: --hash=sha256: and 64 digits"
        )
    return bare, tuple(sorted(hashes))


def _require_harmless(line: _Line) -> None:
    """Pass over an option that changes nothing, and refuse all others."""
    if ALREADY.fullmatch(line.text):
        return
    if INDEX.match(line.text):
        raise FleetwheelError(
            f"{line.place}: names an index, and which sources there are is the inventory's",
            hint="take the line out, and write the address under sources:, bound to the names"
            " that are to come from there (docs/distribution.md)",
        )
    editable = re.match(r"(-e|--editable)[\s=]*(.*)", line.text)
    if editable:
        raise FleetwheelError(f"{line.place}: {unbuilt(*_origin(editable[2]))}", hint=BUILD_IT)
    option = line.text.split()[0].partition("=")[0]
    raise FleetwheelError(
        f"{line.place}: the option {option} cannot be kept to", hint="take the line out"
    )


def _origin(place: str) -> tuple[str, str]:
    """Return what is at an address for people, without a password, and what kind of place it is."""
    shown = re.sub(r"//[^/@]*@", "//", place.split()[0]) if place.split() else "it"
    if re.match(r"(git|hg|svn|bzr)\+", place):
        return shown, "git" if place.startswith("git") else "a repository"
    return shown, "an address" if "://" in place else "a path"


def _refused(line: _Line, why: str, hint: str) -> FleetwheelError:
    return FleetwheelError(f"{line.place}: {line.text[:100]!r} {why}", hint=hint)

"""Wheels that are asked for by path or address, each with its hash."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources.address import redacted
from fleetwheel.sources.wheel import Source, Wheel, file_name

HASHED = re.compile(r"sha256=([0-9a-f]{64})")
PLACE = re.compile(r"(https?|file)://|[a-z+]+://|git\+|\.{0,2}/|~/|-")
"""How a path, an address or an option begins; a requirement begins with a name."""
BUILT = (
    "build its wheel on this machine, `pip wheel --no-deps --wheel-dir DIRECTORY {}`, and name"
    " DIRECTORY under sources:"
)


def as_requirement(text: str) -> str:
    """Return a path or an address of a wheel as a requirement, ``NAME @ URL#sha256=…``.

    What is neither is returned as it is. Raises ValueError that says what to do, for what holds no
    hash, or is no wheel.
    """
    if not PLACE.match(text):
        return text
    if re.match(r"-(r|-requirement)\b", text):
        raise ValueError(f"{text!r} names a file of requirements: list them under packages")
    place, _, fragment = text.partition("#")
    if not place.endswith(".whl"):
        raise ValueError(f"{redacted(text)} is no wheel: {BUILT.format(redacted(text))}")
    url = place if "://" in place else Path(place).expanduser().absolute().as_uri()
    try:
        name = str(parse_wheel_filename(file_name(url))[0])
    except (InvalidWheelFilename, FleetwheelError) as error:
        raise ValueError(f"{redacted(place)} has no file name of a wheel") from error
    return f"{name} @ {url}#{fragment}"


def require_hash(requirement: Requirement) -> None:
    """Raise ValueError where the wheel of a requirement with an address cannot be taken."""
    url, _, fragment = str(requirement.url).partition("#")
    if "@" in urlsplit(url).netloc:
        raise ValueError(
            f"{requirement.name}: its address holds a user name: write it without, and name the"
            " server with user name and password under sources:"
        )
    if urlsplit(url).scheme not in ("http", "https", "file") or not url.endswith(".whl"):
        raise ValueError(f"{requirement.name} @ {url} is no wheel: {BUILT.format(url)}")
    if not HASHED.fullmatch(fragment):
        raise ValueError(
            f"{requirement.name} @ {url}: an address says nothing of what is there: write"
            " #sha256=HEX behind it, which sha256sum prints for the file"
        )
    wheel_of(requirement)


def wheel_of(requirement: Requirement) -> Wheel | None:
    """Return the wheel of a requirement with an address; None for another requirement.

    Raises ValueError where the file is of another project.
    """
    if not requirement.url:
        return None
    url, _, fragment = requirement.url.partition("#")
    source = Source(name="packages", url=f"{url.rpartition('/')[0]}/", layout="flat")
    try:
        name = file_name(url)
        hashed = HASHED.fullmatch(fragment)
        wheel = Wheel(filename=name, url=url, sha256=hashed and hashed[1], source=source)
        if wheel.project != requirement.name:
            raise ValueError(f"{url} is no wheel of {requirement.name}")
    except (InvalidWheelFilename, FleetwheelError) as error:
        raise ValueError(f"{requirement.name} @ {url} has no file name of a wheel") from error
    return wheel


def by_version(text: str) -> str:
    """Return a requirement by its version in place of its address."""
    requirement = Requirement(text)
    wheel = wheel_of(requirement)
    if wheel is None:
        return text
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}=={wheel.version}{marker}"

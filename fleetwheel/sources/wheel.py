"""A wheel that some source really holds, and the source that holds it."""

import re
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version
from pydantic import field_validator

from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix.variant import Variant
from fleetwheel.sources.address import is_address, redacted
from fleetwheel.value import Value

PYPI_TORCH = Path(__file__).with_name("pypi-torch.txt")
"""SHA-256 and file name of PyPI's torch wheels; scripts/check_matrix.py tells what it lacks."""

PLAIN = re.compile(r"[A-Za-z0-9_][\w.+!-]*\.whl", re.ASCII)


def file_name(url: str) -> str:
    """Return the file name of the wheel at an address.

    Raises FleetwheelError for one that would lead elsewhere as part of a path.
    """
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not PLAIN.fullmatch(name):
        raise FleetwheelError(f"{name!r} is no file name of a wheel", hint="look at its source")
    return name


class Source(Value):
    """One place that wheels come from."""

    name: str
    """For people: ``inventory``, ``pip find-links``, ``official cu130``."""
    url: str
    """Address or directory, credentials included: show ``redacted``, never this."""
    layout: Literal["simple", "flat"] = "simple"
    """``simple``: an index with a page for each project; ``flat``: one page or directory."""
    variant: Variant | None = None
    """The one variant that the source holds, where it is an index of the official kind."""
    packages: tuple[str, ...] = ()
    """Patterns of the names that are bound to it, such as ``acme-*``; it serves no others."""
    optional: bool = False
    """Whether a lock may take from the sources behind it what it gave no answer for."""

    def serves(self, name: str) -> bool:
        """Whether it may be asked for a project with this normalized name."""
        return not self.packages or any(fnmatchcase(name, each) for each in self.packages)

    @property
    def redacted(self) -> str:
        """The address without user name and password."""
        return redacted(self.url)


class ListedFile(Value):
    """A wheel file as a page or directory lists it."""

    filename: str
    url: str
    sha256: str | None = None
    size: int | None = None
    """Bytes; None where the source does not say."""
    requires_python: str | None = None
    """Which interpreters it is for, where the source says so."""
    uploaded: datetime | None = None
    """When it came to the source, where that says so."""
    other_hash: str | None = None
    """Another hash than SHA-256, as ``sha512:HEX``, where the source gives only such a one."""
    metadata_hash: str | None = None
    """That of the metadata file beside it, as ``sha256:HEX``, where the source gives one."""

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if not is_address(url):
            raise ValueError("it is no address")
        return url

    @field_validator("filename", "url", "requires_python")
    @classmethod
    def _can_be_written(cls, text: str | None) -> str | None:
        """Refuse lone surrogates, which JSON can hold and no file or request can."""
        (text or "").encode()
        return text


class Wheel(ListedFile):
    """A wheel file, and the source that lists it."""

    source: Source

    @property
    def from_pypi(self) -> bool:
        """Whether this is a wheel of torch that PyPI has: the same file by name and hash."""
        return self.sha256 is not None and pypi_torch().get(self.filename) == self.sha256

    def own_first(self, sources: Sequence[Source]) -> list[Source]:
        """Return sources with the wheel's own before the others, where it is among them."""
        return sorted(sources, key=lambda source: source != self.source)

    @cached_property
    def version(self) -> Version:
        """Full version, with its local part where the file name has one (``2.13.0+cpu``)."""
        return parse_wheel_filename(self.filename)[1]

    @cached_property
    def project(self) -> str:
        """Normalised project name, such as ``torch``."""
        return str(parse_wheel_filename(self.filename)[0])

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """Wheel tags of the file name, expanded."""
        return parse_wheel_filename(self.filename)[3]


@cache
def pypi_torch() -> dict[str, str]:
    """Return the file name and SHA-256 of each torch wheel that PyPI has, as far as it is known."""
    lines = PYPI_TORCH.read_text(encoding="ascii").splitlines()
    return {name: sha256 for sha256, name in (line.split() for line in lines)}

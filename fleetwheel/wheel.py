"""A wheel that some source really holds, and the source that holds it."""

import re
from functools import cached_property
from typing import Literal
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from fleetwheel.errors import FleetwheelError
from fleetwheel.profile import Value

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
    variant: str | None = None
    """The one variant that the source holds, where it is an index of the official kind."""

    @property
    def redacted(self) -> str:
        """The address without user name and password."""
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            return self.url
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


class Wheel(Value):
    """One wheel file of the torch family, as a source lists it."""

    filename: str
    url: str
    sha256: str | None = None
    size: int | None = None
    """Bytes; None where the source does not say."""
    source: Source

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

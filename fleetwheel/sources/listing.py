"""What an index page or a directory lists, and when that is an answer: the one reading of both."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from html.parser import HTMLParser
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.address import local_path, on_network, redacted
from fleetwheel.sources.configured import Layout, is_official
from fleetwheel.sources.links import page_links, turns
from fleetwheel.sources.wheel import PLAIN, ListedFile, Source, pypi_torch

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage

JSON = "application/vnd.pypi.simple.v1+json"
HTML = ("text/html", "application/vnd.pypi.simple.v1+html")
HASHES = {"sha256": 64, "sha512": 128, "sha384": 96, "sha224": 56, "sha1": 40, "md5": 32}
"""Hashes that an index may give, with their hexadecimal digits; the strongest first."""
MOST_TAGS = 1000
"""Tags that a wheel's name may stand for; real ones have under 100."""
LONGEST_NAME = 255
"""Characters that a file name may have; longer ones can stand for billions of tags."""
FORMATS = (
    *(".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.z"),
    *(".tar.lz", ".tlz", ".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg"),
)
"""How the names of distributions end; pip or PyPI has taken all of these."""
UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")
"""What is added to the name of a file that is being copied."""
VERSIONS = "v?[0-9]|latest|stable|main|master|dev|nightly"
"""How what follows a project's name in that of a file begins."""
MOST_ELEMENTS = {JSON: 400_000, **dict.fromkeys(HTML, 150_000)}
"""Elements, or objects and lists, of a page: more would take longer than ``web.PAGE_S`` to read."""
MARKS = {JSON: (b"{", b"["), **dict.fromkeys(HTML, (b"<",))}
"""How they begin."""
EMPTY_BYTES = 2**16
"""The largest page that may count as an index page without files."""
EMPTY_HAS = frozenset(["html", "head", "meta", "title", "body", "h1", "h2", "br", "hr", "p", "pre"])
"""Elements of an index page without files."""


class Listing(NamedTuple):
    """What a page or directory lists."""

    place: str = ""
    """Its address or path, without credentials."""
    wheels: tuple[ListedFile, ...] = ()
    """Without the yanked ones."""
    files: frozenset[str] = frozenset()
    """Names of all distributions, yanked ones and other formats included."""
    strange: str = ""
    """Why a page without files does not count as an index page; empty where it does."""


def absent_statuses(source: Source) -> tuple[int, ...]:
    """Return the HTTP status codes by which a source says that it lacks a name.

    A flat one has a single page: where that is missing, nothing is said of any name.
    """
    if source.layout == "flat":
        return ()
    return web.ABSENT_IN_BUCKETS if is_official(source) else web.ABSENT


def holds(found: Listing | None, project: str, layout: Layout) -> bool:
    """Whether a source has files of a project, by what it lists; None: it has no such page.

    Raises FleetwheelError where that is no answer. A source counts as one that lacks the name only
    where it says so: by a status code, by an index page that is empty, or, for a flat one, by a
    list of other files.
    """
    if found is None:
        return False
    if any(is_of(name, project) for name in found.files):
        return True
    if layout == "flat" and not found.files:
        raise FleetwheelError(f"{found.place} has no wheel and no source distribution in it")
    if layout == "simple" and found.files:
        raise FleetwheelError(f"{found.place} lists files of other names alone")
    if layout == "simple" and found.strange:
        raise FleetwheelError(f"{found.place} is no index page: {found.strange}")
    return False


def is_of(filename: str, project: str) -> bool:
    """Whether a file is a distribution of a project, in whatever format."""
    said = _project(filename)
    if said == project or (said and filename.endswith(".whl")):
        return said == project
    # The name of a source distribution can be read in several ways: acme-1.0-2 is acme's too.
    name = canonicalize_name(said or _stem(filename))
    return bool(re.match(rf"{re.escape(project)}(-({VERSIONS})|$)", name))


def listing(page: web.Page, project: str = "") -> Listing:
    """Return what an index page lists; ``project`` is the one that it was asked for.

    Names and addresses are data: what is no wheel's name, or leads from the network to a file of
    this machine, is left out of the wheels. Raises FleetwheelError for a page that cannot be read.
    """
    if page.media_type not in (JSON, *HTML):
        raise FleetwheelError(f"{page.url} is no index page: it is of type {page.media_type!r}")
    try:
        _require_bounds(page)
        if page.media_type == JSON:
            names, packages, strange = _from_json(page, project)
        else:
            names, packages = _from_html(page)
            strange = "" if names else _strange(page.content, project)
        if not names and not strange and on_network(page.url) and project:
            strange = "" if web.same_page(page.url, f"/{project}") else "a redirect led to it"
        wheels = [package for package in packages if not package.is_yanked]
        files = [_file(wheel, page) for some in turns(wheels) for wheel in some]
    except FleetwheelError:
        raise
    except Exception as error:  # the parsers meet hostile text with exceptions of any kind
        raise FleetwheelError(f"{page.url} is no index page that can be read") from error
    return Listing(page.url, tuple(file for file in files if file), frozenset(names), strange)


def _require_bounds(page: web.Page) -> None:
    """Refuse what would keep a parser busy for minutes."""
    most = MOST_ELEMENTS[page.media_type]
    if sum(map(page.content.count, MARKS[page.media_type])) > most:
        raise FleetwheelError(f"{page.url} has more than {most:,} elements")


def directory_listing(path: Path) -> Listing:
    """Return what a directory of wheels has in it."""
    files = [file for file in sorted(path.iterdir()) if _is_distribution(file.name)]
    wheels = [file for file in files if _is_wheel(file.name) and file.is_file()]
    listed = [
        ListedFile(filename=p.name, url=p.as_uri(), sha256=_known(p), size=p.stat().st_size)
        for p in wheels
    ]
    return Listing(str(path), tuple(listed), frozenset(file.name for file in files))


class _Outline(HTMLParser):
    """The elements and the words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.texts: list[str] = []
        self.ended = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if any(
            name.startswith("on") or (value or "").lower() == "refresh" for name, value in attrs
        ):
            self.elements.add("script")

    def handle_endtag(self, tag: str) -> None:
        self.ended = tag == "html"

    def handle_data(self, data: str) -> None:
        self.texts += data.split("\n")


def _strange(content: bytes, project: str) -> str:
    """Return why a page that links to no file is not the empty page of a project.

    A server that is failing sends nothing at all, half a page, or one with words of its own.
    """
    outline = _Outline()
    outline.feed(content[:EMPTY_BYTES].decode("utf-8", "replace"))
    if outline.elements & {"form", "input"}:
        return "it asks for input, as a login page does"
    if "a" in outline.elements:
        return "its links lead to no wheel and no source distribution"
    if len(content) > EMPTY_BYTES or not outline.elements <= EMPTY_HAS:
        return "it lists nothing, and has more on it than a heading"
    if not outline.ended or outline.rawdata.strip():
        return "it lists nothing, and ends before </html>"
    heading = rf"([\w./-]+: )?(links for )?{re.escape(project)}"
    texts = [" ".join(text.split()) for text in outline.texts if text.strip()]
    if not all(re.fullmatch(heading, re.sub("[-_.]+", "-", text), re.I) for text in texts):
        return "it lists nothing, and says other things than the name of the package"
    return ""


def _known(path: Path) -> str | None:
    """Return the hash of a file that has the name of one of PyPI's torch wheels.

    Their names do not tell their variant, so it has to be known whether it is that file.
    """
    if path.name not in pypi_torch():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_html(page: web.Page) -> "tuple[list[str], list[DistributionPackage]]":
    """Return the names of all distributions on a page, and the wheels among them.

    Files are named by their addresses: servers shorten the texts of links.
    """
    from pypi_simple import DistributionPackage, Link

    names, packages = [], []
    for link in (link for some in turns(page_links(page)) for link in some):
        name = _name(link.url)
        if _is_distribution(name):
            names.append(name)
        if _is_wheel(name):
            attributes = _renamed(link.attributes, "data-")
            packages.append(
                DistributionPackage.from_link(Link(text=name, url=link.url, attrs=attributes))
            )
    return names, packages


def _from_json(page: web.Page, project: str) -> "tuple[list[str], list[DistributionPackage], str]":
    """Return the same of a page in JSON, and why it is not that of a project without files."""
    from pypi_simple import ProjectPage

    document = json.loads(page.content)
    strange = "" if document["files"] else _strange_json(document, project)
    names = [str(file["filename"]) for file in document["files"]]
    # Names are checked before pypi-simple sees them, whose patterns take very long for some.
    wheels = [file for file in document["files"] if _is_wheel(file["filename"])]
    version = str(document["meta"]["api-version"])
    document["meta"]["api-version"] = re.sub(r"^1\.\d+$", "1.0", version)
    packages = []
    for some in turns(wheels):
        part = {**document, "files": [_renamed(wheel) for wheel in some]}
        packages += ProjectPage.from_json_data(part, page.url).packages
    return names, packages, strange


def _strange_json(document: Mapping[str, Any], project: str) -> str:
    """Return why a page in JSON without files is not the empty page of a project."""
    if project and canonicalize_name(str(document.get("name", ""))) != project:
        return "it lists nothing, and does not name the package"
    if document.get("versions"):
        return "it lists no files, and versions"
    status = document.get("project-status")
    if isinstance(status, Mapping) and status.get("status", "active") != "active":
        return f"the package is {status['status']} there"
    return ""


def _renamed(said: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return what a page says of a file, with the first name of core-metadata (PEP 714) as well."""
    old = said.get(f"{prefix}dist-info-metadata")
    return {**({f"{prefix}core-metadata": old} if old is not None else {}), **said}


def _file(package: "DistributionPackage", page: web.Page) -> ListedFile | None:
    url = redacted(package.url)
    size, scheme = package.size, urlsplit(url).scheme
    if scheme == "file" and urlsplit(page.url).scheme == "file":
        size = size_on_disk(url)
        if size is None:
            return None
    elif scheme not in ("http", "https"):
        return None
    known, path = _digests(package.digests).get("sha256"), local_path(url)
    if known is None and path is not None:
        known = _known(path)
    return ListedFile(
        filename=package.filename,
        url=url,
        sha256=known,
        size=size if size is None or 0 <= size < 2**63 else None,
        requires_python=_specifiers(package.requires_python),
        uploaded=_moment(package.upload_time),
        other_hash=None if known else _strongest(package.digests),
        metadata_hash=_strongest(package.metadata_digests or {}),
    )


def _moment(told: datetime | None) -> datetime | None:
    """Return when a file came to its source; None for what no source can mean."""
    return told if told and told.tzinfo and told.year > 1990 else None


def _strongest(digests: Mapping[str, str]) -> str | None:
    """Return the strongest hash that can be checked, as ``sha256:HEX``."""
    return next((f"{name}:{digest}" for name, digest in _digests(digests).items()), None)


def _digests(digests: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes that can be checked, the strongest first."""
    found = {name: digests.get(name, "").lower() for name in HASHES}
    return {
        name: digest
        for name, digest in found.items()
        if re.fullmatch("[0-9a-f]+", digest) and len(digest) == HASHES[name]
    }


@lru_cache(maxsize=2**10)
def _specifiers(text: str | None) -> str | None:
    """Return what a page says of interpreters; None for what cannot be read."""
    try:
        return str(SpecifierSet(text)) if text else None
    except InvalidSpecifier:
        return None


def _name(url: str) -> str:
    """Return the name of the file at an address, maybe that which a query or a fragment has."""
    parts = urlsplit(url)
    name = unquote(parts.path.rpartition("/")[2])
    if _is_distribution(name):
        return name
    others = re.split("[/?&#=]", unquote(f"{parts.query}#{parts.fragment}"))
    return next(filter(_is_distribution, others), name)


def _is_distribution(filename: str) -> bool:
    return _stem(filename) != filename


def _stem(filename: str) -> str:
    """Return a file's name without what tells its format, in whatever letters."""
    name = filename
    for endings in (UNFINISHED, sorted(FORMATS, key=len, reverse=True)):
        ending = next((each for each in endings if name.lower().endswith(each)), "")
        name = name[: len(name) - len(ending)] if ending else name
    return name


def _is_wheel(filename: str) -> bool:
    return bool(PLAIN.fullmatch(filename)) and _project(filename) is not None


@lru_cache(maxsize=2**16)
def _project(filename: str) -> str | None:
    """Return the project of a wheel or source distribution; None for what is neither."""
    if len(filename) > LONGEST_NAME or _tags(filename) > MOST_TAGS:
        return None
    try:
        is_wheel = filename.endswith(".whl")
        read = parse_wheel_filename if is_wheel else parse_sdist_filename
        return str(read(filename)[0])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def _tags(filename: str) -> int:
    """Return how many tags a wheel's name stands for: each part may name several with dots."""
    parts = filename.removesuffix(".whl").split("-")[-3:]
    return prod(part.count(".") + 1 for part in parts) if filename.endswith(".whl") else 1


def size_on_disk(url: str) -> int | None:
    """Return the bytes of a file on this machine, None when there is no such file."""
    path = local_path(url)
    return path.stat().st_size if path and path.is_file() else None

"""What sources of wheels really hold: every source asked at once, the silent ones left out."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from pypi_simple import DistributionPackage, Link, ProjectPage, RepositoryPage

from fleetwheel.errors import DETAIL, LOG, FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.configured import is_official, local_path
from fleetwheel.sources.index import SourceAnswer, serving
from fleetwheel.sources.web import BackgroundCall, Login
from fleetwheel.sources.wheel import Source, Wheel, pypi_torch
from fleetwheel.value import Value

JSON = "application/vnd.pypi.simple.v1+json"
HTML = ("text/html", "application/vnd.pypi.simple.v1+html")
NEWER = re.compile(rb"""(repository-version["'][^>]{0,99}content=["']?1)\.\d+""")
"""Minor versions of the index API add to what is known, which can be read as ever."""
HASHES = {"sha256": 64, "sha512": 128, "sha384": 96, "sha224": 56, "sha1": 40, "md5": 32}
"""Hashes that an index may give, with their hexadecimal digits; the strongest first."""
MOST_TAGS = 1000
"""Tags that a wheel's name may stand for; real ones have under 100."""
LONGEST_NAME = 255
"""Characters that a file name may have; longer ones can stand for billions of tags."""


class Survey(Value):
    """What the sources hold, and which of them gave no answer."""

    wheels: tuple[Wheel, ...] = ()
    """In the order of the sources; no yanked ones and no source distributions."""
    warnings: tuple[str, ...] = ()
    """One sentence for each thing that went wrong, without credentials."""
    silent: tuple[Source, ...] = ()
    """Sources that gave no answer, or one that cannot be used: nothing of them is in ``wheels``."""


class ListedFile(NamedTuple):
    """A wheel file as a page or directory lists it."""

    filename: str
    url: str
    sha256: str | None = None
    size: int | None = None
    requires_python: str | None = None
    uploaded: datetime | None = None
    other_hash: str | None = None


class Listing(NamedTuple):
    """What a page or directory lists."""

    wheels: tuple[ListedFile, ...] = ()
    """Without the yanked ones."""
    held: frozenset[str] = frozenset()
    """Projects that it has files of, yanked wheels and source distributions included."""


def survey(sources: Sequence[Source], projects: Collection[str]) -> Survey:
    """Ask all sources at the same time which wheels of these projects they hold.

    Every page is asked for once per process, and no source is waited for longer than
    ``web.PROBE_S`` and ``web.PAGE_S`` together.
    """
    names = sorted({str(canonicalize_name(project)) for project in projects})
    wanted = {source: [n for n in names if source in serving(n, sources)] for source in sources}
    asked = [(source, _begun(source, wanted[source])) for source in sources]
    wheels: list[Wheel] = []
    warnings: dict[str, None] = {}
    silent: list[Source] = []
    for source, begun in asked:
        heard = [_answer(source, name, errand) for name, errand in begun.items()]
        if failure := next((answer.failure for answer in heard if answer.failure), None):
            warnings[f"{failure}; going on without it"] = None
            silent.append(source)
        else:
            LOG.log(
                DETAIL, "%s holds %d wheels", source.redacted, sum(len(a.wheels) for a in heard)
            )
            wheels += (wheel for answer in heard for wheel in answer.wheels)
    return Survey(wheels=tuple(wheels), warnings=tuple(warnings), silent=tuple(silent))


def ask_sources(name: str, sources: Sequence[Source]) -> tuple[SourceAnswer, ...]:
    """Ask the sources that may serve a name for it, all at the same time; in their order."""
    project = str(canonicalize_name(name))
    asked = [(source, _listing(source, project)) for source in serving(project, sources)]
    return tuple(_answer(source, project, errand) for source, errand in asked)


def sizes(urls: Sequence[str], sources: Sequence[Source] = ()) -> dict[str, int | None]:
    """Return the bytes of each wheel, by stat or a HEAD request; None where they are not told.

    ``sources`` lend their credentials to addresses on the same host.
    """
    logins = web.logins(sources)
    seconds = web.PROBE_S + web.READ_S
    errands = {
        url: web.once(("size", url), partial(_measure, url, logins), seconds, "no size in time")
        for url in urls
    }
    return {url: _told(errand) for url, errand in errands.items()}


def listing(page: web.Page) -> Listing:
    """Return what an index page links to.

    Names and addresses are data: what is no wheel's name, or leads from the network to a file of
    this machine, is left out. Raises FleetwheelError for a page that cannot be read.
    """
    if page.media_type not in (JSON, *HTML):
        raise FleetwheelError(f"{page.url} is no index page: it is of type {page.media_type!r}")
    try:
        packages = _from_json(page) if page.media_type == JSON else _from_html(page)
        wheels = [package for package in packages if _is_wheel(package.filename)]
        files = [_file(wheel, page) for wheel in wheels if not wheel.is_yanked]
    except Exception as error:  # the parsers meet hostile text with exceptions of any kind
        raise FleetwheelError(f"{page.url} is no index page that can be read") from error
    held = frozenset(str(_project(package.filename)) for package in packages)
    return Listing(tuple(file for file in files if file), held)


def _begun(source: Source, names: Iterable[str]) -> dict[str, BackgroundCall[Listing]]:
    return {name: _listing(source, name) for name in names}


def _answer(source: Source, project: str, errand: BackgroundCall[Listing]) -> SourceAnswer:
    try:
        found = errand.answer()
    except FleetwheelError as error:
        return SourceAnswer(source=source, failure=str(error.args[0]))
    wheels = _wheels(source, dict.fromkeys(found.wheels), project)
    return SourceAnswer(source=source, wheels=wheels, holds=project in found.held)


def _listing(source: Source, project: str) -> BackgroundCall[Listing]:
    """Have one page of a source read, or the one page or directory that it is."""
    project = project if source.layout == "simple" else ""
    seconds = web.PROBE_S + web.PAGE_S
    late = f"{source.redacted} takes longer than {seconds:g} s"
    key = ("listing", source.url.rstrip("/"), project)
    return web.once(key, partial(_read, source, project), seconds, late)


def _read(source: Source, project: str) -> Listing:
    path = local_path(source.url)
    try:
        if path is not None:
            return _read_disk(path, project)
        url, login = web.split_login(source.url)
        absent = web.ABSENT_IN_BUCKETS if is_official(source) else web.ABSENT
        page = web.page(f"{url.rstrip('/')}/{project}/" if project else url, login, absent)
        return listing(page) if page else Listing()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no address or path"
        raise FleetwheelError(f"{source.redacted} cannot be read: {reason}") from error


def _read_disk(path: Path, project: str) -> Listing:
    """Read an index of projects, a directory of wheels or one page, from disk."""
    if not path.exists():
        raise FleetwheelError(f"{path} does not exist")
    if path.is_dir() and not project:
        return _directory(path)
    page = path / project / "index.html" if project else path
    if project and not page.exists():
        return Listing()
    with page.open("rb") as file:
        content = file.read(web.PAGE_BYTES + 1)
    if len(content) > web.PAGE_BYTES:
        raise FleetwheelError(f"{page} is larger than {web.PAGE_BYTES / 2**20:.0f} MB")
    return listing(web.Page(content, "text/html", page.as_uri()))


def _directory(path: Path) -> Listing:
    files = [file for file in sorted(path.iterdir()) if _project(file.name) and file.is_file()]
    wheels = [file for file in files if _is_wheel(file.name)]
    listed = [ListedFile(p.name, p.as_uri(), _known(p), p.stat().st_size) for p in wheels]
    return Listing(tuple(listed), frozenset(str(_project(file.name)) for file in files))


def _known(path: Path) -> str | None:
    """Return the hash of a file that has the name of one of PyPI's torch wheels.

    Their names do not tell their variant, so it has to be known whether it is that file.
    """
    if path.name not in pypi_torch():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_html(page: web.Page) -> list[DistributionPackage]:
    """Return the files of an HTML page, named by their addresses: servers shorten link texts."""
    links = RepositoryPage.from_html(NEWER.sub(rb"\1.0", page.content), page.url).links
    named = [link for link in links if _project(_name(link.url))]
    return [
        DistributionPackage.from_link(Link(text=_name(link.url), url=link.url, attrs=link.attrs))
        for link in named
    ]


def _from_json(page: web.Page) -> list[DistributionPackage]:
    # Names are checked before pypi-simple sees them, whose patterns take very long for some.
    document = json.loads(page.content)
    document["files"] = [file for file in document["files"] if _project(file["filename"])]
    version = str(document["meta"]["api-version"])
    document["meta"]["api-version"] = re.sub(r"^1\.\d+$", "1.0", version)
    return ProjectPage.from_json_data(document, page.url).packages


def _file(package: DistributionPackage, page: web.Page) -> ListedFile | None:
    url, _ = web.split_login(package.url)
    size, scheme = package.size, urlsplit(url).scheme
    if scheme == "file" and page.url.startswith("file:"):
        size = _stat(url)
        if size is None:
            return None
    elif scheme not in ("http", "https"):
        return None
    digests = _digests(package)
    known, path = digests.pop("sha256", None), local_path(url)
    if known is None and path is not None:
        known = _known(path)
    other = next((f"{name}:{digest}" for name, digest in digests.items()), None)
    return ListedFile(
        filename=package.filename,
        url=url,
        sha256=known,
        size=size if size is None or 0 <= size < 2**63 else None,
        requires_python=_specifiers(package.requires_python),
        uploaded=_moment(package.upload_time),
        other_hash=None if known else other,
    )


def _moment(told: datetime | None) -> datetime | None:
    """Return when a file came to its source; None for what no source can mean."""
    return told if told and told.tzinfo and told.year > 1990 else None


def _digests(package: DistributionPackage) -> dict[str, str]:
    """Return the hashes that can be checked, the strongest first."""
    found = {name: package.digests.get(name, "").lower() for name in HASHES}
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
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _is_wheel(filename: str) -> bool:
    return filename.endswith(".whl") and _project(filename) is not None


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


def _wheels(source: Source, files: Iterable[ListedFile], project: str) -> tuple[Wheel, ...]:
    found = [Wheel(source=source, **f._asdict()) for f in files if _project(f.filename) == project]
    return tuple(wheel for wheel in found if _serves(source, wheel))


def _serves(source: Source, wheel: Wheel) -> bool:
    """Whether a wheel is of the source's variant; an unknown one may get a general listing."""
    variant, local = source.variant, wheel.version.local
    return variant is None or str(variant) == local or (variant.cpu and local is None)


def _measure(url: str, logins: Mapping[str, Login]) -> int | None:
    try:
        bare, login = web.split_login(url)
        if local_path(bare) is not None:
            return _stat(bare)
        return web.length(bare, login or logins.get(web.host_of(bare)))
    except (OSError, ValueError):
        return None


def _stat(url: str) -> int | None:
    """Return the bytes of a file on this machine, None when there is no such file."""
    path = local_path(url)
    return path.stat().st_size if path and path.is_file() else None


def _told(errand: BackgroundCall[int | None]) -> int | None:
    try:
        return errand.answer()
    except FleetwheelError:
        return None

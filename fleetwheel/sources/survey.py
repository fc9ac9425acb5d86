"""What sources of wheels really hold: every source asked at once, the silent ones left out."""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

from packaging.utils import canonicalize_name

from fleetwheel.errors import DETAIL, LOG, FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.address import Login, local_path, split_login
from fleetwheel.sources.configured import login_of
from fleetwheel.sources.index import SourceAnswer, serving
from fleetwheel.sources.listing import (
    Listing,
    absent_statuses,
    directory_listing,
    holds,
    is_of,
    listing,
    size_on_disk,
)
from fleetwheel.sources.web import BackgroundCall
from fleetwheel.sources.wheel import ListedFile, Source, Wheel
from fleetwheel.value import Value


class Survey(Value):
    """What the sources hold, and which of them gave no answer."""

    wheels: tuple[Wheel, ...] = ()
    """In the order of the sources; no yanked ones and no source distributions."""
    warnings: tuple[str, ...] = ()
    """One sentence for each thing that went wrong, without credentials."""
    silent: tuple[Source, ...] = ()
    """Sources that gave no answer, or one that cannot be used: nothing of them is in ``wheels``."""


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

    ``sources`` lend their credentials to addresses on the same host. Raises FleetwheelError for one
    that is not there any more.
    """
    errands = {url: _measured(url, sources) for url in urls}
    return {url: _told(errand) for url, errand in errands.items()}


def _begun(source: Source, names: Iterable[str]) -> dict[str, BackgroundCall[Listing | None]]:
    return {name: _listing(source, name) for name in names}


def _answer(source: Source, project: str, errand: BackgroundCall[Listing | None]) -> SourceAnswer:
    try:
        found = errand.answer()
        held = holds(found, project, source.layout)
    except FleetwheelError as error:
        return SourceAnswer(source=source, failure=error.message)
    files = found.wheels if found else ()
    return SourceAnswer(source=source, wheels=_wheels(source, files, project), holds=held)


def _listing(source: Source, project: str) -> BackgroundCall[Listing | None]:
    """Have one page of a source read, or the one page or directory that it is."""
    project = project if source.layout == "simple" else ""
    seconds = web.PROBE_S + web.PAGE_S
    late = f"{source.redacted} takes longer than {seconds:g} s"
    absent = absent_statuses(source)
    key = ("listing", source.url.rstrip("/"), project, absent)
    return web.once(key, partial(_read, source, project, absent), seconds, late)


def _read(source: Source, project: str, absent: tuple[int, ...]) -> Listing | None:
    """Return what is there; None where the source says that it has nothing of the project."""
    path = local_path(source.url)
    try:
        if path is not None:
            return _read_disk(path, project)
        url, login = split_login(source.url)[0], login_of(source)
        page = web.page(f"{url.rstrip('/')}/{project}/" if project else url, login, absent)
        return listing(page, project) if page else None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no address or path"
        raise FleetwheelError(f"{source.redacted} cannot be read: {reason}") from error


def _read_disk(path: Path, project: str) -> Listing | None:
    """Read an index of projects, a directory of wheels or one page, from disk."""
    if not path.exists():
        raise FleetwheelError(f"{path} does not exist")
    if path.is_dir() and not project:
        return directory_listing(path)
    page = path / project / "index.html" if project else path
    try:
        with page.open("rb") as file:
            content = file.read(web.PAGE_BYTES + 1)
    except FileNotFoundError:
        _require_index(path, project)
        return None
    if len(content) > web.PAGE_BYTES:
        raise FleetwheelError(f"{page} is larger than {web.PAGE_BYTES / 2**20:.0f} MB")
    return listing(web.Page(content, "text/html", page.as_uri()), project)


def _require_index(path: Path, project: str) -> None:
    """Raise FleetwheelError for what lacks the page of a project, and is no index without it."""
    named = [each for each in path.iterdir() if canonicalize_name(each.name) == project]
    if named:
        wrong = "has no index.html in it" if named[0].name == project else f"is not named {project}"
        raise FleetwheelError(f"{named[0]} {wrong}")
    root = path / "index.html"
    if root.is_file() and f"{project}/" in root.read_text(encoding="utf-8", errors="replace"):
        raise FleetwheelError(f"{root} names {project}, which has no page there")
    if not any(path.glob("*/index.html")):
        raise FleetwheelError(f"{path} has no page of any package in it")


def _wheels(source: Source, files: Iterable[ListedFile], project: str) -> tuple[Wheel, ...]:
    named = dict.fromkeys(file for file in files if is_of(file.filename, project))
    # What is listed has been checked, and of the largest projects there are thousands of files.
    found = [Wheel.model_construct(source=source, **dict(file)) for file in named]
    return tuple(wheel for wheel in found if _serves(source, wheel))


def _serves(source: Source, wheel: Wheel) -> bool:
    """Whether a wheel is of the source's variant; an unknown one may get a general listing."""
    variant = source.variant
    if variant is None:
        return True
    local = wheel.version.local
    return str(variant) == local or (variant.cpu and local is None)


def _measured(url: str, sources: Sequence[Source]) -> BackgroundCall[int | None]:
    """Have the bytes of a wheel asked for."""
    try:
        bare, login = web.with_login(url, sources)
    except ValueError:
        bare, login = url, None
    seconds = web.PROBE_S + web.READ_S
    key = ("size", bare, login)
    return web.once(key, partial(_measure, bare, login), seconds, "no size in time")


def _measure(url: str, login: Login) -> int | None:
    try:
        return size_on_disk(url) if local_path(url) else web.length(url, login)
    except (OSError, ValueError):
        return None


def _told(errand: BackgroundCall[int | None]) -> int | None:
    try:
        return errand.answer()
    except web.NotThereError:
        raise
    except FleetwheelError:
        return None
